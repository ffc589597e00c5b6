"""call_soon, call_later, handles: when what is called, with what, and what is left behind."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import logging
import math
import signal
import socket
import sys
import threading
import time
import weakref
from asyncio import AbstractEventLoop
from typing import Any

import pytest

import weft

from .loops import KINDS, Reports, loop, turn

__all__ = ["loop"]

Loop = AbstractEventLoop


# ---- call_soon


@pytest.mark.parametrize("n", range(5))
def test_arguments_arrive(loop: Loop, n: int) -> None:
    got: list[tuple[int, ...]] = []
    loop.call_soon(lambda *args: got.append(args), *range(n))
    turn(loop)
    assert got == [tuple(range(n))]


def test_order_is_that_of_the_calls(loop: Loop) -> None:
    got: list[int] = []
    for i in range(300):  # past the first growth of the queue
        loop.call_soon(got.append, i)
    turn(loop)
    assert got == list(range(300))


def test_order_holds_when_the_queue_wraps_and_grows(loop: Loop) -> None:
    got: list[int] = []
    count = iter(range(10_000))

    def more() -> None:
        for _ in range(3):
            loop.call_soon(got.append, next(count))
        if len(got) < 600:
            loop.call_soon(more)

    loop.call_soon(more)
    for _ in range(400):
        turn(loop)
    assert len(got) >= 600
    assert got == list(range(len(got)))


def test_what_a_callback_queues_waits_for_the_next_turn(loop: Loop) -> None:
    got: list[str] = []

    def first() -> None:
        loop.call_soon(got.append, "queued by first")
        got.append("first")

    loop.call_soon(first)
    loop.call_soon(got.append, "second")
    turn(loop)
    assert got == ["first", "second"]
    turn(loop)
    assert got == ["first", "second", "queued by first"]


def test_stop_ends_after_the_turn(loop: Loop) -> None:
    got: list[int] = []
    loop.call_soon(loop.stop)
    loop.call_soon(got.append, 1)
    loop.run_forever()
    assert got == [1]


def test_stop_before_run_runs_one_turn(loop: Loop) -> None:
    got: list[int] = []
    loop.call_soon(got.append, 1)
    loop.stop()
    loop.run_forever()
    assert got == [1]


def test_a_context_is_entered(loop: Loop) -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="outside")
    mine = contextvars.copy_context()
    mine.run(var.set, "mine")
    got: list[str] = []
    loop.call_soon(lambda: got.append(var.get()), context=mine)
    loop.call_soon(lambda: got.append(var.get()))
    loop.call_later(0, lambda: got.append(var.get()), context=mine)  # type: ignore[misc]
    loop.call_soon_threadsafe(lambda: got.append(var.get()), context=mine)
    turn(loop)
    turn(loop)
    assert sorted(got) == ["mine", "mine", "mine", "outside"]


def test_the_context_is_a_copy_from_the_time_of_the_call(loop: Loop) -> None:
    var: contextvars.ContextVar[int] = contextvars.ContextVar("var", default=0)
    got: list[int] = []

    def callback() -> None:
        got.append(var.get())
        var.set(7)

    def scenario() -> None:
        var.set(1)
        loop.call_soon(callback)
        var.set(2)
        turn(loop)
        got.append(var.get())

    contextvars.copy_context().run(scenario)
    assert got == [1, 2]


def test_an_unknown_keyword_is_refused(loop: Loop) -> None:
    for call in (loop.call_soon, loop.call_soon_threadsafe):
        with pytest.raises(TypeError):
            call(print, contest=None)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        loop.call_soon()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        loop.call_later(1)  # type: ignore[call-arg]


def test_many_threads_wake_a_waiting_loop(loop: Loop) -> None:
    got: list[int] = []

    def add(i: int) -> None:
        got.append(i)
        if len(got) == 400:
            loop.stop()

    def work(base: int) -> None:
        for i in range(100):
            loop.call_soon_threadsafe(add, base + i)
            if i % 10 == 0:
                time.sleep(0.0005)

    threads = [threading.Thread(target=work, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    loop.run_forever()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(400))
    for n in range(4):  # those of one thread in their order
        mine = [i for i in got if i // 100 == n]
        assert mine == sorted(mine)


# ---- busy callbacks, and those who wait meanwhile


class Busy:
    """A chain of call_soon, each link as short as can be; long since at it when start() is over."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.links, self.on = loop, 0, True

    def link(self) -> None:
        self.links += 1
        if self.on:
            self.loop.call_soon(self.link)

    async def start(self) -> None:
        self.link()
        for _ in range(1000):
            await asyncio.sleep(0)


