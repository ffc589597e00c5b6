"""Plans: what a signature is compiled to, what is refused at start-up, and how a plan is run."""

import contextlib
import functools
import gc
import inspect
import subprocess
import sys
import textwrap
import weakref
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import annotated_types
import pydantic
import pytest
import typing_extensions

from tests.plan_probe import CALLED, INVALID, JSON, Call, run_plan
from weft.exceptions import HTTPException, SignatureError
from weft.params import Body, Cookie, Header, Path, Query
from weft.signature import compile_plan, describe

NIL = UUID(int=0)


class Request:
    pass


class Response:
    pass


class SubRequest(Request):
    pass


CLASSES = {"request_class": Request, "response_class": Response}


class Book(pydantic.BaseModel):
    title: str

    @pydantic.field_validator("title")
    @classmethod
    def check(cls, title):
        if title == "bad":
            raise ValueError("bad title")
        if title == "boom":
            raise RuntimeError("boom")
        return title


def call(endpoint, path="/", **request):
    return run_plan(compile_plan(endpoint, path, **CLASSES), Call(**request))


# ---- what a plan says of itself ----


def test_steps_run_in_the_order_of_their_sources():
    def f(data: dict, c: Annotated[str, Cookie()], h: Annotated[str, Header()], q: int, a: int): ...

    plan = compile_plan(f, "/{a}")
    assert [step.source for step in plan.steps] == ["path", "query", "header", "cookie", "body"]
    assert plan.param_names == ("data", "c", "h", "q", "a")


def test_steps_can_be_read():
    def f(
        a: int,
        book: Book,
        request: Request,
        q: Annotated[int | None, Query(ge=1, le=5)] = None,
        tags: Annotated[list[str], Query()] = [],  # noqa: B006
        id: UUID | Decimal = NIL,
        x_token: str = Header("t"),
        d: int = Query(default_factory=int),
    ): ...

    assert [str(step) for step in describe(f, "/{a}", **CLASSES).steps] == [
        "a <- path a: int",
        "q <- query q: int(le=5, ge=1) = None",
        "tags <- query tags: list[str] = []",
        "id <- query id: uuid | decimal = UUID('00000000-0000-0000-0000-000000000000')",
        "d <- query d: int = <factory>",
        "x_token <- header x-token: str = 't'",
        "book <- body book: Book",
        "request <- request",
    ]


@pytest.mark.parametrize(
    ("annotation", "mode"), [(int, "ignore"), (dict, "buffer"), (Request, "stream")]
)
def test_body_mode(annotation, mode):
    def f(x: annotation): ...

    assert compile_plan(f, **CLASSES).body_mode == mode


def test_request_beside_a_body_parameter_is_buffered():
    def f(x: dict, request: Request): ...

    assert compile_plan(f, **CLASSES).body_mode == "buffer"


async def coroutine_function(): ...


class AsyncCallable:
    async def __call__(self): ...


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (coroutine_function, True),
        (functools.partial(coroutine_function), True),
        (AsyncCallable(), True),
        (AsyncCallable().__call__, True),
        (lambda: None, False),
        (functools.wraps(coroutine_function)(lambda: coroutine_function()), True),
        (AsyncCallable, False),
    ],
)
def test_is_coroutine(endpoint, expected):
    assert compile_plan(endpoint).is_coroutine is expected


def test_endpoint_is_the_function():
    assert compile_plan(coroutine_function).endpoint is coroutine_function


# ---- start-up errors ----


def refused(endpoint, path="/"):
    with pytest.raises(SignatureError) as caught:
        compile_plan(endpoint, path, **CLASSES)
    return str(caught.value)


def test_an_error_names_function_file_and_parameter():
    def handler(ok: int, wrong: Annotated[int, Path()]): ...

    line = inspect.getsourcelines(handler)[1]
    assert refused(handler) == (
        f"parameter 'wrong' of test_an_error_names_function_file_and_parameter.<locals>.handler()"
        f" ({__file__}:{line}): there is no {{wrong}} in the path of the route"
    )


def variadic(*args: int): ...


def variadic_keywords(**kwargs: int): ...


def query_for_path(a: Annotated[int, Query()]): ...


def list_in_path(a: list[int]): ...


def dict_in_query(b: Annotated[dict, Query()]): ...


def models_in_header(b: Annotated[list[Book], Header()]): ...


def two_markers(b: Annotated[int, Query()] = Header()): ...


