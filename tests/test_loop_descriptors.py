"""add_reader and add_writer."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import tempfile
import threading
import time
from asyncio import AbstractEventLoop as Loop
from collections.abc import Iterator

import pytest

import weft

from .loops import Reports, loop, turn

__all__ = ["loop"]

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    with a, b:
        yield a, b


def test_a_reader_is_called_as_long_as_there_is_something(loop: Loop, pair: Pair) -> None:
    a, b = pair
    got: list[bytes] = []
    loop.add_reader(a, lambda: got.append(a.recv(1)))
    b.send(b"xyz")
    for _ in range(5):
        turn(loop)
    assert got == [b"x", b"y", b"z"]
    assert loop.remove_reader(a) is True
    assert loop.remove_reader(a) is False
    b.send(b"!")
    turn(loop)
    assert len(got) == 3


def test_reader_and_writer_share_a_descriptor(loop: Loop, pair: Pair) -> None:
    a, b = pair
    got: list[str] = []
    loop.add_reader(a.fileno(), got.append, "read")
    loop.add_writer(a.fileno(), got.append, "write")
    turn(loop)
    assert got == ["write"]
    b.send(b"x")
    turn(loop)
    assert got == ["write", "read", "write"]
    loop.remove_writer(a.fileno())
    turn(loop)
    assert got == ["write", "read", "write", "read"]
    loop.remove_reader(a.fileno())
    turn(loop)
    assert len(got) == 4


def test_adding_again_replaces(loop: Loop, pair: Pair) -> None:
    a, b = pair
    got: list[int] = []
    loop.add_reader(a, got.append, 1)
    loop.add_reader(a, got.append, 2)
    b.send(b"x")
    turn(loop)
    assert got == [2]


def test_one_removed_in_the_same_turn_is_not_called(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    got: list[int] = []

    def only(i: int) -> None:
        got.append(i)
        for a, _ in pairs:
            loop.remove_reader(a)

    for i, (a, b) in enumerate(pairs):
        loop.add_reader(a, only, i)
        b.send(b"x")
    turn(loop)
    turn(loop)
    assert len(got) == 1
    for a, b in pairs:
        a.close()
        b.close()


def test_a_peer_that_closes_wakes_both(loop: Loop, pair: Pair) -> None:
    a, b = pair
    got: list[str] = []
    loop.add_reader(a, got.append, "read")
    loop.add_writer(a, got.append, "write")
    b.close()
    turn(loop)
    assert sorted(got) == ["read", "write"]
    loop.remove_reader(a)
    loop.remove_writer(a)


def test_a_number_that_comes_back_as_another_file_is_watched(pair: Pair) -> None:
    """The kernel forgets a closed descriptor; asyncio's selector does not notice."""
    loop = weft.new_event_loop()
    got: list[bytes] = []
    a, b = socket.socketpair()
    fd = a.fileno()
    loop.add_reader(fd, pytest.fail, "the old one")
    a.close()  # without remove_reader
    os.dup2(pair[0].fileno(), fd)
    loop.add_reader(fd, lambda: got.append(os.read(fd, 9)))
    pair[1].send(b"new")
    turn(loop)
    assert got == [b"new"]
    loop.remove_reader(fd)
    os.close(fd)
    b.close()
    loop.close()


def test_removing_a_closed_descriptor_is_harmless(loop: Loop) -> None:
    a, b = socket.socketpair()
    fd = a.fileno()
    loop.add_reader(fd, print)
    a.close()
    assert loop.remove_reader(fd) is True
    b.close()
    turn(loop)


@pytest.mark.parametrize("bad", [-1, "x", object(), 1.5, None])
def test_what_is_no_descriptor_is_refused(loop: Loop, bad: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        loop.add_reader(bad, print)  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError)):
        loop.remove_reader(bad)  # type: ignore[arg-type]


def test_a_closed_file_can_still_be_removed(loop: Loop) -> None:
    """It has no number any more; anyio's unix sockets do that to wake up who reads."""
    ours, theirs = socket.socketpair()
    with theirs:
        for add, remove in (
            (loop.add_reader, loop.remove_reader),
            (loop.add_writer, loop.remove_writer),
        ):
            add(ours, print)
            other = ours.dup()
            ours.close()
            assert remove(ours)
            with pytest.raises(ValueError, match="Invalid file"):
                remove(ours)
            ours = other
        other.close()


def test_a_closed_or_unwatchable_file_is_an_os_error(loop: Loop) -> None:
    r, w = os.pipe()
    os.close(r)
    os.close(w)
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop.add_reader(r, print)
    with tempfile.TemporaryFile() as file, pytest.raises(PermissionError):
        loop.add_reader(file, print)
    turn(loop)


def test_a_failed_add_leaves_nothing_behind(loop: Loop) -> None:
    with tempfile.TemporaryFile() as file:
        with pytest.raises(PermissionError):
            loop.add_writer(file, print)
        assert loop.remove_writer(file) is False


def test_a_transport_s_descriptor_is_protected(loop: Loop) -> None:
    async def main() -> None:
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(
            asyncio.Protocol, *server.sockets[0].getsockname()
        )
        fd = transport.get_extra_info("socket").fileno()
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(fd, print)
        assert "read=polling" in repr(transport)
        transport.close()
        server.close()
        await asyncio.sleep(0.01)

    loop.run_until_complete(main())


def test_an_exception_in_a_reader_is_reported(loop: Loop, pair: Pair) -> None:
    a, b = pair
    reports = Reports(loop)

    def fail() -> None:
        a.recv(1)
        raise ValueError("reader")

    loop.add_reader(a, fail)
    b.send(b"x")
    turn(loop)
    assert [str(e) for e in reports.exceptions] == ["reader"]


def test_many_descriptors(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(150)]
    got: list[int] = []
    for i, (a, b) in enumerate(pairs):
        loop.add_reader(a, lambda i=i, a=a: (a.recv(1), got.append(i)))
        b.send(b"x")
    for _ in range(3):
        turn(loop)
    assert sorted(got) == list(range(150))
    for a, b in pairs:
        loop.remove_reader(a)
        a.close()
        b.close()


def test_a_closed_loop_lets_its_readers_go(loop: Loop, pair: Pair) -> None:
    def callback() -> None: ...

    before = sys.getrefcount(callback)
    loop.add_reader(pair[0], callback)
    loop.add_writer(pair[0], callback)
    loop.close()
    gc.collect()
    assert sys.getrefcount(callback) == before


def test_another_thread_may_add_a_reader_while_the_loop_waits(pair: Pair) -> None:
    """Not allowed, but seen in the wild: it must not crash, and it must work."""
    loop = weft.new_event_loop()
    a, b = pair
    got: list[bytes] = []

    def read() -> None:
        got.append(a.recv(1))
        loop.remove_reader(a)
        loop.stop()

    def intrude() -> None:
        time.sleep(0.01)
        loop.add_reader(a, read)
        b.send(b"x")

    thread = threading.Thread(target=intrude)
    thread.start()
    loop.run_forever()
    thread.join()
    assert got == [b"x"]
    loop.close()