SOON_S = 10  # on a busy machine; it is some 50 us, and who is starved waits for ever


def test_busy_callbacks_do_not_starve_a_descriptor(loop: Loop) -> None:
    a, b = socket.socketpair()

    async def main() -> None:
        busy = Busy(loop)
        await busy.start()
        seen = loop.create_future()
        loop.add_reader(a, lambda: seen.done() or seen.set_result(time.monotonic()))
        await asyncio.sleep(0.01)
        sent = time.monotonic()
        b.send(b"x")
        assert await seen - sent < SOON_S
        loop.remove_reader(a)
        busy.on = False

    with a, b:
        loop.run_until_complete(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("delay", [0, 0.001, 0.02])
def test_busy_callbacks_do_not_starve_a_timer(loop: Loop, delay: float) -> None:
    async def main() -> None:
        busy = Busy(loop)
        await busy.start()
        start = loop.time()
        await asyncio.sleep(delay or 1e-9)
        assert loop.time() - start < delay + SOON_S
        busy.on = False

    loop.run_until_complete(asyncio.wait_for(main(), 30))


def test_busy_callbacks_do_not_starve_threads(loop: Loop) -> None:
    async def main() -> None:
        busy = Busy(loop)
        await busy.start()
        start = time.monotonic()
        called = loop.create_future()
        other = threading.Thread(target=loop.call_soon_threadsafe, args=(called.set_result, None))
        other.start()
        await called
        await loop.run_in_executor(None, time.sleep, 0)
        assert time.monotonic() - start < SOON_S
        busy.on = False
        other.join()

    loop.run_until_complete(asyncio.wait_for(main(), 30))


def test_busy_callbacks_do_not_starve_a_signal(loop: Loop) -> None:
    async def main() -> None:
        busy = Busy(loop)
        await busy.start()
        told = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, told.set_result, None)
        start = time.monotonic()
        signal.raise_signal(signal.SIGUSR1)
        await told
        assert time.monotonic() - start < SOON_S
        loop.remove_signal_handler(signal.SIGUSR1)
        busy.on = False

    loop.run_until_complete(asyncio.wait_for(main(), 30))


def test_a_few_turns_are_enough_to_see_what_has_arrived(loop: Loop) -> None:
    a, b = socket.socketpair()
    seen: list[bytes] = []

    async def main() -> None:
        loop.add_reader(a, lambda: seen.append(a.recv(10)))
        for n in range(1, 10):
            b.send(b"x")
            for _ in range(3):
                await asyncio.sleep(0)
            assert len(seen) == n
        loop.remove_reader(a)

    with a, b:
        loop.run_until_complete(main())


def test_callbacks_that_turn_slow_do_not_keep_a_descriptor_waiting(loop: Loop) -> None:
    """After many short turns the loop looks at the clock less often: for three turns at most."""
    a, b = socket.socketpair()
    slow = 0

    def chain(turns: int) -> None:
        nonlocal slow
        if turns == 0:
            b.send(b"x")
        elif turns < 0:
            slow += 1
            time.sleep(0.002)
        loop.call_soon(chain, turns - 1)

    with a, b:
        loop.add_reader(a, loop.stop)
        loop.call_soon(chain, 500)
        loop.run_forever()
        loop.remove_reader(a)
    assert slow <= 5


# ---- handles


def test_a_cancelled_handle_is_not_called(loop: Loop) -> None:
    got: list[int] = []
    handle = loop.call_soon(got.append, 1)
    assert not handle.cancelled()
    handle.cancel()
    handle.cancel()
    assert handle.cancelled()
    turn(loop)
    assert got == []


def test_a_callback_may_cancel_itself_and_others(loop: Loop) -> None:
    got: list[int] = []
    handles: list[asyncio.Handle] = []

    def cancel_all() -> None:
        for handle in handles:
            handle.cancel()

    handles.append(loop.call_soon(cancel_all))
    handles.append(loop.call_soon(got.append, 1))
    handles.append(loop.call_later(0, got.append, 2))
    turn(loop)
    turn(loop)
    assert got == []


