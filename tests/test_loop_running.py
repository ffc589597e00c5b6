"""Running, stopping, closing; signals, executors, generators; and the ways to get a loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref
from asyncio import AbstractEventLoop as Loop
from collections.abc import AsyncIterator
from typing import Any

import pytest

import weft

from .connections import become
from .loops import KINDS, Reports, loop, turn

__all__ = ["loop"]


# ---- running


def test_run_until_complete_gives_the_result(loop: Loop) -> None:
    async def main() -> int:
        await asyncio.sleep(0.001)
        assert asyncio.get_running_loop() is loop
        assert loop.is_running()
        return 7

    assert loop.run_until_complete(main()) == 7
    assert not loop.is_running()
    assert asyncio._get_running_loop() is None


def test_run_until_complete_raises(loop: Loop) -> None:
    async def main() -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        loop.run_until_complete(main())


def test_a_loop_stopped_too_early_says_so(loop: Loop) -> None:
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match="Event loop stopped before Future completed"):
        loop.run_until_complete(future)
    future.cancel()


def test_loops_do_not_nest(loop: Loop) -> None:
    other = weft.new_event_loop()

    async def main() -> None:
        future = loop.create_future()
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_until_complete(future)
        with pytest.raises(RuntimeError, match="while another loop is running"):
            other.run_until_complete(future)
        with pytest.raises(RuntimeError, match="Cannot close a running"):
            loop.close()
        assert asyncio.get_running_loop() is loop
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    other.close()


def test_a_refused_run_forever_disturbs_nobody() -> None:
    """asyncio 3.13.0 takes the running loop away from itself here."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_forever()
        assert asyncio.get_running_loop() is loop
        await asyncio.sleep(0.001)

    weft.run(main())


def test_tasks_and_futures_are_asyncio_s(loop: Loop) -> None:
    async def child() -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()

    async def main() -> None:
        future = loop.create_future()
        assert type(future) is asyncio.Future
        task = loop.create_task(child(), name="a name")
        assert type(task) is asyncio.Task
        assert task.get_name() == "a name"
        assert asyncio.all_tasks() == {task, asyncio.current_task()}
        await task

    loop.run_until_complete(main())


def test_create_task_takes_a_context(loop: Loop) -> None:
    import contextvars

    var: contextvars.ContextVar[int] = contextvars.ContextVar("var")
    context = contextvars.copy_context()
    context.run(var.set, 5)

    async def child() -> int:
        return var.get()

    async def main() -> int:
        return await loop.create_task(child(), context=context, name=None)

    assert loop.run_until_complete(main()) == 5


def test_what_is_no_coroutine_makes_no_task(loop: Loop) -> None:
    with pytest.raises(TypeError):
        loop.create_task(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        loop.create_task()  # type: ignore[call-arg]


def test_a_task_factory_is_asked(loop: Loop) -> None:
    made: list[Any] = []

    def factory(loop: Loop, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        made.append(kwargs)
        return asyncio.Task(coro, loop=loop, **kwargs)

    async def child() -> int:
        return 1

    async def main() -> None:
        assert await asyncio.create_task(child(), name="x") == 1

    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    loop.run_until_complete(main())
    assert len(made) == 2
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None
    loop.run_until_complete(child())
    assert len(made) == 2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
def test_eager_tasks(loop: Loop) -> None:
    loop.set_task_factory(asyncio.eager_task_factory)
    got: list[str] = []

    async def child() -> None:
        got.append("ran")
        await asyncio.sleep(0)
        got.append("resumed")

    async def main() -> None:
        me = asyncio.current_task()
        task = asyncio.create_task(child())
        assert got == ["ran"]
        assert asyncio.current_task() is me
        await task

    loop.run_until_complete(main())
    assert got == ["ran", "resumed"]


def test_timeouts_groups_and_gather(loop: Loop) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await asyncio.sleep(10)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.sleep(10), 0.001)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0.001, i)) for i in range(3)]
        assert [t.result() for t in tasks] == [0, 1, 2]
        assert await asyncio.gather(*(asyncio.sleep(0, i) for i in range(9))) == list(range(9))

    loop.run_until_complete(main())


# ---- generators and executors


def test_generators_are_closed_by_their_loop(loop: Loop) -> None:
    closed: list[str] = []

    async def numbers(name: str) -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append(name)

    async def main() -> None:
        async for _ in numbers("dropped"):
            break
        gc.collect()
        assert await become(lambda: closed == ["dropped"])
        kept = numbers("kept")
        await anext(kept)
        await loop.shutdown_asyncgens()
        assert closed == ["dropped", "kept"]

    hooks = sys.get_asyncgen_hooks()
    loop.run_until_complete(main())
    assert sys.get_asyncgen_hooks() == hooks


