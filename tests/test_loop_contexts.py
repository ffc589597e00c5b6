"""The context of a callback: its own, a copy from the moment it was asked for.

On asyncio's loop, on ours, and on ours as it is where CPython's contexts are not known to it."""

from __future__ import annotations

import contextvars
import gc
import socket
import sys
import weakref
from asyncio import AbstractEventLoop as Loop
from collections.abc import Callable, Generator, Iterator
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

import weft

from .loops import KINDS, Reports, turn


def copying() -> Loop:
    loop = weft.new_event_loop()
    loop._copy_contexts()  # type: ignore[attr-defined]
    return loop


@pytest.fixture(params=[*KINDS, "copying"])
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    loop = {**KINDS, "copying": copying}[request.param]()
    loop.set_debug(False)
    yield loop
    loop.close()
    gc.collect()


Var = ContextVar[Any]


def variable() -> Var:
    return ContextVar("var", default=None)


def current() -> Context:
    """The context that is entered, not a copy: a token knows it."""
    gone = ContextVar("gone", default=0)
    (context,) = [o for o in gc.get_referents(gone.set(1)) if isinstance(o, Context)]
    return context


def finish(loop: Loop, done: Callable[[], bool]) -> None:
    while not done():
        turn(loop)


def test_what_one_sets_no_other_sees(loop: Loop) -> None:
    var, got = variable(), []

    def call(n: int) -> None:
        got.append(var.get())
        var.set(n)
        got.append(var.get())

    for n in range(5):
        loop.call_soon(call, n)
        loop.call_later(0, call, n)
        loop.call_soon_threadsafe(call, n)
    finish(loop, lambda: len(got) == 30)
    assert got[::2] == [None] * 15
    assert var.get() is None


def test_each_has_the_moment_of_its_call(loop: Loop) -> None:
    var, got = variable(), []

    def scenario() -> None:
        for n in range(300):
            var.set(n)
            loop.call_soon(lambda: got.append(var.get()))
        var.set("later")

    copy_context().run(scenario)
    turn(loop)
    assert got == list(range(300))


def test_a_variable_is_looked_up_again_in_each(loop: Loop) -> None:
    """ContextVar.get() remembers what it found until the context changes."""
    var, got = variable(), []

    def call() -> None:
        got.extend((var.get(), var.get()))

    def scenario(n: int) -> None:
        var.set(n)
        loop.call_soon(call)

    for n in range(4):
        copy_context().run(scenario, n)
        loop.call_soon(call)
    turn(loop)
    assert got == [0, 0, None, None, 1, 1, None, None, 2, 2, None, None, 3, 3, None, None]


def test_a_context_that_somebody_keeps_is_his(loop: Loop) -> None:
    var, kept = variable(), []

    def call(n: int) -> None:
        var.set(n)
        kept.append(current())

    for n in range(5):
        loop.call_soon(call, n)
    turn(loop)
    turn(loop)
    assert len({id(context) for context in kept}) == 5
    assert [context[var] for context in kept] == list(range(5))


def test_a_token_keeps_its_context(loop: Loop) -> None:
    var, tokens = variable(), []
    for n in range(3):
        loop.call_soon(lambda n=n: tokens.append((current(), var.set(n))))
    turn(loop)
    for n, (context, token) in enumerate(tokens):
        assert context[var] == n
        context.run(var.reset, token)
        assert var not in context


def test_a_token_of_one_is_not_good_in_another(loop: Loop) -> None:
    var, tokens, reports = variable(), [], Reports(loop)
    loop.call_soon(lambda: tokens.append(var.set(1)))
    loop.call_soon(lambda: var.reset(tokens[0]))
    turn(loop)
    assert [type(e) for e in reports.exceptions] == [ValueError]


def test_copies_are_of_what_was_there_then(loop: Loop) -> None:
    var, copies = variable(), []

    def call(n: int) -> None:
        var.set(n)
        copies.append(copy_context())
        var.set(-1)

    for n in range(3):
        loop.call_soon(call, n)
    turn(loop)
    assert [copy[var] for copy in copies] == [0, 1, 2]


def test_a_weak_reference_does_not_see_the_next_one(loop: Loop) -> None:
    refs: list[weakref.ref[Context]] = []
    alive: list[bool] = []
    loop.call_soon(lambda: refs.append(weakref.ref(current())))
    loop.call_soon(lambda: alive.append(refs[0]() is current()))
    turn(loop)
    turn(loop)
    gc.collect()
    assert alive == [False]
    assert refs[0]() is None


def test_values_die_with_the_callback(loop: Loop) -> None:
    class Value:
        pass

    var, refs = variable(), []

    def call() -> None:
        value = Value()
        var.set(value)
        refs.append(weakref.ref(value))

    loop.call_soon(call)
    turn(loop)
    assert refs[0]() is None


def test_a_finalizer_of_a_value_may_call_the_loop(loop: Loop) -> None:
    var, got = variable(), []

    class Value:
        def __del__(self) -> None:
            got.append(var.get())
            loop.call_soon(lambda: got.append(var.get()))

    loop.call_soon(lambda: var.set(Value()) and None)
    finish(loop, lambda: len(got) == 2)
    assert got == [None, None]


