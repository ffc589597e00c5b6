"""Handlers as tasks: from inside, a handler cannot be told from a coroutine in an asyncio.Task.

A test that asks for `run` runs its scenario both as an asyncio.Task and as a handler."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
import traceback
import types
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import Any

import pytest

import weft
from weft import _core

from .loops import Reports

Handler = Callable[[], Coroutine[Any, Any, Any]]
Run = Callable[[Handler], Awaitable[Any]]


async def as_task(handler: Handler) -> Any:
    return await asyncio.ensure_future(handler())


async def as_handler(handler: Handler) -> Any:
    runner = _core._HandlerRunner(asyncio.get_running_loop())
    ((future, _),) = runner.run(handler())
    return await future


@pytest.fixture(params=[as_task, as_handler])
def run(request: pytest.FixtureRequest) -> Run:
    return request.param  # type: ignore[no-any-return]


def seen(run: Run, handler: Handler) -> Any:
    """What a handler returned or raised, on our loop."""

    async def main() -> Any:
        return await run(handler)

    return weft.run(main())


def runner() -> _core._HandlerRunner:
    return _core._HandlerRunner(asyncio.get_running_loop())


# ---- who am I


def test_it_is_a_current_task_from_the_first_instruction(run: Run) -> None:
    async def handler() -> None:
        task = asyncio.current_task()
        assert task is not None
        assert isinstance(task, asyncio.Task)
        assert asyncio.isfuture(task)
        assert task in asyncio.all_tasks()
        assert not task.done()
        assert not task.cancelled()
        assert task.get_loop() is asyncio.get_running_loop()
        assert task.get_coro().cr_code is handler.__code__  # type: ignore[union-attr]
        assert task.cancelling() == 0
        assert task.get_stack()[-1].f_code is handler.__code__
        assert repr(task).startswith(f"<{type(task).__name__} pending name='{task.get_name()}'")
        assert handler.__qualname__ in repr(task)
        with pytest.raises(asyncio.InvalidStateError):
            task.result()
        with pytest.raises(asyncio.InvalidStateError):
            task.exception()
        with pytest.raises(RuntimeError):
            task.set_result(1)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert asyncio.current_task() is task
        await asyncio.sleep(0.001)
        assert asyncio.current_task() is task

    seen(run, handler)


def test_nobody_is_current_between_handlers() -> None:
    async def quick() -> None: ...

    async def slow() -> None:
        await asyncio.sleep(0.001)

    async def main() -> None:
        me = asyncio.current_task()
        handlers = runner()
        pairs = handlers.run(quick(), slow(), quick())
        assert asyncio.current_task() is me
        got: list[Any] = []
        asyncio.get_running_loop().call_soon(lambda: got.append(asyncio.current_task()))
        for future, _ in pairs:
            await future
        assert got == [None]

    weft.run(main())


def test_names(run: Run) -> None:
    async def handler() -> tuple[str, str, str]:
        task = asyncio.current_task()
        assert task is not None
        first = task.get_name()
        task.set_name(5)  # type: ignore[arg-type]
        return first, task.get_name(), type(first).__name__

    first, second, kind = seen(run, handler)
    assert first
    assert (second, kind) == ("5", "str")


def test_attributes_can_be_left_on_it(run: Run) -> None:
    async def handler() -> int:
        task: Any = asyncio.current_task()
        task.mark = 5
        await asyncio.sleep(0)
        return task.mark  # type: ignore[no-any-return]

    assert seen(run, handler) == 5


@pytest.mark.skipif(sys.version_info < (3, 12), reason="get_context is new in 3.12")
def test_its_context_is_the_one_it_runs_in(run: Run) -> None:
    var: contextvars.ContextVar[int] = contextvars.ContextVar("var")

    async def handler() -> None:
        var.set(3)
        task: Any = asyncio.current_task()
        assert task.get_context()[var] == 3

    seen(run, handler)


# ---- results


def test_results_and_exceptions_arrive(run: Run) -> None:
    async def returns() -> int:
        return 7

    async def returns_later() -> int:
        await asyncio.sleep(0)
        return 8

    async def raises() -> None:
        raise LookupError("at once")

    async def raises_later() -> None:
        await asyncio.sleep(0.001)
        raise LookupError("later")

    assert seen(run, returns) == 7
    assert seen(run, returns_later) == 8
    with pytest.raises(LookupError, match="at once"):
        seen(run, raises)
    with pytest.raises(LookupError, match="later"):
        seen(run, raises_later)


def test_the_traceback_shows_the_user_s_frames(run: Run) -> None:
    def deep() -> None:
        raise ValueError("deep")

    async def handler() -> None:
        await asyncio.sleep(0)
        deep()

    with pytest.raises(ValueError, match="deep") as caught:
        seen(run, handler)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-2:] == ["handler", "deep"]


def test_an_awaited_exception_is_raised_at_the_await(run: Run) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise OSError("inner")

    async def handler() -> str:
        task = asyncio.ensure_future(fails())
        try:
            await task
        except OSError as exc:
            return str(exc)
        return "nothing"

    assert seen(run, handler) == "inner"


# ---- wrong yields


class Yields:
    """An awaitable that yields what it is given, and remembers what came back."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self.value)


