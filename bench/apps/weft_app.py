"""The workloads on weft."""

import asyncio
import os
from typing import Annotated

import weft
from bench.apps import features
from bench.apps.many import declare_many
from bench.apps.models import ROWS, Order, Row, Track
from weft import App, Depends, PlainTextResponse, Router, UploadFile
from weft.middleware import CORSMiddleware, RequestIDMiddleware
from weft.security import JWTBearer
from weft.staticfiles import StaticFiles

app = App()
features.declare_models(app, weft)

many = App()
declare_many(many, Router, 200)

middleware = App()
features.declare_middleware(middleware)

# CORS, a request id, a verified token, and (by the command line) an access log
layered = App()
layered.add_middleware(CORSMiddleware, allow_origins=["https://example.com"])
layered.add_middleware(RequestIDMiddleware)
token = JWTBearer(key=features.SECRET, algorithms=["HS256"], audience="bench")


@layered.get("/json")
async def layered_json(claims: Annotated[dict, Depends(token)]):
    return {"message": "Hello, World!"}


static = App()
static.mount("/static", StaticFiles(directory=os.environ.get("BENCH_STATIC", ".")))


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


async def page(q: str | None = None, limit: int = 10):
    return {"q": q, "limit": limit}


async def session():
    session = {"user": "alice"}
    try:
        yield session
    finally:
        session.clear()


async def user(session: Annotated[dict, Depends(session)]):
    return session["user"]


@app.get("/depends")
async def depends(page: Annotated[dict, Depends(page)], user: Annotated[str, Depends(user)]):
    return {**page, "user": user}


@app.post("/upload")
async def upload(file: UploadFile):
    size = 0
    while chunk := await file.read(1 << 20):
        size += len(chunk)
    return {"size": size}


@app.get("/rows")
async def rows() -> list[Row]:
    return ROWS


@app.get("/dicts")
async def dicts():
    return ROWS


@app.get("/model")
async def model() -> Row:
    return Row(id=1, name="item 1", price=1.25, in_stock=True)


@app.post("/orders")
async def order(order: Order):
    return {"items": len(order.items)}


@app.post("/tracks")
async def track(track: Track):
    return {"points": len(track.points)}
