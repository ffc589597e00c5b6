"""Pages of FastAPI's tutorial: parameters, bodies and forms."""

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl

from tests.pages import form, multipart, page
from tests.peer import Ask, Framework, get

json = Ask.json


@page("tutorial/first-steps", get("/"), get("/nowhere"))
def first_steps(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.get("/")
    async def root():
        return {"message": "Hello"}

    return app


class Shelf(str, enum.Enum):  # noqa: UP042
    top = "top"
    middle = "middle one"


@page(
    "tutorial/path-params",
    *map(get, ("/books/3", "/books/x", "/books/3.5", "/users/me", "/users/ada", "/shelves/top")),
    *map(get, ("/shelves/middle%20one", "/shelves/none", "/files//etc/a.txt", "/files/a/b%2Fc")),
)
def path_params(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.get("/books/{book_id}")
    async def book(book_id: int):
        return {"book_id": book_id}

    @app.get("/users/me")
    async def me():
        return "me"

    @app.get("/users/{user}")
    async def user(user: str):
        return {"user": user}

    @app.get("/shelves/{shelf}")
    async def shelf(shelf: Shelf):
        return {"shelf": shelf, "is_top": shelf is Shelf.top}

    @app.get("/files/{path:path}")
    async def file(path: str):
        return {"path": path}

    return app


@page(
    "tutorial/query-params",
    *map(get, ("/list", "/list?skip=1", "/list?skip=x&limit=", "/one/a?q=b", "/one/a?short=1")),
    *map(get, ("/one/a?short=yes", "/one/a?short=off&q=", "/one/a?short=maybe", "/needs/a")),
    *map(get, ("/needs/a?needy=b", "/needs/a?needy=b&skip=3&limit=4")),
)
def query_params(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.get("/list")
    async def some(skip: int = 0, limit: int = 10):
        return list(range(20))[skip : skip + limit]

    @app.get("/one/{name}")
    async def one(name: str, q: str | None = None, short: bool = False):
        return {"name": name, "q": q, "short": short}

    @app.get("/needs/{name}")
    async def needs(name: str, needy: str, skip: int = 0, limit: int | None = None):
        return [name, needy, skip, limit]

    return app


class Item(BaseModel):
    name: str
    description: str | None = None
    price: float
    tax: float | None = None


@page(
    "tutorial/body",
    json("POST", "/items", {"name": "a", "price": 1}),
    json("POST", "/items", {"name": "a", "price": "2.5", "tax": 0.1, "more": 1}),
    json("POST", "/items", {"price": "x"}),
    json("POST", "/items", [1]),
    json("POST", "/items", None),
    Ask("POST", "/items", [("content-type", "application/json")], b"{"),
    Ask("POST", "/items", [("content-type", "text/plain")], b'{"name":"a","price":1}'),
    Ask("POST", "/items"),
    json("PUT", "/items/3?q=x", {"name": "a", "price": 1}),
    json("PUT", "/items/x", {"name": 1}),
)
def body(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.post("/items")
    async def create(item: Item):
        return item.model_dump() | {"total": item.price + (item.tax or 0)}

    @app.put("/items/{item_id}")
    async def update(item_id: int, item: Item, q: str | None = None):
        return {"item_id": item_id, **item.model_dump(), "q": q}

    return app


def is_known(value: str) -> str:
    if not value.startswith(("isbn-", "imdb-")):
        raise ValueError("an id starts with isbn- or imdb-")
    return value


@page(
    "tutorial/query-params-str-validations",
    *map(get, ("/", "/?q=fixedquery", "/?q=ab", f"/?q={'a' * 51}", "/?q=other")),
    *map(get, ("/required", "/required?q=", "/many?q=a&q=b", "/many", "/alias?item-query=a")),
    *map(get, ("/alias?item_query=a", "/hidden?secret=1", "/custom?id=isbn-1", "/custom?id=x")),
)
def query_validations(fw: Framework) -> Any:
    app = fw.App(title="t")
    fixed = fw.Query(min_length=3, max_length=50, pattern="^fixedquery$")

    @app.get("/")
    async def read(q: Annotated[str | None, fixed] = None):
        return {"q": q}

    @app.get("/required")
    async def required(q: Annotated[str | None, fw.Query(min_length=1)]):
        return {"q": q}

    @app.get("/many")
    async def many(q: Annotated[list[str], fw.Query(title="Words")] = ["x", "y"]):  # noqa: B006
        return q

    @app.get("/alias")
    async def alias(
        item_query: Annotated[
            str | None, fw.Query(alias="item-query", description="What", deprecated=True)
        ] = None,
    ):
        return {"q": item_query}

    @app.get("/hidden")
    async def hidden(secret: Annotated[str | None, fw.Query(include_in_schema=False)] = None):
        return {"secret": secret}

    @app.get("/custom")
    async def custom(id: Annotated[str | None, AfterValidator(is_known)] = None):
        return {"id": id}

    return app


@page(
    "tutorial/path-params-numeric-validations",
    *map(get, ("/items/1?q=a&size=10.4", "/items/0?q=a&size=10.5", "/items/1001?q=a&size=0")),
    *map(get, ("/items/x", "/items/5?size=1")),
)
def numeric_validations(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.get("/items/{item_id}")
    async def read(
        *,
        item_id: Annotated[int, fw.Path(title="The id", gt=0, le=1000)],
        q: str,
        size: Annotated[float, fw.Query(gt=0, lt=10.5)],
    ):
        return [item_id, q, size]

    return app


class Filters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, gt=0, le=100)
    order_by: Literal["created", "updated"] = "created"
    tags: list[str] = []


@page(
    "tutorial/query-param-models",
    *map(get, ("/", "/?limit=5&order_by=updated&tags=a&tags=b", "/?limit=101&order_by=x", "/?z=1")),
)
def query_models(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.get("/")
    async def read(filters: Annotated[Filters, fw.Query()]):
        return filters

    return app


class User(BaseModel):
    username: str
    full_name: str | None = None


@page(
    "tutorial/body-multiple-params",
    json("PUT", "/1?q=a", {"item": {"name": "a", "price": 1}, "user": {"username": "u"}, "n": 1}),
    json("PUT", "/1", {"item": {"name": "a"}, "n": 0}),
    json("PUT", "/1", {"name": "a", "price": 1}),
    json("PUT", "/embedded/1", {"item": {"name": "a", "price": 1}}),
    json("PUT", "/embedded/1", {"name": "a", "price": 1}),
    json("PUT", "/plain/1", 5),
    json("PUT", "/plain/1", "x"),
)
def several_bodies(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.put("/{item_id}")
    async def update(
        item_id: int,
        item: Item,
        user: User,
        n: Annotated[int, fw.Body(gt=0)],
        q: str | None = None,
    ):
        return [item_id, item, user, n, q]

    @app.put("/embedded/{item_id}")
    async def embedded(item_id: int, item: Annotated[Item, fw.Body(embed=True)]):
        return [item_id, item]

    @app.put("/plain/{item_id}")
    async def plain(item_id: int, n: Annotated[int, fw.Body()]):
        return [item_id, n]

    return app


class Priced(BaseModel):
    name: str
    description: str | None = Field(default=None, title="About it", max_length=10)
    price: float = Field(gt=0, description="More than zero")


@page(
    "tutorial/body-fields",
    json("POST", "/", {"item": {"name": "a", "price": 1, "description": "b"}}),
    json("POST", "/", {"item": {"name": "a", "price": 0, "description": "b" * 11}}),
)
def body_fields(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.post("/")
    async def create(item: Annotated[Priced, fw.Body(embed=True)]):
        return item

    return app


class Image(BaseModel):
    url: HttpUrl
    name: str


class Pictured(BaseModel):
    name: str
    tags: set[str] = set()
    images: list[Image] | None = None


class Offer(BaseModel):
    name: str
    items: list[Pictured]


IMAGE = {"url": "http://example.com/a.png", "name": "a"}


@page(
    "tutorial/body-nested-models",
    json("POST", "/offers", {"name": "o", "items": [{"name": "a", "images": [IMAGE]}]}),
    json("POST", "/offers", {"name": "o", "items": [{"name": "a", "tags": ["x", "x"]}]}),
    json("POST", "/offers", {"items": [{"images": [{"url": "no url"}]}, 1]}),
    json("POST", "/images", [IMAGE, IMAGE]),
    json("POST", "/images", IMAGE),
    json("POST", "/weights", {"1": 2, "3": 4.5}),
    json("POST", "/weights", {"x": 2, "3": "y"}),
)
def nested_models(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.post("/offers")
    async def offer(offer: Offer):
        return offer

    @app.post("/images")
    async def images(images: list[Image]):
        return images

    @app.post("/weights")
    async def weights(weights: dict[int, float]):
        return weights

    return app


class Exemplary(BaseModel):
    name: str = Field(examples=["Foo"])
    price: float

    model_config = {"json_schema_extra": {"examples": [{"name": "Foo", "price": 3.2}]}}


@page("tutorial/schema-extra-example", json("PUT", "/1", {"name": "a", "price": 1}))
def examples(fw: Framework) -> Any:
    app = fw.App(title="t")
    given = {"normal": {"summary": "As it is", "value": {"name": "x", "price": 1}}}

    @app.put("/{item_id}")
    async def update(
        item_id: Annotated[int, fw.Path(examples=[1, 2])],
        item: Annotated[
            Exemplary, fw.Body(examples=[{"name": "y", "price": 2}], openapi_examples=given)
        ],
    ):
        return item

    return app


TIMES = {
    "start": "2026-01-02T03:04:05Z",
    "end": "2026-01-02T05:04:05+01:00",
    "after": "PT1H",
    "at": "14:23:55.003",
    "price": "1.50",
    "tags": ["a", "a"],
    "raw": "abc",
}


@page(
    "tutorial/extra-data-types",
    json("PUT", f"/{uuid.UUID(int=7)}", TIMES),
    json("PUT", "/x", {**TIMES, "after": "soon", "at": 25, "tags": 1}),
)
def data_types(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.put("/{item_id}")
    async def read(
        item_id: uuid.UUID,
        start: Annotated[dt.datetime, fw.Body()],
        end: Annotated[dt.datetime, fw.Body()],
        after: Annotated[dt.timedelta, fw.Body()],
        price: Annotated[Decimal, fw.Body()],
        tags: Annotated[frozenset[str], fw.Body()],
        raw: Annotated[bytes, fw.Body()],
        at: Annotated[dt.time | None, fw.Body()] = None,
    ):
        begin = start + after
        return {
            **{"id": item_id, "begin": begin, "lasts": end - begin, "at": at},
            **{"price": price, "tags": tags, "raw": raw},
        }

    return app


@page(
    "tutorial/cookie-params",
    get("/"),
    get("/", cookie="ads_id=7"),
    get("/", cookie="a=b; ads_id=x y"),
)
def cookie_params(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.get("/")
    async def read(ads_id: Annotated[str | None, fw.Cookie()] = None):
        return {"ads_id": ads_id}

    return app


@page(
    "tutorial/header-params",
    get("/"),
    get("/", user_agent="x", strange_header="no", x_token="a"),
    Ask("GET", "/", [("X-Token", "a"), ("x-token", "b"), ("strange_header", "yes")]),
)
def header_params(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.get("/")
    async def read(
        user_agent: Annotated[str | None, fw.Header()] = None,
        strange_header: Annotated[str | None, fw.Header(convert_underscores=False)] = None,
        x_token: Annotated[list[str] | None, fw.Header()] = None,
    ):
        return {"agent": user_agent, "strange": strange_header, "tokens": x_token}

    return app


class Cookies(BaseModel):
    model_config = ConfigDict(extra="forbid")

    session_id: str
    tracker: int | None = None


@page(
    "tutorial/cookie-param-models",
    get("/"),
    get("/", cookie="session_id=a; tracker=3"),
    get("/", cookie="session_id=a; tracker=x; other=1"),
)
def cookie_models(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.get("/")
    async def read(cookies: Annotated[Cookies, fw.Cookie()]):
        return cookies

    return app


class Headers(BaseModel):
    save_data: bool
    if_modified_since: str | None = None
    x_tag: list[str] = []


@page(
    "tutorial/header-param-models",
    get("/", host="h"),
    get("/", save_data="true", if_modified_since="now"),
    Ask("GET", "/", [("host", "h"), ("save-data", "x"), ("x-tag", "a"), ("x-tag", "b")]),
    get("/raw", host="h", save_data="true"),
    Ask("GET", "/raw", [("save_data", "true")]),
)
def header_models(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.get("/")
    async def read(headers: Annotated[Headers, fw.Header()]):
        return headers

    @app.get("/raw")
    async def raw(headers: Annotated[Headers, fw.Header(convert_underscores=False)]):
        return headers

    return app


@page(
    "tutorial/request-forms", *(form("/", b) for b in ("username=a&password=b", "username=a", ""))
)
def request_forms(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.post("/")
    async def login(username: Annotated[str, fw.Form()], password: Annotated[str, fw.Form()]):
        return {"username": username, "length": len(password)}

    return app


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid")

    username: str
    password: str = Field(min_length=3)


@page(
    "tutorial/request-form-models",
    *(
        form("/", b)
        for b in ("username=a&password=bcd", "password=b", "username=a&password=bcd&x=1")
    ),
)
def form_models(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.post("/")
    async def login(data: Annotated[Login, fw.Form()]):
        return data

    return app


A_FILE = ('name="file"; filename="a.txt"', "text/plain", b"hello")
FILES = [(f'name="files"; filename="{n}"', "image/png", n.encode()) for n in ("a", "\u00e9")]


@page(
    "tutorial/request-files",
    *(multipart(path, A_FILE) for path in ("/bytes", "/upload", "/optional")),
    *(multipart(path, ('name="file"', "", b"text")) for path in ("/bytes", "/upload", "/optional")),
    multipart("/optional", ('name="other"', "", b"")),
    multipart("/upload"),
    multipart("/many", *FILES),
    multipart("/many", A_FILE),
)
def request_files(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.post("/bytes")
    async def as_bytes(file: Annotated[bytes, fw.File(description="All of it")]):
        return {"size": len(file)}

    @app.post("/upload")
    async def upload(file: fw.UploadFile):
        return [file.filename, file.content_type, file.size, (await file.read()).decode()]

    @app.post("/optional")
    async def optional(file: fw.UploadFile | None = None):
        return {"name": file and file.filename}

    @app.post("/many")
    async def many(files: Annotated[list[fw.UploadFile], fw.File(description="Several")]):
        return [file.filename for file in files]

    return app


@page(
    "tutorial/request-forms-and-files",
    multipart("/", A_FILE, ('name="fileb"; filename="b"', "", b"b"), ('name="token"', "", b"t")),
    multipart("/", A_FILE),
    form("/", "token=t"),
)
def forms_and_files(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.post("/")
    async def create(
        file: Annotated[bytes, fw.File()],
        fileb: Annotated[fw.UploadFile, fw.File()],
        token: Annotated[str, fw.Form()],
    ):
        return {"size": len(file), "token": token, "kind": fileb.content_type}

    return app
