"""connect_read_pipe and connect_write_pipe: the ends of pipes, terminals, sockets used as such."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import os
import pty
import socket
from asyncio import AbstractEventLoop as Loop
from collections.abc import Iterator
from typing import Any

import pytest

from .loops import Reports, loop, turn
from .peers import Recorder, drop, until

__all__ = ["loop"]


class PipeRecorder(Recorder):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.pipe: Any = transport
        self.events.append("made")


def read_from(loop: Loop, file: Any, protocol: Any) -> Any:
    transport, got = loop.run_until_complete(loop.connect_read_pipe(lambda: protocol, file))
    assert got is protocol
    return transport


def write_to(loop: Loop, file: Any, protocol: Any) -> Any:
    transport, got = loop.run_until_complete(loop.connect_write_pipe(lambda: protocol, file))
    assert got is protocol
    return transport


@pytest.fixture
def pipe() -> Iterator[tuple[io.FileIO, io.FileIO]]:
    reads, writes = os.pipe()
    with io.FileIO(reads, "rb") as r, io.FileIO(writes, "wb") as w:
        yield r, w


Pipe = tuple[io.FileIO, io.FileIO]


def fill(writes: Any) -> int:
    """Write until there is no room."""
    os.set_blocking(writes.fileno(), False)
    total = 0
    try:
        while True:
            total += os.write(writes.fileno(), b"." * 65536)
    except BlockingIOError:
        return total


# ---- reading


@pytest.mark.parametrize("size", [1, 1000, 300_000, 1_000_000])
def test_every_byte_arrives_in_order(loop: Loop, pipe: Pipe, size: int) -> None:
    reads, writes = pipe
    ins, outs = PipeRecorder(), PipeRecorder()
    reader, writer = read_from(loop, reads, ins), write_to(loop, writes, outs)
    data = os.urandom(size)
    writer.write(data[:10])
    writer.write(bytearray(data[10:100]))
    writer.writelines([data[100:200], memoryview(data[200:])])
    until(loop, lambda: len(ins.data) == size)
    assert ins.data == data
    assert writer.get_write_buffer_size() == 0
    writer.close()
    until(loop, lambda: ins.lost and outs.lost)
    assert ins.lost == outs.lost == [None]
    assert ins.events[0] == "made"
    assert ins.events[-2:] == ["eof", "lost"]
    assert (reads.closed, writes.closed) == (True, True)
    assert (reader.is_closing(), writer.is_closing()) == (True, True)


def test_what_is_between_the_ends_is_a_transport(loop: Loop, pipe: Pipe) -> None:
    reader, writer = (
        read_from(loop, pipe[0], PipeRecorder()),
        write_to(loop, pipe[1], PipeRecorder()),
    )
    assert isinstance(reader, asyncio.ReadTransport)
    assert isinstance(writer, asyncio.WriteTransport)
    assert not isinstance(reader, asyncio.WriteTransport)
    assert reader.get_extra_info("pipe") is pipe[0]
    assert writer.get_extra_info("pipe") is pipe[1]
    assert reader.get_extra_info("socket", 7) == 7
    assert writer.get_extra_info("sockname") is None
    assert writer.can_write_eof()
    reader.note = "as on any object"
    assert vars(reader)["note"] == reader.note
    if is_weft(loop):  # asyncio protects sockets' descriptors only
        with pytest.raises(RuntimeError, match="used by transport"):
            loop.add_reader(pipe[0], print)
    reader.close()
    writer.close()
    turn(loop)
    turn(loop)


def is_weft(loop: Loop) -> bool:
    return type(loop).__module__.startswith("weft")


def test_paused_reading_reads_nothing(loop: Loop, pipe: Pipe) -> None:
    protocol = PipeRecorder()
    reader = read_from(loop, pipe[0], protocol)
    reader.pause_reading()
    reader.pause_reading()
    pipe[1].write(b"abc")
    for _ in range(5):
        turn(loop)
    assert protocol.data == b""
    reader.resume_reading()
    until(loop, lambda: protocol.data == b"abc")
    reader.pause_reading()
    pipe[1].close()  # the kernel reports the end of a pipe whether one asks or not
    for _ in range(20):
        turn(loop)
    assert protocol.events[-1] == "data"
    reader.resume_reading()
    until(loop, lambda: protocol.lost)


def test_closing_while_there_is_data(loop: Loop, pipe: Pipe) -> None:
    class Once(PipeRecorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.pipe.close()
            self.pipe.close()

    protocol = Once()
    reader = read_from(loop, pipe[0], protocol)
    pipe[1].write(b"abc")
    until(loop, lambda: protocol.lost)
    assert protocol.events == ["made", "data", "lost"]
    assert reader.is_closing()


def test_a_protocol_that_raises_keeps_its_pipe(loop: Loop, pipe: Pipe) -> None:
    class Fails(PipeRecorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            raise ValueError("no")

    reports, protocol = Reports(loop), Fails()
    reader = read_from(loop, pipe[0], protocol)
    pipe[1].write(b"a")
    until(loop, lambda: reports)
    pipe[1].write(b"b")
    until(loop, lambda: len(reports) == 2)
    assert [type(exc) for exc in reports.exceptions] == [ValueError, ValueError]
    assert protocol.data == b"ab"
    assert not protocol.lost
    reader.close()
    until(loop, lambda: protocol.lost)


def test_a_terminal_that_hangs_up_is_the_end_and_no_report(loop: Loop) -> None:
    ours, theirs = pty.openpty()
    reports, protocol = Reports(loop), PipeRecorder()
    read_from(loop, io.FileIO(ours, "rb"), protocol)
    os.write(theirs, b"hello")
    until(loop, lambda: protocol.data)
    os.close(theirs)
    until(loop, lambda: protocol.lost)
    assert isinstance(protocol.lost[0], OSError)  # EIO, on Linux
    assert not reports


def test_a_stream_reader_of_a_pipe(loop: Loop, pipe: Pipe) -> None:
    async def main() -> None:
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe[0]
        )
        end, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), pipe[1]
        )
        writer = asyncio.StreamWriter(end, protocol, None, loop)  # type: ignore[arg-type]
        for i in range(100):
            writer.write(b"line %d\n" % i)
            await writer.drain()
            assert await reader.readline() == b"line %d\n" % i
        writer.write(b"x" * 500_000)
        drained = loop.create_task(writer.drain())
        assert await reader.readexactly(500_000) == b"x" * 500_000
        await drained
        writer.close()
        await writer.wait_closed()
        assert await reader.read() == b""
        transport.close()

    loop.run_until_complete(main())


# ---- writing


def test_what_does_not_fit_is_sent_when_there_is_room(loop: Loop, pipe: Pipe) -> None:
    filled = fill(pipe[1])
    protocol = PipeRecorder()
    writer = write_to(loop, pipe[1], protocol)
    writer.set_write_buffer_limits(high=10, low=0)
    data = bytearray(b"abc" * 10)
    writer.write(data)
    data[:] = b"-" * 30  # what waits has been copied
    assert writer.get_write_buffer_size() == 30
    assert protocol.events[-1] == "pause"
    writer.close()
    writer.write(b"too late")
    got = os.read(pipe[0].fileno(), filled)
    until(loop, lambda: protocol.lost)
    got += os.read(pipe[0].fileno(), 100)
    assert got[filled:] == b"abc" * 10
    assert protocol.events[1:] == ["pause", "resume", "lost"]
    assert protocol.lost == [None]


def test_nobody_reads_any_more(loop: Loop, pipe: Pipe) -> None:
    protocol = PipeRecorder()
    writer = write_to(loop, pipe[1], protocol)
    pipe[0].close()
    until(loop, lambda: protocol.lost)
    assert protocol.lost == [None]
    assert writer.is_closing()


@pytest.mark.parametrize("closing", [False, True])
def test_nobody_reads_what_is_queued(loop: Loop, pipe: Pipe, closing: bool) -> None:
    fill(pipe[1])
    protocol = PipeRecorder()
    writer = write_to(loop, pipe[1], protocol)
    writer.write(b"never seen")
    if closing:
        writer.close()
    pipe[0].close()
    until(loop, lambda: protocol.lost)
    assert [type(exc) for exc in protocol.lost] == [BrokenPipeError]


def test_writing_where_nobody_reads(loop: Loop, pipe: Pipe, caplog: Any) -> None:
    reports, protocol = Reports(loop), PipeRecorder()
    writer = write_to(loop, pipe[1], protocol)
    pipe[0].close()
    for _ in range(10):
        writer.write(b"a")
    until(loop, lambda: protocol.lost)
    assert [type(exc) for exc in protocol.lost] == [BrokenPipeError]
    assert not reports
    assert "pipe closed by peer" in caplog.text


def test_abort_throws_output_away(loop: Loop, pipe: Pipe) -> None:
    filled = fill(pipe[1])
    protocol = PipeRecorder()
    writer = write_to(loop, pipe[1], protocol)
    writer.write(b"thrown away")
    writer.abort()
    until(loop, lambda: protocol.lost)
    assert len(os.read(pipe[0].fileno(), 1 << 20)) == filled


def test_a_terminal_may_be_typed_on(loop: Loop) -> None:
    ours, theirs = pty.openpty()
    protocol = PipeRecorder()
    writer = write_to(loop, io.FileIO(theirs, "r+b"), protocol)
    os.write(ours, b"typed\n")  # readable: that is not the end of it
    writer.write(b"shown")
    for _ in range(5):
        turn(loop)
    assert not protocol.lost
    seen = b""
    while b"shown" not in seen:  # the echo of what was typed may come by itself
        seen += os.read(ours, 1000)
    writer.close()
    until(loop, lambda: protocol.lost)
    os.close(ours)


def test_a_socket_as_a_pipe(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    ins, outs = PipeRecorder(), PipeRecorder()
    reader, writer = read_from(loop, theirs, ins), write_to(loop, ours, outs)
    writer.write(b"x" * 1_000_000)
    writer.write_eof()
    until(loop, lambda: ins.lost and outs.lost)
    assert ins.data == b"x" * 1_000_000
    assert reader.is_closing()


# ---- beginning and end


def test_only_pipes_and_the_like(loop: Loop, tmp_path: Any) -> None:
    with open(tmp_path / "file", "w+b") as file:
        for connect in (loop.connect_read_pipe, loop.connect_write_pipe):
            with pytest.raises(ValueError, match="Pipe transport is"):
                loop.run_until_complete(connect(asyncio.Protocol, file))
        assert not file.closed


def test_callbacks_run_in_the_context_of_the_connection(loop: Loop, pipe: Pipe) -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var")
    seen: list[str] = []

    class Sees(PipeRecorder):
        def data_received(self, data: bytes) -> None:
            seen.append(var.get())

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            seen.append(var.get())

    protocol = Sees()

    async def main() -> None:
        var.set("at the start")
        await loop.connect_read_pipe(lambda: protocol, pipe[0])
        var.set("later")

    loop.run_until_complete(main())
    pipe[1].write(b"a")
    until(loop, lambda: seen)
    pipe[1].close()
    until(loop, lambda: protocol.lost)
    assert seen == ["at the start", "at the start"]


@pytest.mark.parametrize("end", [0, 1])
def test_an_unclosed_transport_warns(loop: Loop, pipe: Pipe, end: int) -> None:
    held = [(read_from, write_to)[end](loop, pipe[end], asyncio.Protocol())]
    if end == 0:
        held[0].pause_reading()  # the loop lets go of it
    else:
        loop._remove_reader(pipe[1].fileno())  # type: ignore[attr-defined]
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        drop(held)
    assert pipe[end].closed


def test_pipes_leave_nothing_behind(loop: Loop) -> None:
    def once() -> None:
        reads, writes = os.pipe()
        ins, outs = PipeRecorder(), PipeRecorder()
        read_from(loop, io.FileIO(reads, "rb"), ins)
        write_to(loop, io.FileIO(writes, "wb"), outs).write(b"abc")
        until(loop, lambda: ins.data)
        outs.pipe.close()
        until(loop, lambda: ins.lost and outs.lost)

    once()
    gc.collect()
    before = len(os.listdir("/proc/self/fd")), len(gc.get_objects())
    for _ in range(20):
        once()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before[0]
    assert len(gc.get_objects()) - before[1] < 20
