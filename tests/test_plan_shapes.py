"""Bodies that are read straight into what the handler gets."""

import dataclasses
import gc
import json
import subprocess
import sys
import textwrap
from typing import Annotated, Any, NotRequired

import attrs
import msgspec
import pydantic
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from tests.plan_probe import CALLED, JSON, Call, assert_same, run_plan
from weft import App, Body, Depends, Query
from weft.signature import compile_plan


class Author(BaseModel):
    name: Annotated[str, Field(min_length=1)]
    born: int | None = None


class Novel(BaseModel):
    title: str
    pages: int = Field(gt=0)
    authors: list[Author] = []
    price: float = 1.5
    kind: Annotated[str, Field(alias="type")] = "novel"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Movie(TypedDict):
    name: str
    year: NotRequired[int]


class Struct(msgspec.Struct):
    a: int
    b: list[str] = []


@attrs.define
class Attrs:
    a: int


BODIES = [
    {"title": "a", "pages": 1, "authors": [{"name": "x", "born": None}], "more": 1},
    {"title": "a", "pages": 0},
    {"title": 1, "pages": "x", "authors": [{"name": ""}, {}]},
    {"title": "a", "pages": "5", "type": "b"},
    {"x": 1},
    {"x": "1", "y": 2},
    {"y": None},
    {"name": "a"},
    {"name": "a", "year": "x"},
    [{"x": 1}, {"x": "a"}],
    [],
    {},
    None,
    "a",
    1,
]
CALLS = [Call(body=json.dumps(body).encode(), headers=list(JSON)) for body in BODIES]
CALLS += [
    Call(body=b'{"x":1', headers=list(JSON)),
    Call(body=b'{"x":1}', headers=[(b"content-type", b"text/plain")]),
    Call(body=b'{"x":1}', headers=list(JSON), query=b"q=x"),
    Call(body=b'{"x":1}', headers=list(JSON), query=b"q=1"),
    Call(body=b'\xef\xbb\xbf{"x":1}', headers=list(JSON)),
    Call(headers=list(JSON)),
]


@pytest.mark.parametrize(
    "annotation",
    [
        Novel,
        Novel | None,
        list[Novel],
        Point,
        list[Point],
        Movie,
        dict[str, int],
        list[int],
        int | str,
    ],
    ids=str,
)
def test_as_fastapi(annotation):
    def make(p):
        def handler(body: Annotated[annotation, p.Body()], q: int = 0):
            return body, q

        return handler

    def make_embedded(p):
        def handler(body: Annotated[annotation, p.Body(embed=True)] = None):
            return body

        return handler

    assert_same(make, "/", CALLS)
    embedded = [dataclasses.replace(c, body=b'{"body":' + c.body + b"}") for c in CALLS]
    assert_same(make_embedded, "/", embedded)


def test_the_body_of_an_error_is_plain_though_it_was_read_natively():
    def handler(body: Novel, q: int): ...

    body = b'{"title":"a","pages":1}'
    plan = compile_plan(handler, "")
    assert plan.steps[-1].conversion.kind == "shape"
    outcome, errors, got = run_plan(plan, Call(body=body, headers=list(JSON), query=b"q=x"))
    assert outcome != CALLED
    assert [error["loc"] for error in errors] == [("query", "q")]
    assert got == json.loads(body)


def test_validators_are_called_once():
    calls = []

    class Checked(BaseModel):
        a: int

        @pydantic.field_validator("a")
        @classmethod
        def check(cls, value):
            calls.append(value)
            if value < 0:
                raise ValueError("negative")
            return value

    def handler(body: Checked, b: Annotated[int, Query()] = 0):
        return body

    plan = compile_plan(handler, "")
    assert plan.steps[-1].conversion.kind == "shape"
    for body in (b'{"a":1}', b'{"a":-1}'):
        calls.clear()
        run_plan(plan, Call(body=body, headers=list(JSON)))
        assert len(calls) == 1


