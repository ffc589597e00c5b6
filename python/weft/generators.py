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

Encode = Callable[[Any], bytes]


def reply_of_items(
    route: Route, model: ReplyModel | None
) -> Callable[[Any, int], StreamingResponse] | None:
    """What makes the reply of such a route from its generator and its status; None where its
    response class does. `model` is that of an item, where the items have a type."""
    encode = model.judge if model is not None else sse.json_of
    if route.yields == "lines":
        return _lines(encode)
    return _events(encode) if route.yields == "events" else None


def _lines(encode: Encode) -> Callable[[Any, int], StreamingResponse]:
    def line(item: Any) -> bytes:
        return encode(item) + b"\n"

    def reply(items: Any, status_code: int) -> StreamingResponse:
        return StreamingResponse(Items(items, line), status_code, media_type="application/jsonl")

    return reply


def _events(encode: Encode) -> Callable[[Any, int], StreamingResponse]:
    def event(item: Any) -> bytes:
        if isinstance(item, sse.ServerSentEvent):
            return item.encode()
        return b"data: %b\n\n" % encode(item)

    def reply(items: Any, status_code: int) -> StreamingResponse:
        content = Items(items, event, sse.KEEPALIVE_COMMENT, sse.PING_SECONDS)
        # For proxies: not to be kept, and not to be held back until a buffer is full.
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        return EventSourceResponse(content, status_code, headers)

    return reply
