"""anyio inside a handler: its scopes and threads look closely at the task they run in."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from .test_task import Run, run, seen

__all__ = ["run"]


def test_cancel_scopes(run: Run) -> None:
    async def handler() -> list[Any]:
        got: list[Any] = []
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep(10)
        got.append(scope.cancelled_caught)
        with anyio.move_on_after(0.002) as scope:
            await anyio.sleep(10)
        got.append(scope.cancelled_caught)
        with pytest.raises(TimeoutError), anyio.fail_after(0.002):
            await anyio.sleep(10)
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0)
        task: Any = asyncio.current_task()
        got.append(task.cancelling())
        await anyio.lowlevel.checkpoint()
        return got

    assert seen(run, handler) == [True, True, 0]


def test_a_scope_cancelled_before_the_first_await(run: Run) -> None:
    async def handler() -> str:
        with anyio.CancelScope() as scope:
            scope.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(0)
            return "delivered"
        return "not delivered"

    assert seen(run, handler) == "delivered"


def test_groups(run: Run) -> None:
    async def child(n: int, got: list[int]) -> None:
        await anyio.sleep(0.001 * n)
        got.append(n)

    async def handler() -> list[int]:
        got: list[int] = []
        async with anyio.create_task_group() as group:
            for n in range(3):
                group.start_soon(child, n, got)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 10)
            await anyio.sleep(0.001)
            group.cancel_scope.cancel()
        return got

    assert seen(run, handler) == [0, 1, 2]


def test_a_group_whose_child_fails(run: Run) -> None:
    async def fails() -> None:
        await anyio.sleep(0)
        raise ValueError("child")

    async def handler() -> list[str]:
        got: list[str] = []
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(fails)
                await anyio.sleep(10)
        except* ValueError as exc:
            got.append(str(exc.exceptions[0]))
        return got

    assert seen(run, handler) == ["child"]


def test_threads_there_and_back(run: Run) -> None:
    async def double(n: int) -> int:
        await anyio.sleep(0)
        return 2 * n

    def work(n: int) -> int:
        return anyio.from_thread.run(double, n) + anyio.from_thread.run_sync(lambda: 1)

    async def handler() -> list[int]:
        return [await anyio.to_thread.run_sync(work, n) for n in range(3)]

    assert seen(run, handler) == [1, 3, 5]


def test_threads_are_used_again(run: Run) -> None:
    """anyio keeps its workers only where it finds the root task: else each call starts a thread."""

    async def handler() -> int:
        return len({await anyio.to_thread.run_sync(threading.get_ident) for _ in range(5)})

    assert seen(run, handler) == 1


def test_streams_and_events(run: Run) -> None:
    async def handler() -> list[int]:
        send, receive = anyio.create_memory_object_stream[int](1)
        got: list[int] = []

        async def produce() -> None:
            async with send:
                for n in range(3):
                    await send.send(n)

        async with anyio.create_task_group() as group:
            group.start_soon(produce)
            async with receive:
                async for n in receive:
                    got.append(n)
        return got

    assert seen(run, handler) == [0, 1, 2]
