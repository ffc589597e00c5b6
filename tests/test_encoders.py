"""jsonable_encoder beside FastAPI's, and names of statuses beside Starlette's."""

import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import pathlib
import re
import uuid
import warnings
from collections import deque
from typing import Any

import fastapi.encoders
import msgspec
import pydantic
import pytest
import starlette.status

import weft.status
from tests.peer import Framework, answers, get
from weft.concurrency import run_in_threadpool
from weft.encoders import jsonable_encoder


class Color(enum.Enum):
    red = 1


class Model(pydantic.BaseModel):
    a: int = 1
    b: str | None = None
    at: dt.datetime = dt.datetime(2026, 1, 2)
    own: int = pydantic.Field(3, alias="Own")


@dataclasses.dataclass
class Data:
    a: int
    model: Model
    none: None = None


class Plain:
    def __init__(self) -> None:
        self.a, self.model, self._sa_state = 1, Model(), 3


VALUES: dict[str, Any] = {
    "model": Model(a=2),
    "models": [Model(), {"x": Model(b="c")}],
    "dataclass": Data(1, Model()),
    "dict": {"a": 1, 2: "b", None: 3, Color.red: Color.red, "_sa": 1, "none": None},
    "lists": [(1, 2), {3}, frozenset({4}), deque([5]), (n for n in (6, 7))],
    "plain": Plain(),
    "times": [dt.date(2026, 1, 2), dt.time(3, 4), dt.timedelta(1), dt.datetime(2026, 1, 2, 3)],
    "numbers": [decimal.Decimal("1.50"), decimal.Decimal(3), 1.5, True, None],
    "texts": [uuid.UUID(int=1), b"ab", pathlib.PurePosixPath("/a"), re.compile("a+")],
    "network": [ipaddress.ip_address("::1"), ipaddress.ip_network("10.0.0.0/8")],
    "pydantic": [
        pydantic.SecretStr("x"),
        pydantic.AnyUrl("http://a.b/"),
        pydantic.SecretBytes(b"x"),
    ],
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"exclude_none": True},
    {"exclude_unset": True},
    {"exclude_defaults": True, "by_alias": False},
    {"include": {"a", "b"}},
    {"exclude": ["a"]},
    {"sqlalchemy_safe": False},
    {"custom_encoder": {dt.date: lambda d: d.year, Color: lambda c: c.name, int: lambda n: n + 1}},
]


@pytest.mark.parametrize("name", VALUES.keys() - {"lists"})
@pytest.mark.parametrize("options", OPTIONS)
def test_as_fastapi_encodes(name: str, options: dict[str, Any]) -> None:
    expected = fastapi.encoders.jsonable_encoder(VALUES[name], **options)
    got = jsonable_encoder(VALUES[name], **options)
    assert got == expected
    assert repr(got) == repr(expected)  # 1 is not True, nor 1.0


def test_every_kind_of_list() -> None:
    assert jsonable_encoder(VALUES["lists"]) == [[1, 2], [3], [4], [5], [6, 7]]


def test_what_only_weft_knows() -> None:
    class Struct(msgspec.Struct):
        a: int
        at: dt.date

    assert jsonable_encoder([Struct(1, dt.date(2026, 1, 2))]) == [{"a": 1, "at": "2026-01-02"}]


def test_what_has_no_form() -> None:
    with pytest.raises(ValueError, match="object has no form in JSON"):
        jsonable_encoder([object()])


def test_statuses_are_starlettes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = {
            n: getattr(starlette.status, n) for n in dir(starlette.status) if n[:5] == "HTTP_"
        }
    theirs = {name: value for name, value in theirs.items() if name.startswith("HTTP_")}
    ours = {name: value for name, value in vars(weft.status).items() if name.startswith("HTTP_")}
    assert ours == theirs


async def run() -> Any:
    return await run_in_threadpool(lambda a, b: a + b, 1, b=2)


def test_functions_are_run_in_threads() -> None:
    assert weft.run(run()) == 3


def test_objects_without_a_model_are_their_attributes() -> None:
    """They were a 500."""

    def make(fw: Framework) -> Any:
        app = fw.App()

        class Row:
            def __init__(self) -> None:
                self._sa_instance_state = object()
                self.id, self.at, self.inner = 1, dt.date(2026, 1, 2), Plain()

        class Pairs:
            def __iter__(self) -> Any:
                return iter([("a", 1), ("b", [Row()])])

        @app.get("/row")
        async def row():
            return Row()

        @app.get("/rows")
        def rows():
            return {"rows": [Row(), Pairs()]}

        @app.get("/unknown")
        async def unknown():
            raise fw.HTTPException(499)

        return app

    got, expected, _, _ = answers(make, [get(path) for path in ("/row", "/rows", "/unknown")])
    assert [(a.status, a.body) for a in got] == [(a.status, a.body) for a in expected]