@types.coroutine
def old_style(value: Any) -> Generator[Any, Any, Any]:
    return (yield value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda: 5, "Task got bad yield: 5"),
        (lambda: "x", "Task got bad yield: 'x'"),
        (lambda: (i for i in ()), "yield was used instead of yield from for generator"),
        (
            lambda: asyncio.get_running_loop().create_future(),
            "yield was used instead of yield from",
        ),
        (lambda: asyncio.current_task(), "yield was used instead of yield from|await on itself"),
    ],
)
def test_a_wrong_yield_is_thrown_back(run: Run, value: Callable[[], Any], words: str) -> None:
    async def handler() -> None:
        for wait in (Yields, old_style):
            with pytest.raises(RuntimeError, match=words):
                await wait(value())
        await asyncio.sleep(0)

    seen(run, handler)


def test_a_bare_yield_is_a_turn(run: Run) -> None:
    async def handler() -> Any:
        return await Yields(None)

    assert seen(run, handler) is None


def test_a_future_of_another_loop_is_refused(run: Run) -> None:
    other = weft.new_event_loop()

    async def handler() -> None:
        future: asyncio.Future[None] = other.create_future()
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            await future

    seen(run, handler)
    other.close()


def test_it_cannot_wait_for_itself(run: Run) -> None:
    async def handler() -> None:
        task: Any = asyncio.current_task()
        with pytest.raises(RuntimeError, match="Task cannot await on itself"):
            await task

    seen(run, handler)


def test_a_future_that_only_looks_like_one(run: Run) -> None:
    """Whoever has the protocol's attributes can be awaited: not only asyncio's own classes."""

    class Duck:
        _asyncio_future_blocking = False

        def __init__(self) -> None:
            self._loop = asyncio.get_running_loop()

        def add_done_callback(self, fn: Any, *, context: Any) -> None:
            self._loop.call_soon(fn, self, context=context)

        def result(self) -> str:
            return "quack"

        def cancel(self, msg: Any = None) -> bool:
            return False

        def __await__(self) -> Generator[Any, None, str]:
            self._asyncio_future_blocking = True
            yield self
            return self.result()

    async def handler() -> str:
        return await Duck()

    assert seen(run, handler) == "quack"


# ---- the world of asyncio


def test_timeouts(run: Run) -> None:
    async def handler() -> str:
        async with asyncio.timeout(5):
            pass
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0.002):
                await asyncio.sleep(10)
        except TimeoutError:
            task: Any = asyncio.current_task()
            return f"timed out, cancelling={task.cancelling()}"
        return "slept"

    assert seen(run, handler) == "timed out, cancelling=0"


def test_a_timeout_that_is_over_before_the_first_await(run: Run) -> None:
    async def handler() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(0)
                await asyncio.sleep(10)
        except TimeoutError:
            return "timed out"
        return "slept"

    assert seen(run, handler) == "timed out"


def test_groups_gather_and_wait_for(run: Run) -> None:
    async def child(n: int) -> int:
        await asyncio.sleep(0.001 * n)
        return n

    async def handler() -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(child(n)) for n in range(3)]
        got = [task.result() for task in tasks]
        got += await asyncio.gather(child(1), child(0))
        got.append(await asyncio.wait_for(child(1), 5))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(10), 0.001)
        got.append(await asyncio.shield(child(0)))
        return got

    assert seen(run, handler) == [0, 1, 2, 1, 0, 1, 0]


def test_a_group_whose_child_fails(run: Run) -> None:
    async def fails() -> None:
        raise ValueError("child")

    async def handler() -> tuple[str, int]:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                await asyncio.sleep(10)
        except* ValueError as exc:
            caught = str(exc.exceptions[0])
        task: Any = asyncio.current_task()
        return caught, task.cancelling()

    assert seen(run, handler) == ("child", 0)


def test_locks_queues_and_events(run: Run) -> None:
    async def handler() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        lock = asyncio.Lock()

        async def produce() -> None:
            async with lock:
                for i in range(3):
                    await queue.put(i)

        task = asyncio.create_task(produce())
        got = [await queue.get() for _ in range(3)]
        async with lock:
            await task
        return got

    assert seen(run, handler) == [0, 1, 2]


