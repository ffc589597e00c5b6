"""Pulls the content of a streamed reply into the connection."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
)
from contextlib import aclosing
from contextvars import copy_context
from typing import Any, Protocol

Write = Callable[[Any], "asyncio.Future[None] | None"]


class Writer(Protocol):
    """What the core gives."""

    wanted: bool
    """does the content go on the wire? Not for HEAD, nor where nobody is left to read it"""
    submit: Callable[..., concurrent.futures.Future[Any]]
    """of the thread pool that sync handlers run in"""

    def write(self, chunk: Any, /) -> asyncio.Future[None] | None:
        """Gives a future to await where the client reads too slowly; `ClientDisconnect` where it
        has left."""

    def end(self) -> None: ...


class Items:
    """What an endpoint yields: `chunk(item)` makes the bytes of each when its turn comes.

    With `idle` those bytes are written too, whenever nothing else was for `idle_seconds`. Read as
    an async iterable, as middleware may, it gives the chunks of the items only.
    """

    def __init__(
        self,
        items: AsyncIterator[Any] | Iterator[Any],
        chunk: Callable[[Any], bytes],
        idle: bytes = b"",
        idle_seconds: float = 0.0,
    ) -> None:
        self.items = items
        self.chunk = chunk
        self.idle = idle
        self.idle_seconds = idle_seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        items: Any = self.items
        if not hasattr(items, "__aiter__"):
            items = _in_threads(items)
        async with aclosing(items):
            async for item in items:
                yield self.chunk(item)

    async def pull(self, writer: Writer) -> None:
        chunk, write = self.chunk, writer.write
        if not self.idle or not writer.wanted:
            await _pull(writer, self.items, lambda item: write(chunk(item)))
            return
        fill = _Fill(write, self.idle, self.idle_seconds)
        try:
            await _pull(writer, self.items, lambda item: fill.write(chunk(item)))
        finally:
            fill.timer.cancel()


class _Fill:
    """Writes `idle` into the gaps between chunks. One timer serves all of them: it looks how long
    ago the last one was, rather than being set anew by each."""

    def __init__(self, write: Write, idle: bytes, seconds: float) -> None:
        self._write = write
        self._idle = idle
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._waits: asyncio.Future[None] | None = None
        self._since = self._loop.time()
        self.timer = self._loop.call_at(self._since + seconds, self._look)

    def write(self, chunk: bytes) -> asyncio.Future[None] | None:
        self._since = self._loop.time()
        self._waits = self._write(chunk)
        return self._waits

    def _look(self) -> None:
        now = self._loop.time()
        if now - self._since >= self._seconds:
            self._since = now
            if self._waits is None or self._waits.done():  # else there is more than enough unread
                self._waits = self._write(self._idle)
        self.timer = self._loop.call_at(self._since + self._seconds, self._look)


async def pull(writer: Writer, iterator: AsyncIterable[Any] | Iterable[Any]) -> None:
    """Write every chunk of `iterator` (bytes, a buffer or str), then end the reply.

    When this is cancelled (the client has gone) or fails, the iterator is closed before the
    exception goes on. What is not wanted is closed at once.
    """
    if not writer.wanted:
        writer.end()
    if isinstance(iterator, list | tuple):
        for chunk in iterator if writer.wanted else ():
            if (wait := writer.write(chunk)) is not None:
                await wait
    elif isinstance(iterator, Items):
        await iterator.pull(writer)
    else:
        await _pull(writer, iterator, writer.write)
    if writer.wanted:
        writer.end()


async def _pull(writer: Writer, iterator: AsyncIterable[Any] | Iterable[Any], write: Write) -> None:
    if isinstance(iterator, AsyncIterable):
        await _pull_async(writer, iterator.__aiter__(), write)
    else:
        await _pull_sync(writer, iter(iterator), write)


async def _pull_async(writer: Writer, items: AsyncIterator[Any], write: Write) -> None:
    try:
        if writer.wanted:
            async for chunk in items:
                if (wait := write(chunk)) is not None:
                    await wait
    finally:
        aclose = getattr(items, "aclose", None)
        if aclose is not None:
            await aclose()


async def _pull_sync(writer: Writer, items: Iterator[Any], write: Write) -> None:
    """A sync iterator may block: it runs in a thread, an item at a time, in one context."""
    submit, call = writer.submit, copy_context().run
    step: concurrent.futures.Future[Any] | None = None
    try:
        while writer.wanted:
            step = submit(call, _next, items)
            chunk, error = await asyncio.wrap_future(step)
            if error is not None:
                raise error
            if chunk is _END:
                break
            if (wait := write(chunk)) is not None:
                await wait
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            if step is not None and not step.done():  # cancelled while a thread is inside it
                await asyncio.wait([asyncio.wrap_future(step)])
            await asyncio.wrap_future(submit(call, close))


_END: Any = object()


def _next(items: Iterator[Any]) -> tuple[Any, BaseException | None]:
    """The next item or `_END`. What it raises is handed over: its traceback stays the user's."""
    try:
        return next(items, _END), None
    except BaseException as exc:
        return _END, exc


async def encoded(items: AsyncIterable[Any] | Iterable[Any], encoder: Any) -> AsyncIterator[bytes]:
    """The chunks of a stream in the coding of a `_core.Encoder`."""
    async with aclosing(as_async(items)) as chunks:
        async for chunk in chunks:
            if coded := encoder.encode(chunk):
                yield coded
    yield encoder.end()


async def as_async(items: AsyncIterable[Any] | Iterable[Any]) -> AsyncGenerator[Any, None]:
    """Items of any iterable; each of a sync one is made in a thread."""
    if not isinstance(items, AsyncIterable):
        items = _in_threads(iter(items))
    try:
        async for item in items:
            yield item
    finally:
        if (aclose := getattr(items, "aclose", None)) is not None:
            await aclose()


async def _in_threads(items: Any) -> AsyncIterator[Any]:
    """The items of a sync iterator, each in a thread."""
    try:
        while (item := await asyncio.to_thread(next, items, _END)) is not _END:
            yield item
    finally:
        if hasattr(items, "close"):
            await asyncio.to_thread(items.close)
