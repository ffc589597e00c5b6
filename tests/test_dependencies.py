"""Dependencies, page by page of FastAPI's tutorial: the same app on weft and on FastAPI."""

import asyncio
import contextvars
import functools
import threading
from typing import Annotated, Any

import pytest

from tests.peer import Ask, Framework, assert_same, get
from weft import App, Depends, Request, Response, Router, Security
from weft.exceptions import SignatureError
from weft.security import SecurityScopes
from weft.server import Server
from weft.sites import compile_site
from weft.testing import TestClient

# ---- the tutorial ----


def test_functions() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        async def common(q: str | None = None, skip: int = 0, limit: int = 100):
            return {"q": q, "skip": skip, "limit": limit}

        @app.get("/items/")
        async def read_items(commons: Annotated[dict, fw.Depends(common)]):
            return commons

        @app.get("/users/")
        def read_users(commons: dict = fw.Depends(common)):
            return commons

        return app

    assert_same(
        make,
        get("/items/"),
        get("/items/?q=foo"),
        get("/items/?skip=1&limit=x&q=foo"),
        get("/users/?skip=a&limit=b"),
        get("/users/?limit=3"),
    )


def test_classes() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        class Common:
            def __init__(self, q: str | None = None, skip: int = 0):
                self.q, self.skip = q, skip

        @app.get("/a")
        async def a(commons: Annotated[Common, fw.Depends(Common)]):
            return {"q": commons.q, "skip": commons.skip}

        @app.get("/b")
        async def b(commons: Annotated[Common, fw.Depends()], skip: int):
            return {"q": commons.q, "skip": commons.skip + skip}

        @app.get("/c")
        async def c(commons: Common = fw.Depends()):
            return commons.q

        return app

    assert_same(make, get("/a?q=1"), get("/b?skip=3"), get("/b?skip=z"), get("/b"), get("/c"))


def test_sub_dependencies_are_called_once_and_their_parameters_validated_together() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        def query(q: str | None = None):
            fw.log.append("query")
            return q

        async def query_or_cookie(
            q: Annotated[str | None, fw.Depends(query)],
            last_query: Annotated[str | None, fw.Cookie()] = None,
        ):
            return q or last_query

        @app.get("/items/")
        async def read(
            value: Annotated[str | None, fw.Depends(query_or_cookie)],
            again: Annotated[str | None, fw.Depends(query)],
        ):
            return [value, again]

        @app.get("/uncached")
        async def uncached(
            value: Annotated[str | None, fw.Depends(query_or_cookie)],
            again: Annotated[str | None, fw.Depends(query, use_cache=False)],
        ):
            return [value, again]

        return app

    assert_same(make, get("/items/?q=1"), get("/items/", cookie="last_query=c"), get("/uncached"))


def test_every_error_of_a_request_is_in_one_reply_in_fastapis_order() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        async def leaf(a: int, x_leaf: Annotated[int, fw.Header()]):
            fw.log.append("leaf")

        async def middle(b: int, leaf: Annotated[None, fw.Depends(leaf)], c: int = 0):
            fw.log.append("middle")

        def other(d: int):
            fw.log.append("other")

        @app.post("/{p}", dependencies=[fw.Depends(other)])
        async def create(
            p: int,
            first: Annotated[None, fw.Depends(middle)],
            again: Annotated[None, fw.Depends(middle)],
            item: dict,
            fresh: Annotated[None, fw.Depends(leaf, use_cache=False)],
            e: int = 1,
        ):
            fw.log.append("create")
            return [p, item, e]

        return app

    assert_same(
        make,
        Ask.json("POST", "/1?a=1&b=2&d=3", {"x": 1}, ("x-leaf", "4")),
        Ask.json("POST", "/x?a=x&b=x&c=x&d=x&e=x", 3, ("x-leaf", "x")),
        Ask.json("POST", "/1?a=1&b=x&d=3", {}, ("x-leaf", "4")),
        Ask.json("POST", "/1?a=x&b=1&d=3", {}, ("x-leaf", "4")),
        Ask("POST", "/1", [("content-type", "application/json")], b"{"),
        Ask("POST", "/1?a=1&b=2&d=3"),
    )


