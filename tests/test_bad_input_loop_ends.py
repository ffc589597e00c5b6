"""What ends too early: cancelled while it begins, collected while open, finalized in the middle,
cut off by the end of the interpreter, by a peer that is gone, or by a kernel without buffers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
from asyncio import AbstractEventLoop as Loop
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trustme

import weft

from .loops import KINDS, Reports, loop, turn
from .peers import Peer, Recorder, connect, drop, pair, tcp_pair, until
from .test_bad_input_loop import descriptors, no_children

__all__ = ["loop", "pair"]

PIPE = subprocess.PIPE
Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.fixture(scope="module")
def contexts() -> Contexts:
    """Server's and client's."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", common_name="localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


# ---- cancelled at each await point there is

Start = Callable[[], Coroutine[Any, Any, Any]]


TURNS_MAX = 300


def cancelled_at_each_turn(loop: Loop, start: Start, undo: Callable[[Any], Any]) -> int:
    """Cancels it after 0, 1, 2, ... turns, until it is done sooner; in how many it was cancelled.
    What waits for a thread may take any number of turns: the first hundreds tell.

    Descriptors, children and tasks after each are what they were before."""

    async def once(turns: int) -> bool:
        task = loop.create_task(start())
        for _ in range(turns):
            await asyncio.sleep(0)
            if task.done():
                break
        cancelled = task.cancel()
        try:
            made = await task
        except asyncio.CancelledError:
            return True
        undone = undo(made)
        if asyncio.iscoroutine(undone):
            await undone
        return cancelled

    async def settled(before: int) -> None:
        for waited in range(10_000):
            if descriptors() <= before and asyncio.all_tasks() == {asyncio.current_task()}:
                break
            if waited == 50:
                gc.collect()
            await asyncio.sleep(0.001)
        assert descriptors() <= before
        assert asyncio.all_tasks() == {asyncio.current_task()}

    loop.run_until_complete(once(1_000_000))  # what is made once, such as threads
    loop.run_until_complete(asyncio.sleep(0.01))
    before = descriptors()
    turns = 0
    while turns < TURNS_MAX and loop.run_until_complete(once(turns)):
        loop.run_until_complete(settled(before))
        turns += 1
    loop.run_until_complete(settled(before))
    assert no_children()
    return turns


class Server:
    """Accepts, and says nothing."""

    def __init__(self, loop: Loop, **options: Any) -> None:
        self.loop = loop
        self.protocols: list[Recorder] = []
        self.server = loop.run_until_complete(
            loop.create_server(self.made, "127.0.0.1", 0, **options)
        )
        self.address = self.server.sockets[0].getsockname()

    def made(self) -> Recorder:
        self.protocols.append(Recorder())
        return self.protocols[-1]

    def close(self) -> None:
        self.server.close()
        for protocol in self.protocols:
            if protocol.events:
                protocol.transport.abort()
        until(self.loop, lambda: all(p.lost for p in self.protocols if p.events))
        turn(self.loop)


def abort(made: Any) -> None:
    made[0].abort()


@pytest.mark.filterwarnings("ignore")  # asyncio's happy eyeballs leave a socket to the collector
@pytest.mark.parametrize(
    "options", [{}, {"happy_eyeballs_delay": 0.25}, {"local_addr": ("127.0.0.1", 0)}]
)
def test_cancelled_while_it_connects(loop: Loop, options: Any) -> None:
    server = Server(loop)

    def start() -> Any:  # by a name: it is looked up
        return loop.create_connection(
            Recorder, "localhost", server.address[1], family=socket.AF_INET, **options
        )

    assert cancelled_at_each_turn(loop, start, abort) >= 2
    server.close()


def test_cancelled_in_either_side_of_a_handshake(loop: Loop, contexts: Contexts) -> None:
    server = Server(loop, ssl=contexts[0])
    Reports(loop)

    def start() -> Any:
        return loop.create_connection(
            Recorder, *server.address, ssl=contexts[1], server_hostname="localhost"
        )

    assert cancelled_at_each_turn(loop, start, abort) >= 4
    server.close()