def test_a_handle_is_an_asyncio_handle_and_prints_like_one(loop: Loop) -> None:
    def callback() -> None: ...

    handle = loop.call_soon(callback)
    assert isinstance(handle, asyncio.Handle)
    assert not isinstance(handle, asyncio.TimerHandle)
    line = callback.__code__.co_firstlineno
    assert repr(handle) == f"<Handle {callback.__qualname__}() at {__file__}:{line}>"
    handle.cancel()
    assert repr(handle) == "<Handle cancelled>"
    timer = loop.call_at(12.5, callback)
    assert isinstance(timer, asyncio.TimerHandle)
    assert repr(timer).startswith("<TimerHandle when=12.5 ")
    timer.cancel()
    assert repr(timer) == "<TimerHandle cancelled when=12.5>"


def test_a_handle_can_be_referenced_weakly(loop: Loop) -> None:
    handle = loop.call_soon(print)
    ref = weakref.ref(handle)
    assert ref() is handle
    handle.cancel()
    turn(loop)
    del handle
    assert ref() is None


def test_timers_compare_by_time(loop: Loop) -> None:
    def callback() -> None: ...

    early, late = loop.call_at(1e9, callback), loop.call_at(2e9, callback)
    same = loop.call_at(1e9, callback)
    assert early < late
    assert late > early
    assert early <= late
    assert late >= early
    assert early == same
    assert early <= same
    assert hash(early) == hash(same) == hash(1e9)
    assert early != late
    assert early != loop.call_at(1e9, callback, 1)
    assert early != 1e9
    with pytest.raises(TypeError):
        _ = early < 1e9  # type: ignore[operator]
    same.cancel()
    assert early != same
    assert early.when() == 1e9


def test_a_handle_lets_go_of_what_it_called(loop: Loop) -> None:
    class Thing: ...

    thing = Thing()
    ref = weakref.ref(thing)
    loop.call_soon(lambda _: None, thing)
    loop.call_later(3600, lambda _: None, thing).cancel()
    loop.call_later(0, lambda *_: None, thing, thing, thing)
    del thing
    assert ref() is not None
    turn(loop)
    turn(loop)
    assert ref() is None


class Keeper:
    """Keeps the handles of its own calls, so that they and it make a cycle."""

    def __init__(self, loop: Loop, count: int = 3) -> None:
        self.loop = loop
        self.handles = [loop.call_soon(self.callback) for _ in range(count)]
        self.handles += [loop.call_later(n, self.callback) for n in (0, 3600, 3600)]

    def callback(self) -> None: ...


def test_a_handle_that_is_kept_after_its_run_is_collected(loop: Loop) -> None:
    keeper = Keeper(loop)
    ref = weakref.ref(keeper)
    keeper.handles.pop().cancel()
    keeper.handles.pop().cancel()
    turn(loop)
    turn(loop)
    del keeper
    gc.collect()
    assert ref() is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_unclosed_loop_is_collected_with_what_it_has_not_run(kind: str) -> None:
    """The collector does not know its handles one by one, but sees them through the loop."""

    def make() -> list[weakref.ref[Any]]:
        loop = KINDS[kind]()
        loop.call_soon(lambda: loop)
        loop.call_later(3600, lambda: loop)
        keeper = Keeper(loop)
        loop.call_soon(keeper.callback)  # kept by nobody, after those that are
        return [weakref.ref(keeper), weakref.ref(loop)]

    refs = make()
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


@pytest.mark.parametrize("kept", [False, True])
def test_a_collection_while_callbacks_wait_takes_none_away(loop: Loop, kept: bool) -> None:
    ran: list[int] = []
    handles: list[asyncio.Handle] = []
    for n in range(3000):
        handle = loop.call_soon(ran.append, n)
        timer = loop.call_later(0, ran.append, n)
        if kept:
            handles += handle, timer
    gc.collect()
    loop.call_soon(gc.collect)
    turn(loop)
    turn(loop)
    assert sorted(ran) == sorted([*range(3000), *range(3000)])
    assert len(handles) == 6000 * kept


