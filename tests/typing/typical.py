"""What users write: type checkers in their strictest mode have nothing to say about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import weft
import weft.json
from weft import (
    App,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    Header,
    HTTPException,
    JSONResponse,
    Path,
    Query,
    Request,
    Response,
    Router,
    StreamingResponse,
)
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


@app.exception_handler(KeyError)
async def missing(request: Request, exc: KeyError) -> Response:
    return JSONResponse({"detail": str(exc)}, status_code=404)


app.include_router(router, prefix="/v1")


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