@pytest.mark.filterwarnings("ignore")  # sockets that nothing was made of yet
@pytest.mark.parametrize("server_side", [False, True])
def test_cancelled_in_start_tls(loop: Loop, contexts: Contexts, server_side: bool) -> None:
    Reports(loop)  # says nothing of the side that is left alone

    async def start() -> Any:
        transports = [
            (await loop.create_connection(Recorder, sock=sock))[0] for sock in socket.socketpair()
        ]

        def secure(transport: Any, server: bool) -> Any:
            return loop.start_tls(
                transport, transport.get_protocol(), contexts[0 if server else 1],
                server_side=server, server_hostname=None if server else "localhost",
            )  # fmt: skip

        other = loop.create_task(secure(transports[1], not server_side))
        try:
            return await secure(transports[0], server_side), await other
        except BaseException:
            for transport in transports:
                transport.abort()
            await asyncio.gather(other, return_exceptions=True)
            raise

    def undo(made: Any) -> None:
        for transport in made:
            transport.abort()

    assert cancelled_at_each_turn(loop, start, undo) >= 3


@pytest.mark.parametrize("fallback", [False, True])
def test_cancelled_in_sendfile(loop: Loop, tmp_path: Path, fallback: bool) -> None:
    """The rest of the file is not sent; the transport goes on where the file stopped."""
    size = 3_000_000
    (tmp_path / "file").write_bytes(b"f" * size)
    server = Server(loop)

    async def start() -> Any:
        transport, _ = await loop.create_connection(Recorder, *server.address)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)  # or it is done at once
        content = (tmp_path / "file").read_bytes()
        with io.BytesIO(content) if fallback else (tmp_path / "file").open("rb") as file:
            try:
                await loop.sendfile(transport, file)
            except BaseException:
                transport.write(b"the end")
                transport.close()
                raise
        return (transport,)

    assert cancelled_at_each_turn(loop, start, abort) >= 3
    until(loop, lambda: all(p.lost for p in server.protocols))
    ended = [p for p in server.protocols if p.data.endswith(b"the end")]
    assert ended
    assert all(set(p.data.removesuffix(b"the end")) <= {ord("f")} for p in server.protocols)
    server.close()


def test_cancelled_while_a_child_starts(loop: Loop) -> None:
    def start() -> Any:
        return asyncio.create_subprocess_exec("sleep", "100", stdin=PIPE, stdout=PIPE, stderr=PIPE)

    async def undo(process: asyncio.subprocess.Process) -> None:
        process.kill()
        await process.communicate()

    assert cancelled_at_each_turn(loop, start, undo) >= 2


# ---- collected while open

Made = Callable[[Loop], Coroutine[Any, Any, Any]]


async def a_pipe_to_read(loop: Loop) -> Any:
    r, w = os.pipe()
    os.close(w)
    transport, _ = await loop.connect_read_pipe(asyncio.Protocol, os.fdopen(r, "rb", 0))
    transport.pause_reading()
    return transport


async def a_pipe_to_write(loop: Loop) -> Any:
    ours, theirs = socket.socketpair()
    theirs.detach()  # stays open, so that nobody is told
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, ours)
    return transport


async def a_child(loop: Loop) -> Any:
    transport, _ = await loop.subprocess_exec(
        asyncio.SubprocessProtocol, "sleep", "1", stdin=None, stdout=None, stderr=None
    )
    return transport


@pytest.mark.parametrize("make", [a_pipe_to_read, a_child])
@pytest.mark.filterwarnings("ignore:subprocess .* is still running")
def test_what_is_collected_unclosed_says_so(loop: Loop, make: Made) -> None:
    if type(loop) is asyncio.SelectorEventLoop and make is a_child:
        pytest.skip("asyncio's thread that waits for the child holds the transport as long")
    transport = loop.run_until_complete(make(loop))
    turn(loop)
    loop.close()
    held = [transport]
    del transport
    with pytest.warns(ResourceWarning, match="unclosed"):
        drop(held)
    until_no_children()


def until_no_children() -> None:
    while not no_children():
        with contextlib.suppress(ChildProcessError):  # asyncio's own thread waits for it too
            os.waitpid(-1, 0)