def test_one_dependency_that_is_never_shared() -> None:
    """It has a value for those that do share, and one of its own: more values than dependencies."""

    def make(fw: Framework) -> Any:
        app = fw.App()

        def counted() -> int:
            fw.log.append("called")
            return len(fw.log)

        @app.get("/once")
        def once(n: Annotated[int, fw.Depends(counted, use_cache=False)]) -> Any:
            return n

        @app.get("/twice")
        def twice(
            n: Annotated[int, fw.Depends(counted, use_cache=False)],
            m: Annotated[int, fw.Depends(counted, use_cache=False)],
        ) -> Any:
            return [n, m]

        return app

    assert_same(make, get("/once"), get("/twice"))


def test_what_is_shared_and_what_is_called_again() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()
        count = iter(range(1000))

        async def fresh():
            fw.log.append("fresh")
            return next(count)

        async def holder(n: int = fw.Depends(fresh, use_cache=False)):
            fw.log.append("holder")
            return n

        async def counted():
            fw.log.append("counted")
            return next(count)

        @app.get("/")
        async def read(
            a: int = fw.Depends(holder),
            b: int = fw.Depends(holder),
            c: int = fw.Depends(fresh),
            d: int = fw.Depends(counted, use_cache=False),
            e: int = fw.Depends(counted),
            f: int = fw.Depends(counted, use_cache=False),
            g: int = fw.Depends(counted, scope="request"),
        ):
            return [a, b, c, d, e, f, g]

        return app

    assert_same(make, get("/"), get("/"))


def test_dependencies_of_routes_routers_and_the_app_run_before_those_of_the_handler() -> None:
    def make(fw: Framework) -> Any:
        def says(word: str) -> Any:
            async def say(request: fw.Request):
                fw.log.append(word)

            return fw.Depends(say)

        async def token(x_token: Annotated[str, fw.Header()]):
            if x_token != "secret":
                raise fw.HTTPException(400, "X-Token header invalid")

        app = fw.App(dependencies=[says("app")])
        outer = fw.Router(prefix="/outer", dependencies=[says("outer")])
        inner = fw.Router(prefix="/inner", dependencies=[says("inner"), fw.Depends(token)])

        @inner.get("/x", dependencies=[says("route")])
        async def x(own: Annotated[None, says("own")]):
            return "x"

        @app.get("/y")
        async def y():
            return "y"

        outer.include_router(inner, dependencies=[says("include inner")])
        app.include_router(outer, dependencies=[says("include outer")])
        return app

    assert_same(
        make,
        get("/outer/inner/x", x_token="secret"),
        get("/outer/inner/x", x_token="guess"),
        get("/outer/inner/x"),
        get("/y"),
    )


# ---- yield ----


def with_yield(fw: Framework, *, sync: bool = False, scope: str | None = None) -> Any:
    """Two generators, one upon the other, and routes that end in every way."""
    app = fw.App()

    if sync:

        def first(q: str = ""):
            fw.log.append("first in")
            try:
                if q == "raise":
                    raise fw.HTTPException(402, "before yield")
                yield "first"
                fw.log.append("first ok")
            except Exception as exc:
                fw.log.append(f"first {type(exc).__name__}")
                if q == "convert":
                    raise fw.HTTPException(409, "converted") from exc
                if q != "swallow":
                    raise
            finally:
                fw.log.append("first out")
                if q == "cleanup":
                    raise fw.HTTPException(410, "in clean-up")

    else:

        async def first(q: str = ""):
            fw.log.append("first in")
            try:
                if q == "raise":
                    raise fw.HTTPException(402, "before yield")
                yield "first"
                fw.log.append("first ok")
            except Exception as exc:
                fw.log.append(f"first {type(exc).__name__}")
                if q == "convert":
                    raise fw.HTTPException(409, "converted") from exc
                if q != "swallow":
                    raise
            finally:
                fw.log.append("first out")
                if q == "cleanup":
                    raise fw.HTTPException(410, "in clean-up")

    async def second(first: str = fw.Depends(first, scope=scope), r: str = ""):
        fw.log.append("second in")
        try:
            await asyncio.sleep(0)
            yield first + " second"
            fw.log.append("second ok")
        except BaseException as exc:
            fw.log.append(f"second {type(exc).__name__}")
            raise
        finally:
            if r == "wait":
                await asyncio.sleep(0.01)
            fw.log.append("second out")

    second_used = fw.Depends(second, scope=scope)

    @app.get("/ok")
    async def ok(value: str = second_used):
        fw.log.append("handler")
        return value

    @app.get("/sync")
    def plain(value: str = second_used):
        fw.log.append("handler")
        return value

    @app.get("/response")
    async def response(value: str = second_used):
        return fw.JSONResponse([value], 202, {"x-a": "b"})

    @app.get("/stream")
    async def stream(value: str = second_used):
        async def chunks():
            for i in range(3):
                fw.log.append(f"chunk {i}")
                yield b"%d" % i
                await asyncio.sleep(0)

        return fw.StreamingResponse(chunks())

    @app.get("/http")
    async def http(value: str = second_used):
        raise fw.HTTPException(418, "teapot", {"x-tea": "green"})

    @app.get("/int")
    async def number(n: int, value: str = second_used):
        return n

    @app.get("/unsendable")
    async def unsendable(response: fw.Response, value: str = second_used):
        response.headers["x-a"] = "b"
        response.status_code = 201
        return value

    @app.exception_handler(KeyError)
    async def missing(request: fw.Request, exc: KeyError):
        fw.log.append("handled")
        return fw.JSONResponse({"missing": str(exc)}, 404)

    @app.get("/key")
    async def key(value: str = second_used):
        raise KeyError("k")

    @app.get("/later")
    async def later(tasks: fw.BackgroundTasks, value: str = second_used):
        def task():
            fw.log.append("background")

        tasks.add_task(task)
        return value

    return app


