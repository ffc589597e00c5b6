"""Replies of endpoints that yield: a line of JSON for each item, or an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weft import sse
from weft._stream import Items
from weft.reply_model import ReplyModel
from weft.responses import EventSourceResponse, StreamingResponse
from weft.routing import Route

__all__ = ["reply_of_items"]

Chunk = Callable[[Any], bytes]


def reply_of_items(
    route: Route, model: ReplyModel | None
) -> Callable[[Any, int], StreamingResponse] | None:
    """What makes the reply of such a route from its generator and its status; None where its
    response class does. `model` is that of an item, where the items have a type."""
    if route.yields == "lines":
        return _lines(_chunk(model, b"", b"\n"))
    return _events(_chunk(model, b"data: ", b"\n\n")) if route.yields == "events" else None


def _chunk(model: ReplyModel | None, before: bytes, after: bytes) -> Chunk:
    """What makes the JSON of an item, between these bytes: its shape, or where that is no proof its
    judge."""
    judge = model.judge if model is not None else sse.json_of

    def judged(item: Any) -> bytes:
        return before + _one_line(judge(item)) + after

    if model is None or model.shape is None:
        return judged
    shape, flags = model.shape
    write = shape.judge_json

    def written(item: Any) -> bytes:
        chunk = write(item, flags, before, after)
        return judged(item) if chunk is None else chunk

    return written


_SPACES = bytes.maketrans(b"\r\n", b"  ")


def _one_line(json: bytes) -> bytes:
    """Only a `weft.json.Raw` has line breaks, all of them outside of strings."""
    broken = b"\n" in json or b"\r" in json
    return json.translate(_SPACES) if broken else json


def _lines(line: Chunk) -> Callable[[Any, int], StreamingResponse]:
    def reply(items: Any, status_code: int) -> StreamingResponse:
        return StreamingResponse(Items(items, line), status_code, media_type="application/jsonl")

    return reply


def _events(chunk: Chunk) -> Callable[[Any, int], StreamingResponse]:
    def event(item: Any) -> bytes:
        return item.encode() if isinstance(item, sse.ServerSentEvent) else chunk(item)

    def reply(items: Any, status_code: int) -> StreamingResponse:
        content = Items(items, event, sse.KEEPALIVE_COMMENT, sse.PING_SECONDS)
        # For proxies: not to be kept, and not to be held back until a buffer is full.
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        return EventSourceResponse(content, status_code, headers)

    return reply
