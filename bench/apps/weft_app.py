"""The workloads on weft."""

import asyncio

from weft import App, PlainTextResponse

app = App()


@app.get("/plaintext", response_class=PlainTextResponse)
async def plaintext():
    return "Hello, World!"


@app.get("/json")
async def json():
    return {"message": "Hello, World!"}


@app.get("/items/{item_id}")
async def item(item_id: int, q: str | None = None):
    return {"item_id": item_id, "q": q}


@app.get("/sleep")
async def sleep():
    await asyncio.sleep(0.01)
    return {"slept": True}


@app.get("/parked")
async def parked():
    await asyncio.sleep(0)
    return {"message": "Hello, World!"}