WITH_YIELD = (
    *("/ok", "/ok?r=wait", "/sync", "/response", "/stream", "/http", "/key", "/unsendable"),
    *("/int?n=1", "/int?n=x", "/int?n=x&q=convert", "/ok?q=raise", "/http?q=convert", "/later"),
    *("/key?q=convert", "/http?q=cleanup"),
)


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("scope", [None, "function", "request"])
def test_generators_go_on_after_the_handler_whatever_became_of_it(sync: bool, scope: Any) -> None:
    # One at a time: what runs after the reply of one would mix with the next.
    for target in WITH_YIELD:
        assert_same(functools.partial(with_yield, sync=sync, scope=scope), get(target))


@pytest.mark.parametrize("sync", [False, True])
def test_clean_up_of_the_function_scope_can_still_change_the_reply(sync: bool) -> None:
    make = functools.partial(with_yield, sync=sync, scope="function")
    assert_same(make, get("/ok?q=cleanup"))
    assert_same(make, get("/sync?q=cleanup"))


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("scope", ["function", "request"])
def test_an_exception_that_a_dependency_swallows_leaves_no_reply(sync: bool, scope: Any) -> None:
    for target in ("/http?q=swallow", "/int?n=x&q=swallow"):
        app = with_yield(weft(), sync=sync, scope=scope)
        with TestClient(app, raise_server_exceptions=False) as client:
            assert client.get(target).status_code == 500
        with TestClient(app) as client, pytest.raises(RuntimeError, match="did not raise it again"):
            client.get(target)


def weft() -> Framework:
    from tests.peer import weft_names

    return weft_names()


def test_clean_up_that_fails_after_the_reply_is_logged_and_harms_nobody(
    server_errors: Any,
) -> None:
    app = App()

    async def fails():
        try:
            yield
        finally:
            await asyncio.sleep(0)
            raise LookupError("in clean-up")

    def fails_in_thread():
        yield
        raise ZeroDivisionError("in a thread")

    @app.get("/", dependencies=[Depends(fails), Depends(fails_in_thread)])
    async def read() -> str:
        return "sent"

    with TestClient(app, raise_server_exceptions=False) as client:
        assert [client.get("/").text for _ in range(3)] == ['"sent"'] * 3
    errors = server_errors()
    assert [type(error) for error in errors] == [LookupError] * 3
    assert type(errors[0].__context__) is ZeroDivisionError


def test_the_reply_does_not_wait_for_clean_up_nor_does_the_next_request() -> None:
    app = App()
    release = threading.Event()
    done = threading.Event()

    def slow():
        yield
        assert release.wait(10)
        done.set()

    @app.get("/", dependencies=[Depends(slow)])
    async def read() -> int:
        return 1

    with TestClient(app, wait_for_tasks=False) as client:
        assert client.get("/").json() == 1  # over one connection
        assert client.get("/").json() == 1
        assert not done.is_set()
        release.set()
    assert done.is_set()  # the server waits for it before it ends