def test_one_context_a_handler(run: Run) -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")

    async def handler() -> list[str]:
        got = [var.get()]
        var.set("mine")
        await asyncio.sleep(0)
        got.append(var.get())
        got.append(await asyncio.create_task(read()))
        got.append(await asyncio.to_thread(var.get))
        return got

    async def read() -> str:
        return var.get()

    assert seen(run, handler) == ["unset", "mine", "mine", "mine"]
    assert var.get() == "unset"


def test_generators_finalize(run: Run) -> None:
    closed: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    async def handler() -> None:
        async for _ in numbers():
            break
        gc.collect()
        await asyncio.sleep(0.005)

    seen(run, handler)
    assert closed == ["closed"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
def test_eager_tasks_inside(run: Run) -> None:
    async def child() -> Any:
        return asyncio.current_task()

    async def handler() -> None:
        me = asyncio.current_task()
        loop = asyncio.get_running_loop()
        task = asyncio.Task(child(), loop=loop, eager_start=True)  # type: ignore[call-arg]
        assert asyncio.current_task() is me
        assert await task is task
        await asyncio.sleep(0)
        task = asyncio.Task(child(), loop=loop, eager_start=True)  # type: ignore[call-arg]
        assert asyncio.current_task() is me
        await task

    seen(run, handler)


# ---- others wait for it


def test_others_may_wait_for_it(run: Run) -> None:
    async def handler() -> list[Any]:
        me: Any = asyncio.current_task()
        got: list[Any] = []

        async def wait() -> None:
            got.append(await me)

        async def select() -> None:
            done, _ = await asyncio.wait([me])
            got.append(done == {me})

        waiting = [asyncio.create_task(wait()), asyncio.create_task(select())]
        waiting.append(asyncio.create_task(asyncio.wait_for(asyncio.shield(me), 5)))  # type: ignore[arg-type]
        me.add_done_callback(lambda task: got.append(task is me))
        me.add_done_callback(got.append)
        assert me.remove_done_callback(got.append) == 1
        await asyncio.sleep(0.001)
        tasks.extend(waiting)
        return got

    tasks: list[asyncio.Task[Any]] = []

    async def main() -> None:
        got = await run(handler)
        await asyncio.gather(*tasks)
        assert sorted(map(str, got[:])) == sorted(map(str, [got, True, True]))
        assert tasks[2].result() is got

    weft.run(main())


def test_a_callback_without_a_reference_is_called(run: Run) -> None:
    got: list[Any] = []

    async def at_once() -> None:
        task: Any = asyncio.current_task()
        task.add_done_callback(lambda task: got.append(task.done()))

    async def later() -> None:
        await asyncio.sleep(0)
        await at_once()

    async def main() -> None:
        await run(at_once)
        await run(later)
        await asyncio.sleep(0)

    weft.run(main())
    assert got == [True, True]


def test_it_can_be_asked_after_its_end(run: Run) -> None:
    kept: list[Any] = []

    async def returns() -> int:
        kept.append(asyncio.current_task())
        return 1

    async def raises() -> None:
        kept.append(asyncio.current_task())
        await asyncio.sleep(0)
        raise KeyError("x")

    async def cancelled() -> None:
        kept.append(asyncio.current_task())
        await asyncio.sleep(0)
        raise asyncio.CancelledError("why")

    async def main() -> None:
        await run(returns)
        with pytest.raises(KeyError):
            await run(raises)
        with pytest.raises(asyncio.CancelledError):
            await run(cancelled)

    weft.run(main())
    first, second, third = kept
    assert len({id(task) for task in kept}) == 3
    assert all(task.done() for task in kept)
    assert first.result() == 1
    assert first.exception() is None
    assert isinstance(second.exception(), KeyError)
    assert third.cancelled()
    with pytest.raises(asyncio.CancelledError):
        third.result()
    assert "finished" in repr(first)
    assert "cancelled" in repr(third)
    assert not first.cancel()
    assert weakref.ref(first)() is first
    assert hash(first) != hash(second)


# ---- cancelling


def test_cancel_from_outside(run: Run) -> None:
    async def main() -> list[Any]:
        got: list[Any] = []
        task: list[Any] = []

        async def handler() -> None:
            task.append(asyncio.current_task())
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError as exc:
                got.append(exc.args)
                got.append(task[0].cancelling())
                raise

        waiting = asyncio.ensure_future(run(handler))
        await asyncio.sleep(0.001)
        assert task[0]._fut_waiter is not None
        assert task[0].cancel("why") is True
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert task[0].cancelled()
        assert task[0].cancel() is False
        return got

    assert weft.run(main()) == [("why",), 1]


def test_cancel_before_the_first_await(run: Run) -> None:
    async def handler() -> str:
        task: Any = asyncio.current_task()
        assert task.cancel("self") is True
        assert task._must_cancel is True
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError as exc:
            task.uncancel()
            return str(exc)
        return "slept"

    assert seen(run, handler) == "self"


def test_cancel_and_then_no_await_at_all(run: Run) -> None:
    async def at_once() -> None:
        task: Any = asyncio.current_task()
        task.cancel()

    async def later() -> None:
        await asyncio.sleep(0)
        await at_once()

    for handler in (at_once, later):
        with pytest.raises(asyncio.CancelledError):
            seen(run, handler)


def test_cancel_is_counted(run: Run) -> None:
    async def handler() -> list[Any]:
        task: Any = asyncio.current_task()
        got: list[Any] = [task.uncancel()]
        task.cancel()
        task.cancel()
        got.append(task.cancelling())
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        got.append(task.cancelling())
        got.append(task.uncancel())
        got.append(task.uncancel())
        got.append(task._must_cancel)
        await asyncio.sleep(0)
        return got

    assert seen(run, handler) == [0, 2, 2, 1, 0, False]


def test_uncancel_before_it_is_delivered(run: Run) -> None:
    """From 3.13 on, taking the last request back takes the cancellation back."""

    async def handler() -> str:
        task: Any = asyncio.current_task()
        task.cancel()
        task.uncancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return "cancelled"
        return "went on"

    expected = "went on" if sys.version_info >= (3, 13) else "cancelled"
    assert seen(run, handler) == expected


def test_a_handler_may_refuse_to_be_cancelled(run: Run) -> None:
    async def handler() -> str:
        task: Any = asyncio.current_task()
        asyncio.get_running_loop().call_soon(task.cancel)
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
        return "finished"

    assert seen(run, handler) == "finished"


def test_cancel_reaches_the_innermost_await(run: Run) -> None:
    async def main() -> None:
        child: list[asyncio.Task[None]] = []

        async def handler() -> None:
            child.append(asyncio.create_task(asyncio.sleep(10)))
            await child[0]

        waiting = asyncio.ensure_future(run(handler))
        await asyncio.sleep(0.001)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.001)
        assert child[0].cancelled()

    weft.run(main())


