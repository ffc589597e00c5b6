"""Functions that block, called where they harm nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["run_in_threadpool"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def run_in_threadpool(
    func: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """What `func(*args, **kwargs)` returns or raises, called in a thread of the loop's executor,
    with the caller's context variables."""
    return await asyncio.to_thread(func, *args, **kwargs)