@pytest.mark.parametrize(
    ("generator", "message"),
    [("twice", "generator didn't stop"), ("never", "generator didn't yield")],
)
@pytest.mark.parametrize("kind", ["async", "thread", "inline"])
def test_a_generator_must_yield_once(
    generator: str, message: str, kind: str, server_errors: Any
) -> None:
    app = App()
    closed: list[str] = []

    def sync():
        try:
            yield from range({"twice": 3, "never": 0}[generator])
        finally:
            closed.append("closed")

    async def asynchronous():
        try:
            for i in range({"twice": 3, "never": 0}[generator]):
                yield i
        finally:
            closed.append("closed")

    call = asynchronous if kind == "async" else sync

    @app.get("/")
    async def read(n: int = Depends(call, inline=kind == "inline", scope="function")) -> int:
        return n

    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/").status_code == 500
    assert [str(error) for error in server_errors()] == [message]
    assert closed == ["closed"]


# ---- inside ----


def test_all_of_a_request_runs_in_one_task_and_one_context() -> None:
    app = App()
    word: contextvars.ContextVar[str] = contextvars.ContextVar("word")
    seen: list[Any] = []

    async def sets(q: str):
        word.set(q)
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    async def holds(first: None = Depends(sets)):
        async with asyncio.timeout(10):
            seen.append(asyncio.current_task())
            yield word.get()
            seen.append(asyncio.current_task())

    async def group(held: str = Depends(holds)):
        async with asyncio.TaskGroup() as tasks:
            yield tasks
            seen.append(asyncio.current_task())

    @app.get("/")
    async def read(held: str = Depends(holds), tasks: Any = Depends(group)) -> Any:
        seen.append(asyncio.current_task())
        tasks.create_task(asyncio.sleep(0))
        return [held, word.get()]

    with TestClient(app) as client:
        assert client.get("/?q=a").json() == ["a", "a"]
    assert len(seen) == 5
    assert len(set(map(id, seen))) == 1


def test_a_task_group_of_a_dependency_cancels_the_handler() -> None:
    app = App()

    async def group():
        async with asyncio.TaskGroup() as tasks:
            yield tasks

    @app.exception_handler(ExceptionGroup)
    async def failed(request: Request, exc: ExceptionGroup) -> Response:
        return Response(repr(exc.exceptions[0]), 503)

    @app.get("/")
    async def read(tasks: Any = Depends(group)) -> None:
        async def fails() -> None:
            raise ValueError("x")

        tasks.create_task(fails())
        await asyncio.sleep(10)

    with TestClient(app) as client:
        assert (client.get("/").status_code, client.get("/").text) == (503, "ValueError('x')")


def test_where_dependencies_run() -> None:
    app = App()
    names: dict[str, str] = {}

    def note(name: str) -> None:
        names[name] = threading.current_thread().name

    def plain() -> None:
        note("plain")

    def inline() -> None:
        note("inline")

    def generator():
        note("generator in")
        yield
        note("generator out")

    def inline_generator():
        note("inline generator in")
        yield
        note("inline generator out")

    class Thing:
        def __init__(self) -> None:
            note("class")

    class Called:
        def __call__(self) -> str:
            note("object")
            return "object"

    class Awaited:
        async def __call__(self) -> str:
            note("async object")
            return "async object"

    @app.get("/")
    async def read(
        a: Any = Depends(plain),
        b: Any = Depends(inline, inline=True),
        c: Any = Depends(generator),
        d: Any = Depends(inline_generator, inline=True),
        e: Thing = Depends(),
        f: Any = Depends(Called()),
        g: Any = Depends(Awaited()),
        h: Any = Depends(functools.partial(lambda x: x, "partial")),
    ) -> Any:
        note("handler")
        return [f, g, h]

    with TestClient(app) as client:
        assert client.get("/").json() == ["object", "async object", "partial"]
    loop = names["handler"]
    on_loop = {"handler", "inline", "async object", "inline generator in", "inline generator out"}
    assert {name for name, thread in names.items() if thread == loop} == on_loop
    assert len(names) == 10


