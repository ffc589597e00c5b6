"""What users write: type checkers in their strictest mode have nothing to say about it."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import weft
import weft.bson
import weft.json
from weft import (
    App,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    EventSourceResponse,
    FileResponse,
    Form,
    Header,
    HTTPException,
    JSONResponse,
    Path,
    Query,
    Request,
    Response,
    Router,
    Security,
    ServerSentEvent,
    StreamingResponse,
    UploadFile,
)
from weft.middleware import (
    BaseHTTPMiddleware,
    CompressionMiddleware,
    CORSMiddleware,
    SessionMiddleware,
)
from weft.security import HTTPBasic, HTTPBasicCredentials, OAuth2PasswordBearer, SecurityScopes
from weft.staticfiles import StaticFiles
from weft.testing import TestClient


@dataclass
class Book:
    title: str
    year: int
    tags: list[str]


@asynccontextmanager
async def lifespan(app: App) -> AsyncGenerator[dict[str, Any]]:
    app.state.books = {}
    yield {"pool": object()}


app = App(title="Shop", version="2", lifespan=lifespan, docs_url=None)
router = Router(prefix="/books", tags=["books"])


async def session(token: Annotated[str, Header()]) -> AsyncIterator[str]:
    yield token


def page(limit: Annotated[int, Query(ge=1, le=100)] = 20) -> int:
    return limit


@router.get("/{book_id}", summary="One book", responses={404: {"description": "none"}})
async def read(
    book_id: Annotated[int, Path(ge=1)],
    limit: Annotated[int, Depends(page)],
    token: str = Depends(session),
    q: str | None = None,
    who: str = Cookie("nobody"),
) -> Book:
    if book_id > 10:
        raise HTTPException(404, "There is no such book", headers={"x-why": "none"})
    return Book(q or who, limit, [token])


@router.post("", status_code=201)
def create(book: Annotated[Book, Body(embed=True)], tasks: BackgroundTasks) -> dict[str, Any]:
    tasks.add_task(print, book.title, end="")
    return {"id": 1}


@app.api_route("/echo", methods=["GET", "POST"], include_in_schema=False)
async def echo(request: Request) -> Response:
    body = await request.body()
    response = JSONResponse({"n": len(body), "q": request.query_params.get("q")})
    response.set_cookie("seen", "yes", httponly=True, samesite="strict")
    return response


@app.get("/stream")
async def stream() -> StreamingResponse:
    def lines() -> Iterator[str]:
        yield "a"

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterable[ServerSentEvent]:
    yield ServerSentEvent(data={"a": 1}, event="tick", id="1", retry=100)


@app.get("/lines")
async def lines() -> AsyncIterator[Book]:
    yield Book("a", 1, [])


@app.post("/covers", form_limits={"max_files": 1}, max_body_size=1 << 20, timeout=2.5)
async def cover(
    request: Request, image: UploadFile, title: Annotated[str, Form(min_length=1)]
) -> int:
    request.session["last"] = title
    return len(await image.read())


@app.get("/report")
async def report() -> FileResponse:
    return FileResponse("report.pdf", filename="report.pdf")


oauth2 = OAuth2PasswordBearer(tokenUrl="token", scopes={"read": "Read"})


async def user(scopes: SecurityScopes, token: Annotated[str, Depends(oauth2)]) -> str:
    return token if "read" in scopes.scopes else ""


@app.get("/me")
async def me(
    user: Annotated[str, Security(user, scopes=["read"])],
    basic: Annotated[HTTPBasicCredentials | None, Depends(HTTPBasic(auto_error=False))],
) -> dict[str, str]:
    return {"user": basic.username if basic else user}


@app.middleware("http")
async def timed(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers["x-path"] = request.url.path
    return response


app.add_middleware(CORSMiddleware, allow_origins=["https://example.org"], allow_credentials=True)
app.add_middleware(CompressionMiddleware, minimum_size=1000)


class Timing(BaseHTTPMiddleware):
    async def dispatch(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        return await call_next(request)


class Tagging(Timing):
    def __init__(self, app: App, tag: str, *, quiet: bool = False) -> None:
        super().__init__(app)
        self.tag = tag


app.add_middleware(Timing)
app.add_middleware(Tagging, "x", quiet=True)
app.add_middleware(SessionMiddleware, secret_key="secret", max_age=None)
app.mount("/static", StaticFiles(directory=".", html=True), name="static")
app.mount("/sub", App(title="Within"))
app.host("api.example.org", Router())


@app.exception_handler(KeyError)
async def missing(request: Request, exc: KeyError) -> Response:
    return JSONResponse({"detail": str(exc)}, status_code=404)


app.include_router(router, prefix="/v1")


def titles(data: bytes) -> list[str]:
    decoder = weft.json.Decoder(Book)
    book = decoder.decode(data)
    another = weft.json.decode(data, type=Book, strict=False)
    stored = weft.bson.decode(weft.bson.encode(book, type=Book), type=Book)
    read = weft.shape(Book).decode_json(weft.json.Encoder(Book, indent=2).encode(stored))
    lines = decoder.decode_lines(data) + weft.json.decode_lines(data, type=Book)
    return [
        one.title.lower() for one in (book, another, read, *lines, *weft.bson.iter(data, type=Book))
    ]


books = weft.json.Decoder(list[Book])
maybe = weft.json.Decoder(Book | None)
anything = weft.json.Decoder()
sorting = weft.json.Encoder(sort_keys=True)
schema = weft.shape(Annotated[int, Query(ge=1)]).json_schema()


def counted(data: bytes) -> int:
    found = maybe.decode(data)
    text: str = anything.decode(sorting.encode({"title": ""}))["title"]
    either: int | str = weft.json.decode(data, type=int | str)
    return len(books.decode(data)[0].title) + len(text) + len(str(either)) + (found is None)


def test_it() -> None:
    with TestClient(app) as client:
        assert client.get("/v1/books/1", headers={"token": "t"}).status_code == 200


async def main() -> int:
    await asyncio.sleep(0)
    return len(weft.json.encode(weft.json.decode(b"[1]")))


def run() -> None:
    number: int = weft.run(main())
    print(number, app.openapi()["info"], app.url_path_for("read", book_id=1))
    app.run(host="0.0.0.0", port=8000, log_level="warning", limits={"idle_timeout_ms": 1000})
