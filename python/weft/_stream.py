"""Pulls the content of a streamed reply into the connection."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextvars import copy_context
from typing import Any, Protocol


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
    elif hasattr(iterator, "__aiter__"):
        await _pull_async(writer, iterator.__aiter__())
    else:
        await _pull_sync(writer, iter(iterator))
    if writer.wanted:
        writer.end()


async def _pull_async(writer: Writer, items: AsyncIterator[Any]) -> None:
    try:
        if writer.wanted:
            async for chunk in items:
                if (wait := writer.write(chunk)) is not None:
                    await wait
    finally:
        aclose = getattr(items, "aclose", None)
        if aclose is not None:
            await aclose()


async def _pull_sync(writer: Writer, items: Iterator[Any]) -> None:
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
            if (wait := writer.write(chunk)) is not None:
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
