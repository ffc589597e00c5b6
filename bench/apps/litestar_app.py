"""The workloads on Litestar."""

import asyncio

from litestar import Litestar, MediaType, get


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


app = Litestar([plaintext, json, item, sleep], openapi_config=None)
