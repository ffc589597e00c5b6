"""Pages of FastAPI's tutorial: replies, errors, dependencies, security, structure."""

import sqlite3
from collections.abc import AsyncIterable, Iterator
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel

from tests.pages import form, page
from tests.peer import Ask, Framework, get

json = Ask.json


class UserBase(BaseModel):
    username: str
    full_name: str | None = None


class UserIn(UserBase):
    password: str


class Thing(BaseModel):
    name: str
    description: str | None = None
    price: float
    tax: float = 10.5
    tags: list[str] = []


THINGS: dict[str, dict[str, Any]] = {
    "foo": {"name": "Foo", "price": 50.2},
    "bar": {"name": "Bar", "description": "Barry", "price": 62, "tax": 20.2},
    "baz": {"name": "Baz", "description": None, "price": 50.2, "tax": 10.5, "tags": []},
}


@page(
    "tutorial/response-model",
    json("POST", "/items", {"name": "a", "price": 1}),
    json("POST", "/user", {"username": "u", "password": "secret"}),
    json("POST", "/annotated", {"username": "u", "password": "secret"}),
    *map(get, ("/items", "/portal", "/portal?teleport=true", "/unset/foo", "/unset/bar")),
    *map(get, ("/unset/baz", "/include/bar", "/exclude/bar", "/wrong")),
)
def response_model(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.post("/items")
    async def create(item: Thing) -> Thing:
        return item

    @app.get("/items")
    async def items() -> list[Thing]:
        return [Thing(name="a", price=1), Thing(name="b", price=2)]

    @app.post("/user", response_model=UserBase)
    async def user(user: UserIn) -> Any:
        return user

    @app.post("/annotated")
    async def annotated(user: UserIn) -> UserBase:
        return user

    @app.get("/portal")
    async def portal(teleport: bool = False) -> fw.Response:
        if teleport:
            return fw.RedirectResponse(url="https://example.com/")
        return fw.JSONResponse({"message": "here"})

    @app.get("/unset/{name}", response_model=Thing, response_model_exclude_unset=True)
    async def unset(name: str):
        return THINGS[name]

    @app.get("/include/{name}", response_model=Thing, response_model_include={"name", "tags"})
    async def include(name: str):
        return THINGS[name]

    @app.get("/exclude/{name}", response_model=Thing, response_model_exclude=["tax"])
    async def exclude(name: str):
        return THINGS[name]

    @app.get("/wrong", response_model=None)
    async def none() -> fw.Response | dict:
        return {"a": 1}

    return app


class Vehicle(BaseModel):
    description: str
    type: str = "car"


class Plane(Vehicle):
    type: str = "plane"
    size: int


@page(
    "tutorial/extra-models",
    json("POST", "/user", {"username": "u", "password": "p", "full_name": "U"}),
    *map(get, ("/either/plane", "/either/car", "/list", "/dict")),
)
def extra_models(fw: Framework) -> Any:
    app = fw.App(title="t")
    found = {
        "plane": {"description": "Music", "type": "plane", "size": 5},
        "car": {"description": "All my friends", "type": "car"},
    }

    @app.post("/user", response_model=UserBase)
    async def create(user: UserIn):
        return UserIn(**user.model_dump())

    @app.get("/either/{name}", response_model=Plane | Vehicle)
    async def either(name: str):
        return found[name]

    @app.get("/list", response_model=list[Vehicle])
    async def several():
        return list(found.values())

    @app.get("/dict", response_model=dict[str, float])
    async def weights():
        return {"foo": 2.3, "bar": 3}

    return app


@page("tutorial/response-status-code", Ask("POST", "/"), get("/"))
def status_code(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.post("/", status_code=201)
    async def create():
        return "made"

    @app.delete("/", status_code=fw.HTTP_204_NO_CONTENT)
    async def remove() -> None: ...

    @app.get("/", status_code=fw.HTTP_202_ACCEPTED)
    async def accepted():
        return None

    return app


class UnicornError(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


@page(
    "tutorial/handling-errors",
    *map(get, ("/items/foo", "/items/bar", "/unicorns/a", "/unicorns/yolo", "/n/3", "/n/x")),
    *map(get, ("/n/4", "/nowhere")),
)
def handling_errors(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.exception_handler(UnicornError)
    async def unicorn(request: fw.Request, exc: UnicornError):
        return fw.JSONResponse({"message": f"Oops! {exc.name}"}, status_code=418)

    @app.exception_handler(fw.StarletteHTTPException)
    async def of_http(request: fw.Request, exc: Any):
        fw.log.append(repr(exc.detail))
        return await fw.http_exception_handler(request, exc)

    @app.exception_handler(fw.RequestValidationError)
    async def invalid(request: fw.Request, exc: Any):
        fw.log.append([error["loc"] for error in exc.errors()])
        fw.log.append(fw.jsonable_encoder({"detail": exc.errors(), "body": exc.body}))
        return await fw.request_validation_exception_handler(request, exc)

    @app.get("/items/{name}")
    async def item(name: str):
        if name != "foo":
            raise fw.HTTPException(404, detail="Not there", headers={"X-Error": "There goes it"})
        return name

    @app.get("/unicorns/{name}")
    async def unicorns(name: str):
        if name == "yolo":
            raise UnicornError(name=name)
        return name

    @app.get("/n/{n}")
    async def number(n: int):
        if n == 3:
            raise fw.HTTPException(418, detail={"why": ["I don't", "like 3"]})
        return n

    return app


class Tags(Enum):
    items = "items"
    users = "users"


@page(
    "tutorial/path-operation-configuration",
    get("/items"),
    get("/users"),
    json("POST", "/items", {}),
)
def operation_configuration(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.post("/items", tags=["items"], summary="Make one", response_description="What was made")
    async def create(body: dict) -> dict:
        """
        Makes an item:

        - **name**: every item has one
        """
        return body

    @app.get("/items", tags=[Tags.items, "other"], description="All of them")
    async def items():
        return []

    @app.get("/users", tags=[Tags.users], deprecated=True, status_code=200)
    async def users():
        return []

    return app


@page(
    "tutorial/encoder",
    json("PUT", "/a", {"title": "x", "timestamp": "2026-01-02T03:04:05", "description": None}),
    get("/a"),
)
def encoder(fw: Framework) -> Any:
    import datetime as dt

    class Dated(BaseModel):
        title: str
        timestamp: dt.datetime
        description: str | None = None

    app = fw.App(title="t")
    kept: dict[str, Any] = {}

    @app.put("/{key}")
    async def put(key: str, item: Dated):
        kept[key] = fw.jsonable_encoder(item)
        fw.log.append(kept[key])
        fw.log.append(fw.jsonable_encoder(item, exclude={"title"}, exclude_none=True))

    @app.get("/{key}")
    async def read(key: str):
        return kept[key]

    return app


@page(
    "tutorial/body-updates",
    json("PUT", "/bar", {"name": "Barz", "price": 3}),
    json("PATCH", "/foo", {"price": 4}),
    json("PATCH", "/foo", {"price": "x"}),
    get("/foo"),
)
def body_updates(fw: Framework) -> Any:
    class Partial(BaseModel):
        name: str | None = None
        description: str | None = None
        price: float | None = None
        tax: float = 10.5

    app = fw.App(title="t")
    kept = {key: dict(value) for key, value in THINGS.items()}

    @app.get("/{key}", response_model=Partial)
    async def read(key: str):
        return kept[key]

    @app.put("/{key}", response_model=Partial)
    async def put(key: str, item: Partial):
        kept[key] = fw.jsonable_encoder(item)
        return kept[key]

    @app.patch("/{key}")
    async def patch(key: str, item: Partial) -> Partial:
        stored = Partial(**kept[key])
        updated = stored.model_copy(update=item.model_dump(exclude_unset=True))
        kept[key] = fw.jsonable_encoder(updated)
        return updated

    return app


TOKEN = [("authorization", "Bearer ada")]


@page(
    "tutorial/security/first-steps and get-current-user",
    get("/items"),
    *(get(path, authorization=f"Bearer {t}") for path in ("/items", "/me") for t in ("ada", "x")),
    get("/items", authorization="Basic ada"),
    get("/items", authorization="Bearer"),
)
def current_user(fw: Framework) -> Any:
    app = fw.App(title="t")
    scheme = fw.OAuth2PasswordBearer(tokenUrl="token")

    async def current(token: Annotated[str, fw.Depends(scheme)]) -> UserBase:
        if token != "ada":
            raise fw.HTTPException(
                401, "Invalid authentication credentials", headers={"WWW-Authenticate": "Bearer"}
            )
        return UserBase(username=token)

    @app.get("/items")
    async def items(token: Annotated[str, fw.Depends(scheme)]):
        return {"token": token}

    @app.get("/me")
    async def me(user: Annotated[UserBase, fw.Depends(current)]) -> UserBase:
        return user

    return app


@page(
    "tutorial/security/simple-oauth2 and oauth2-jwt",
    *(
        form("/token", b)
        for b in (
            "username=ada&password=lovelace",
            "grant_type=password&username=ada&password=lovelace&scope=a+b",
            "username=ada&password=x",
            "username=ada",
            "grant_type=code&username=ada&password=x",
        )
    ),
)
def password_flow(fw: Framework) -> Any:
    import jwt

    app = fw.App(title="t")
    secret = "0123456789abcdef0123456789abcdef"
    scheme = fw.OAuth2PasswordBearer(tokenUrl="token")

    @app.post("/token")
    async def login(data: Annotated[fw.OAuth2PasswordRequestForm, fw.Depends()]):
        if (data.username, data.password) != ("ada", "lovelace"):
            raise fw.HTTPException(400, "Incorrect username or password")
        token = jwt.encode({"sub": data.username, "exp": 4102444800}, secret, "HS256")
        return {"access_token": token, "token_type": "bearer", "scopes": data.scopes}

    @app.get("/me")
    async def me(token: Annotated[str, fw.Depends(scheme)]):
        try:
            return jwt.decode(token, secret, ["HS256"])["sub"]
        except jwt.InvalidTokenError:
            raise fw.HTTPException(401, "Could not validate credentials") from None

    return app


@page(
    "tutorial/sql-databases",
    json("POST", "/heroes", {"name": "Deadpond", "age": 3}),
    json("POST", "/heroes", {"name": 3}),
    *map(get, ("/heroes", "/heroes?limit=101", "/heroes/1", "/heroes/2")),
    Ask("DELETE", "/heroes/1"),
    Ask("DELETE", "/heroes/1"),
)
def sql_databases(fw: Framework) -> Any:
    """With a session a request, by sqlite3 where the page has SQLModel."""

    class HeroBase(BaseModel):
        name: str
        age: int | None = None

    class Hero(HeroBase):
        id: int

    app = fw.App(title="t")
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.execute("create table hero (id integer primary key, name text, age integer)")

    def session() -> Iterator[sqlite3.Cursor]:
        cursor = database.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    Session = Annotated[sqlite3.Cursor, fw.Depends(session)]

    def find(cursor: sqlite3.Cursor, id: int) -> Hero:
        row = cursor.execute("select id, name, age from hero where id = ?", (id,)).fetchone()
        if row is None:
            raise fw.HTTPException(404, "Hero not found")
        return Hero(id=row[0], name=row[1], age=row[2])

    @app.post("/heroes")
    def create(hero: HeroBase, session: Session) -> Hero:
        session.execute("insert into hero (name, age) values (?, ?)", (hero.name, hero.age))
        assert session.lastrowid is not None
        return find(session, session.lastrowid)

    @app.get("/heroes")
    def heroes(
        session: Session, offset: int = 0, limit: Annotated[int, fw.Query(le=100)] = 100
    ) -> list[Hero]:
        rows = session.execute("select id from hero limit ? offset ?", (limit, offset)).fetchall()
        return [find(session, id) for (id,) in rows]

    @app.get("/heroes/{id}")
    def hero(id: int, session: Session) -> Hero:
        return find(session, id)

    @app.delete("/heroes/{id}")
    def delete(id: int, session: Session):
        find(session, id)
        session.execute("delete from hero where id = ?", (id,))
        return {"ok": True}

    return app


@page(
    "tutorial/bigger-applications",
    *map(get, ("/", "/?token=jessica", "/users?token=jessica", "/items?token=jessica")),
    get("/items?token=jessica", x_token="secret"),
    get("/items/gun?token=jessica", x_token="secret"),
    get("/items/none?token=jessica", x_token="secret"),
    Ask("PUT", "/items/gun?token=jessica", [("x-token", "secret")]),
    Ask("POST", "/admin?token=jessica", [("x-token", "secret")]),
    Ask("POST", "/admin?token=jessica", [("x-token", "wrong")]),
)
def bigger_applications(fw: Framework) -> Any:
    async def token_header(x_token: Annotated[str, fw.Header()]):
        if x_token != "secret":
            raise fw.HTTPException(400, "X-Token header invalid")

    async def query_token(token: str):
        if token != "jessica":
            raise fw.HTTPException(400, "No Jessica token provided")

    users = fw.Router()
    items = fw.Router(
        prefix="/items",
        tags=["items"],
        dependencies=[fw.Depends(token_header)],
        responses={404: {"description": "Not found"}},
    )
    admin = fw.Router()

    @users.get("/users", tags=["users"])
    async def read_users():
        return [{"username": "Rick"}]

    @items.get("")
    async def read_items():
        return {"gun": "Portal Gun"}

    @items.get("/{name}")
    async def read_item(name: str):
        if name != "gun":
            raise fw.HTTPException(404, "Item not found")
        return {"name": name}

    @items.put("/{name}", tags=["custom"], responses={403: {"description": "Forbidden"}})
    async def update_item(name: str):
        return {"name": name}

    @admin.post("")
    async def update_admin():
        return {"message": "Admin getting schwifty"}

    app = fw.App(title="t", dependencies=[fw.Depends(query_token)])
    app.include_router(users)
    app.include_router(items)
    app.include_router(
        admin,
        prefix="/admin",
        tags=["admin"],
        dependencies=[fw.Depends(token_header)],
        responses={418: {"description": "I'm a teapot"}},
    )

    @app.get("/")
    async def root():
        return "root"

    return app


@page("tutorial/stream-json-lines", get("/items"), get("/sync"))
def json_lines(fw: Framework) -> Any:
    app = fw.App(title="t")

    @app.get("/items")
    async def items() -> AsyncIterable[Thing]:
        for name in ("a", "b"):
            yield Thing(name=name, price=1)

    @app.get("/sync")
    def sync() -> Iterator[int]:
        yield from range(3)

    return app


@page(
    "tutorial/background-tasks",
    Ask("POST", "/send/a@example.com"),
    Ask("POST", "/send/b@example.com?q=x"),
)
def background(fw: Framework) -> Any:
    app = fw.App(title="t")
    notes: dict[str, list[str]] = {"a@example.com": [], "b@example.com": []}
    fw.log.append(notes)  # of each request its own: those of one may come after the next

    def query(email: str, tasks: fw.BackgroundTasks, q: str | None = None):
        if q:
            tasks.add_task(notes[email].append, f"found query: {q}")
        return q

    @app.post("/send/{email}")
    async def send(
        email: str, tasks: fw.BackgroundTasks, q: Annotated[str | None, fw.Depends(query)]
    ):
        tasks.add_task(notes[email].append, f"message to {email}")
        return {"message": "Message sent"}

    return app


@page("tutorial/metadata", *map(get, ("/items", "/docs", "/documentation", "/openapi.json")))
def metadata(fw: Framework) -> Any:
    app = fw.App(
        title="t",
        description="*What* it is",
        summary="In short",
        version="0.0.1",
        terms_of_service="http://example.com/terms/",
        contact={"name": "Deadpoolio", "url": "http://x.example.com/", "email": "dp@x.example.com"},
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
        openapi_tags=[
            {
                "name": "items",
                "description": "Things",
                "externalDocs": {"url": "http://x.example.com/"},
            }
        ],
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )

    @app.get("/items", tags=["items"])
    async def items():
        return []

    return app