def test_callbacks_leak_nothing(loop: Loop) -> None:
    def callback(*args: object) -> None: ...

    arguments = [object(), object(), object()]

    def churn() -> None:
        for i in range(4):
            loop.call_soon(callback, *arguments[:i])
            loop.call_later(0, callback, *arguments[:i])
            loop.call_later(60, callback, *arguments[:i]).cancel()
            loop.call_soon(callback, *arguments[:i]).cancel()
        turn(loop)
        turn(loop)

    churn()
    before = [sys.getrefcount(o) for o in (callback, *arguments)]
    for _ in range(200):
        churn()
    gc.collect()
    assert [sys.getrefcount(o) for o in (callback, *arguments)] == before


# ---- timers


def test_timers_fire_in_order_of_their_time(loop: Loop) -> None:
    got: list[float] = []
    now = loop.time()
    for delay in (0.003, 0.001, 0.002, -1.0, 0.0):
        loop.call_at(now + delay, got.append, delay)
    loop.call_at(now + 0.01, loop.stop)
    loop.run_forever()
    assert got == [-1.0, 0.0, 0.001, 0.002, 0.003]


def test_equal_times_fire_in_the_order_they_were_asked_for(loop: Loop) -> None:
    if isinstance(loop, asyncio.SelectorEventLoop) and not isinstance(loop, weft.Loop):
        pytest.skip("asyncio's heap does not promise it")
    got: list[int] = []
    when = loop.time() + 0.002
    for i in range(50):
        loop.call_at(when, got.append, i)
    loop.call_at(when + 0.001, loop.stop)
    loop.run_forever()
    assert got == list(range(50))


def test_a_timer_is_never_early(loop: Loop) -> None:
    late: list[float] = []
    for i in range(20):
        when = loop.time() + i * 0.0007
        loop.call_at(when, lambda when=when: late.append(loop.time() - when))
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert len(late) == 20
    # asyncio allows one clock tick
    assert min(late) >= -time.get_clock_info("monotonic").resolution
    assert max(late) < 10


def test_time_is_monotonic_time(loop: Loop) -> None:
    before = time.monotonic()
    now = loop.time()
    assert before <= now <= time.monotonic()


@pytest.mark.parametrize("delay", [math.inf, 1e300, 1e12])
def test_a_timer_in_the_far_future_does_not_fire(loop: Loop, delay: float) -> None:
    handle = loop.call_later(delay, pytest.fail, "it fired")
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert handle.when() > loop.time() + 1e11
    handle.cancel()


@pytest.mark.parametrize("when", [-math.inf, 0, True, -5])
def test_a_timer_in_the_past_fires_at_once(loop: Loop, when: float) -> None:
    got: list[int] = []
    loop.call_at(when, got.append, 1)
    turn(loop)
    assert got == [1]


def test_what_is_not_a_time_is_refused(loop: Loop) -> None:
    with pytest.raises(TypeError, match="delay must not be None"):
        loop.call_later(None, print)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="when cannot be None"):
        loop.call_at(None, print)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        loop.call_later("soon", print)  # type: ignore[arg-type]


def test_a_timer_cancelled_by_an_earlier_one_of_the_same_turn(loop: Loop) -> None:
    got: list[int] = []
    second: list[asyncio.TimerHandle] = []
    when = loop.time() + 0.001
    loop.call_at(when, lambda: second[0].cancel())
    second.append(loop.call_at(when + 1e-6, got.append, 1))
    time.sleep(0.003)  # both are due at once
    turn(loop)
    turn(loop)
    assert got == []


def test_what_a_timer_starts_in_the_past_waits_for_the_next_turn(loop: Loop) -> None:
    got: list[str] = []
    when = loop.time()

    def first() -> None:
        got.append("first")
        loop.call_at(when - 1, got.append, "in the past")
        loop.call_soon(got.append, "soon")

    loop.call_at(when, first)
    loop.call_at(when + 1e-6, got.append, "second")
    time.sleep(0.001)  # both are due at once
    turn(loop)
    assert got == ["first", "second"]
    turn(loop)
    assert got == ["first", "second", "soon", "in the past"]