def default_in_annotated(b: Annotated[int, Query(5)]): ...


def marker_on_request(b: Annotated[Request, Query()]): ...


def default_and_factory(b: Annotated[int, Query(default_factory=int)] = 1): ...


def bad_pattern(b: Annotated[str, Query(pattern="(")]): ...


def bad_constraint(b: Annotated[int, Query(ge=1.5)]): ...


def length_of_int(b: Annotated[int, Query(min_length=1)]): ...


class Odd: ...


def unknown_type(b: Odd): ...


def field_as_default(b: int = pydantic.Field(5)): ...


def unresolved(b: "Missing"): ...  # noqa: F821


def path_alias(a: Annotated[int, Path(alias="z")]): ...


def list_of_lists(b: Annotated[list[list[int]], Query()]): ...


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (variadic, "*args and **kwargs cannot come from a request"),
        (variadic_keywords, "*args and **kwargs cannot come from a request"),
        (query_for_path, "Query() cannot be used for a parameter of the path"),
        (list_in_path, "a path parameter cannot be list"),
        (list_of_lists, "a query parameter cannot be list"),
        (dict_in_query, "a query parameter cannot be dict: use Body()"),
        (models_in_header, "a header parameter cannot be list["),
        (two_markers, "a marker in Annotated and another as the default value"),
        (default_in_annotated, "Query() in Annotated cannot have a default value"),
        (marker_on_request, "Query() cannot be used with Request"),
        (default_and_factory, "a default and a default_factory"),
        (bad_pattern, "pattern '('"),
        (bad_constraint, "pydantic cannot read int"),
        (length_of_int, "min_length says nothing about int"),
        (unknown_type, "pydantic cannot read Odd"),
        (field_as_default, "pydantic.Field() as the default"),
        (unresolved, "name 'Missing' is not defined"),
        (path_alias, "there is no {z} in the path"),
    ],
)
def test_refused_at_start_up(endpoint, words):
    message = refused(endpoint, "/{a}")
    assert words in message
    assert f"of {endpoint.__name__}()" in message


