"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

```python
@app.get("/prices", response_class=EventSourceResponse)
async def prices() -> AsyncIterable[Price]:
    async for price in exchange:
        yield price
```

Each item is an event; it is sent as JSON, or is a `ServerSentEvent` that says all of it. Nothing is
pulled faster than the client reads, and when it leaves, the generator is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from weft.json import EncodeError, encode
from weft.responses import EventSourceResponse

__all__ = ["EventSourceResponse", "ServerSentEvent", "format_sse_event"]

KEEPALIVE_COMMENT = b": ping\n\n"
PING_SECONDS = 15.0
"""Of silence, after which a comment tells proxies that the connection is alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSentEvent:
    """One event; `ValueError` for what its fields cannot be.

    `data` is sent as JSON, a str too; `raw_data` as it is, a line of it each. `retry` is in
    milliseconds. A `comment` is ignored by clients.
    """

    data: Any = None
    raw_data: str | None = None
    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | None = None

    def __post_init__(self) -> None:
        for name in ("raw_data", "event", "id", "comment"):
            value = getattr(self, name)
            if not isinstance(value, str | None):
                raise ValueError(f"{name} of an event is a str, not {type(value).__name__}")
        if self.data is not None and self.raw_data is not None:
            raise ValueError("an event has data or raw_data, not both")
        for name, value in (("event", self.event), ("id", self.id)):
            if value is not None and not {"\r", "\n"}.isdisjoint(value):
                raise ValueError(f"{name} of an event is a single line: {value!r}")
        if self.id is not None and "\0" in self.id:
            raise ValueError(f"id of an event has no NUL: {self.id!r}")
        if self.retry is not None and (type(self.retry) is not int or self.retry < 0):
            raise ValueError(f"retry of an event is in milliseconds, not {self.retry!r}")

    def encode(self) -> bytes:
        """As it is on the wire. `EncodeError` for data that has no JSON."""
        data = self.raw_data
        if self.data is not None:
            data = json_of(self.data).decode()
        return format_sse_event(
            data_str=data, event=self.event, id=self.id, retry=self.retry, comment=self.comment
        )


def format_sse_event(
    *,
    data_str: str | None = None,
    event: str | None = None,
    id: str | None = None,
    retry: int | None = None,
    comment: str | None = None,
) -> bytes:
    """An event of fields that are text already, in UTF-8; `retry` is in milliseconds."""
    fields = [f": {line}" for line in _lines(comment)]
    if event is not None:
        fields.append(f"event: {event}")
    fields += [f"data: {line}" for line in _lines(data_str)]
    if id is not None:
        fields.append(f"id: {id}")
    if retry is not None:
        fields.append(f"retry: {retry}")
    return "\n".join((*fields, "", "")).encode()


def _lines(text: str | None) -> list[str]:
    """By the line ends of the format, which are fewer than those of str.splitlines()."""
    return [] if text is None else text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def json_of(value: Any) -> bytes:
    """The JSON of an item: a float that is no number is null in a stream, as with FastAPI."""
    try:
        return encode(value)
    except EncodeError:
        return encode(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
