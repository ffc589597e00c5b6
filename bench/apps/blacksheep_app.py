"""The workloads on BlackSheep."""

import asyncio

from blacksheep import Application, get, json, text

app = Application()


@get("/plaintext")
async def plaintext():
    return text("Hello, World!")


@get("/json")
async def json_route():
    return json({"message": "Hello, World!"})


@get("/items/{item_id}")
async def item(item_id: int, q: str | None = None):
    return json({"item_id": item_id, "q": q})


@get("/sleep")
async def sleep():
    await asyncio.sleep(0.01)
    return json({"slept": True})
