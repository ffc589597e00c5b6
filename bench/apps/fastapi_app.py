"""The workloads on FastAPI."""

import asyncio
import os
import uuid
from typing import Annotated

import fastapi
import jwt
from fastapi import APIRouter, Depends, FastAPI, HTTPException, UploadFile
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles

from bench.apps import features
from bench.apps.many import declare_many
from bench.apps.models import ROWS, Order, Row, Track

app = FastAPI()
features.declare_models(app, fastapi)

many = FastAPI()
declare_many(many, APIRouter, 200)

middleware = FastAPI()
features.declare_middleware(middleware)

static = FastAPI()
static.mount("/static", StaticFiles(directory=os.environ.get("BENCH_STATIC", ".")))


class RequestID:
    """The cheapest way there is: plain ASGI."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_with_id(message):
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", uuid.uuid4().hex.encode()))
            await send(message)

        await self.app(scope, receive, send_with_id if scope["type"] == "http" else send)


# CORS, a request id, a verified token, and (by the command line) an access log
layered = FastAPI()
layered.add_middleware(CORSMiddleware, allow_origins=["https://example.com"])
layered.add_middleware(RequestID)


async def token(sent: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]):
    try:
        return jwt.decode(
            sent.credentials,
            features.SECRET,
            ["HS256"],
            audience="bench",
            options={"require": ["exp"]},
        )
    except jwt.InvalidTokenError as exc:
        raise HTTPException(401, str(exc)) from exc


@layered.get("/json")
async def layered_json(claims: Annotated[dict, Depends(token)]):
    return {"message": "Hello, World!"}


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