def test_without_pydantic():
    """Native conversions do not need it; what does says so."""
    script = """
        import sys
        sys.modules["pydantic"] = sys.modules["pydantic_core"] = None
        import datetime
        from typing import Annotated, Literal
        from weft.exceptions import SignatureError
        from weft.params import Query
        from weft.signature import compile_plan

        def native(
            a: int,
            data: dict,
            tags: Annotated[list[str], Query()],
            when: datetime.datetime,
            kind: Literal["a", "b"],
            n: Annotated[int | None, Query(ge=1)] = None,
        ): ...

        def handed(a: complex): ...

        assert all(step.native for step in compile_plan(native, "/{a}").steps)
        try:
            compile_plan(handed)
        except SignatureError as exc:
            assert "install pydantic" in str(exc), exc
            print("refused")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "refused\n", done.stderr


def test_pydantic_is_not_imported_for_native_signatures():
    script = """
        import sys
        from weft.signature import compile_plan

        def f(a: int, q: str | None = None, *, data: dict): ...

        compile_plan(f, "/{a}")
        print("pydantic" in sys.modules)
    """
    out = subprocess.check_output([sys.executable, "-c", textwrap.dedent(script)], text=True)
    assert out == "False\n"


def test_what_only_documents_is_no_reason_to_hand_over():
    def f(q: Annotated[int, "how many", typing_extensions.Doc("how many")]): ...

    assert describe(f).steps[0].native


def test_constraints_of_annotated_types_are_native():
    def f(
        q: Annotated[int, annotated_types.Ge(1), annotated_types.Le(3)],
        t: Annotated[list[Annotated[str, annotated_types.MinLen(2)]], Query(max_length=2)],
    ):
        return q, t

    assert all(step.native for step in describe(f).steps)
    assert call(f, query=b"q=2&t=ab")[1] == (2, ["ab"])
    assert [e["type"] for e in call(f, query=b"q=4&t=a")[1]] == [
        "less_than_equal",
        "string_too_short",
    ]


# ---- running ----


def test_positional_keyword_and_positional_only():
    def f(a, /, b, *, c, d=4):
        return a, b, c, d

    assert call(f, query=b"c=3&b=2&a=1")[:2] == (CALLED, ("1", "2", "3", 4))


def test_more_arguments_than_fit_on_the_stack():
    names = [f"p{i}" for i in range(40)]
    scope: dict[str, Any] = {}
    exec(f"def f({', '.join(f'{n}: int' for n in names)}): return [{', '.join(names)}]", scope)
    query = "&".join(f"{name}={i}" for i, name in enumerate(reversed(names)))
    assert call(scope["f"], query=query.encode())[:2] == (CALLED, list(reversed(range(40))))
    outcome, errors, _ = call(scope["f"])
    assert (outcome, len(errors)) == (INVALID, 40)


def test_partial_method_and_callable_object():
    class Handler:
        def method(self, q: int):
            return q

        def __call__(self, q: int):
            return q + 1

    def f(a: int, q: int, z: int = 5):
        return a, q, z

    assert call(Handler().method, query=b"q=1")[1] == 1
    assert call(Handler(), query=b"q=1")[1] == 2
    assert call(functools.partial(f, 7), query=b"q=1")[1] == (7, 1, 5)
    assert call(functools.partial(f, z=9), query=b"q=1&a=2")[1] == (2, 1, 9)


def test_string_annotations_are_resolved():
    def f(q: "Annotated[int, Query(ge=2)]", r: "Request") -> "Missing":  # noqa: F821
        return q, r

    assert call(f, query=b"q=3")[1] == (3, "request")
    assert call(f, query=b"q=1")[0] == INVALID


def test_request_and_response():
    def f(response: Response, q: int, request: SubRequest):
        return request, response, q

    assert call(f, query=b"q=1")[1] == ("request", "response", 1)
    assert call(f)[0] == INVALID


def test_bind_makes_a_callable_without_arguments():
    def f(a: int, q: str = "d", *, limit: int = 3):
        return a, q, limit

    plan = compile_plan(f, "/{a}")
    outcome, bound, _ = run_plan(plan, Call(b"limit=4", ("5",)), bind=True)
    assert (outcome, bound()) == (CALLED, (5, "d", 4))
    outcome, errors, _ = run_plan(plan, Call(b"limit=x", ("5",)), bind=True)
    assert (outcome, errors[0]["loc"]) == (INVALID, ("query", "limit"))


def test_bind_without_arguments_is_the_endpoint():
    def f(): ...

    assert run_plan(compile_plan(f), Call(), bind=True)[1] is f


def test_a_mutable_default_is_not_shared():
    def f(tags: Annotated[list[str], Query()] = []):  # noqa: B006
        tags.append("x")
        return tags

    plan = compile_plan(f)
    assert [run_plan(plan, Call())[1] for _ in range(2)] == [["x"], ["x"]]


def test_a_factory_is_called_for_each_request():
    def f(d: dict = Query(default_factory=dict)):
        return d

    with pytest.raises(SignatureError):
        compile_plan(f)  # a dict is no query parameter, factory or not

    def g(d: Any = Query(default_factory=dict)):
        return d

    plan = compile_plan(g)
    assert run_plan(plan, Call())[1] is not run_plan(plan, Call())[1]


def test_the_ctx_of_an_error_is_its_own():
    def f(q: Annotated[int, Query(ge=1)]): ...

    plan = compile_plan(f)
    run_plan(plan, Call(b"q=0"))[1][0]["ctx"].clear()
    assert run_plan(plan, Call(b"q=0"))[1][0]["ctx"] == {"ge": 1}


def test_what_the_body_held_comes_with_the_errors():
    def f(book: Book): ...

    assert call(f, body=b'{"title": 5}', headers=JSON)[2] == {"title": 5}
    assert call(f, body=b"plain")[2] == b"plain"
    assert call(f, body=b'{"title"', headers=JSON)[2] == '{"title"'
    assert call(f)[2] is None


def test_a_body_that_is_not_text_is_400():
    def f(data: dict): ...

    with pytest.raises(HTTPException) as caught:
        call(f, body=b"\xff{}", headers=JSON)
    assert (caught.value.status_code, caught.value.detail) == (
        400,
        "There was an error parsing the body",
    )


def test_json_nested_too_deeply_is_an_error_like_any_other():
    def f(data: list): ...

    outcome, errors, _ = call(f, body=b"[" * 600 + b"]" * 600, headers=JSON)
    assert (outcome, errors[0]["type"]) == (INVALID, "json_invalid")
    with pytest.raises(HTTPException):
        call(f, body=b"[" * 200_000, headers=JSON)


def boom():
    raise RuntimeError("boom")


@pytest.mark.parametrize(
    "endpoint",
    [
        lambda: boom(),
        lambda book: boom(),
        lambda q=Query(default_factory=boom): None,
    ],
)
def test_what_user_code_raises_comes_through(endpoint):
    with pytest.raises(RuntimeError, match="boom"):
        call(endpoint, query=b"book=1")


def test_what_a_validator_raises_comes_through():
    def f(book: Book): ...

    with pytest.raises(RuntimeError, match="boom"):
        call(f, body=b'{"title": "boom"}', headers=JSON)


def test_a_broken_description_is_refused():
    from weft import _core

    def f(q: int): ...

    d = describe(f)
    for steps, positional in [((), ("q",)), (d.steps, ()), (d.steps, ("x",)), ((1,), ("q",))]:
        with pytest.raises((ValueError, AttributeError)):
            _core.Plan(f, steps, positional, (), False, "ignore", False)
    with pytest.raises(ValueError, match="body_mode"):
        _core.Plan(f, d.steps, ("q",), (), False, "swallow", False)
    with pytest.raises(TypeError, match="not callable"):
        _core.Plan(5, d.steps, ("q",), (), False, "ignore", False)


# ---- references and memory ----


def everything(
    a: int,
    data: dict,
    book: Book,
    request: Request,
    q: str | None = None,
    n: Annotated[int, Query(ge=1)] = 1,
    many: Annotated[list[int], Query(max_length=3)] = [],  # noqa: B006
    id: UUID | Decimal | None = None,
    h: Annotated[list[str] | None, Header()] = None,
    c: Annotated[float, Cookie(lt=5)] = 1.0,
): ...


def everything_native(  # pydantic-core panics without memory
    a: int,
    data: dict,
    request: Request,
    q: str | None = None,
    n: Annotated[int, Query(ge=1)] = 1,
    many: Annotated[list[int], Query(max_length=3)] = [],  # noqa: B006
    id: UUID | Decimal | None = None,
    h: Annotated[list[str] | None, Header()] = None,
    c: Annotated[float, Cookie(lt=5)] = 1.0,
    *,
    book: Annotated[bytes, Body()] = b"",
): ...


REQUESTS = [
    Call(
        b"q=%C3%A9&n=5&many=1&many=2&id=5",
        ("1",),
        [*JSON, (b"h", b"\xe9"), (b"cookie", b'c="1"')],
        b'{"data": {}, "book": {"title": "t"}}',
    ),
    Call(
        b"q=%ff&n=0&many=x&many=2&id=x",
        ("x",),
        [*JSON, (b"h", b"a"), (b"cookie", b"c=9")],
        b'{"data": [], "book": {"title": "bad"}}',
    ),
    Call(
        b"many=1&many=2&many=3&many=4&n=" + b"9" * 60,
        ("1" * 50,),
        JSON,
        b'{"book": {"title": "boom"}}',
    ),
    Call(b"%71=1", ("1",), JSON, b"[1]"),
    Call(b"", ("1",), JSON, b"{bad"),
    Call(b"", ("1",), JSON, b"\xff"),
    Call(b"", (), [], b"raw"),
]


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("bind", [False, True])
def test_nothing_leaks(request_, bind):
    plan = compile_plan(everything, "/{a}", **CLASSES)

    def run(times):
        for _ in range(times):
            with contextlib.suppress(HTTPException, RuntimeError):
                run_plan(plan, request_, bind=bind)
        gc.collect()
        return sys.getallocatedblocks()

    run(200)
    before = run(200)
    assert run(1000) - before < 300  # free lists come and go


def test_plans_are_collected():
    def f(q: int): ...

    f.plan = compile_plan(f)  # a cycle
    function = weakref.ref(f)
    del f
    gc.collect()
    assert function() is None


@pytest.mark.parametrize("request_", REQUESTS)
def test_any_allocation_may_fail(request_):
    testcapi = pytest.importorskip("_testcapi")
    plan = compile_plan(everything_native, "/{a}", **CLASSES)

    def run():
        try:
            return run_plan(plan, request_)
        except (HTTPException, RuntimeError) as exc:
            return repr(exc)

    expected = str(run())
    failed = 0
    for nth in range(1, 300):
        testcapi.set_nomemory(nth, nth + 1)
        try:
            run()
        except (MemoryError, SystemError):  # the latter where CPython itself forgets to say which
            failed += 1
        finally:
            testcapi.remove_mem_hooks()
    assert failed > 5
    assert str(run()) == expected
