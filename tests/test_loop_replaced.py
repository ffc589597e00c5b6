"""Attributes of a loop that programs replace: honoured where asyncio honours them."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

import weft

from .loops import KINDS, Reports, turn
from .loops import loop as loop

Loop = asyncio.AbstractEventLoop
BASES: dict[str, type[Any]] = {"asyncio": asyncio.SelectorEventLoop, "weft": weft.Loop}


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


# ---- time


def test_time_is_what_call_later_counts_from(loop: Loop) -> None:
    with mock.patch.object(loop, "time", Clock()):
        assert loop.time() == 1000.0
        handle = loop.call_later(5, print)
        assert handle.when() == 1005.0
        handle.cancel()
    assert loop.time() != 1000.0
    handle = loop.call_later(5, print)
    assert 0 < handle.when() - loop.time() <= 5
    handle.cancel()


def test_timers_fire_when_the_replaced_clock_says_so(loop: Loop) -> None:
    clock = Clock()
    loop.time = clock  # type: ignore[method-assign]
    got: list[float] = []
    for delay in (30, 10, 20, 10.5):
        loop.call_later(delay, got.append, delay)
    loop.call_later(15, pytest.fail, "it was cancelled").cancel()
    for _ in range(3):
        turn(loop)
    assert got == []
    clock.advance(20)
    turn(loop)
    turn(loop)
    assert got == [10, 10.5, 20]
    clock.advance(1e6)
    turn(loop)
    turn(loop)
    assert got == [10, 10.5, 20, 30]


def test_equal_times_of_a_replaced_clock_fire_in_order() -> None:
    loop = weft.new_event_loop()
    loop.time = clock = Clock()  # type: ignore[method-assign]
    got: list[int] = []
    for n in range(20):
        loop.call_at(1001.0, got.append, n)
    clock.advance(1)
    turn(loop)
    turn(loop)
    assert got == list(range(20))
    loop.close()


def test_sleep_and_timeout_follow_the_replaced_clock(loop: Loop) -> None:
    clock = Clock()

    async def main() -> str:
        asyncio.get_running_loop().call_soon(clock.advance, 3600)
        assert await asyncio.sleep(3600, "slept") == "slept"
        asyncio.get_running_loop().call_soon(clock.advance, 7200)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7200):
                await asyncio.Event().wait()
        return "done"

    with mock.patch.object(loop, "time", clock):
        assert loop.run_until_complete(main()) == "done"


def test_timers_from_before_and_after_a_replaced_clock_fire(loop: Loop) -> None:
    got: list[str] = []
    before = loop.time()
    loop.call_later(0.01, got.append, "before")
    loop.call_later(3600, got.append, "never").cancel()
    with mock.patch.object(loop, "time", Clock(before)):
        loop.call_later(0.005, got.append, "during")
        turn(loop)
        assert got == []
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert got == ["during", "before"]


def test_a_callback_replaces_the_clock_by_one_that_says_less(loop: Loop) -> None:
    clock = Clock(0.0)
    got: list[str] = []

    def replace() -> None:
        loop.time = clock  # type: ignore[method-assign]
        loop.call_later(1, got.append, "later")

    turn(loop)
    loop.call_soon(replace)
    turn(loop)
    turn(loop)
    assert got == []
    clock.advance(1)
    turn(loop)
    assert got == ["later"]


def test_times_below_zero_are_in_order(loop: Loop) -> None:
    clock = Clock(-3.0)
    loop.time = clock  # type: ignore[method-assign]
    got: list[float] = []
    for delay in (2.0, 4.0, 1.0):
        loop.call_later(delay, got.append, delay)
    clock.advance(2.5)
    turn(loop)
    assert got == [1.0, 2.0]
    clock.advance(2)
    turn(loop)
    assert got == [1.0, 2.0, 4.0]


def test_a_wait_ends_by_the_clock_of_the_machine(loop: Loop) -> None:
    """A clock that runs, only elsewhere: nobody is woken by another thing than the timer."""
    real = loop.time
    loop.time = lambda: real() - 5000  # type: ignore[method-assign]
    handle = loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert loop.time() >= handle.when() - 1e-6


def test_a_clock_is_replaced_while_the_loop_waits(loop: Loop) -> None:
    clock = Clock(loop.time())
    got: list[str] = []

    def elsewhere() -> None:
        loop.time = clock  # type: ignore[method-assign]
        clock.advance(3600)
        loop.call_soon_threadsafe(loop.stop)

    loop.call_later(1800, got.append, "half an hour")
    thread = threading.Thread(target=elsewhere)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    turn(loop)
    turn(loop)
    assert got == ["half an hour"]


def test_a_clock_that_raises_ends_the_run(loop: Loop) -> None:
    with mock.patch.object(loop, "time", side_effect=LookupError("no clock")):
        loop.call_soon(loop.stop)
        with pytest.raises(LookupError, match="no clock"):
            loop.run_forever()
    turn(loop)


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_that_inherits_has_its_own_time(kind: str) -> None:
    class Slow(BASES[kind]):  # type: ignore[misc]
        def time(self) -> float:
            return 10 + super().time() / 1000  # type: ignore[no-any-return]

    loop = Slow()
    assert loop.call_later(1, print).when() < 1000 + loop.time()
    got: list[int] = []
    loop.call_later(0.00001, got.append, 1)  # a hundredth of a second for all others
    loop.call_later(0.00002, loop.stop)
    loop.run_forever()
    assert got == [1]
    loop.close()


def test_call_later_asks_call_at(loop: Loop) -> None:
    with mock.patch.object(loop, "call_at", wraps=loop.call_at) as call_at:
        handle = loop.call_later(7, print, "a", "b")
    assert call_at.call_count == 1
    (when, callback, *rest), options = call_at.call_args
    assert (when, callback, rest) == (handle.when(), print, ["a", "b"])
    assert options == {"context": None}
    with mock.patch.object(loop, "call_at"), pytest.raises(TypeError, match="delay must not be"):
        loop.call_later(None, print)  # type: ignore[arg-type]
    handle.cancel()


def test_a_replaced_clock_is_collected_with_its_loop() -> None:
    loop = weft.new_event_loop()
    loop.time = mock.Mock(wraps=loop.time)  # type: ignore[method-assign]
    loop.call_later(1e6, print)
    turn(loop)
    assert loop.time.call_count >= 2
    loop.close()


# ---- the others


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("call_soon", lambda: asyncio.sleep(0.001)),  # a future's callbacks
        ("call_later", lambda: asyncio.sleep(0.001)),
        ("create_future", lambda: asyncio.sleep(0.001)),
        ("create_task", lambda: asyncio.gather(asyncio.sleep(0))),
        ("run_in_executor", lambda: asyncio.to_thread(int)),
        ("sock_connect", lambda: _connect()),
        ("create_connection", lambda: _connect()),
        ("create_server", lambda: _serve()),
        ("subprocess_exec", lambda: _child()),
    ],
)
def test_a_replaced_method_is_asked(loop: Loop, name: str, use: Callable[[], Any]) -> None:
    async def main() -> None:
        with mock.patch.object(loop, name, wraps=getattr(loop, name)) as replaced:
            await use()
        assert replaced.called

    loop.run_until_complete(main())


async def _serve() -> asyncio.Server:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    server.close()
    return server


async def _connect() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening:
        _, writer = await asyncio.open_connection(*listening.getsockname())
        writer.close()
        await writer.wait_closed()


async def _child() -> None:
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0


def test_a_connection_asks_the_replaced_getaddrinfo(loop: Loop) -> None:
    async def look_up(host: str, port: int, **options: Any) -> list[Any]:
        assert host == "nowhere.invalid"
        kind = socket.SOCK_STREAM, socket.IPPROTO_TCP
        return [(socket.AF_INET, *kind, "", ("127.0.0.1", port))]

    async def main() -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as listening,
            mock.patch.object(loop, "getaddrinfo", look_up),
        ):
            port = listening.getsockname()[1]
            _, writer = await asyncio.open_connection("nowhere.invalid", port)
            writer.close()
            await writer.wait_closed()

    loop.run_until_complete(main())


@pytest.mark.parametrize("whose", ["reader", "protocol"])
def test_a_spy_on_one_stream_is_called(loop: Loop, whose: str) -> None:
    async def main() -> None:
        a, b = socket.socketpair()
        with b:
            reader, writer = await asyncio.open_connection(sock=a)
            b.send(b"before")
            assert await reader.readexactly(6) == b"before"
            spied: Any = reader
            name = "feed_data"
            if whose == "protocol":
                spied, name = writer.transport.get_protocol(), "data_received"
            with mock.patch.object(spied, name, wraps=getattr(spied, name)) as spy:
                b.send(b"during")
                assert await reader.readexactly(6) == b"during"
            spy.assert_called_once_with(b"during")
            b.send(b"after")
            assert await reader.readexactly(5) == b"after"
            writer.close()
            await writer.wait_closed()

    loop.run_until_complete(main())


def test_names_are_looked_up_by_the_replaced_executor(loop: Loop) -> None:
    async def look_up(executor: None, function: Callable[..., Any], *args: Any) -> list[Any]:
        assert function is socket.getaddrinfo
        return ["an answer"]

    async def main() -> None:
        with mock.patch.object(loop, "run_in_executor", side_effect=look_up):
            assert await loop.getaddrinfo("nowhere.invalid", 80) == ["an answer"]

    loop.run_until_complete(main())


def test_a_replaced_exception_handler_is_called(loop: Loop) -> None:
    with mock.patch.object(loop, "call_exception_handler") as told:
        loop.call_soon(lambda: 1 / 0)
        turn(loop)
    assert isinstance(told.call_args.args[0]["exception"], ZeroDivisionError)
    with mock.patch.object(loop, "default_exception_handler") as told:
        loop.call_soon(lambda: 1 / 0)
        turn(loop)
    assert isinstance(told.call_args.args[0]["exception"], ZeroDivisionError)
    reports = Reports(loop)
    loop.call_soon(lambda: 1 / 0)
    turn(loop)
    assert len(reports) == 1


def test_slow_callback_duration(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    loop.set_debug(True)
    with caplog.at_level(logging.WARNING, logger="asyncio"):
        loop.slow_callback_duration = 3600
        turn(loop)
        assert not caplog.records
        loop.slow_callback_duration = 0
        turn(loop)
    assert "took 0.0" in caplog.text
    loop.set_debug(False)
