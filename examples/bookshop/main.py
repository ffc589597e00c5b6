"""A bookshop's API, and a page that uses it, kept in memory: what a small service looks like.

weft examples.bookshop.main:app
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from weft import (
    App,
    BackgroundTasks,
    Depends,
    EventSourceResponse,
    FileResponse,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
    StreamingResponse,
    UploadFile,
    json,
)
from weft.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm


@dataclass(frozen=True, kw_only=True)
class NewBook:
    """What a client says of a book."""

    title: str
    author: str
    # A number, where pydantic would also take a text that reads like one.
    year: int = field(metadata={"strict": True})
    price: float = field(metadata={"strict": True, "ge": 0, "le": 1_000_000})
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Book(NewBook):
    id: int


@dataclass(frozen=True)
class Change:
    """What has happened to a book; of one that was removed, what it was."""

    what: Literal["added", "changed", "removed"]
    book: Book


@dataclass(frozen=True, kw_only=True)
class Order:
    id: int
    book_id: int
    copies: int
    customer: str
    total: float


@dataclass(frozen=True)
class Token:
    """What a customer shows who has signed in (RFC 6749, section 5.1)."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"


@dataclass(frozen=True)
class Problem:
    """Why a request could not be answered."""

    detail: str


SHELF = [
    ("The Left Hand of Darkness", "Ursula K. Le Guin", 1969, 9.99, ("novel", "science fiction")),
    ("The Dispossessed", "Ursula K. Le Guin", 1974, 10.5, ("novel", "science fiction")),
    ("Solaris", "Stanisław Lem", 1961, 8.75, ("novel", "science fiction")),
    ("Invisible Cities", "Italo Calvino", 1972, 11.2, ("novel",)),
    ("The Elements of Typographic Style", "Robert Bringhurst", 1992, 29.95, ("design",)),
]
IMAGES = ("image/png", "image/jpeg", "image/webp", "image/gif")
COVER_BYTES_MAX = 2 << 20
EVENTS_KEPT = 100  # for a listener that does not keep up; then it misses the oldest

COPIES_MAX = 100  # of one book, in one order
TOKENS_MAX = 1000  # then who signed in first has to do so again
SALT = b"one for each customer, where there is a database"

# Passwords are kept as what cannot be turned back; that of ada is lovelace.
customers = {
    "ada": bytes.fromhex(
        "844086fda2bbea4b3961deaa92dfec2cdbbe22996ab41e1144550523485efded"
        "528f7d52a667a6effa84c4dbb554b06fd2e029114abc188ea5a214715df1a5b9"
    )
}

books: dict[int, Book] = {}
orders: list[Order] = []
tokens: dict[str, str] = {}  # whose each is
covers: dict[int, tuple[str, bytes]] = {}  # media type and content
listeners: set[asyncio.Queue[Change]] = set()


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[None]:
    for title, author, year, price, tags in SHELF:
        add(NewBook(title=title, author=author, year=year, price=price, tags=tags))
    yield
    for kept in (books, covers, orders, tokens):
        kept.clear()


app = App(title="Bookshop", version="1.0.0", lifespan=lifespan)

BookId = Annotated[int, Path(ge=1)]
NO_BOOK: dict[int | str, Any] = {404: {"description": "There is no such book", "model": Problem}}
NO_TEXT: dict[int | str, Any] = {400: {"description": "The body is malformed", "model": Problem}}


def add(new: NewBook) -> Book:
    return put(max(books, default=0) + 1, new, "added")


def put(book_id: int, new: NewBook, what: Literal["added", "changed"]) -> Book:
    check(new)
    books[book_id] = Book(**{**vars(new), "id": book_id})
    tell(what, books[book_id])
    return books[book_id]


def check(new: NewBook) -> None:
    """JSON can spell half of a character (RFC 8259, section 8.2), which no reply could repeat."""
    try:
        json.encode(new)
    except json.EncodeError as exc:
        raise HTTPException(400, f"Such a book cannot be told of: {exc}") from None


def find(book_id: int) -> Book:
    try:
        return books[book_id]
    except KeyError:
        raise HTTPException(404, f"There is no book {book_id}") from None


async def book_at(book_id: BookId) -> Book:
    return find(book_id)


TheBook = Annotated[Book, Depends(book_at)]


def tell(what: Literal["added", "changed", "removed"], book: Book) -> None:
    for queue in listeners:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(Change(what, book))


# ---- books ----