def test_an_executor_answers(loop: Loop) -> None:
    async def main() -> None:
        assert await loop.run_in_executor(None, threading.get_ident) != threading.get_ident()
        assert await asyncio.to_thread(sum, [1, 2]) == 3
        many = await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.001) for _ in range(30)))
        assert many == [None] * 30
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError):
            await loop.run_in_executor(None, print)

    loop.run_until_complete(main())


def test_threads_get_the_interpreter_while_the_loop_is_busy(loop: Loop) -> None:
    """A loop with always something ready must not starve the threads it waits for."""

    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.ensure_future(spin())
        start = time.monotonic()
        for _ in range(20):
            await asyncio.to_thread(lambda: None)
        assert time.monotonic() - start < 20  # starved, they would wait for ever
        task.cancel()

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())


def test_run_coroutine_threadsafe(loop: Loop) -> None:
    async def child() -> int:
        await asyncio.sleep(0.001)
        return 3

    got: list[int] = []

    def work() -> None:
        got.append(asyncio.run_coroutine_threadsafe(child(), loop).result(5))
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=work)
    thread.start()
    loop.run_forever()
    thread.join()
    assert got == [3]


# ---- signals


def test_a_signal_handler_is_called_with_its_arguments(loop: Loop) -> None:
    got: list[Any] = []

    async def main() -> None:
        loop.add_signal_handler(signal.SIGUSR1, lambda *args: got.append(args), 1, 2)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert await become(lambda: got == [(1, 2)])
        loop.add_signal_handler(signal.SIGUSR1, got.append, "again")
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert await become(lambda: got == [(1, 2), "again"])

    loop.run_until_complete(main())
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert loop.remove_signal_handler(signal.SIGUSR1) is False
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


def test_closing_the_loop_puts_signals_back(loop: Loop) -> None:
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize("sig", [signal.SIGKILL, 0, 10_000])
def test_what_cannot_be_caught_is_refused(loop: Loop, sig: int) -> None:
    with pytest.raises((RuntimeError, ValueError)):
        loop.add_signal_handler(sig, print)
    with pytest.raises(TypeError):
        loop.add_signal_handler("x", print)  # type: ignore[arg-type]


def test_signals_are_for_the_main_thread(loop: Loop) -> None:
    got: list[BaseException] = []

    def work() -> None:
        try:
            loop.add_signal_handler(signal.SIGUSR1, print)
        except RuntimeError as exc:
            got.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(got) == 1


def test_ctrl_c_while_waiting_raises(loop: Loop) -> None:
    timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
    loop.call_soon(timer.start)  # not before: the signal may come before it returns
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    timer.join()
    assert not loop.is_running()
    turn(loop)


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_cancels_the_main_task_of_a_runner(kind: str) -> None:
    got: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, os.kill, os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            got.append("cancelled")
            await asyncio.sleep(0)
            raise

    with (
        asyncio.Runner(loop_factory=KINDS[kind]) as runner,
        pytest.raises(KeyboardInterrupt),
    ):
        runner.run(main())
    assert got == ["cancelled"]