# ---- what ends the program


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("later", [False, True])
def test_what_ends_the_program_goes_through(kind: type[BaseException], later: bool) -> None:
    async def handler() -> None:
        if later:
            await asyncio.sleep(0)
        raise kind

    loop = weft.new_event_loop()
    handlers = _core._HandlerRunner(loop)
    futures: list[Any] = []
    loop.call_soon(lambda: futures.extend(handlers.run(handler())))
    loop.call_later(1, loop.stop)
    with pytest.raises(kind):
        loop.run_forever()
    for future, _ in futures:
        assert isinstance(future.exception(), kind)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


# ---- what only a server does


def test_a_quick_handler_makes_no_task() -> None:
    identities = set()

    async def quick() -> None:
        identities.add(id(asyncio.current_task()))

    async def main() -> None:
        handlers = runner()
        for _ in range(10):
            for _, task in handlers.run(*(quick() for _ in range(10))):
                assert task is None
        assert len(asyncio.all_tasks()) == 1

    weft.run(main())
    assert len(identities) == 1


def test_a_parked_identity_comes_back() -> None:
    identities = set()

    async def parks() -> None:
        identities.add(id(asyncio.current_task()))
        await asyncio.sleep(0)
        async with asyncio.timeout(1):
            await asyncio.sleep(0.0001)

    async def main() -> None:
        handlers = runner()
        for _ in range(10):
            futures = [future for future, _ in handlers.run(parks(), parks())]
            await asyncio.gather(*futures)
        assert len(asyncio.all_tasks()) == 1

    weft.run(main())
    assert len(identities) <= 3


