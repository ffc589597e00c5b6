"""Stream transports: how they end, what they say of themselves, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import subprocess
import sys
import textwrap
import warnings
import weakref
from asyncio import AbstractEventLoop as Loop
from typing import Any

import pytest

from .loops import Reports, loop, turn
from .peers import Peer, Recorder, connect, drain, drop, pair, tcp_pair, until

__all__ = ["loop", "pair"]


# ---- the end


def test_eof_closes(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    pair[1].send(b"x")
    pair[1].close()
    until(loop, lambda: protocol.lost)
    assert protocol.events == ["made", "data", "eof", "lost"]
    assert protocol.lost == [None]
    assert transport.is_closing()


def test_half_closed_by_the_peer(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    class Protocol(Recorder):
        def eof_received(self) -> bool:
            self.events.append("eof")
            return True

    protocol = Protocol()
    transport = connect(loop, pair[0], protocol)
    pair[1].shutdown(socket.SHUT_WR)
    until(loop, lambda: "eof" in protocol.events)
    for _ in range(3):
        turn(loop)
    assert protocol.events == ["made", "eof"]
    transport.write(b"still here")
    assert pair[1].recv(100) == b"still here"
    transport.close()
    turn(loop)
    assert protocol.events == ["made", "eof", "lost"]


def test_write_eof(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    assert transport.can_write_eof()
    data = os.urandom(2_000_000)
    transport.write(data)
    transport.write_eof()
    transport.write_eof()
    with pytest.raises(RuntimeError, match="after write_eof"):
        transport.write(b"x")
    with pytest.raises(RuntimeError, match="after write_eof"):
        transport.writelines([b"x"])
    got = b""
    pair[1].settimeout(30)
    while len(got) < len(data):
        got += pair[1].recv(1 << 20)
        turn(loop)
    assert pair[1].recv(1) == b""
    assert got == data
    pair[1].send(b"reply")
    until(loop, lambda: protocol.data)
    transport.close()
    turn(loop)


def test_close_sends_what_is_queued_first(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    data = os.urandom(2_000_000)
    transport.write(data)
    transport.close()
    transport.close()
    assert transport.is_closing()
    got = b""

    def lost() -> bool:
        nonlocal got
        got += drain(pair[1])
        return bool(protocol.lost)

    until(loop, lost)
    got += drain(pair[1])
    assert got == data
    assert protocol.lost == [None]
    assert pair[0].fileno() == -1


def test_close_tells_later(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    pair[1].send(b"unread")
    transport.close()
    assert protocol.lost == []
    turn(loop)
    assert protocol.events == ["made", "lost"]
    transport.close()
    transport.abort()
    turn(loop)
    assert protocol.events == ["made", "lost"]


def test_abort_throws_output_away(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    transport.write(b"x" * 2_000_000)
    transport.abort()
    assert transport.get_write_buffer_size() == 0
    turn(loop)
    assert protocol.lost == [None]


@pytest.mark.parametrize("method", ["close", "abort"])
def test_closing_in_connection_made(loop: Loop, pair: tuple[Peer, Peer], method: str) -> None:
    class Protocol(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            getattr(transport, method)()

    protocol = Protocol()
    pair[1].send(b"x")
    connect(loop, pair[0], protocol)
    turn(loop)
    assert protocol.events == ["made", "lost"]


@pytest.mark.parametrize("method", ["close", "abort"])
def test_closing_in_data_received(loop: Loop, pair: tuple[Peer, Peer], method: str) -> None:
    class Protocol(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            getattr(self.transport, method)()

    protocol = Protocol()
    connect(loop, pair[0], protocol)
    pair[1].send(b"x")
    until(loop, lambda: protocol.lost)
    assert protocol.events == ["made", "data", "lost"]


class Fails(Recorder):
    def __init__(self, method: str, exc: BaseException) -> None:
        super().__init__()

        def fail(*args: Any) -> Any:
            raise exc

        setattr(self, method, fail)


@pytest.mark.parametrize("method", ["data_received", "eof_received"])
def test_a_protocol_that_raises_loses_its_connection(
    loop: Loop, pair: tuple[Peer, Peer], method: str
) -> None:
    error = ZeroDivisionError("oops")
    protocol = Fails(method, error)
    reports = Reports(loop)
    transport = connect(loop, pair[0], protocol)
    pair[1].send(b"x")
    pair[1].shutdown(socket.SHUT_WR)
    until(loop, lambda: protocol.lost)
    assert protocol.lost == [error]
    assert [c["message"] for c in reports] == [f"Fatal error: protocol.{method}() call failed."]
    assert reports[0]["transport"] is transport
    assert reports[0]["protocol"] is protocol


@pytest.mark.parametrize("method", ["connection_made", "connection_lost"])
def test_a_callback_that_raises_is_reported(
    loop: Loop, pair: tuple[Peer, Peer], method: str
) -> None:
    error = ZeroDivisionError("oops")
    protocol = Fails(method, error)
    reports = Reports(loop)
    transport = connect(loop, pair[0], protocol)
    pair[1].send(b"x")
    until(loop, lambda: protocol.data)
    transport.close()
    turn(loop)
    assert reports.exceptions == [error]
    assert pair[0].fileno() == -1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_ends_the_loop(
    loop: Loop, pair: tuple[Peer, Peer], kind: type[BaseException]
) -> None:
    protocol = Fails("data_received", kind())
    transport = connect(loop, pair[0], protocol)
    pair[1].send(b"x")
    with pytest.raises(kind):
        loop.run_forever()
    assert not transport.is_closing()
    transport.close()
    turn(loop)
    assert protocol.lost == [None]


def test_a_descriptor_closed_behind_the_loops_back(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    os.close(pair[0].detach())
    transport.write(b"x")
    turn(loop)
    assert [type(exc) for exc in protocol.lost] == [OSError]
    # Its number comes back as another file, which must be watched like any other.
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        second = Recorder()
        again = connect(loop, ours, second)
        theirs.send(b"y")
        until(loop, lambda: second.data)
        again.close()
        turn(loop)


# ---- what it says of itself


def test_extra_info(loop: Loop) -> None:
    ours, theirs = tcp_pair()
    sockname, peername = ours.getsockname(), ours.getpeername()
    protocol = Recorder()
    transport = connect(loop, ours, protocol)
    assert transport.get_extra_info("sockname") == sockname
    assert transport.get_extra_info("peername") == peername
    shown = transport.get_extra_info("socket")
    assert type(shown) is asyncio.trsock.TransportSocket  # type: ignore[attr-defined]
    assert shown.fileno() == ours.fileno()
    assert shown.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    assert transport.get_extra_info("nothing") is None
    assert transport.get_extra_info("nothing", default=3) == 3
    transport.close()
    turn(loop)
    assert transport.get_extra_info("sockname") == sockname
    theirs.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "unix", "abstract"])
def test_extra_info_of_an_accepted_connection(loop: Loop, host: str, tmp_path: Any) -> None:
    protocol = Recorder()

    async def main() -> None:
        if host in ("unix", "abstract"):
            path = (
                str(tmp_path / "s") if host == "unix" else f"\0weft-test-{os.getpid()}-{id(loop)}"
            )
            server = await loop.create_unix_server(lambda: protocol, path)
            client: Any = await loop.create_unix_connection(Recorder, path)
        else:
            server = await loop.create_server(lambda: protocol, host, 0)
            client = await loop.create_connection(Recorder, *server.sockets[0].getsockname()[:2])
        while "made" not in protocol.events:
            await asyncio.sleep(0)
        ours, theirs = protocol.transport, client[0]
        assert ours.get_extra_info("peername") == theirs.get_extra_info("sockname")
        assert ours.get_extra_info("sockname") == theirs.get_extra_info("peername")
        shown = ours.get_extra_info("socket")
        assert shown.family == server.sockets[0].family
        assert shown.gettimeout() == 0
        assert shown.getsockname() == ours.get_extra_info("sockname")
        assert ours.get_extra_info("socket") is shown
        theirs.write(b"x")
        while not protocol.data:
            await asyncio.sleep(0)
        theirs.close()
        while not protocol.lost:
            await asyncio.sleep(0)
        assert ours.get_extra_info("sockname") == theirs.get_extra_info("peername")
        server.close()

    if host == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    loop.run_until_complete(main())


def test_repr(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    transport = connect(loop, pair[0], Recorder())
    fd = pair[0].fileno()
    assert f"fd={fd} read=polling write=<idle, bufsize=0>>" in repr(transport)
    transport.write(b"x" * 3_000_000)
    assert "write=<polling, bufsize=" in repr(transport)
    transport.pause_reading()
    assert "read=idle" in repr(transport)
    transport.close()
    assert f"closing fd={fd}" in repr(transport)
    transport.abort()
    turn(loop)
    assert repr(transport).endswith(f"closed fd={fd}>")


def test_a_descriptor_of_a_transport_is_not_for_others(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    transport = connect(loop, pair[0], Recorder())
    with pytest.raises(RuntimeError, match="is used by transport"):
        loop.add_reader(pair[0].fileno(), print)
    with pytest.raises(RuntimeError, match="is used by transport"):
        loop.remove_writer(pair[0].fileno())
    transport.close()
    turn(loop)


def test_debug_mode_logs(
    loop: Loop, pair: tuple[Peer, Peer], caplog: pytest.LogCaptureFixture
) -> None:
    loop.set_debug(True)
    protocol = Recorder()
    with caplog.at_level(logging.DEBUG, "asyncio"):
        transport = connect(loop, pair[0], protocol)
        transport.pause_reading()
        transport.resume_reading()
        pair[1].close()
        until(loop, lambda: protocol.lost)
    text = "\n".join(r.getMessage() for r in caplog.records)
    for what in ("pauses reading", "resumes reading", "received EOF"):
        assert what in text
    loop.set_debug(False)


def test_a_write_of_ones_own(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    """As tests of aiohttp's and uvicorn's clients do it, to lose what is sent."""
    transport = connect(loop, pair[0], Recorder())
    writer = asyncio.StreamWriter(transport, transport.get_protocol(), None, loop)
    lost: list[bytes] = []
    transport.write = lost.append
    writer.write(b"x")
    del transport.write
    writer.write(b"y")
    assert lost == [b"x"]
    assert pair[1].recv(10) == b"y"
    transport.close()
    turn(loop)


# ---- life and death


def test_an_unclosed_transport_warns(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    transport.pause_reading()
    ref = weakref.ref(transport)
    del protocol.transport
    held = [transport]
    del transport
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        drop(held)
    assert ref() is None
    assert pair[0].fileno() == -1


def test_a_loop_closed_with_an_open_transport(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    transport.write(b"x" * 3_000_000)
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        transport.abort()
    held = [transport, protocol]
    del transport, protocol
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        drop(held)


def test_an_open_transport_that_reads_lives_on_its_own(loop: Loop, pair: tuple[Peer, Peer]) -> None:
    got: list[bytes] = []

    class Protocol(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            got.append(data)

    loop.run_until_complete(loop.create_connection(Protocol, sock=pair[0]))
    gc.collect()
    pair[1].send(b"x")
    until(loop, lambda: got)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        pair[1].close()
        turn(loop)
        turn(loop)


def test_cycles_through_a_closed_transport_are_collected(
    loop: Loop, pair: tuple[Peer, Peer]
) -> None:
    protocol = Recorder()
    transport = connect(loop, pair[0], protocol)
    transport.close()
    turn(loop)
    refs = [weakref.ref(transport), weakref.ref(protocol)]
    del transport, protocol
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_connections_leave_nothing_behind(loop: Loop) -> None:
    """Descriptors and objects, over and over: also where one side is reset or never closed."""

    async def one(server: asyncio.Server) -> None:
        transport, protocol = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname()
        )
        transport.write(b"x" * 100_000)
        while len(protocol.data) < 100_000:
            await asyncio.sleep(0)
        transport.abort()

    class Echo(Recorder):
        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    async def main() -> tuple[int, int]:
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        for _ in range(30):
            await one(server)
        await asyncio.sleep(0.01)
        server.close()
        await server.wait_closed()
        gc.collect()
        return len(os.listdir("/proc/self/fd")), len(gc.get_objects())

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("no /proc here")
    loop.run_until_complete(main())
    fds, objects = loop.run_until_complete(main())
    for _ in range(3):
        fds_now, objects_now = loop.run_until_complete(main())
    assert fds_now == fds
    assert objects_now <= objects + 10


@pytest.mark.parametrize("kind", ["weft", "asyncio"])
@pytest.mark.parametrize("how", ["exit", "loop.close(); exit", "fork"])
def test_leaving_with_everything_open(kind: str, how: str) -> None:
    end = {
        "exit": "sys.exit(0)",
        "loop.close(); exit": "loop.close(); sys.exit(0)",
        "fork": "pid = os.fork(); os._exit(0) if pid == 0 else sys.exit(os.waitpid(pid, 0)[1])",
    }[how]
    program = f"""
        import asyncio, os, sys, weft
        loop = weft.new_event_loop() if {kind!r} == "weft" else asyncio.SelectorEventLoop()
        class P(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport
                transport.write(b"x" * 5_000_000)
        async def main():
            global server, client
            server = await loop.create_server(P, "127.0.0.1", 0)
            client = await loop.create_connection(P, *server.sockets[0].getsockname())
            await asyncio.sleep(0.01)
        loop.run_until_complete(main())
        {end}
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