@pytest.mark.filterwarnings("ignore:unclosed")
def test_a_server_that_nobody_holds_serves_on(loop: Loop) -> None:
    protocol = Recorder()
    address = (
        loop.run_until_complete(loop.create_server(lambda: protocol, "127.0.0.1", 0))
        .sockets[0]
        .getsockname()
    )
    gc.collect()
    with socket.create_connection(address):
        until(loop, lambda: protocol.events)
    until(loop, lambda: protocol.lost)


# ---- finalizers that call back


class Late:
    """Does something as it dies."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self.do = do

    def __call__(self, *_: object) -> None: ...

    def __del__(self) -> None:
        self.do()


def test_a_finalizer_may_use_the_loop(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    called: list[str] = []
    pair[1].send(b"x")

    def do() -> None:
        loop.call_soon(called.append, "soon")
        loop.call_later(0, called.append, "later")
        loop.call_soon(Late(lambda: called.append("another finalizer")))
        loop.add_reader(pair[0], called.append, "reader")
        loop.remove_reader(pair[1])
        gc.collect()

    loop.call_soon(Late(do))  # dies as its handle does
    loop.call_later(60, Late(do)).cancel()
    loop.add_reader(pair[0], Late(do))
    loop.remove_reader(pair[0])
    handles = [loop.call_later(60, Late(do)) for _ in range(5)]
    for handle in handles:
        handle.cancel()
    del handles, handle
    until(loop, lambda: {"soon", "later", "another finalizer", "reader"} <= set(called))
    loop.remove_reader(pair[0])


def test_a_finalizer_may_use_the_loop_as_it_closes(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    told: list[str] = []

    def do() -> None:
        for method in (
            lambda: loop.call_soon(print),
            lambda: loop.call_soon_threadsafe(print),
            lambda: loop.call_later(0, print),
            lambda: loop.add_reader(pair[0], print),
            lambda: loop.run_until_complete(asyncio.sleep(0)),
        ):
            with pytest.raises(RuntimeError):
                method()
        assert not loop.remove_reader(pair[0])
        other.cancel()
        loop.stop()
        loop.close()
        gc.collect()
        told.append("closed")

    other = loop.call_later(60, print)
    loop.call_soon(Late(do))
    loop.call_later(60, Late(do))
    loop.add_reader(pair[0], Late(do))
    loop.add_writer(pair[1], Late(do))
    coroutines = pytest.warns(RuntimeWarning, match="never awaited")
    with coroutines:
        loop.close()
    assert told == ["closed"] * 4


def test_a_finalizer_may_close_a_transport_that_is_written_to(
    loop: Loop, pair: tuple[Peer, Peer]
) -> None:
    if type(loop) is asyncio.SelectorEventLoop and sys.version_info >= (3, 12):
        pytest.skip("asyncio keeps what is written until it is sent, which here it never is")
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)

    class Data(bytes):
        def __del__(self) -> None:
            transport.abort()

    transport.write(Data(b"x" * 3_000_000))
    transport.write(b"y")
    until(loop, lambda: protocol.lost)
    assert protocol.lost == [None]


def test_a_long_chain_of_handles_is_let_go() -> None:
    """Each was the argument of the next: once so many deep calls, and the end of the stack."""
    let_go: list[bool] = []

    def in_a_small_stack() -> None:
        loop = weft.new_event_loop()
        loop.set_debug(False)
        handle = loop.call_soon(id, None)
        for _ in range(30_000):
            handle = loop.call_soon(id, handle)
        del handle
        turn(loop)
        loop.close()
        let_go.append(True)

    # CPython 3.13 lets 10,000 deallocations nest, of whatever: a stack of the usual size.
    before = threading.stack_size(512 * 1024 if sys.version_info < (3, 13) else 0)
    try:
        thread = threading.Thread(target=in_a_small_stack)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert let_go == [True]


# ---- peers that are there by half


def test_a_peer_that_vanished_without_a_word(loop: Loop) -> None:
    """As one whose power failed: the next write gets a reset, and the protocol is told."""
    ours, theirs = tcp_pair()
    protocol = Recorder()
    transport = connect(loop, ours, protocol)
    try:
        theirs.setsockopt(socket.IPPROTO_TCP, 19, 1)  # TCP_REPAIR: closed without a FIN
    except PermissionError:
        theirs.close()
        transport.abort()
        turn(loop)
        pytest.skip("needs CAP_NET_ADMIN")
    theirs.close()
    loop.run_until_complete(asyncio.sleep(0.01))
    assert protocol.events == ["made"]  # nobody knows
    transport.write(b"are you there?")
    until(loop, lambda: protocol.lost)
    assert isinstance(protocol.lost[0], ConnectionError)


def test_a_peer_that_never_reads_and_never_leaves(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    transport.write(b"x" * 10_000_000)
    transport.close()  # waits for the rest to be sent, for ever
    loop.run_until_complete(asyncio.sleep(0.01))
    assert protocol.events == ["made", "pause"]
    assert transport.get_write_buffer_size() > 0
    transport.abort()
    turn(loop)
    assert protocol.lost == [None]
    assert transport.get_write_buffer_size() == 0


# ---- a kernel without buffers

SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* The first calls fail as the environment says. */
static int fails(const char *name) {
    static int left_accept = -1, left_send = -1;
    int *left = name[0] == 'a' ? &left_accept : &left_send;
    if (*left < 0) {
        const char *times = getenv(name);
        *left = times != NULL ? atoi(times) : 0;
    }
    if (*left == 0) {
        return 0;
    }
    --*left;
    errno = ENOBUFS;
    return 1;
}

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags) {
    int (*real)(int, struct sockaddr *, socklen_t *, int) = dlsym(RTLD_NEXT, "accept4");
    return fails("accept_fails") ? -1 : real(fd, addr, len, flags);
}

ssize_t sendto(int fd, const void *p, size_t n, int flags, const struct sockaddr *to,
               socklen_t len) {
    ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) =
        dlsym(RTLD_NEXT, "sendto");
    return fails("sendto_fails") ? -1 : real(fd, p, n, flags, to, len);
}

ssize_t send(int fd, const void *p, size_t n, int flags) {
    ssize_t (*real)(int, const void *, size_t, int) = dlsym(RTLD_NEXT, "send");
    return fails("sendto_fails") ? -1 : real(fd, p, n, flags);
}
"""