def test_requests_responses_and_connections_can_be_asked_for() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        async def sees(
            request: fw.Request,
            connection: fw.HTTPConnection,
            response: fw.Response,
            tasks: fw.BackgroundTasks,
        ):
            response.headers["x-seen"] = request.headers["x-a"]
            response.set_cookie("c", "1")
            tasks.add_task(fw.log.append, "from the dependency")
            return [request is connection or type(connection).__name__, connection.url.path]

        @app.get("/", status_code=203)
        async def read(
            response: fw.Response,
            tasks: fw.BackgroundTasks,
            seen: list = fw.Depends(sees),
        ):
            response.headers["x-own"] = "own"
            tasks.add_task(fw.log.append, "from the handler")
            return seen[1:]

        @app.get("/status")
        async def status(seen: list = fw.Depends(sees)):
            return fw.Response("own", 201)

        return app

    assert_same(make, get("/", x_a="1"))
    assert_same(make, get("/status", x_a="2"))


def test_bodies_of_dependencies_and_handler_are_one_body() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        async def from_body(name: Annotated[str, fw.Body()]):
            return name

        async def whole(item: Annotated[dict, fw.Body()]):
            return item

        @app.post("/one")
        async def one(name: str = fw.Depends(from_body)):
            return name

        @app.post("/two")
        async def two(size: Annotated[int, fw.Body()], name: str = fw.Depends(from_body)):
            return [name, size]

        @app.post("/same")
        async def same(item: Annotated[dict, fw.Body()], again: dict = fw.Depends(whole)):
            return [item, again]

        return app

    assert_same(
        make,
        Ask.json("POST", "/one", "n"),
        Ask.json("POST", "/one", 1),
        Ask.json("POST", "/two", {"name": "n", "size": 2}),
        Ask.json("POST", "/two", {"name": 1, "size": "x"}),
        Ask.json("POST", "/two", []),
        Ask.json("POST", "/same", {"a": 1}),
        Ask.json("POST", "/same", 1),
        Ask("POST", "/same"),
        Ask("POST", "/two", [("content-type", "application/json")], b"{]"),
    )


def test_lifespan_state_reaches_dependencies() -> None:
    from contextlib import asynccontextmanager

    def make(fw: Framework) -> Any:
        @asynccontextmanager
        async def lifespan(app: Any):
            yield {"pool": ["connection"]}

        app = fw.App(lifespan=lifespan)

        async def pool(request: fw.Request):
            return request.state.pool

        @app.get("/")
        async def read(pool: list = fw.Depends(pool)):
            return pool

        return app

    assert_same(make, get("/"))


# ---- overrides ----


def test_overrides_take_the_place_of_dependencies_while_the_app_is_served() -> None:
    app = App()

    async def real(q: int) -> int:
        return q

    def deep(value: int = Depends(real)) -> int:
        return value * 10

    @app.get("/", dependencies=[Depends(real)])
    async def read(value: int = Depends(deep), same: int = Depends(real)) -> Any:
        return [value, same]

    @app.get("/none")
    async def none() -> str:
        return "none"

    def fake(r: int = 7) -> int:
        return r

    async def fake_generator():
        yield 3

    with TestClient(app) as client:
        assert client.get("/?q=1").json() == [10, 1]
        app.dependency_overrides[real] = fake
        assert client.get("/").json() == [70, 7]
        assert client.get("/?r=x").status_code == 422
        assert client.get("/none").json() == "none"
        app.dependency_overrides[real] = fake_generator
        assert client.get("/").json() == [30, 3]
        app.dependency_overrides = {}
        assert client.get("/?q=2").json() == [20, 2]
        app.dependency_overrides[deep] = lambda: 0
        assert client.get("/?q=2").json() == [0, 2]
        app.dependency_overrides[deep] = lambda *args: 0
        with pytest.raises(SignatureError, match="args"):
            client.get("/?q=2")


def test_overrides_are_fastapis() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        async def common(q: str | None = None, skip: int = 0):
            return {"q": q, "skip": skip}

        @app.get("/")
        async def read(commons: Annotated[dict, fw.Depends(common)]):
            return commons

        async def override(q: str | None = None, limit: int = 5):
            return {"q": q, "limit": limit}

        app.dependency_overrides[common] = override
        return app

    assert_same(make, get("/"), get("/?q=foo&skip=100&limit=200"), get("/?limit=x&skip=x"))


# ---- limits, and what cannot be ----


