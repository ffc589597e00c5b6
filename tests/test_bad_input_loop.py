"""What a program should not do to its loop, and what the system does to both."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from asyncio import AbstractEventLoop as Loop
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import weft

from .loops import KINDS, loop, turn
from .peers import Peer, Recorder, connect, drain, pair, until

__all__ = ["loop", "pair"]

ENDS = [KeyboardInterrupt, SystemExit]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def collect_quietly() -> None:
    """What was never closed is not what the test is about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def forget_children() -> None:
    """A Popen that dies before its child is kept by subprocess, files and all, until the next child
    is started: that would be in another test, and the warnings that one's."""
    while not no_children():
        os.waitpid(-1, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        subprocess._cleanup()  # type: ignore[attr-defined]


# ---- closed loops

CLOSED: dict[str, Callable[[Loop], Any]] = {
    "create_connection": lambda loop: loop.create_connection(Recorder, "127.0.0.1", 1),
    "create_server": lambda loop: loop.create_server(Recorder, "127.0.0.1", 0),
    "create_datagram_endpoint": lambda loop: loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    ),
    "subprocess_exec": lambda loop: loop.subprocess_exec(asyncio.SubprocessProtocol, "true"),
    "getaddrinfo": lambda loop: loop.getaddrinfo("localhost.invalid", 1),
    "run_in_executor": lambda loop: loop.run_in_executor(None, int),
    "call_soon": lambda loop: loop.call_soon(int),
    "call_soon_threadsafe": lambda loop: loop.call_soon_threadsafe(int),
    "call_later": lambda loop: loop.call_later(0, int),
    "add_reader": lambda loop: loop.add_reader(0, int),
    "add_writer": lambda loop: loop.add_writer(1, int),
    "add_signal_handler": lambda loop: loop.add_signal_handler(signal.SIGUSR1, int),
    "run_forever": lambda loop: loop.run_forever(),
    "run_until_complete": lambda loop: loop.run_until_complete(asyncio.sleep(0)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", CLOSED)
def test_a_closed_loop_says_so_whatever_is_asked(loop: Loop, method: str) -> None:
    loop.close()

    def ask() -> None:
        asked = CLOSED[method](loop)
        if asyncio.iscoroutine(asked):
            for _ in range(10):
                asked.send(None)

    with pytest.raises(RuntimeError):
        ask()
    collect_quietly()
    forget_children()


TRANSPORT_METHODS: dict[str, Callable[[asyncio.Transport], Any]] = {
    "write": lambda t: t.write(b"x"),
    "write much": lambda t: t.write(b"x" * 10_000_000),
    "writelines": lambda t: t.writelines([b"x", b"y"]),
    "write_eof": lambda t: t.write_eof(),
    "pause and resume": lambda t: (t.pause_reading(), t.resume_reading()),
    "close": lambda t: t.close(),
    "abort": lambda t: t.abort(),
    "limits": lambda t: t.set_write_buffer_limits(0),
    "repr": repr,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", TRANSPORT_METHODS)
def test_a_transport_outlives_its_loop(loop: Loop, pair: tuple[Peer, Peer], method: str) -> None:
    """What needs the loop says that it is closed; what does not works, or says that."""
    transport = connect(loop, pair[0], Recorder())
    loop.close()
    for _ in range(2):
        with contextlib.suppress(RuntimeError):
            TRANSPORT_METHODS[method](transport)
    del transport
    collect_quietly()


def test_threads_that_call_while_the_loop_closes(loop: Loop) -> None:
    stopped = threading.Event()
    wrong: list[BaseException] = []

    def hammer() -> None:
        try:
            while not stopped.is_set():
                loop.call_soon_threadsafe(int)
        except RuntimeError as exc:
            if "closed" not in str(exc):
                wrong.append(exc)
        except BaseException as exc:
            wrong.append(exc)

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    loop.run_until_complete(asyncio.sleep(0.02))
    loop.close()
    stopped.set()
    for thread in threads:
        thread.join()
    assert wrong == []


# ---- the wrong thread


def test_the_wrong_thread_breaks_nothing(pair: tuple[Peer, Peer]) -> None:
    """Refused in debug mode only; asyncio's selector takes harm, weft's loop does not."""
    loop = weft.new_event_loop()
    loop.set_debug(False)
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    wrong: list[BaseException] = []
    called: list[int] = []

    def intrude(n: int) -> None:
        reader, writer = socket.socketpair()
        with reader, writer:
            for i in range(200):
                try:
                    loop.call_soon(called.append, i)
                    loop.call_later(0.001, called.append, i).cancel()
                    loop.call_later(0, called.append, i)
                    loop.add_reader(reader, int)
                    loop.add_writer(writer, int)
                    loop.remove_writer(writer)
                    loop.remove_reader(reader)
                    transport.write(b"x")
                    transport.pause_reading()
                    transport.resume_reading()
                except BaseException as exc:
                    wrong.append(exc)

    threads = [threading.Thread(target=intrude, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    until(loop, lambda: not any(thread.is_alive() for thread in threads), turns=20_000)
    until(loop, lambda: len(called) == 1600)
    assert wrong == []
    got: list[bytes] = []
    until(loop, lambda: got.append(drain(pair[1])) or sum(map(len, got)) == 800)
    pair[1].send(b"y")
    until(loop, lambda: protocol.data == b"y")
    transport.close()
    turn(loop)
    assert protocol.lost == [None]
    loop.close()


def test_a_loop_that_runs_in_another_thread_is_not_run_again(loop: Loop) -> None:
    if type(loop) is asyncio.SelectorEventLoop and sys.version_info >= (3, 13):
        pytest.skip("asyncio's loop of 3.13 lets itself be closed then")
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        until_running(loop)
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_forever()
        with pytest.raises(RuntimeError, match="running"):
            loop.close()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def until_running(loop: Loop) -> None:
    running = threading.Event()
    loop.call_soon_threadsafe(running.set)
    assert running.wait(30)


# ---- what ends a program, from wherever it comes


@contextlib.contextmanager
def raised_by(loop: Loop, where: str, kind: type[BaseException]) -> Iterator[None]:
    """Has `kind` raised the next time that the loop runs, by a callback of that sort."""

    def fail(*_: object) -> None:
        raise kind

    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        match where:
            case "timer":
                loop.call_later(0.001, fail)
            case "reader":
                loop.add_reader(ours, fail)
                theirs.send(b"x")
            case "writer":
                loop.add_writer(ours, fail)
            case "threadsafe":
                thread = threading.Thread(target=loop.call_soon_threadsafe, args=(fail,))
                thread.start()
                thread.join()
            case "signal handler":
                loop.add_signal_handler(signal.SIGUSR1, fail)
                loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
            case "future":
                future = loop.create_future()
                future.add_done_callback(fail)
                loop.call_soon(future.set_result, None)
            case "task":

                async def task() -> None:
                    await asyncio.sleep(0)
                    fail()

                made = loop.create_task(task())
                made.add_done_callback(lambda task: task.exception())
            case "exception handler":
                loop.set_exception_handler(fail)
                loop.call_soon(lambda: 1 / 0)
            case "datagram":
                protocol = type("P", (asyncio.DatagramProtocol,), {"datagram_received": fail})
                transport, _ = loop.run_until_complete(
                    loop.create_datagram_endpoint(protocol, local_addr=("127.0.0.1", 0))
                )
                transport.sendto(b"x", transport.get_extra_info("sockname"))
            case "protocol factory":
                server = loop.run_until_complete(loop.create_server(fail, "127.0.0.1", 0))
                client = socket.create_connection(server.sockets[0].getsockname())
        yield
        loop.set_exception_handler(None)
        loop.remove_reader(ours)
        loop.remove_writer(ours)
        loop.remove_signal_handler(signal.SIGUSR1)
        if where == "datagram":
            transport.abort()
        if where == "protocol factory":
            client.close()
            server.close()
        turn(loop)


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize(
    "where",
    [
        "timer", "reader", "writer", "threadsafe", "signal handler", "future", "task",
        "exception handler", "datagram", "protocol factory",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_ends_a_program_comes_out_of_run_forever(
    loop: Loop, where: str, kind: type[BaseException]
) -> None:
    with raised_by(loop, where, kind):
        loop.call_later(30, loop.stop)
        with pytest.raises(kind):
            loop.run_forever()
        assert not loop.is_running()
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
    assert loop.run_until_complete(asyncio.sleep(0, "well")) == "well"


# ---- signals in the middle of anything


@contextlib.contextmanager
def signals(handler: Callable[..., Any], every: float) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, every, every)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


async def work(directory: Path) -> None:
    """Some of everything that waits, reads or writes."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100_000):
            writer.write(data)
            await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for size in (1, 100_000, 1_000_000):
        writer.write(b"x" * size)
        assert await reader.readexactly(size) == b"x" * size
    file = directory / "file"
    file.write_bytes(b"y" * 300_000)
    with file.open("rb") as opened:
        sent = loop.create_task(loop.sendfile(writer.transport, opened))
        assert await reader.readexactly(300_000) == b"y" * 300_000
        assert await sent == 300_000
    writer.close()
    await writer.wait_closed()
    process = await asyncio.create_subprocess_exec(
        "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert await process.communicate(b"z" * 200_000) == (b"z" * 200_000, None)
    assert await asyncio.to_thread(sum, range(1000)) == 499_500
    await asyncio.gather(*[asyncio.sleep(0.0001 * n) for n in range(20)])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        receiving = loop.create_task(loop.sock_recv(theirs, 10))
        await loop.sock_sendall(ours, b"hello")
        assert await receiving == b"hello"
    server.close()


def test_signals_in_the_middle_of_everything(tmp_path: Path) -> None:
    """Handlers in Python run at any moment; system calls are interrupted and go on."""
    came: list[int] = []
    with signals(lambda number, frame: came.append(number), every=0.0005):
        while len(came) < 50:
            weft.run(asyncio.wait_for(work(tmp_path), 60))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_interrupt_in_the_middle_of_anything_ends_the_run(tmp_path: Path) -> None:
    """Wherever Ctrl-C strikes, it comes out or is reported, and a loop made afterwards is well."""
    program = """
        import asyncio, gc, random, signal, sys, warnings
        from pathlib import Path
        import weft
        from tests.test_bad_input_loop import work
        warnings.simplefilter("ignore")
        sys.unraisablehook = lambda unraisable: None
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        random.seed(5)
        out = 0
        for n in range(20):
            loop = weft.new_event_loop()
            loop.set_exception_handler(lambda *_: None)
            main = loop.create_task(work(Path(sys.argv[1])))
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.02))
                loop.run_until_complete(main)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                out += 1
            except BaseException:  # what the interrupt has left half done
                signal.setitimer(signal.ITIMER_REAL, 0)
            for task in asyncio.all_tasks(loop):
                task.cancel()
            while True:  # an interrupt in one task goes on to the one that waits for it
                try:
                    loop.run_until_complete(asyncio.sleep(0))
                    break
                except KeyboardInterrupt:
                    pass
            loop.close()
            gc.collect()
        print(out)
        assert weft.run(asyncio.sleep(0, "well")) == "well"
    """
    assert int(run_python(program, str(tmp_path))) > 3


def run_python(program: str, *args: str) -> str:
    """Runs it, in the repository, with development mode's checks; its output."""
    import textwrap

    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(program), *args],
        capture_output=True, timeout=120, cwd=Path(__file__).parent.parent, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- descriptors


def test_a_descriptor_number_far_too_large_is_refused(loop: Loop) -> None:
    """It once made the table of descriptors that long: 16 GiB."""
    for add in (loop.add_reader, loop.add_writer):
        with pytest.raises(OSError, match="Bad file descriptor"):
            add(2**31 - 1, int)
        with pytest.raises((OSError, ValueError, OverflowError)):
            add(2**40, int)
    for remove in (loop.remove_reader, loop.remove_writer):
        assert not remove(2**31 - 1)


def test_a_listener_closed_behind_the_loops_back() -> None:
    """asyncio's loop never notices another one of that number."""
    loop = weft.new_event_loop()
    protocols: list[Recorder] = []

    def factory() -> Recorder:
        protocols.append(Recorder())
        return protocols[-1]

    server = loop.run_until_complete(loop.create_server(factory, "127.0.0.1", 0))
    sock = server.sockets[0]
    os.close(sock.fileno())
    loop.run_until_complete(asyncio.sleep(0.01))
    # its number comes back as another server's
    another = loop.run_until_complete(loop.create_server(factory, "127.0.0.1", 0))
    with socket.create_connection(another.sockets[0].getsockname()):
        until(loop, lambda: protocols and protocols[0].events)
    until(loop, lambda: protocols[0].lost)
    another.close()
    with contextlib.suppress(OSError):
        server.close()
    turn(loop)
    loop.close()


@pytest.mark.filterwarnings("ignore:unclosed")  # asyncio's cannot be closed any more
def test_a_datagram_socket_closed_behind_the_loops_back(loop: Loop) -> None:
    errors: list[Exception] = []

    class Protocol(asyncio.DatagramProtocol):
        def error_received(self, exc: Exception) -> None:
            errors.append(exc)

    transport, _ = loop.run_until_complete(
        loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
    )
    address = transport.get_extra_info("sockname")
    os.close(transport.get_extra_info("socket").fileno())
    transport.sendto(b"x", address)
    loop.run_until_complete(asyncio.sleep(0.01))
    assert [type(error) for error in errors] == [OSError]
    transport.abort()
    with contextlib.suppress(OSError):
        turn(loop)
    turn(loop)
    del transport
    gc.collect()


@pytest.mark.parametrize("kind", KINDS)
def test_every_descriptor_closed_behind_the_loops_back(kind: str) -> None:
    """As a daemon does that begins too late: the loop fails, and that is all."""
    run_python(
        """
        import asyncio, os, sys, weft
        loop = weft.new_event_loop() if sys.argv[1] == "weft" else asyncio.SelectorEventLoop()
        server = loop.run_until_complete(loop.create_server(asyncio.Protocol, "127.0.0.1", 0))
        loop.call_later(0.01, loop.stop)
        os.closerange(3, 1000)
        try:
            loop.run_forever()
        except OSError as error:
            print(error)
        for close in (server.close, loop.close):
            try:
                close()
            except OSError as error:
                print(error)
        os._exit(0)  # what else is closed here was never ours
        """,
        kind,
    )


# ---- no descriptors, no buffers


@contextlib.contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    """Only so many more can be opened."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    held: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 32, hard))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        for _ in range(spare):
            os.close(held.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in held:
            os.close(fd)


WITHOUT_DESCRIPTORS: dict[str, Callable[[Loop], Any]] = {
    "connect": lambda loop: loop.create_connection(Recorder, "127.0.0.1", 1),
    "serve": lambda loop: loop.create_server(Recorder, "127.0.0.1", 0),
    "datagrams": lambda loop: loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    ),
    "subprocess": lambda loop: loop.subprocess_exec(  # without pipes, which Popen would leave
        asyncio.SubprocessProtocol, "true", stdin=None, stdout=None, stderr=None
    ),
    "signal": lambda loop: asyncio.sleep(0, loop.add_signal_handler(signal.SIGUSR2, int)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", WITHOUT_DESCRIPTORS)
def test_without_descriptors_nothing_is_left_half_made(loop: Loop, what: str) -> None:
    collect_quietly()
    before = descriptors()
    done = 0
    for spare in range(0, 16, 1 if what == "subprocess" else 3):
        made = None
        with few_descriptors(spare):
            try:
                made = loop.run_until_complete(call(loop, what))
            except OSError as error:
                unbound = "could not bind on any address" in str(error)  # 3.13 says no more
                if error.errno not in (errno.EMFILE, errno.ECONNREFUSED) and not unbound:
                    raise
            except RuntimeError as error:
                if not isinstance(error.__cause__ or error.__context__, OSError):
                    raise
        if isinstance(made, tuple):
            made[0].close()
        elif isinstance(made, asyncio.AbstractServer):
            made.close()
        loop.remove_signal_handler(signal.SIGUSR2)
        done += made is not None
        del made
        collect_quietly()
        loop.run_until_complete(asyncio.sleep(0))
        until(loop, no_children)
    for _ in range(10):
        loop.run_until_complete(asyncio.sleep(0.01))
    collect_quietly()
    assert descriptors() <= before + 2  # a self-pipe, that of add_signal_handler
    assert done or what in ("connect", "signal")


async def call(loop: Loop, what: str) -> Any:
    return await WITHOUT_DESCRIPTORS[what](loop)


def no_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def test_a_loop_that_cannot_be_made_says_so() -> None:
    collect_quietly()
    before = descriptors()
    made = 0
    for spare in range(4):
        with few_descriptors(spare):
            try:
                loop = weft.new_event_loop()
            except OSError as error:
                if error.errno != errno.EMFILE:
                    raise
            else:
                loop.close()
                made += 1
        assert descriptors() == before
    assert 0 < made < 4


def test_threads_that_do_nothing_but_call_leave_the_loop_its_turns(loop: Loop) -> None:
    """Each turn took longer than the last, timers were late, and the queue grew without end."""
    over = False
    made = [0] * 4
    ran = behind = 0

    def ticked() -> None:
        nonlocal ran, behind
        ran += 1
        behind = max(behind, sum(made) - ran)

    def call(n: int) -> None:
        while not over:
            made[n] += 1
            loop.call_soon_threadsafe(ticked)

    async def main() -> None:
        nonlocal over
        threads = [threading.Thread(target=call, args=(n,)) for n in range(len(made))]
        for thread in threads:
            thread.start()
        await asyncio.sleep(0.2)
        over = True
        for thread in threads:
            thread.join()

    loop.run_until_complete(main())
    turn(loop)
    assert ran == sum(made)
    assert behind < 1_000_000, behind