def test_the_handle_has_the_context_it_runs_in(loop: Loop) -> None:
    var, got = variable(), []

    def call() -> None:
        var.set("seen")
        got.append(handle._context is current())

    def scenario() -> Any:
        var.set("before")
        return loop.call_soon(call)

    handle = copy_context().run(scenario)
    turn(loop)
    assert got == [True]
    assert handle._context[var] == "seen"


@pytest.mark.parametrize("later", [False, True])
def test_a_context_that_is_looked_at_before(loop: Loop, later: bool) -> None:
    var, got = variable(), []

    def call() -> None:
        got.append((var.get(), current()))

    def scenario() -> Any:
        var.set("before")
        return loop.call_later(0, call) if later else loop.call_soon(call)

    handle = copy_context().run(scenario)
    context = handle._context
    assert type(context) is Context
    assert dict(context) == {**context, var: "before"}
    context.run(var.set, "between")
    finish(loop, lambda: bool(got))
    assert got == [("between", context)]
    assert got[0][1] is context


def test_a_cancelled_handle_still_has_one(loop: Loop) -> None:
    var = variable()

    def scenario() -> Any:
        var.set(1)
        return loop.call_soon(int)

    handle = copy_context().run(scenario)
    handle.cancel()
    turn(loop)
    assert handle._context[var] == 1


def test_within_a_callback_other_contexts_are_entered(loop: Loop) -> None:
    var, got = variable(), []

    def call(n: int) -> None:
        var.set(n)
        copy = copy_context()
        copy.run(var.set, "inner")
        Context().run(lambda: got.append(var.get()))
        got.extend((var.get(), copy[var]))

    loop.call_soon(call, 1)
    loop.call_soon(call, 2)
    turn(loop)
    assert got == [None, 1, "inner", None, 2, "inner"]


def test_a_handle_that_runs_within_another(loop: Loop) -> None:
    var, got = variable(), []

    def inner() -> None:
        got.append(var.get())
        var.set("inner")

    def outer() -> None:
        var.set("outer")
        loop.call_soon(inner)._run()  # and once more in its turn, in the same context
        got.append(var.get())

    loop.call_soon(outer)
    loop.call_soon(lambda: got.append(var.get()))
    turn(loop)
    turn(loop)
    assert got[:3] == ["outer", "outer", None]
    assert got[3:] == ["inner"]


def test_one_context_again_and_again_for_a_descriptor(loop: Loop) -> None:
    var, got = variable(), []
    a, b = socket.socketpair()

    def call() -> None:
        a.recv(1)
        var.set((var.get() or 0) + 1)
        got.append(var.get())

    with a, b:
        loop.add_reader(a, call)
        for n in range(3):
            b.send(b"x")
            finish(loop, lambda n=n: len(got) > n)
        loop.remove_reader(a)
    assert got == [1, 2, 3]


def test_after_an_exception_the_next_one_is_clean(loop: Loop) -> None:
    var, got, reports = variable(), [], Reports(loop)

    def call() -> None:
        var.set("raised")
        raise ValueError

    for _ in range(3):
        loop.call_soon(call)
        loop.call_soon(lambda: got.append(var.get()))
    turn(loop)
    assert got == [None] * 3
    assert len(reports.exceptions) == 3
    assert [report["handle"]._context[var] for report in reports] == ["raised"] * 3


def test_generators_and_tasks_keep_what_they_have(loop: Loop) -> None:
    var, got = variable(), []

    def generator() -> Generator[Any, None, None]:
        while True:
            yield var.get()

    async def task(n: int) -> None:
        got.append(var.get())
        var.set(n * 10)
        await sleep()
        got.append(var.get())

    async def sleep() -> None:
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future

    made = generator()

    def start(n: int) -> None:
        var.set(n)
        next(made)
        tasks.append(loop.create_task(task(n)))

    tasks: list[Any] = []
    for n in (1, 2, 3):
        loop.call_soon(start, n)
    finish(loop, lambda: len(got) == 6)
    assert got == [1, 2, 3, 10, 20, 30]
    assert next(made) is None
    assert all(task.done() for task in tasks)


def test_what_a_debugger_finds_is_an_ordinary_context(loop: Loop) -> None:
    """gc shows the one that waits to be used again; whoever takes it may keep it."""
    var, got = variable(), []
    turn(loop)
    found = [o for o in gc.get_objects() if type(o) is Context]
    assert all(var not in context.copy() for context in found)
    loop.call_soon(lambda: got.append(any(current() is context for context in found)))
    turn(loop)
    assert got == [False]


def test_many_leave_nothing_behind(loop: Loop) -> None:
    var = variable()
    value = object()

    def call() -> None:
        var.set(value)

    def scenario() -> None:
        var.set(value)
        for _ in range(100):
            loop.call_soon(call)
            loop.call_later(0, call).cancel()
            loop.call_soon(call).cancel()
            loop.call_soon(call)._context  # noqa: B018
        turn(loop)

    for _ in range(2):  # until caches are full
        contextvars.Context().run(scenario)
    gc.collect()
    before, objects = sys.getrefcount(value), len(gc.get_objects())
    for _ in range(20):
        contextvars.Context().run(scenario)
    gc.collect()
    assert sys.getrefcount(value) == before
    assert len(gc.get_objects()) - objects < 50
