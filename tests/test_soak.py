"""The short form of `make soak`, and what many timers cost those that have none."""

from __future__ import annotations

import asyncio
import time

import weft

from . import soak


def test_loops_that_come_and_go_leave_nothing() -> None:
    with soak.warned() as said:
        before, after = soak.soak(30)
    before.resident_kib = after.resident_kib  # says nothing about so few, or under a sanitizer
    assert soak.complaints(before, after) + said == []


def test_churn_leaves_nothing() -> None:
    with soak.warned() as said:
        before, after = soak.hour(0.002)
    before.resident_kib = after.resident_kib
    assert soak.complaints(before, after) + said == []


def test_ten_thousand_cancelled_timers_do_not_slow_a_tick() -> None:
    async def ticks() -> float:
        best = float("inf")
        for _ in range(5):
            start = time.process_time()
            for _ in range(2000):
                await asyncio.sleep(0)
            best = min(best, time.process_time() - start)
        return best

    async def main() -> None:
        loop = asyncio.get_running_loop()
        alone = await ticks()
        timers = [loop.call_later(60 + n, print) for n in range(10_000)]
        for timer in timers:
            timer.cancel()
        assert await ticks() < 3 * alone + 0.001
        assert not loop._scheduled  # type: ignore[attr-defined]

    weft.run(main())
