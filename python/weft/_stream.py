"""Pulls the content of a streamed reply into the connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Iterable
from typing import Any, Protocol


class Writer(Protocol):
    """What the core gives: `write` returns a future to await where the client reads too slowly."""

    def write(self, chunk: Any, /) -> asyncio.Future[None] | None: ...

    def end(self) -> None: ...


async def pull(writer: Writer, iterator: AsyncIterable[Any] | Iterable[Any]) -> None:
    """Write every chunk of `iterator` (bytes, a buffer or str), then end the reply.

    A sync iterator runs in the default thread pool, an item at a time. When this is cancelled (the
    client has gone) or fails, the iterator is closed before the exception goes on.
    """
    if hasattr(iterator, "__aiter__"):
        source = iterator.__aiter__()
        try:
            async for chunk in source:
                await _write(writer, chunk)
        finally:
            aclose = getattr(source, "aclose", None)
            if aclose is not None:
                await aclose()
    else:
        items = iter(iterator)
        loop = asyncio.get_running_loop()
        done = object()
        try:
            while (chunk := await loop.run_in_executor(None, next, items, done)) is not done:
                await _write(writer, chunk)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                with contextlib.suppress(ValueError):  # cancelled while a thread is inside it
                    close()
    writer.end()


async def _write(writer: Writer, chunk: Any) -> None:
    wait = writer.write(chunk.encode() if isinstance(chunk, str) else chunk)
    if wait is not None:
        await wait
