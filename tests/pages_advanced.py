"""Pages of FastAPI's advanced guide."""

import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict

from tests.pages import multipart, page
from tests.peer import Ask, Framework, get

json = Ask.json


class Item(BaseModel):
    name: str
    price: float = 1.5


@page("advanced/stream-data", *map(get, ("/async", "/sync", "/typed", "/bytes")))
def stream_data(fw: Framework) -> Any:
    app = fw.App(title="t")

    class PNG(fw.StreamingResponse):
        media_type = "image/png"

    @app.get("/async", response_class=fw.StreamingResponse)
    async def chunks() -> AsyncIterator[str]:
        for word in ("one", "two"):
            yield word

    @app.get("/sync", response_class=fw.StreamingResponse)
    def sync() -> Iterator[str]:
        yield from ("a", "b")

    @app.get("/typed", response_class=PNG)
    async def typed() -> AsyncIterator[bytes]:
        yield b"\x89"

    @app.get("/bytes", response_class=fw.StreamingResponse)
    async def of_bytes():
        yield b"x"

    return app


@page(
    "advanced/path-operation-advanced-configuration",
    get("/items"),
    Ask("POST", "/raw", [], b"a: 1"),
)
def operation_advanced(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.get("/items", operation_id="some_items", openapi_extra={"x-aperture": ["portal"]})
    async def items():
        """
        Of all.
        \f
        :param nothing: is not in the document
        """
        return []

    @app.get("/hidden", include_in_schema=False)
    async def hidden(): ...

    @app.post(
        "/raw",
        openapi_extra={
            "requestBody": {"content": {"application/x-yaml": {"schema": {}}}, "required": True}
        },
    )
    async def raw(request: fw.Request):
        return {"size": len(await request.body())}

    return app


@page(
    "advanced/additional-status-codes and response-directly",
    *map(get, ("/foo", "/bar", "/xml", "/encoded")),
)
def response_directly(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.get("/xml")
    async def xml():
        return fw.Response(content="<a/>", media_type="application/xml")

    @app.get("/encoded")
    async def encoded():
        return fw.JSONResponse(content=fw.jsonable_encoder(Item(name="a")))

    @app.get("/{name}")
    async def item(name: str):
        if name == "foo":
            return {"name": name}
        return fw.JSONResponse(status_code=fw.HTTP_201_CREATED, content={"name": name})

    return app


@page(
    "advanced/custom-response",
    *map(get, ("/html", "/made", "/text", "/redirect", "/declared", "/302", "/custom")),
    *map(get, ("/default", "/own-json")),
)
def custom_response(fw: Framework) -> Any:
    class Shouting(fw.Response):
        media_type = "text/x-shouting"

        def render(self, content: Any) -> bytes:
            return str(content).upper().encode()

    class Indented(fw.JSONResponse):
        def render(self, content: Any) -> bytes:
            import json

            return json.dumps(content, indent=1).encode()

    app = fw.App(title="t", default_response_class=fw.PlainTextResponse)

    @app.get("/html", response_class=fw.HTMLResponse)
    async def html():
        return "<h1>Look</h1>"

    @app.get("/made", response_class=fw.HTMLResponse)
    async def made():
        return fw.HTMLResponse("<p>", status_code=201)

    @app.get("/text")
    async def text():
        return "Hello"

    @app.get("/redirect")
    async def redirect():
        return fw.RedirectResponse("https://example.com/?q=\u00e9")

    @app.get("/declared", response_class=fw.RedirectResponse)
    async def declared():
        return "https://example.com/"

    @app.get("/302", response_class=fw.RedirectResponse, status_code=302)
    async def found():
        return "https://example.com/"

    @app.get("/custom", response_class=Shouting)
    async def custom():
        return "Hello"

    @app.get("/default")
    async def default() -> str:
        return "text"

    @app.get("/own-json", response_class=Indented)
    async def own():
        return {"a": [1]}

    return app


class Message(BaseModel):
    message: str


@page(
    "advanced/additional-responses",
    *map(get, ("/items/foo", "/items/bar", "/image?img=true", "/image")),
)
def additional_responses(fw: Framework) -> Any:
    shared: dict[int | str, Any] = {404: {"description": "Item not found"}, 302: {}}
    shared[302] = {"description": "The item was moved"}
    app = fw.App(title="t", responses={500: {"description": "It broke", "model": Message}})

    @app.get("/items/{name}", response_model=Item, responses={404: {"model": Message}})
    async def item(name: str):
        if name == "foo":
            return {"name": name}
        return fw.JSONResponse(status_code=404, content={"message": "Item not found"})

    @app.get(
        "/image",
        response_model=Item,
        responses={
            **shared,
            200: {"content": {"image/png": {}}, "description": "The item, or its image"},
            "5XX": {"description": "Broken"},
        },
    )
    async def image(img: bool | None = None):
        if img:
            return fw.Response(b"png", media_type="image/png")
        return {"name": "a"}

    return app


@page("advanced/response-cookies and response-headers", *map(get, ("/in", "/made", "/headers")))
def cookies_and_headers(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.get("/in")
    async def inside(response: fw.Response):
        response.set_cookie(key="session", value="x y", httponly=True, samesite="strict")
        response.delete_cookie("old")
        return {"message": "come"}

    @app.get("/made")
    async def made():
        response = fw.JSONResponse({"message": "come"}, headers={"X-Cat-Dog": "alone"})
        response.set_cookie("a", "b", max_age=3, secure=True)
        return response

    @app.get("/headers")
    async def headers(response: fw.Response):
        response.headers["X-Cat-Dog"] = "alone in the world"
        response.headers.append("x-many", "1")
        response.headers.append("x-many", "2")
        return 1

    return app


@page("advanced/response-change-status-code", Ask("PUT", "/a"), Ask("PUT", "/b"))
def change_status(fw: Framework) -> Any:
    app = fw.App(title="t")
    kept = {"a": 1}

    @app.put("/{name}", status_code=200)
    async def put(name: str, response: fw.Response):
        if name not in kept:
            kept[name] = 2
            response.status_code = fw.HTTP_201_CREATED
        return kept[name]

    return app


@page("advanced/advanced-dependencies", *map(get, ("/?q=a+bar", "/?q=a", "/")))
def advanced_dependencies(fw: Framework) -> Any:
    app = fw.App(title="t")

    class Contains:
        def __init__(self, what: str) -> None:
            self.what = what

        def __call__(self, q: str = ""):
            return self.what in q

    @app.get("/")
    async def read(found: Annotated[bool, fw.Depends(Contains("bar"))]):
        return {"found": found}

    return app


@page(
    "advanced/security/http-basic-auth",
    get("/"),
    *(get("/", authorization=f"Basic {text}") for text in ("YTpi", "Yzpk", "YQ==", "!", "")),
    get("/", authorization="Bearer YTpi"),
)
def basic_auth(fw: Framework) -> Any:
    import secrets

    app = fw.App(title="t")

    def user(sent: Annotated[fw.HTTPBasicCredentials, fw.Depends(fw.HTTPBasic())]) -> str:
        good = secrets.compare_digest(sent.username.encode(), b"a")
        if not (good & secrets.compare_digest(sent.password.encode(), b"b")):
            raise fw.HTTPException(401, "Incorrect", headers={"WWW-Authenticate": "Basic"})
        return sent.username

    @app.get("/")
    async def read(name: Annotated[str, fw.Depends(user)]):
        return {"username": name}

    return app


@page(
    "advanced/using-request-directly",
    Ask("POST", "/a/3?q=1&q=2", [("cookie", "c=d"), ("x-own", "1")], b"body"),
)
def request_directly(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.post("/a/{n}")
    async def read(n: str, request: fw.Request):
        return [
            *(request.method, request.url.path, request.url.query, request.path_params),
            *(request.query_params.multi_items(), request.cookies, request.headers["x-own"]),
            *(request.client is not None and request.client.host, (await request.body()).decode()),
        ]

    return app


@page(
    "advanced/dataclasses",
    json("POST", "/items", {"name": "a"}),
    json("POST", "/items", {"price": "x"}),
    get("/author"),
)
def of_dataclasses(fw: Framework) -> Any:
    @dataclasses.dataclass
    class Thing:
        name: str
        price: float = 2.5
        tags: list[str] = dataclasses.field(default_factory=list)

    @dataclasses.dataclass
    class Author:
        name: str
        items: list[Thing] = dataclasses.field(default_factory=list)

    app = fw.App(title="t")

    @app.post("/items")
    async def create(item: Thing) -> Thing:
        return item

    @app.get("/author", response_model=Author)
    async def author():
        return {"name": "a", "items": [{"name": "b", "price": 3}]}

    return app


@page("advanced/middleware", get("/", accept_encoding="gzip"), get("/", accept_encoding="br;q=0"))
def advanced_middleware(fw: Framework) -> Any:
    app = fw.App(title="t")
    app.add_middleware(fw.GZipMiddleware, minimum_size=1000, compresslevel=5)
    app.add_middleware(fw.TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "*.example.com"])

    @app.get("/")
    async def root():
        return "short"

    return app


@page("advanced/events", get("/predict?x=2"))
def events(fw: Framework) -> Any:
    models: dict[str, Any] = {}

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
        fw.log.append("startup")
        models["answer"] = lambda x: x * 42
        yield {"factor": 2}
        fw.log.append("shutdown")

    app = fw.App(title="t", lifespan=lifespan)

    @app.get("/predict")
    async def predict(x: float, request: fw.Request):
        return {"result": models["answer"](x) * request.state.factor}

    return app


@page("advanced/settings", get("/info"))
def settings(fw: Framework) -> Any:
    from functools import lru_cache

    @dataclasses.dataclass
    class Settings:
        app_name: str = "Awesome"

    @lru_cache
    def get_settings() -> Settings:
        fw.log.append("read once")
        return Settings()

    app = fw.App(title="t")

    @app.get("/info")
    async def info(settings: Annotated[Settings, fw.Depends(get_settings)]):
        return settings

    app.dependency_overrides[get_settings] = lambda: Settings(app_name="overridden")
    return app


@page("advanced/openapi-callbacks and openapi-webhooks", json("POST", "/invoices", {"name": "a"}))
def callbacks(fw: Framework) -> Any:
    invoices, shared = fw.Router(), fw.Router()

    @invoices.post("{$callback_url}/invoices/{$request.body.id}", response_model=Message)
    def invoice_notification(body: Item): ...

    @shared.post("{$request.query.log}")
    def logged(body: Message): ...

    app = fw.App(title="t", callbacks=shared.routes)

    @app.post("/invoices", callbacks=invoices.routes)
    async def create(invoice: Item, callback_url: str | None = None):
        return {"msg": "Invoice received"}

    @app.webhooks.post("new-subscription")
    def new_subscription(body: Item):
        """When a new user subscribes."""

    return app


@page("advanced/generate-clients", get("/items"), json("POST", "/v1/items", {"name": "a"}))
def generate_clients(fw: Framework) -> Any:
    def tagged(route: Any) -> str:
        return f"{route.tags[0] if route.tags else 'app'}-{route.name}"

    def numbered(route: Any) -> str:
        return f"{route.name}-1"

    app = fw.App(title="t", generate_unique_id_function=tagged)
    router = fw.Router(generate_unique_id_function=numbered, tags=["second"])
    other = fw.Router()

    @app.get("/items", tags=["items"])
    async def items() -> list[Item]:
        return [Item(name="a")]

    @app.get("/own", operation_id="own")
    async def own(): ...

    @router.post("/items")
    async def create(item: Item, n: Annotated[int, fw.Body()] = 1) -> Item:
        return item

    @router.get("/mine", generate_unique_id_function=tagged)
    async def mine(): ...

    @other.get("/other", tags=["x"])
    async def more(): ...

    app.include_router(router, prefix="/v1")
    app.include_router(other, generate_unique_id_function=numbered)
    return app


@page(
    "advanced/strict-content-type",
    *(Ask("POST", path, [], b'{"name":"a"}') for path in ("/items", "/lenient/items")),
    json("POST", "/items", {"name": "a"}),
)
def strict_content_type(fw: Framework) -> Any:
    app, lenient = fw.App(title="t"), fw.Router(strict_content_type=False)

    @app.post("/items")
    async def create(item: Item):
        return item

    lenient.post("/items", name="other")(create)
    app.include_router(lenient, prefix="/lenient")
    return app


FIELD, FILE = ('name="a"', "", b"12345"), ('name="b"; filename="b"', "", b"x" * 2000)


@page(
    "advanced/request-body-limits",
    json("POST", "/items", {"a": "b"}),
    json("POST", "/big/items", {"a": "b" * 100}),
    multipart("/big/form", FIELD),
    multipart("/big/form", FIELD, FIELD, FIELD),
    multipart("/big/form", FIELD, FILE),
    multipart("/big/form", ('name="a"', "", b"123456")),
)
def body_limits(fw: Framework) -> Any:
    app = fw.App(title="t", max_body_size=50, form_limits={"max_fields": 2})
    big = fw.Router(prefix="/big", max_body_size=10_000, form_limits={"max_part_size": 5})

    @app.post("/items")
    async def create(item: dict):
        return item

    big.post("/items", name="b")(create)
    big.post("/small", max_body_size=20, name="c")(create)

    @big.post("/form", form_limits={"max_files": 0})
    async def form(a: Annotated[list[str], fw.Form()], b: fw.UploadFile | None = None):
        return [a, b and b.size]

    app.include_router(big)
    return app


class Raw(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    data: bytes
    kind: Literal["a", "b"] = "a"


@page(
    "advanced/json-base64-bytes",
    json("POST", "/", {"data": "aGVsbG8="}),
    json("POST", "/", {"data": "no base64!"}),
    get("/"),
)
def base64_bytes(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.post("/")
    async def read(body: Raw):
        return {"size": len(body.data)}

    @app.get("/")
    async def write() -> Raw:
        return Raw(data=b"hello \xff")

    return app
