"""Stream transports, TCP and unix: reading and writing."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import socket
import sys
from asyncio import AbstractEventLoop as Loop
from typing import Any

import pytest

from .loops import Reports, loop, turn
from .peers import Buffered, Peer, Recorder, connect, drain, pair, reset, tcp_pair, until

__all__ = ["loop", "pair"]


# ---- reading


def test_data_goes_to_the_protocol(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    pair[1].send(b"hello")
    until(loop, lambda: protocol.data)
    assert protocol.data == b"hello"
    assert protocol.events == ["made", "data"]
    transport.close()
    turn(loop)


@pytest.mark.parametrize("size", [1, 1000, 40_000, 300_000, 3_000_000])
def test_every_byte_arrives_in_order(loop: Loop, pair: tuple[Peer, Peer], size: int) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    data = os.urandom(size)
    loop.run_until_complete(loop.sock_sendall(pair[1], data))
    until(loop, lambda: len(protocol.data) == size)
    assert protocol.data == data
    transport.close()
    turn(loop)


def test_large_and_small_reads_follow_each_other(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    sent = b""
    for size in (10, 60_000, 3, 100_000, 20_000, 1, 1, 50_000):
        data = os.urandom(size)
        sent += data
        loop.run_until_complete(loop.sock_sendall(pair[1], data))
        until(loop, lambda: protocol.data == sent)  # noqa: B023
    assert protocol.data == sent
    transport.close()
    turn(loop)


def test_a_buffered_protocol_is_read_into_its_own_memory(
    loop: Loop, pair: tuple[Peer, Peer]
) -> None:
    protocol = Buffered(4)
    transport = connect(loop, pair[0], protocol)
    pair[1].send(b"0123456789")
    until(loop, lambda: len(protocol.data) == 10)
    assert protocol.data == b"0123456789"
    assert protocol.hints == {-1}
    transport.close()
    turn(loop)


@pytest.mark.parametrize("buffer", [b"readonly", bytearray(), None])
def test_a_buffer_that_cannot_be_read_into_is_fatal(
    loop: Loop, pair: tuple[Peer, Peer], buffer: Any
) -> None:
    class Protocol(Buffered):
        lost: Any = "not yet"

        def get_buffer(self, sizehint: int) -> Any:
            return buffer

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost = exc

    protocol = Protocol()
    reports = Reports(loop)
    connect(loop, pair[0], protocol)
    pair[1].send(b"x")
    until(loop, lambda: protocol.lost != "not yet")
    assert isinstance(protocol.lost, Exception)
    assert len(reports) == 1
    if buffer == bytearray():
        assert isinstance(protocol.lost, RuntimeError)
        assert "get_buffer() returned an empty buffer" in str(protocol.lost)


def test_closing_in_get_buffer_and_buffer_updated(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    class Protocol(Buffered):
        lost = False

        def get_buffer(self, sizehint: int) -> bytearray:
            transport.abort()
            return self.buffer

        def connection_lost(self, exc: Exception | None) -> None:
            assert exc is None
            self.lost = True

    protocol = Protocol()
    transport = connect(loop, pair[0], protocol)
    pair[1].send(b"x")
    until(loop, lambda: protocol.lost)


def test_paused_reading_reads_nothing(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    assert transport.is_reading()
    transport.pause_reading()
    transport.pause_reading()
    assert not transport.is_reading()
    pair[1].send(b"x")
    for _ in range(5):
        turn(loop)
    assert protocol.data == b""
    transport.resume_reading()
    transport.resume_reading()
    until(loop, lambda: protocol.data)
    assert transport.is_reading()
    transport.close()
    assert not transport.is_reading()
    transport.pause_reading()
    transport.resume_reading()
    turn(loop)


def test_pausing_before_the_first_read_and_within_one(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    class Protocol(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.pause_reading()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()

    if sys.version_info < (3, 12) and type(loop).__module__.startswith("asyncio"):
        pytest.skip("there asyncio starts reading all the same")
    protocol = Protocol()
    pair[1].send(b"x")
    transport = connect(loop, pair[0], protocol)
    turn(loop)
    turn(loop)
    assert protocol.data == b""
    transport.resume_reading()
    until(loop, lambda: protocol.data == b"x")
    pair[1].send(b"y")
    turn(loop)
    turn(loop)
    assert protocol.data == b"x"
    transport.close()
    turn(loop)


def test_one_reader_pauses_another_in_the_same_turn(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    for sock in (sock for both in pairs for sock in both):
        sock.setblocking(False)
    transports: list[Any] = []

    class Protocol(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            for transport in transports:
                transport.pause_reading()

    protocols = [Protocol(), Protocol()]
    transports += [connect(loop, pairs[i][0], protocols[i]) for i in range(2)]
    for _, theirs in pairs:
        theirs.send(b"x")
    turn(loop)
    turn(loop)
    assert sorted(len(p.data) for p in protocols) == [0, 1]
    for transport in transports:
        transport.close()
    turn(loop)
    for _, theirs in pairs:
        theirs.close()


def test_a_protocol_may_be_replaced_within_data_received(
    loop: Loop, pair: tuple[Peer, Peer]
) -> None:
    second = Buffered()

    class First(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.set_protocol(second)

    first = First()
    transport = connect(loop, pair[0], first)
    pair[1].send(b"1")
    until(loop, lambda: first.data)
    assert transport.get_protocol() is second
    pair[1].send(b"2")
    until(loop, lambda: second.data)
    assert (first.data, second.data) == (b"1", b"2")
    transport.close()
    turn(loop)


def test_callbacks_run_in_the_context_of_the_connection(loop: Loop) -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="none")
    seen: list[str] = []

    class Protocol(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            seen.append(var.get())
            var.set("changed by another connection")

    async def main() -> None:
        var.set("server's")
        server = await loop.create_server(Protocol, "127.0.0.1", 0)
        var.set("later")
        for _ in range(2):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"x")
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        server.close()

    loop.run_until_complete(main())
    assert seen == ["server's", "server's"]


# ---- writing


def test_write_sends_at_once(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    transport = connect(loop, pair[0], Recorder())
    transport.write(b"one")
    transport.write(bytearray(b"two"))
    transport.write(memoryview(b"-three-")[1:-1])
    transport.write(b"")
    assert pair[1].recv(100) == b"onetwothree"
    assert transport.get_write_buffer_size() == 0
    transport.close()
    turn(loop)


@pytest.mark.parametrize("wrong", ["text", 1, None, [b"x"]])
def test_only_bytes_can_be_written(loop: Loop, pair: tuple[Peer, Peer], wrong: Any) -> None:
    transport = connect(loop, pair[0], Recorder())
    with pytest.raises(TypeError):
        transport.write(wrong)
    with pytest.raises(TypeError):
        transport.writelines([b"good", wrong])
    assert not transport.is_closing()
    transport.close()
    turn(loop)


def test_what_does_not_fit_is_sent_when_there_is_room(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    data = os.urandom(3_000_000)
    transport.write(data)
    assert transport.get_write_buffer_size() > 0
    mutable = bytearray(b"mutable")
    transport.write(mutable)
    mutable[:] = b"changed"
    transport.write(memoryview(b"view"))
    got = b""

    def all_there() -> bool:
        nonlocal got
        got += drain(pair[1])
        return len(got) == len(data) + 11

    until(loop, all_there)
    assert got[: len(data)] == data
    if repr(transport).startswith("<SocketTransport"):  # asyncio may send what it became
        assert got[len(data) :] == b"mutableview"
    turn(loop)
    assert transport.get_write_buffer_size() == 0
    assert protocol.events == ["made", "pause", "resume"]
    transport.close()
    turn(loop)


def test_writelines_keeps_the_order(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    transport = connect(loop, pair[0], Recorder())
    lines: list[Any] = [b"a", bytearray(b"b"), memoryview(b"c"), b"", b"d" * 1000]
    transport.writelines(lines)
    transport.writelines([b"!"] * 500)
    transport.writelines([])
    until(loop, lambda: transport.get_write_buffer_size() == 0)
    assert pair[1].recv(10_000) == b"abc" + b"d" * 1000 + b"!" * 500
    transport.close()
    turn(loop)


def test_writelines_behind_a_full_socket(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    transport = connect(loop, pair[0], Recorder())
    first, rest = os.urandom(2_000_000), [os.urandom(100) for _ in range(1000)]
    transport.write(first)
    transport.writelines(rest)
    got = b""

    def all_there() -> bool:
        nonlocal got
        got += drain(pair[1])
        return len(got) == 2_100_000

    until(loop, all_there)
    assert got == first + b"".join(rest)
    transport.close()
    turn(loop)


def test_water_marks(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
    transport.set_write_buffer_limits(high=100)
    assert transport.get_write_buffer_limits() == (25, 100)
    transport.set_write_buffer_limits(low=100)
    assert transport.get_write_buffer_limits() == (100, 400)
    transport.set_write_buffer_limits(high=7, low=3)
    assert transport.get_write_buffer_limits() == (3, 7)
    for bad in ({"high": 1, "low": 2}, {"high": -1}, {"low": -1}):
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(**bad)
    assert transport.get_write_buffer_limits() == (3, 7)
    transport.set_write_buffer_limits()
    assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)

    while transport.get_write_buffer_size() < 1000:
        transport.write(b"x" * 1000)
    assert protocol.events == ["made"]
    transport.set_write_buffer_limits(high=10)
    assert protocol.events == ["made", "pause"]
    transport.abort()
    turn(loop)
    assert protocol.events == ["made", "pause", "lost"]


def test_failing_pause_and_resume_are_reported(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    class Protocol(Recorder):
        def pause_writing(self) -> None:
            super().pause_writing()
            raise ZeroDivisionError("pause")

        def resume_writing(self) -> None:
            super().resume_writing()
            raise ZeroDivisionError("resume")

    reports = Reports(loop)
    protocol = Protocol()
    transport = connect(loop, pair[0], protocol)
    transport.write(b"x" * 3_000_000)
    assert protocol.events == ["made", "pause"]

    def resumed() -> bool:
        drain(pair[1])
        return "resume" in protocol.events

    until(loop, resumed)
    assert [c["message"] for c in reports] == [
        "protocol.pause_writing() failed",
        "protocol.resume_writing() failed",
    ]
    assert all(c["transport"] is transport and c["protocol"] is protocol for c in reports)
    assert not transport.is_closing()
    transport.close()
    turn(loop)


def test_resume_writing_may_write_and_close(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    class Protocol(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            self.transport.write(b"last")
            self.transport.close()

    protocol = Protocol()
    transport = connect(loop, pair[0], protocol)
    transport.write(b"x" * 1_000_000)
    got = b""

    def lost() -> bool:
        nonlocal got
        got += drain(pair[1])
        return bool(protocol.lost)

    until(loop, lost)
    got += drain(pair[1])
    assert got == b"x" * 1_000_000 + b"last"
    assert protocol.events == ["made", "pause", "resume", "lost"]


def test_write_after_the_end_is_told_once_it_is_often(
    loop: Loop, pair: tuple[Peer, Peer], caplog: pytest.LogCaptureFixture
) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    transport.abort()
    turn(loop)
    assert protocol.lost == [None]
    with caplog.at_level(logging.WARNING, "asyncio"):
        for _ in range(4):
            transport.write(b"x")
        assert not caplog.records
        transport.write(b"x")
        transport.write(b"x")
    assert [r.message for r in caplog.records][-1] == "socket.send() raised exception."


def test_a_reset_is_the_end(loop: Loop) -> None:
    ours, theirs = tcp_pair()
    protocol = Recorder()
    transport = connect(loop, ours, protocol)
    reset(theirs)
    until(loop, lambda: protocol.lost)
    assert isinstance(protocol.lost[0], ConnectionResetError)
    assert protocol.events == ["made", "lost"]
    assert transport.is_closing()


def test_a_reset_with_output_queued(loop: Loop) -> None:
    ours, theirs = tcp_pair()
    protocol = Recorder()
    reports = Reports(loop)
    transport = connect(loop, ours, protocol)
    transport.pause_reading()
    transport.write(b"x" * 10_000_000)
    reset(theirs)
    until(loop, lambda: protocol.lost)
    assert isinstance(protocol.lost[0], (ConnectionResetError, BrokenPipeError))
    assert transport.get_write_buffer_size() == 0
    assert reports == []


def test_writing_to_a_peer_that_left(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    transport.pause_reading()
    pair[1].close()
    transport.write(b"x")
    turn(loop)
    assert [type(exc) for exc in protocol.lost] == [BrokenPipeError]