@pytest.mark.parametrize("kind", ["async", "plain", "generator", "plain generator"])
def test_max_concurrency(kind: str) -> None:
    app = App()
    inside = most = 0
    lock = threading.Lock()

    def count(by: int) -> None:
        nonlocal inside, most
        with lock:
            inside += by
            most = max(most, inside)

    async def asynchronous() -> None:
        count(1)
        await asyncio.sleep(0.01)
        count(-1)

    def plain() -> None:
        count(1)
        threading.Event().wait(0.01)
        count(-1)

    async def generator():
        count(1)
        yield
        await asyncio.sleep(0.01)
        count(-1)

    def plain_generator():
        count(1)
        yield
        threading.Event().wait(0.01)
        count(-1)

    call = {
        "async": asynchronous,
        "plain": plain,
        "generator": generator,
        "plain generator": plain_generator,
    }[kind]

    @app.get("/", dependencies=[Depends(call, max_concurrency=2)])
    async def read() -> None: ...

    with TestClient(app) as client:
        threads = [threading.Thread(target=client.get, args=("/",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (most, inside) == (2, 0)


def test_what_cannot_be_a_dependency_is_said_at_start_up() -> None:
    async def function_scoped():
        yield

    async def request_scoped(inner: None = Depends(function_scoped, scope="function")):
        yield

    def circle(itself: Any = Depends(lambda: None)) -> None: ...

    circle.__defaults__ = (Depends(circle),)

    def unannotated(x: Any = Depends()) -> None: ...

    def args(*args: int) -> None: ...

    def last(x: Any = Depends(lambda: None)) -> None: ...

    chain: Any = last
    for _ in range(100):

        def longer(x: Any = Depends(chain)) -> None: ...

        chain = longer

    for depends, message in (
        (chain, r"last\(\) depends on itself, or ends a chain of more than 100 dependencies"),
        (request_scoped, "cannot depend on dependencies with scope"),
        (circle, "depends on itself"),
        (unannotated, "needs a class"),
        (args, "cannot come from a request"),
    ):
        app = App()
        app.get("/", dependencies=[Depends(depends)])(lambda: None)
        with pytest.raises(SignatureError, match=message):
            compile_site(app)

    for wrong in (args, Depends(), "name"):
        with pytest.raises(TypeError, match="dependencies are Depends"):
            Router(dependencies=[wrong])
    with pytest.raises(TypeError, match="must be callable"):
        Depends(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scope must be"):
        Depends(args, scope="app")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="positive integer"):
        Depends(args, max_concurrency=0)
    with pytest.raises(TypeError, match="not the string"):
        Security(args, scopes="me")


def test_security_scopes_are_those_on_the_way() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        async def user(scopes: fw.SecurityScopes):
            fw.log.append(scopes.scopes)
            return scopes.scope_str

        async def active(user: Annotated[str, fw.Security(user, scopes=["me"])]):
            return user

        @app.get("/a")
        async def a(user: Annotated[str, fw.Security(active, scopes=["items", "me"])]):
            return user

        @app.get("/b", dependencies=[fw.Security(user, scopes=["admin"])])
        async def b(
            one: Annotated[str, fw.Security(active, scopes=["items"])],
            two: Annotated[str, fw.Depends(active)],
            three: Annotated[str, fw.Depends(user)],
        ):
            return [one, two, three]

        return app

    assert_same(make, get("/a"), get("/b"))


def test_scopes_are_not_shared_between_requests() -> None:
    app = App()

    async def changes(scopes: SecurityScopes) -> int:
        scopes.scopes.append("more")
        return len(scopes.scopes)

    @app.get("/")
    async def read(n: int = Security(changes, scopes=["a"])) -> int:
        return n

    with TestClient(app) as client:
        assert [client.get("/").json() for _ in range(3)] == [2, 2, 2]


def test_a_plan_that_is_overridden_is_compiled_once() -> None:
    app = App()

    async def real() -> int:
        return 1

    app.get("/", dependencies=[Depends(real)])(real)

    async def check() -> None:
        server = Server(app, TestClient(app)._worker.config)
        app.dependency_overrides[real] = lambda: 2
        plan: Any = next(server._site.leaves()).entry.plan  # type: ignore[union-attr]
        made = server._site.override(plan)
        assert made is not plan
        assert server._site.override(plan) is made

    asyncio.run(check())