@app.get("/books")
async def list_books(
    tag: Annotated[list[str], Query(default_factory=list)],
    q: Annotated[str | None, Query(min_length=1, max_length=80)] = None,
    max_price: Annotated[float | None, Query(gt=0)] = None,
    sort: Literal["id", "title", "year", "price"] = "id",
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """Books whose title or author has `q`, with every `tag`, at most at `max_price`."""
    found = [
        book
        for book in books.values()
        if (q is None or q.casefold() in f"{book.title}\n{book.author}".casefold())
        and set(tag) <= set(book.tags)
        and (max_price is None or book.price <= max_price)
    ]
    found.sort(key=lambda book: getattr(book, sort))
    return {"total": len(found), "books": found[offset : offset + limit]}


@app.get("/books/export", responses={200: {"content": {"application/x-ndjson": {}}}})
async def export_books() -> StreamingResponse:
    """Every book as a line of JSON, sent no faster than it is read."""

    async def lines() -> AsyncIterator[bytes]:
        for book in list(books.values()):
            yield json.encode(book) + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@app.get("/books/{book_id:int}", responses=NO_BOOK)
async def get_book(book: TheBook) -> Book:
    return book


@app.post("/books", status_code=201, responses=NO_TEXT)
async def create_book(book: NewBook, request: Request, response: Response) -> Book:
    made = add(book)
    response.headers["location"] = str(request.url_for("get_book", book_id=made.id))
    return made


@app.put("/books/{book_id:int}", responses=NO_BOOK | NO_TEXT)
async def update_book(old: TheBook, book: NewBook) -> Book:
    return put(old.id, book, "changed")


@app.delete("/books/{book_id:int}", status_code=204, responses=NO_BOOK)
async def delete_book(book: TheBook) -> None:
    covers.pop(book.id, None)
    tell("removed", books.pop(book.id))


# ---- covers ----


@app.put(
    "/books/{book_id:int}/cover",
    status_code=204,
    max_body_size=COVER_BYTES_MAX,
    responses=NO_BOOK | NO_TEXT | {415: {"description": "It is no image", "model": Problem}},
    openapi_extra={
        "requestBody": {
            "content": {
                "multipart/form-data": {"encoding": {"image": {"contentType": ", ".join(IMAGES)}}}
            }
        }
    },
)
async def put_cover(book: TheBook, image: UploadFile) -> None:
    """Takes a PNG, JPEG, WebP or GIF of up to 2 MiB."""
    if image.content_type not in IMAGES:
        raise HTTPException(415, f"A cover is one of {', '.join(IMAGES)}")
    covers[book.id] = (image.content_type, await image.read())
    tell("changed", book)


@app.get(
    "/books/{book_id:int}/cover",
    responses=NO_BOOK | {200: {"content": {kind: {} for kind in (*IMAGES, "image/svg+xml")}}},
)
async def get_cover(book: TheBook) -> Response:
    """The cover that was sent, or a plain one with the title."""
    media_type, content = covers.get(book.id) or ("image/svg+xml", plain_cover(book))
    headers = {
        "cache-control": "no-cache",
        "content-security-policy": "default-src 'none'",
        "x-content-type-options": "nosniff",
    }
    return Response(content, media_type=media_type, headers=headers)


def plain_cover(book: Book) -> bytes:
    hue = sum(map(ord, book.author)) % 360
    lines = textwrap.wrap(printable(book.title), 14, max_lines=6, placeholder="…")
    text = "".join(f'<tspan x="32" dy="9">{escape(line)}</tspan>' for line in lines)
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 96">'
        f'<rect width="64" height="96" fill="hsl({hue} 45% 40%)"/>'
        f'<text y="{42 - 4.5 * len(lines)}" fill="#fff" font-size="7" font-family="sans-serif" '
        f'text-anchor="middle">{text}</text></svg>'
    )
    return svg.encode()


def printable(text: str) -> str:
    """What XML can hold of it."""
    return "".join(char if char.isprintable() else " " for char in text)


# ---- orders ----

NOBODY: dict[int | str, Any] = {401: {"description": "Sign in first", "model": Problem}}
signed_in = OAuth2PasswordBearer(tokenUrl="token")


def hashed(password: str) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=SALT, n=4096, r=8, p=1)


@app.post("/token", responses=NOBODY, tags=["orders"])
def sign_in(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> Token:
    """A token for a name and a password. Hashing takes its time, in a thread."""
    known = customers.get(form.username, bytes(64))
    if not secrets.compare_digest(hashed(form.password), known):
        raise refused("Name or password is wrong")
    while len(tokens) >= TOKENS_MAX:
        del tokens[next(iter(tokens))]
    token = secrets.token_urlsafe()
    tokens[token] = form.username
    return Token(token)


def refused(why: str) -> HTTPException:
    return HTTPException(401, why, headers={"WWW-Authenticate": "Bearer"})


async def customer_of(token: Annotated[str, Depends(signed_in)]) -> str:
    try:
        return tokens[token]
    except KeyError:
        raise refused("Sign in again") from None


Customer = Annotated[str, Depends(customer_of)]


async def ledger() -> AsyncIterator[list[Order]]:
    """Orders that are kept only where the endpoint has not failed."""
    entries: list[Order] = []
    yield entries
    orders.extend(entries)


Ledger = Annotated[list[Order], Depends(ledger, scope="function")]


def send_receipt(order: Order) -> None:
    """What would be an e-mail."""
    logging.getLogger("bookshop").info("receipt for order %d of %s", order.id, order.customer)


@app.post(
    "/books/{book_id:int}/orders", status_code=201, responses=NO_BOOK | NOBODY, tags=["orders"]
)
async def create_order(
    book: TheBook,
    customer: Customer,
    entries: Ledger,
    tasks: BackgroundTasks,
    copies: Annotated[int, Query(ge=1, le=COPIES_MAX)] = 1,
) -> Order:
    """Orders a book; the receipt is sent once the reply is on its way."""
    order = Order(
        id=len(orders) + 1,
        book_id=book.id,
        copies=copies,
        customer=customer,
        total=round(book.price * copies, 2),
    )
    entries.append(order)
    tasks.add_task(send_receipt, order)
    return order


@app.get("/orders", responses=NOBODY, tags=["orders"])
async def list_orders(customer: Customer) -> list[Order]:
    return [order for order in orders if order.customer == customer]


# ---- events ----


@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[Change]:
    """What happens to books from now on, as server-sent events."""
    queue: asyncio.Queue[Change] = asyncio.Queue(EVENTS_KEPT)
    listeners.add(queue)
    try:
        while True:
            yield await queue.get()
    finally:
        listeners.discard(queue)


# ---- the page ----

PAGE = FilePath(__file__).parent / "page"
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(PAGE / "index.html", headers={"content-security-policy": POLICY})


@app.get("/page.js", include_in_schema=False)
async def script() -> FileResponse:
    return FileResponse(PAGE / "page.js")


@app.get("/page.css", include_in_schema=False)
async def style() -> FileResponse:
    return FileResponse(PAGE / "page.css")