def test_an_exception_that_ends_the_run_leaves_the_timers_that_are_due(loop: Loop) -> None:
    got: list[int] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    when = loop.time()
    loop.call_at(when, interrupt)
    loop.call_at(when + 1e-6, got.append, 1)
    time.sleep(0.001)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert got == []
    turn(loop)
    assert got == [1]


def test_ten_thousand_cancelled_timers_hold_nothing() -> None:
    loop = weft.new_event_loop()
    handles = [loop.call_later(3600 + i, print) for i in range(10_000)]
    for handle in handles:
        handle.cancel()
    assert loop._scheduled == []
    loop.close()


def test_a_loop_closed_with_timers_lets_them_go(loop: Loop) -> None:
    class Thing: ...

    thing = Thing()
    ref = weakref.ref(thing)
    timer = loop.call_later(3600, lambda _: None, thing)
    loop.call_soon(lambda _: None, thing)
    loop.close()
    timer.cancel()
    del thing, timer
    gc.collect()
    assert ref() is None


def test_another_thread_may_start_and_cancel_timers_while_the_loop_waits() -> None:
    """Not allowed, but seen in the wild: it must not crash, and the timer must fire."""
    loop = weft.new_event_loop()
    loop.set_debug(False)
    got: list[str] = []

    def intrude() -> None:
        time.sleep(0.01)  # the loop waits for an hour now
        loop.call_later(7200, got.append, "never").cancel()
        armed.cancel()
        loop.call_later(0.001, got.append, "late")
        loop.call_later(0.35, loop.stop)

    armed = loop.call_later(0.3, got.append, "cancelled while armed")  # or so it should be by then
    loop.call_later(3600, got.append, "never")
    thread = threading.Thread(target=intrude)
    thread.start()
    loop.run_forever()
    thread.join()
    assert got == ["late"]
    loop.close()


# ---- exceptions


def test_an_exception_goes_to_the_handler_and_the_turn_goes_on(loop: Loop) -> None:
    reports, got = Reports(loop), []

    def fail(*args: object) -> None:
        raise ValueError("no")

    handle = loop.call_soon(fail, 1)
    loop.call_soon(got.append, 1)
    turn(loop)
    assert got == [1]
    assert [str(e) for e in reports.exceptions] == ["no"]
    assert reports[0]["handle"] is handle
    assert reports[0]["message"].startswith(f"Exception in callback {fail.__qualname__}(")
    assert "source_traceback" not in reports[0]
    frames = []
    tb = reports.exceptions[0].__traceback__
    while tb is not None:
        frames.append(tb.tb_frame.f_code.co_name)
        tb = tb.tb_next
    assert frames[-1] == "fail"


def test_what_cannot_be_called_is_reported(loop: Loop) -> None:
    reports = Reports(loop)
    loop.call_soon(5)  # type: ignore[arg-type]
    turn(loop)
    assert isinstance(reports.exceptions[0], TypeError)


