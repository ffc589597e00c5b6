"""A bookshop's API, kept in memory: what a small service looks like with weft.

weft examples.bookshop.main:app
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from weft import App, HTTPException, Path, Query, Request, Response, StreamingResponse, json


@dataclass(frozen=True, kw_only=True)
class NewBook:
    """What a client says of a book."""

    title: str
    author: str
    year: int
    price: float
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Book(NewBook):
    id: int


SHELF = [
    ("The Left Hand of Darkness", "Ursula K. Le Guin", 1969, 9.99, ("novel", "science fiction")),
    ("The Dispossessed", "Ursula K. Le Guin", 1974, 10.5, ("novel", "science fiction")),
    ("Solaris", "Stanisław Lem", 1961, 8.75, ("novel", "science fiction")),
    ("Invisible Cities", "Italo Calvino", 1972, 11.2, ("novel",)),
    ("The Elements of Typographic Style", "Robert Bringhurst", 1992, 29.95, ("design",)),
]

books: dict[int, Book] = {}


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[None]:
    for title, author, year, price, tags in SHELF:
        add(NewBook(title=title, author=author, year=year, price=price, tags=tags))
    yield
    books.clear()


app = App(title="Bookshop", version="1.0.0", lifespan=lifespan)

BookId = Annotated[int, Path(ge=1)]


def add(new: NewBook) -> Book:
    return put(max(books, default=0) + 1, new)


def put(book_id: int, new: NewBook) -> Book:
    books[book_id] = Book(id=book_id, **vars(new))
    return books[book_id]


def find(book_id: int) -> Book:
    try:
        return books[book_id]
    except KeyError:
        raise HTTPException(404, f"There is no book {book_id}") from None


@app.get("/")
async def about(request: Request) -> dict[str, str]:
    return {"name": app.title, "version": app.version, "books": str(request.url_for("list_books"))}


@app.get("/books")
async def list_books(
    q: Annotated[str | None, Query(min_length=1, max_length=80)] = None,
    tag: Annotated[list[str] | None, Query()] = None,
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
        and set(tag or ()) <= set(book.tags)
        and (max_price is None or book.price <= max_price)
    ]
    found.sort(key=lambda book: getattr(book, sort))
    return {"total": len(found), "books": found[offset : offset + limit]}


@app.get("/books/export")
async def export_books() -> StreamingResponse:
    """Every book as a line of JSON, sent no faster than it is read."""

    async def lines() -> AsyncIterator[bytes]:
        for book in list(books.values()):
            yield json.encode(book) + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@app.get("/books/{book_id}")
async def get_book(book_id: BookId) -> Book:
    return find(book_id)


@app.post("/books", status_code=201)
async def create_book(book: NewBook, request: Request, response: Response) -> Book:
    made = add(book)
    response.headers["location"] = str(request.url_for("get_book", book_id=made.id))
    return made


@app.put("/books/{book_id}")
async def update_book(book_id: BookId, book: NewBook) -> Book:
    find(book_id)
    return put(book_id, book)


@app.delete("/books/{book_id}", status_code=204)
async def delete_book(book_id: BookId) -> None:
    find(book_id)
    del books[book_id]