@pytest.fixture(scope="module")
def without_buffers(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs a program of which the first accepts or sends fail with ENOBUFS."""
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run(
        [*compiler, "-shared", "-fPIC", "-o", "shim.so", "shim.c", "-ldl"], cwd=folder, check=True
    )

    def run(program: str, *args: str, **fails: str) -> str:
        preload = " ".join(filter(None, [os.environ.get("LD_PRELOAD"), str(folder / "shim.so")]))
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), *args],
            env=os.environ | {"LD_PRELOAD": preload} | fails, capture_output=True, timeout=60,
            encoding="utf-8",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


BEGIN = """
    import asyncio, socket, sys, weft
    loop = weft.new_event_loop() if sys.argv[1] == "weft" else asyncio.SelectorEventLoop()
"""


@pytest.mark.parametrize("kind", KINDS)
def test_without_buffers_to_accept_the_server_waits_and_goes_on(
    without_buffers: Callable[..., str], kind: str
) -> None:
    program = (
        BEGIN
        + """
    told = []
    loop.set_exception_handler(lambda loop, context: told.append(context["exception"].errno))
    async def main():
        served = loop.create_future()
        server = await asyncio.start_server(lambda r, w: served.set_result(w), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        (await asyncio.wait_for(served, 30)).close()
        assert await reader.read() == b""
        writer.close()
        server.close()
    loop.run_until_complete(main())
    import errno
    assert told and set(told) == {errno.ENOBUFS}
    print("served")
    """
    )
    assert without_buffers(program, kind, accept_fails="1") == "served\n"


@pytest.mark.parametrize("kind", KINDS)
def test_without_buffers_to_send_the_protocol_is_told(
    without_buffers: Callable[..., str], kind: str
) -> None:
    """A datagram is lost, as any may be; a stream cannot go on."""
    program = (
        BEGIN
        + """
    class Datagrams(asyncio.DatagramProtocol):
        def error_received(self, exc): print("datagram", exc.errno)
        def datagram_received(self, data, addr): got.set_result(data)
    class Stream(asyncio.Protocol):
        def connection_lost(self, exc): print("stream", exc.errno); lost.set_result(None)
    async def main():
        global got, lost
        got, lost = loop.create_future(), loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
        transport.sendto(b"lost", transport.get_extra_info("sockname"))
        ours, theirs = socket.socketpair()
        stream, _ = await loop.create_connection(Stream, sock=ours)
        stream.write(b"lost")
        await asyncio.wait_for(lost, 30)
        transport.sendto(b"goes on", transport.get_extra_info("sockname"))
        assert await asyncio.wait_for(got, 30) == b"goes on"
        transport.close()
    loop.run_until_complete(main())
    """
    )
    assert without_buffers(program, kind, sendto_fails="2") == "datagram 105\nstream 105\n"


# ---- the end of the interpreter

EVERYTHING = """
    import asyncio, os, signal, socket, ssl, sys, threading, warnings, weft
    warnings.simplefilter("ignore")
    loop = weft.new_event_loop()

    class Late:
        def __call__(self):
            pass

        def __del__(self):
            try:
                loop.call_soon(print)
                transport.write(b"x")
            except Exception:
                pass

    async def generator():
        try:
            while True:
                yield Late()
        finally:
            await asyncio.sleep(0)

    async def waits(what):
        late = Late()
        await what

    async def main():
        global kept, transport
        kept = [loop, Late()]
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        transport, protocol = await loop.create_connection(
            asyncio.Protocol, *server.sockets[0].getsockname()
        )
        transport.write(b"x" * 5_000_000)
        kept += [server, transport, protocol]
        context = ssl.create_default_context()
        tls = loop.create_connection(
            asyncio.Protocol, *server.sockets[0].getsockname(), ssl=context, server_hostname="a"
        )
        kept.append(loop.create_task(waits(tls)))
        kept.append(
            await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
            )
        )
        r, w = os.pipe()
        kept.append(await loop.connect_read_pipe(asyncio.Protocol, os.fdopen(r, "rb", 0)))
        kept.append(await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(w, "wb", 0)))
        kept.append(await asyncio.create_subprocess_exec("sleep", "0.2", stdin=-1, stdout=-1))
        loop.add_signal_handler(signal.SIGUSR1, Late())
        await loop.run_in_executor(None, int)
        kept.append(generator())
        await kept[-1].__anext__()
        kept += [loop.call_later(60, Late(), Late()), loop.call_soon(Late())]
        kept.append(loop.create_task(waits(loop.create_future())))
        kept.append(loop.create_task(waits(asyncio.Event().wait())))
        asyncio.current_task().me = kept
        await asyncio.sleep(0.01)
