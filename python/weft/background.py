"""Work that starts once the reply is on its way, and neither delays it nor fails it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ParamSpec

from weft import log
from weft.routing import is_async_callable

P = ParamSpec("P")


class BackgroundTask:
    """A call to make after the reply; a plain function runs in a thread."""

    def __init__(self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.is_async = is_async_callable(func)

    async def __call__(self) -> None:
        if self.is_async:
            await self.func(*self.args, **self.kwargs)
        else:
            await asyncio.to_thread(self.func, *self.args, **self.kwargs)


class BackgroundTasks(BackgroundTask):
    """Several such calls, made one after another; one that raises ends the row."""

    def __init__(self, tasks: Sequence[BackgroundTask] | None = None) -> None:
        self.tasks = list(tasks or ())

    def add_task(self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Adds `func(*args, **kwargs)` to the end of the row."""
        self.tasks.append(BackgroundTask(func, *args, **kwargs))

    async def __call__(self) -> None:
        for task in self.tasks:
            await task()


class Both:
    """What a middleware has left to do, and then what is inside of it has, whatever became of the
    first."""

    def __init__(
        self, outer: Callable[[], Awaitable[None]], inner: Callable[[], Awaitable[None]]
    ) -> None:
        self.outer = outer
        self.inner = inner

    async def __call__(self) -> None:
        try:
            await self.outer()
        finally:
            await self.inner()


async def run(
    background: Callable[[], Awaitable[None]],
    what: str,
    on_error: Callable[[BaseException], None] | None,
) -> None:
    """Awaits what was left to do after the reply to `what`; an exception goes to the log, also one
    that would end the process, and to `on_error`."""
    try:
        await background()
    except (Exception, SystemExit) as exc:
        traceback = exc.__traceback__
        while traceback is not None and traceback.tb_frame.f_globals is globals():
            traceback = traceback.tb_next  # the user's frames are what matters
        log.error_logger.error(
            "Exception in the background of %s", what, exc_info=exc.with_traceback(traceback)
        )
        if on_error is not None:
            on_error(exc)
