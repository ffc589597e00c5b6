"""What a router, and the place it is included at, share with routes: FastAPI is the judge."""

import json
from typing import Any

import pytest

from tests.peer import Framework, assert_same, get
from weft import Router


def test_shared_options_reach_the_routes_and_their_document() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App(title="t", version="1", default_response_class=fw.JSONResponse)
        items = fw.Router(
            prefix="/items", tags=["items"], responses={404: {"description": "Not found"}}
        )
        inner = fw.Router(prefix="/inner", deprecated=True, responses={418: {"description": "T"}})
        hidden = fw.Router(prefix="/hidden")

        @items.get("/", responses={403: {"description": "own"}}, tags=["own"])
        async def read():
            return "items"

        @inner.get("/x", responses={404: {"description": "own"}})
        async def x():
            return "x"

        @hidden.get("/")
        async def hide():
            return "hidden"

        items.include_router(inner, tags=["included"], responses={410: {"description": "Gone"}})
        app.include_router(items, prefix="/v1", responses={500: {"description": "Oh"}})
        app.include_router(hidden, include_in_schema=False)
        app.include_router(hidden, prefix="/v2", deprecated=True)
        return app

    assert_same(make, *map(get, ("/v1/items/", "/v1/items/inner/x", "/hidden/", "/v2/hidden/")))
    (document, *_) = assert_same_document(make)
    assert document["paths"]["/v1/items/inner/x"]["get"]["deprecated"] is True


def assert_same_document(make: Any) -> tuple[Any, Any]:
    import json

    from tests.peer import answers

    got, expected, *_ = answers(make, [get("/openapi.json")])
    ours, theirs = json.loads(got[0].body), json.loads(expected[0].body)
    assert ours == theirs
    return ours, theirs


def test_what_is_shared_is_checked() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'tagz'"):
        Router(tagz=["a"])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="dependencies are Depends"):
        Router().include_router(Router(), dependencies=[len])
    with pytest.raises(ValueError, match="must start with '/'"):
        Router(prefix="x")


def test_targets_are_taken_as_browsers_send_them() -> None:
    """The WHATWG's URL leaves `[`, `]` and `|` of a path unescaped, and so does curl."""

    def make(fw: Framework) -> Any:
        app = fw.App()

        @app.get("/files/{name}")
        async def file(request: fw.Request, name: str, q: str = "") -> Any:  # type: ignore[name-defined]
            return [name, q, str(request.url).partition("/files")[2]]

        @app.get("/a|[b]^")
        async def literal() -> str:
            return "literal"

        return app

    got = assert_same(
        make,
        get("/files/a|b"),
        get("/files/[1]^?q=[a]|{b}"),
        get("/files/|%7C[%5B]?q=|%7C"),
        get("/a|[b]^"),
        get("/a%7C%5Bb%5D%5E"),
    )
    assert json.loads(got[2].body)[:2] == ["||[[]", "||"]
    assert [answer.body for answer in got[3:]] == [b'"literal"'] * 2
