"""An asyncio event loop in C: `weft.run(main())`, or `weft.install()` and go on as before."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ._loop import Loop
from .policy import EventLoopPolicy

__all__ = ["EventLoopPolicy", "Loop", "install", "new_event_loop", "run"]

T = TypeVar("T")


def new_event_loop() -> Loop:
    """A new loop, for `asyncio.Runner(loop_factory=...)` and the like, who close it."""
    return Loop()


def install() -> None:
    """Make every loop that asyncio creates from now on a weft loop."""
    asyncio.set_event_loop_policy(EventLoopPolicy())


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """`asyncio.run` on a weft loop: what `main` returns or raises.

    `RuntimeError` where a loop runs in this thread already. `debug` is the loop's debug mode; None
    leaves it to the environment.
    """
    if asyncio._get_running_loop() is not None:
        main.close()
        raise RuntimeError("weft.run() cannot be called from a running event loop")
    with asyncio.Runner(debug=debug, loop_factory=new_event_loop) as runner:
        return runner.run(main)
