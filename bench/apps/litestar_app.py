"""The workloads on Litestar."""

import asyncio

import msgspec
from litestar import Litestar, MediaType, get, post

from bench.apps.models import ROWS, Point


class Row(msgspec.Struct):
    id: int
    name: str
    price: float
    in_stock: bool
    note: str | None = None


STRUCTS = [Row(**row) for row in ROWS]


class Track(msgspec.Struct):
    name: str
    points: list[Point]


@get("/plaintext", media_type=MediaType.TEXT)
async def plaintext() -> str:
    return "Hello, World!"


@get("/json")
async def json() -> dict[str, str]:
    return {"message": "Hello, World!"}


@get("/items/{item_id:int}")
async def item(item_id: int, q: str | None = None) -> dict[str, int | str | None]:
    return {"item_id": item_id, "q": q}


@get("/sleep")
async def sleep() -> dict[str, bool]:
    await asyncio.sleep(0.01)
    return {"slept": True}


@get("/rows")
async def rows() -> list[Row]:
    return STRUCTS


@get("/dicts")
async def dicts() -> list[dict]:
    return ROWS


@post("/tracks", status_code=200)
async def track(data: Track) -> dict[str, int]:
    return {"points": len(data.points)}


app = Litestar([plaintext, json, item, sleep, rows, dicts, track], openapi_config=None)