@pytest.mark.parametrize("parks", [False, True])
@pytest.mark.parametrize(
    "keep",
    [
        lambda task, kept: kept.append(task),
        lambda task, kept: kept.append(weakref.ref(task)),
        lambda task, kept: kept.append(weakref.WeakKeyDictionary({task: 1})),
        lambda task, kept: setattr(task, "mark", kept),
        lambda task, kept: task.add_done_callback(kept.append),
        lambda task, kept: (task.cancel(), task.uncancel()),
        lambda task, kept: kept.append(task.get_stack),
    ],
)
def test_an_identity_somebody_kept_is_not_used_again(
    parks: bool, keep: Callable[[Any, list[Any]], Any]
) -> None:
    kept: list[Any] = []
    marks: list[Any] = []

    async def first() -> None:
        if parks:
            await asyncio.sleep(0)
        keep(asyncio.current_task(), kept)
        if parks:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    async def second() -> None:
        task: Any = asyncio.current_task()
        marks.append(getattr(task, "mark", None))
        marks.extend(task._callbacks or [])
        marks.append(task.cancelling() or None)
        for thing in kept:
            assert thing is not task
            if isinstance(thing, weakref.ref):
                assert thing() is not task
            if isinstance(thing, weakref.WeakKeyDictionary):
                assert task not in thing

    async def main() -> None:
        handlers = runner()
        for _ in range(3):
            for future, _ in handlers.run(first(), second(), second()):
                with contextlib.suppress(asyncio.CancelledError):
                    await future

    weft.run(main())
    assert [mark for mark in marks if mark is not None] == []


def test_a_kept_local_variable_does_not_spoil_the_identity() -> None:
    identities = set()

    async def quick() -> None:
        task = asyncio.current_task()
        identities.add(id(task))
        async with asyncio.timeout(10):
            pass

    async def main() -> None:
        handlers = runner()
        for _ in range(5):
            handlers.run(quick(), quick())

    weft.run(main())
    assert len(identities) == 1


def test_a_client_that_goes_away_cancels() -> None:
    got: list[str] = []

    async def handler() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            got.append("cancelled")
            raise

    async def main() -> None:
        handlers = runner()
        ((future, task),) = handlers.run(handler())
        handlers.cancel(task)
        with pytest.raises(asyncio.CancelledError):
            await future
        handlers.cancel(task)
        assert task.cancelled()

    weft.run(main())
    assert got == ["cancelled"]


def test_a_detached_handler_runs_on_and_its_exception_is_reported() -> None:
    async def main() -> None:
        reports = Reports(asyncio.get_running_loop())
        got: list[int] = []

        async def handler() -> None:
            await asyncio.sleep(0.001)
            got.append(1)
            raise ValueError("nobody hears")

        async def cancelled() -> None:
            await asyncio.sleep(10)

        handlers = runner()
        for future, task in handlers.run(handler(), cancelled()):
            handlers.detach(task, future)
        task.cancel()
        del task
        await asyncio.sleep(0.01)
        assert got == [1]
        assert [str(e) for e in reports.exceptions] == ["nobody hears"]
        assert not future.done()

    weft.run(main())


def test_a_parked_handler_that_is_dropped_says_so() -> None:
    async def main() -> None:
        reports = Reports(asyncio.get_running_loop())

        async def handler() -> None:
            await asyncio.get_running_loop().create_future()

        handlers = runner()
        ((future, task),) = handlers.run(handler())
        handlers.detach(task, future)
        del task
        gc.collect()
        assert [r["message"] for r in reports] == ["Task was destroyed but it is pending!"]

    weft.run(main())


def test_a_runner_that_goes_first() -> None:
    """A server may be gone before its last handlers are."""

    async def handler() -> int:
        await asyncio.sleep(0.001)
        return 1

    async def main() -> None:
        handlers = runner()
        pairs = handlers.run(handler(), handler())
        del handlers
        gc.collect()
        assert [await future for future, _ in pairs] == [1, 1]

    weft.run(main())


def test_handlers_leak_nothing() -> None:
    thing = object()

    async def quick(arg: object) -> object:
        return arg

    async def parks(arg: object) -> object:
        await asyncio.sleep(0)
        await asyncio.sleep(0.0001)
        return arg

    async def fails(arg: object) -> object:
        await asyncio.sleep(0)
        raise ValueError(arg)

    async def keeps(arg: object) -> object:
        task: Any = asyncio.current_task()
        task.arg = arg
        await asyncio.sleep(0)
        return arg

    async def main() -> None:
        handlers = runner()

        async def churn(n: int) -> None:
            for _ in range(n):
                pairs = handlers.run(quick(thing), parks(thing), fails(thing), keeps(thing))
                for future, _ in pairs:
                    with contextlib.suppress(ValueError):
                        await future

        await churn(5)
        gc.collect()
        before = sys.getrefcount(thing), len(gc.get_objects())
        await churn(100)
        gc.collect()
        after = sys.getrefcount(thing), len(gc.get_objects())
        assert after[0] == before[0]
        assert after[1] - before[1] < 20

    weft.run(main())


def test_it_is_not_made_by_hand() -> None:
    with pytest.raises(TypeError):
        _core.HandlerTask()