"""

LEAVINGS = {
    "at the end": "loop.run_until_complete(main())",
    "by sys.exit in a callback": """
    loop.run_until_complete(main())
    loop.call_soon(sys.exit, 0)
    loop.run_forever()
    """,
    "while it runs in a daemon thread": """
    loop.run_until_complete(main())
    running = threading.Event()
    loop.call_soon(running.set)
    threading.Thread(target=loop.run_forever, daemon=True).start()
    running.wait()
    """,
    "while a daemon thread keeps it busy": """
    loop.run_until_complete(main())
    running = threading.Event()
    def again():
        running.set()
        loop.call_soon(again)
    again()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    running.wait()
    """,
    "closed": """
    loop.run_until_complete(main())
    loop.remove_signal_handler(signal.SIGUSR1)
    loop.close()
    """,
}


@pytest.mark.parametrize("leaving", LEAVINGS)
def test_the_interpreter_ends_with_everything_open(leaving: str) -> None:
    program = textwrap.dedent(EVERYTHING) + textwrap.dedent(LEAVINGS[leaving])
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program], capture_output=True, timeout=60,
        encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Fatal" not in done.stderr


FORKED = """
import asyncio, os, sys, weft

async def main():
    async def echo(reader, writer):
        while data := await reader.read(1):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for byte in b"ab":
        writer.write(bytes([byte]))
        assert await asyncio.wait_for(reader.readexactly(1), 60) == bytes([byte])
        if byte == b"a"[0]:
            pid = os.fork()
            if pid == 0:
                sys.exit(0)  # its interpreter frees the loop and all that is on it
            os.waitpid(pid, 0)
    writer.close()

weft.run(main())
"""


def test_a_forked_child_that_ends_takes_no_descriptors_from_its_parent() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], timeout=120, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr.decode()