def test_a_context_that_is_entered_already_is_reported(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    context = contextvars.copy_context()

    def scenario() -> None:
        loop.call_soon(print, context=context)
        turn(loop)

    context.run(scenario)
    assert "is already entered" in caplog.text


def test_the_default_handler_logs(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    loop.call_soon(lambda: 1 / 0)
    turn(loop)
    assert "Exception in callback" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_ends_the_run(loop: Loop, kind: type[BaseException]) -> None:
    def fail() -> None:
        raise kind

    got: list[int] = []
    loop.call_soon(fail)
    loop.call_soon(got.append, 1)
    with pytest.raises(kind):
        loop.run_forever()
    assert not loop.is_running()
    assert got == []
    turn(loop)  # what was queued is still there
    assert got == [1]


def test_another_base_exception_is_reported(loop: Loop) -> None:
    class Odd(BaseException): ...

    def fail() -> None:
        raise Odd

    reports = Reports(loop)
    loop.call_soon(fail)
    turn(loop)
    assert isinstance(reports.exceptions[0], Odd)


def test_an_exception_handler_that_fails_is_logged(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(loop: Loop, context: dict[str, Any]) -> None:
        raise ValueError("worse")

    loop.set_exception_handler(handler)
    loop.call_soon(lambda: 1 / 0)
    turn(loop)
    assert "Unhandled error in exception handler" in caplog.text


# ---- debug mode


def test_debug_mode_names_slow_callbacks(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    loop.set_debug(True)
    loop.slow_callback_duration = 0.001  # type: ignore[attr-defined]
    loop.call_soon(time.sleep, 0.003)
    with caplog.at_level(logging.WARNING, "asyncio"):
        turn(loop)
    assert "Executing <Handle sleep(0.003) created at" in caplog.text


def test_debug_mode_knows_where_a_handle_was_made(loop: Loop) -> None:
    loop.set_debug(True)
    reports = Reports(loop)
    handle = loop.call_soon(lambda: 1 / 0)
    assert f"created at {__file__}:" in repr(handle)
    cancelled = loop.call_later(1, print)
    cancelled.cancel()
    assert "created at" in repr(cancelled)
    turn(loop)
    assert reports[0]["source_traceback"][-1].filename == __file__


def test_debug_mode_refuses_what_is_no_callback(loop: Loop) -> None:
    loop.set_debug(True)

    async def coroutine() -> None: ...

    with pytest.raises(TypeError, match="coroutines cannot be used with call_soon"):
        loop.call_soon(coroutine)
    with pytest.raises(TypeError, match="a callable object was expected by call_at"):
        loop.call_at(1, 5)  # type: ignore[arg-type]


def test_debug_mode_refuses_the_wrong_thread(loop: Loop) -> None:
    loop.set_debug(True)
    got: list[Exception] = []

    def intrude() -> None:
        for call in (lambda: loop.call_soon(print), lambda: loop.call_later(1, print)):
            try:
                call()
            except RuntimeError as exc:
                got.append(exc)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=intrude)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    assert len(got) == 2


# ---- a closed loop


def test_a_closed_loop_takes_nothing(loop: Loop) -> None:
    loop.close()
    loop.close()
    assert loop.is_closed()
    for call in (
        lambda: loop.call_soon(print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.call_later(1, print),
        lambda: loop.call_at(1, print),
        lambda: loop.run_forever(),
        lambda: loop.add_reader(0, print),
    ):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            call()
    assert loop.remove_reader(0) is False
    loop.stop()


@pytest.mark.parametrize("later", [False, True])
def test_contexts_of_many_that_wait(loop: Loop, later: bool) -> None:
    """The collector does not look at them but sees through them; whoever asks has ordinary ones."""
    var: contextvars.ContextVar[object] = contextvars.ContextVar("var")
    ran: list[object] = []
    handles: list[Any] = []
    for n in range(300):
        var.set(n)
        call = functools.partial(loop.call_later, 0) if later else loop.call_soon
        handles.append(call(lambda: ran.append(var.get())))
    gc.collect()
    assert [handle._context[var] for handle in handles[::7]] == list(range(0, 300, 7))
    handles[1].cancel()
    del handles[100:]
    gc.collect()
    while len(ran) < 299:
        turn(loop)
    assert ran == [n for n in range(300) if n != 1]
    del handles[:]
    gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed event loop")
def test_a_context_may_hold_its_loop() -> None:
    def make() -> weakref.ref[Loop]:
        loop = weft.new_event_loop()
        var.set(loop)
        for _ in range(300):
            loop.call_soon(int)
            loop.call_later(1000, int)
        return weakref.ref(loop)

    var: contextvars.ContextVar[object] = contextvars.ContextVar("var")
    gone = contextvars.Context().run(make)
    gc.collect()
    assert gone() is None


@pytest.mark.filterwarnings("ignore:unclosed event loop")
@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize("later", [False, True])
def test_the_last_handle_may_be_kept_by_what_its_loop_keeps(later: bool, runs: bool) -> None:
    """A loop that nobody closed and nobody has is collected all the same."""

    def make() -> weakref.ref[Loop]:
        loop = weft.new_event_loop()
        kept: list[object] = [loop]

        def schedule() -> None:
            call = functools.partial(loop.call_later, 1000) if later else loop.call_soon
            kept.append(call(kept.clear))

        loop.call_soon(schedule if runs else int)
        loop.stop()
        if runs:
            loop.run_forever()
        else:
            schedule()
        assert len(kept) == 2
        return weakref.ref(loop)

    gone = make()
    gc.collect()
    assert gone() is None
