"""sock_recv(), sock_sendall() and their kin: operations on sockets of the program's own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import socket
import ssl
import threading
from asyncio import AbstractEventLoop as Loop
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from .loops import loop, turn

__all__ = ["loop"]

Pair = tuple[socket.socket, socket.socket]
BIG = bytes(range(256)) * 12_000  # more than the buffers of a socket hold


@pytest.fixture
def pair() -> Iterator[Pair]:
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    with a, b:
        yield a, b


@pytest.fixture
def datagrams() -> Iterator[Pair]:
    with udp_socket() as a, udp_socket() as b:
        yield a, b


def udp_socket() -> socket.socket:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


def waiting(loop: Loop, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """It has been tried, and would have blocked."""
    task = loop.create_task(coro)
    for _ in range(3):
        turn(loop)
    assert not task.done()
    return task


def both_ways(
    loop: Loop, start: Callable[[], Coroutine[Any, Any, Any]], ready: Callable[[], Any]
) -> list[Any]:
    """What it answers where it need not wait, and where it has to."""
    ready()
    at_once = loop.run_until_complete(start())
    task = waiting(loop, start())
    ready()
    return [at_once, loop.run_until_complete(task)]


def test_recv(loop: Loop, pair: Pair) -> None:
    a, b = pair
    assert both_ways(loop, lambda: loop.sock_recv(a, 3), lambda: b.send(b"abc")) == [b"abc"] * 2
    assert both_ways(loop, lambda: loop.sock_recv(a, 9), lambda: b.send(b"abc")) == [b"abc"] * 2
    assert loop.run_until_complete(loop.sock_recv(a, 0)) == b""
    b.close()
    assert loop.run_until_complete(loop.sock_recv(a, 9)) == b""


def test_recv_into(loop: Loop, pair: Pair) -> None:
    a, b = pair
    buf = bytearray(5)
    into = both_ways(loop, lambda: loop.sock_recv_into(a, buf), lambda: b.send(b"abc"))
    assert (into, buf) == ([3, 3], b"abc\0\0")


def test_the_buffer_may_be_resized_while_nothing_comes(loop: Loop, pair: Pair) -> None:
    a, b = pair
    buf = bytearray(5)
    task = waiting(loop, loop.sock_recv_into(a, buf))
    buf.clear()
    buf.extend(bytes(100))
    b.send(b"x" * 80)
    assert loop.run_until_complete(task) == 80
    assert buf == b"x" * 80 + bytes(20)


def test_datagrams(loop: Loop, datagrams: Pair) -> None:
    a, b = datagrams
    there, here = a.getsockname(), b.getsockname()

    def send() -> None:
        assert loop.run_until_complete(loop.sock_sendto(b, b"abc", there)) == 3

    got = both_ways(loop, lambda: loop.sock_recvfrom(a, 10), send)
    assert got == [(b"abc", here)] * 2
    buf = bytearray(5)
    assert both_ways(loop, lambda: loop.sock_recvfrom_into(a, buf), send) == [(3, here)] * 2
    assert both_ways(loop, lambda: loop.sock_recvfrom_into(a, buf, 2), send) == [(2, here)] * 2


def test_sendall_of_more_than_fits(loop: Loop, pair: Pair) -> None:
    a, b = pair

    async def main() -> None:
        sending = loop.create_task(loop.sock_sendall(a, memoryview(BIG)))
        got = bytearray()
        while len(got) < len(BIG):
            got += await loop.sock_recv(b, 100_000)
        assert await sending is None
        assert got == BIG

    loop.run_until_complete(main())
    assert loop.run_until_complete(loop.sock_sendall(a, b"")) is None


def test_connect_and_accept(loop: Loop) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
            listening.setblocking(False)
            client.setblocking(False)
            accepting = loop.create_task(loop.sock_accept(listening))
            await loop.sock_connect(client, listening.getsockname())
            conn, address = await accepting
            with conn:
                assert address == client.getsockname()
                assert conn.gettimeout() == 0
                await loop.sock_sendall(conn, b"hello")
                assert await loop.sock_recv(client, 10) == b"hello"
        with socket.socket() as client:
            client.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await loop.sock_connect(client, listening_no_more)

    with socket.create_server(("127.0.0.1", 0)) as gone:
        listening_no_more = gone.getsockname()
    loop.run_until_complete(main())


def test_connect_to_a_unix_socket(loop: Loop, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        listening.setblocking(False)
        client.setblocking(False)
        loop.run_until_complete(loop.sock_connect(client, str(tmp_path / "s")))
        conn, _ = loop.run_until_complete(loop.sock_accept(listening))
        conn.close()


# ---- ends


def each_that_waits(loop: Loop, a: socket.socket) -> list[Coroutine[Any, Any, Any]]:
    with contextlib.suppress(BlockingIOError):
        while True:
            a.send(bytes(100_000))
    return [
        loop.sock_recv(a, 1),
        loop.sock_recv_into(a, bytearray(1)),
        loop.sock_recvfrom(a, 1),
        loop.sock_recvfrom_into(a, bytearray(1)),
        loop.sock_sendall(a, BIG),
    ]


def test_cancelled_while_it_waits(loop: Loop, pair: Pair) -> None:
    a, b = pair
    for coro in each_that_waits(loop, a):
        task = waiting(loop, coro)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        assert not loop.remove_reader(a), "nobody watches any more"
        assert not loop.remove_writer(a)
    b.send(b"late")
    assert loop.run_until_complete(loop.sock_recv(a, 10)) == b"late"


def test_cancelled_as_it_is_ready(loop: Loop, pair: Pair) -> None:
    """In the same turn: what came stays for the next to read."""
    a, b = pair
    task = waiting(loop, loop.sock_recv(a, 10))
    b.send(b"abc")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert loop.run_until_complete(loop.sock_recv(a, 10)) == b"abc"


def test_another_in_its_place(loop: Loop, pair: Pair) -> None:
    """The second one that reads is called; the first, cancelled, leaves it alone."""
    a, b = pair
    first = waiting(loop, loop.sock_recv(a, 1))
    second = waiting(loop, loop.sock_recv(a, 1))
    first.cancel()
    turn(loop)
    turn(loop)
    assert first.cancelled()
    b.send(b"x")
    assert loop.run_until_complete(second) == b"x"


def test_a_socket_closed_meanwhile(loop: Loop) -> None:
    """Who gets its number is not read from."""
    a, b = socket.socketpair()
    a.setblocking(False)
    task = waiting(loop, loop.sock_recv(a, 10))
    number = a.fileno()
    a.close()
    c, d = socket.socketpair()
    with b, c, d:
        assert number in (c.fileno(), d.fileno())
        for other in (c, d):
            other.send(b"secret")
        turn(loop)
        turn(loop)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, OSError)):
            loop.run_until_complete(task)
        assert (c.recv(10), d.recv(10)) == (b"secret", b"secret")


def test_a_reset_connection(loop: Loop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
    with ours:
        ours.setblocking(False)
        task = waiting(loop, loop.sock_recv(ours, 10))
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        with pytest.raises(ConnectionResetError):
            loop.run_until_complete(task)
        with pytest.raises(BrokenPipeError):
            loop.run_until_complete(loop.sock_sendall(ours, b"x"))


def test_dropped_while_it_waits(loop: Loop, pair: Pair) -> None:
    a, b = pair
    coro = loop.sock_recv(a, 10)
    coro.send(None)
    coro.close()
    b.send(b"abc")
    assert loop.run_until_complete(loop.sock_recv(a, 10)) == b"abc"


@pytest.mark.filterwarnings("ignore:unclosed event loop")
def test_collected_with_its_loop(pair: Pair) -> None:
    import weakref

    import weft

    loop = weft.new_event_loop()
    task = waiting(loop, loop.sock_recv(pair[0], 10))
    loop.set_exception_handler(lambda loop, context: None)
    gone = weakref.ref(loop)
    del loop, task
    gc.collect()
    assert gone() is None


# ---- wrong use


def test_wrong_arguments(loop: Loop, pair: Pair) -> None:
    a, _ = pair
    wrong: Any = "text"
    with pytest.raises(ValueError, match="negative buffersize"):
        loop.run_until_complete(loop.sock_recv(a, -1))
    for coro in (
        loop.sock_recv(a, wrong),
        loop.sock_recv_into(a, wrong),
        loop.sock_recv_into(a, b"constant"),
        loop.sock_sendall(a, wrong),
        loop.sock_sendto(a, wrong, "/nowhere"),
    ):
        with pytest.raises(TypeError):
            loop.run_until_complete(coro)
    a.close()
    for coro in (loop.sock_recv(a, 1), loop.sock_sendall(a, b"x"), loop.sock_accept(a)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            loop.run_until_complete(coro)


def test_debug_mode_refuses_sockets_that_block(loop: Loop, pair: Pair) -> None:
    a, _ = pair
    a.setblocking(True)
    loop.set_debug(True)
    for coro in (
        *(loop.sock_recv(a, 1), loop.sock_recv_into(a, bytearray(1)), loop.sock_recvfrom(a, 1)),
        *(loop.sock_recvfrom_into(a, bytearray(1)), loop.sock_sendall(a, b"")),
        *(loop.sock_sendto(a, b"", "x"), loop.sock_connect(a, "x"), loop.sock_accept(a)),
        loop.sock_sendfile(a, io.BytesIO(b"")),
    ):
        with pytest.raises(ValueError, match="the socket must be non-blocking"):
            loop.run_until_complete(coro)


def test_a_transports_socket_is_its_own(loop: Loop, pair: Pair) -> None:
    async def main() -> None:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=pair[0])
        same = socket.socket(fileno=pair[0].fileno())
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(same, 1)
        same.detach()
        transport.abort()
        await asyncio.sleep(0)

    loop.run_until_complete(main())


def test_tls_sockets_are_refused(loop: Loop, pair: Pair) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    tls = context.wrap_socket(pair[0], do_handshake_on_connect=False)
    with tls, pytest.raises(TypeError, match="SSLSocket"):
        loop.run_until_complete(loop.sock_recv(tls, 1))


def test_a_sockets_subclass_is_asked(loop: Loop, pair: Pair) -> None:
    class Counting(socket.socket):
        asked = 0

        def recv(self, *args: Any) -> bytes:
            self.asked += 1
            return super().recv(*args)

    with Counting(fileno=pair[0].detach()) as sock:
        pair[1].send(b"abc")
        assert loop.run_until_complete(loop.sock_recv(sock, 10)) == b"abc"
        assert sock.asked == 1


# ---- sendfile


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Any]:
    (tmp_path / "file").write_bytes(BIG)
    with (tmp_path / "file").open("rb") as opened:
        yield opened


@pytest.mark.parametrize(
    ("offset", "count"), [(0, None), (1000, None), (1000, 5000), (7, len(BIG)), (len(BIG), None)]
)
def test_sendfile(loop: Loop, pair: Pair, file: Any, offset: int, count: int | None) -> None:
    a, b = pair
    wanted = BIG[offset:][:count]

    async def main() -> int:
        sending = loop.create_task(loop.sock_sendfile(a, file, offset, count, fallback=False))
        got = bytearray()
        while len(got) < len(wanted):
            got += await loop.sock_recv(b, 1 << 20)
        assert got == wanted
        return await sending

    assert loop.run_until_complete(main()) == len(wanted)
    assert file.tell() == (offset + len(wanted) if wanted else 0)


def test_a_file_that_grows_is_sent_to_its_end(loop: Loop, pair: Pair, tmp_path: Path) -> None:
    a, b = pair
    (tmp_path / "file").write_bytes(BIG)
    with (tmp_path / "file").open("r+b") as file:
        task = waiting(loop, loop.sock_sendfile(a, file, fallback=False))
        with (tmp_path / "file").open("ab") as more:
            more.write(b"the end")

        async def read() -> bytes:
            got = bytearray()
            while not got.endswith(b"the end"):
                got += await loop.sock_recv(b, 1 << 20)
            return got

        assert loop.run_until_complete(read()) == BIG + b"the end"
        assert loop.run_until_complete(task) == len(BIG) + len(b"the end")


def test_sendfile_of_what_is_no_file(loop: Loop, pair: Pair) -> None:
    a, b = pair
    with pytest.raises(asyncio.SendfileNotAvailableError):
        loop.run_until_complete(loop.sock_sendfile(a, io.BytesIO(b"abc"), fallback=False))
    assert loop.run_until_complete(loop.sock_sendfile(a, io.BytesIO(b"abc"))) == 3
    assert b.recv(10) == b"abc"


def test_sendfile_to_a_peer_that_goes(loop: Loop, pair: Pair, file: Any) -> None:
    a, b = pair
    task = waiting(loop, loop.sock_sendfile(a, file, fallback=False))
    b.close()
    with pytest.raises(ConnectionError):
        loop.run_until_complete(task)
    assert 0 < file.tell() < len(BIG), "at the end of what was sent"


def test_sendfile_is_cancelled(loop: Loop, pair: Pair, file: Any) -> None:
    a, b = pair
    task = waiting(loop, loop.sock_sendfile(a, file, fallback=False))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert not loop.remove_writer(a)
    b.recv(1 << 22)
    loop.run_until_complete(loop.sock_sendall(a, b"goes on"))


def test_other_threads_run_while_a_file_is_sent(loop: Loop, pair: Pair, file: Any) -> None:
    """Callbacks of theirs come in between, and the loop may be told of them."""
    a, b = pair
    b.setblocking(True)
    got = bytearray()

    def read() -> None:
        while len(got) < len(BIG):
            got.extend(b.recv(1 << 20))
            loop.call_soon_threadsafe(lambda: None)

    thread = threading.Thread(target=read)
    thread.start()
    assert loop.run_until_complete(loop.sock_sendfile(a, file)) == len(BIG)
    thread.join()
    assert got == BIG


def test_a_closed_loop_says_so(loop: Loop, pair: Pair) -> None:
    coro = loop.sock_recv(pair[0], 1)
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        coro.send(None)