def test_ctrl_c_from_outside_ends_a_waiting_program() -> None:
    code = (
        "import asyncio, weft\n"
        "async def main():\n"
        "    print('ready', flush=True)\n"
        "    try:\n"
        "        await asyncio.sleep(60)\n"
        "    finally:\n"
        "        print('cleaned', flush=True)\n"
        "weft.run(main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert out == "cleaned\n"
    assert "KeyboardInterrupt" in err
    assert process.returncode == -signal.SIGINT


# ---- transports, which are asyncio's, on our descriptors


def test_streams_over_tcp_and_unix(loop: Loop, tmp_path: Any) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        payload = os.urandom(1_000_000)
        writer.write(payload)
        assert await reader.readexactly(len(payload)) == payload
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            address = server.sockets[0].getsockname()
            await talk(*await asyncio.open_connection(*address))
        path = str(tmp_path / "s")
        server = await asyncio.start_unix_server(serve, path)
        async with server:
            await talk(*await asyncio.open_unix_connection(path))
        await asyncio.sleep(0.01)  # the server's ends

    loop.run_until_complete(main())


def test_datagrams(loop: Loop) -> None:
    class Receiver(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.got = loop.create_future()

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.got.set_result(data)

    async def main() -> None:
        receiving, protocol = await loop.create_datagram_endpoint(
            Receiver, local_addr=("127.0.0.1", 0)
        )
        address = receiving.get_extra_info("sockname")
        sending, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=address
        )
        sending.sendto(b"hello")
        assert await protocol.got == b"hello"
        sending.close()
        receiving.close()
        await asyncio.sleep(0)

    loop.run_until_complete(main())


def test_subprocesses(loop: Loop) -> None:
    asyncio.set_event_loop(loop)  # for the child watcher of 3.11

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.exit(3)",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate(b"hello")
        assert out == b"HELLO"
        assert process.returncode == 3

    loop.run_until_complete(main())
    asyncio.set_event_loop(None)


# ---- the life of a loop


def test_an_unclosed_loop_says_so_and_is_freed(loop: Loop) -> None:
    made = type(loop)()
    ref = weakref.ref(made)
    made.call_soon(print, made)
    made.call_later(60, print, made)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del made
        gc.collect()
    assert any("unclosed event loop" in str(w.message) for w in caught)
    assert ref() is None


def test_loops_come_and_go_without_descriptors(loop: Loop) -> None:
    async def main() -> None:
        await asyncio.sleep(0)

    def cycle() -> None:
        made = type(loop)()
        made.add_signal_handler(signal.SIGUSR1, print)
        made.run_until_complete(main())
        made.close()

    cycle()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(30):
        cycle()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_loop_can_be_subclassed(loop: Loop) -> None:
    class Mine(type(loop)):  # type: ignore[misc]
        def call_soon(self, callback: Any, *args: Any, **kwargs: Any) -> asyncio.Handle:
            self.calls = getattr(self, "calls", 0) + 1
            return super().call_soon(callback, *args, **kwargs)

    mine = Mine()
    mine.run_until_complete(asyncio.sleep(0))
    assert mine.calls > 1
    mine.close()


# ---- ways to get one


def test_run_uses_our_loop() -> None:
    async def main() -> type:
        return type(asyncio.get_running_loop())

    assert weft.run(main()) is weft.Loop


def test_run_passes_debug_on() -> None:
    async def main() -> bool:
        return asyncio.get_running_loop().get_debug()

    assert weft.run(main(), debug=True) is True
    assert weft.run(main(), debug=False) is False


def test_run_refuses_to_nest() -> None:
    async def inner() -> None: ...

    async def main() -> None:
        with pytest.raises(RuntimeError, match="from a running event loop"):
            weft.run(inner())

    weft.run(main())


def test_install_makes_it_the_default() -> None:
    code = (
        "import asyncio, weft\n"
        "weft.install()\n"
        "async def main(): return type(asyncio.get_running_loop())\n"
        "assert asyncio.run(main()) is weft.Loop\n"
        "assert isinstance(asyncio.new_event_loop(), weft.Loop)\n"
        "assert isinstance(asyncio.get_event_loop_policy(), weft.EventLoopPolicy)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=20)


def test_the_policy_keeps_a_loop_a_thread() -> None:
    policy = weft.EventLoopPolicy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made = policy.new_event_loop()
    policy.set_event_loop(made)
    assert policy.get_event_loop() is made
    assert isinstance(made, weft.Loop)
    policy.set_event_loop(None)
    made.close()


def test_everything_open_at_interpreter_exit_is_harmless() -> None:
    code = (
        "import asyncio, socket, weft\n"
        "loop = weft.new_event_loop()\n"
        "a, b = socket.socketpair()\n"
        "loop.add_reader(a, print)\n"
        "loop.call_later(60, print)\n"
        "future = loop.create_future()\n"
        "async def wait(): await future\n"
        "task = loop.create_task(wait())\n"
        "loop.call_soon(loop.stop)\n"
        "loop.run_forever()\n"
        "class Late:\n"
        "    def __del__(self):\n"
        "        try: loop.call_soon(print)\n"
        "        except Exception: pass\n"
        "late = Late()\n"
    )
    process = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", "-c", code], capture_output=True, timeout=20
    )
    assert process.returncode == 0, process.stderr


def test_reports_are_empty_after_ordinary_work(loop: Loop) -> None:
    reports = Reports(loop)

    async def main() -> None:
        await asyncio.gather(*(asyncio.sleep(0.001) for _ in range(50)))

    loop.run_until_complete(main())
    assert reports == []