@pytest.mark.parametrize(
    ("annotation", "body", "value"),
    [
        (Struct, b'{"a":1,"b":["c"]}', Struct(1, ["c"])),
        (list[Struct], b'[{"a":1}]', [Struct(1)]),
        (Attrs, b'{"a":1}', Attrs(1)),
    ],
)
def test_what_pydantic_cannot_read(annotation, body, value):
    def handler(body: annotation):
        return body

    assert run_plan(compile_plan(handler, ""), Call(body=body, headers=list(JSON)))[1] == value


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            b'{"a":"x"}',
            {
                "type": "int_type",
                "loc": ("body", "a"),
                "msg": "Input should be a valid integer",
                "input": "x",
            },
        ),
        (b"{}", {"type": "missing", "loc": ("body", "a"), "msg": "Field required", "input": {}}),
        (
            b'{"a":1,"b":["c",2]}',
            {
                "type": "string_type",
                "loc": ("body", "b", 1),
                "msg": "Input should be a valid string",
                "input": 2,
            },
        ),
        (
            b"[]",
            {
                "type": "dict_type",
                "loc": ("body",),
                "msg": "Input should be a valid dictionary",
                "input": [],
            },
        ),
        (
            b'{"a":1',
            {
                "type": "json_invalid",
                "loc": ("body", 6),
                "msg": "JSON decode error",
                "input": {},
                "ctx": {"error": "Expecting ',' delimiter"},
            },
        ),
        (b"", {"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}),
    ],
)
def test_errors_without_pydantic_are_in_its_words(body, error):
    def handler(body: Struct): ...

    plan = compile_plan(handler, "")
    assert run_plan(plan, Call(body=body, headers=list(JSON)))[1] == [error]


class Move(msgspec.Struct, tag="move", array_like=True):
    x: int


class Stop(msgspec.Struct, tag="stop", array_like=True):
    pass


@pytest.mark.parametrize("annotation", [Move, Move | Stop])
def test_structs_that_are_arrays_are_asked_for_as_lists(annotation):
    def handler(body):
        return body

    handler.__annotations__["body"] = annotation
    plan = compile_plan(handler, "")
    errors = run_plan(plan, Call(body=b"{}", headers=list(JSON)))[1]
    assert [error["type"] for error in errors] == ["list_type"]
    assert run_plan(plan, Call(body=b'["move",1]', headers=list(JSON)))[1] == Move(1)


def test_embedded_structs():
    def handler(a: Struct, b: Annotated[Struct | None, Body()] = None):
        return a, b

    plan = compile_plan(handler, "")
    call = Call(body=b'{"a":{"a":1},"b":{"a":2}}', headers=list(JSON))
    assert run_plan(plan, call)[1] == (Struct(1), Struct(2))
    call = Call(body=b'{"a":{"a":1},"b":{"a":"x"}}', headers=list(JSON))
    assert [e["loc"] for e in run_plan(plan, call)[1]] == [("body", "b", "a")]


def test_served_with_dependencies(serve):
    app = App()

    def current(q: int = 0) -> int:
        return q

    @app.post("/novels")
    async def novels(novel: Novel, q: Annotated[int, Depends(current)]) -> Any:
        return {"title": novel.title, "q": q, "set": sorted(novel.model_fields_set)}

    client = serve(app)
    body = {"title": "a", "pages": 1}
    assert client.post("/novels?q=3", json=body).json() == {
        "title": "a",
        "q": 3,
        "set": ["pages", "title"],
    }
    answer = client.post("/novels?q=x", json={"title": 1, "pages": 1})
    assert [e["loc"] for e in answer.json()["detail"]] == [["query", "q"], ["body", "title"]]


def test_nothing_leaks():
    def handler(body: Novel, q: int = 0): ...

    plan = compile_plan(handler, "")
    for body, query in (
        (b'{"title":"a","pages":1}', b""),
        (b'{"title":"a","pages":1}', b"q=x"),
        (b'{"pages":0}', b""),
    ):
        call = Call(body=body, headers=list(JSON), query=query)
        run_plan(plan, call, repeat=20)
        gc.collect()
        grown = []
        for _ in range(5):  # caches fill now and then
            before = sys.getallocatedblocks()
            run_plan(plan, call, repeat=200)
            grown.append(sys.getallocatedblocks() - before)
        assert min(grown) < 60


def test_without_pydantic():
    script = """
        import sys
        sys.modules["pydantic"] = sys.modules["pydantic_core"] = None
        import dataclasses
        from typing import Annotated, TypedDict
        from weft import _core
        from weft.signature import compile_plan

        @dataclasses.dataclass
        class Point:
            x: int
            y: int = 0

            def __post_init__(self):
                if self.x < 0:
                    raise ValueError("left of the origin")

        class Movie(TypedDict):
            name: str
            points: list[Point]

        def handler(body: Movie):
            return body

        plan = compile_plan(handler, "")
        for body in (b'{"x":1}', b'{"x":-1}', b'{"y":1}'):
            body = b'{"name":"a","points":[' + body + b"]}"
            head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            print(_core._plan_test(plan, "POST", b"/", head, body, ())[1])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "{'name': 'a', 'points': [Point(x=1, y=0)]}",
        "[{'type': 'value_error', 'loc': ('body', 'points', 0), "
        "'msg': 'Value error, left of the origin', 'input': {'x': -1}}]",
        "[{'type': 'missing', 'loc': ('body', 'points', 0, 'x'), 'msg': 'Field required', "
        "'input': {'y': 1}}]",
    ]
