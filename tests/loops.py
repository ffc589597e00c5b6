"""What loop tests share: each runs on asyncio's loop and on ours, so that it tests the contract."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import weft

KINDS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "weft": weft.new_event_loop,
}


@pytest.fixture(params=KINDS)
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that is closed at the end, with nothing left to say about it."""
    loop = KINDS[request.param]()
    loop.set_debug(False)  # whatever `-X dev` says: debug mode has its own tests
    yield loop
    loop.close()
    gc.collect()


class Reports(list[dict[str, Any]]):
    """What the loop's exception handler was told."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        loop.set_exception_handler(lambda _, context: self.append(context))

    @property
    def exceptions(self) -> list[Any]:
        return [context.get("exception") for context in self]


def turn(loop: asyncio.AbstractEventLoop) -> None:
    """Run what is ready now."""
    loop.call_soon(loop.stop)
    loop.run_forever()
