"""Datagram transports: UDP and unix."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
import weakref
from asyncio import AbstractEventLoop as Loop
from typing import Any

import pytest

from .loops import Reports, loop, turn
from .peers import until

__all__ = ["loop"]


class Datagrams(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self.got: list[tuple[bytes, Any]] = []
        self.errors: list[Exception] = []
        self.lost: list[Exception | None] = []
        self.events: list[str] = []

    def connection_made(self, transport: Any) -> None:
        if repr(transport).startswith("<DatagramTransport") or sys.version_info >= (3, 12):
            assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport
        self.events.append("made")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        assert type(data) is bytes
        self.got.append((data, addr))

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


def endpoint(loop: Loop, protocol: Any = None, **options: Any) -> Any:
    protocol = protocol or Datagrams()
    loop.run_until_complete(loop.create_datagram_endpoint(lambda: protocol, **options))
    return protocol


def close(loop: Loop, *protocols: Any) -> None:
    for protocol in protocols:
        protocol.transport.close()
    turn(loop)
    assert all(protocol.lost == [None] for protocol in protocols)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_to_and_from_several(loop: Loop, host: str) -> None:
    server = endpoint(loop, local_addr=(host, 0))
    address = server.transport.get_extra_info("sockname")
    clients = [endpoint(loop, remote_addr=address[:2]) for _ in range(2)]
    for i, client in enumerate(clients):
        assert client.transport.get_extra_info("peername") == address
        client.transport.sendto(b"%d" % i)
        client.transport.sendto(bytearray(b"again"), None)
        client.transport.sendto(memoryview(b"and again"), address)
    until(loop, lambda: len(server.got) == 6)
    names = [client.transport.get_extra_info("sockname") for client in clients]
    assert sorted(server.got) == sorted(
        (data, name) for i, name in enumerate(names) for data in (b"%d" % i, b"again", b"and again")
    )
    for data, name in server.got:
        server.transport.sendto(data, name)
    until(loop, lambda: all(len(client.got) == 3 for client in clients))
    assert {addr for client in clients for _, addr in client.got} == {address}
    close(loop, server, *clients)


def test_unix(loop: Loop, tmp_path: Any) -> None:
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    first = endpoint(loop, local_addr=a, family=socket.AF_UNIX)
    second = endpoint(loop, local_addr=b, remote_addr=a, family=socket.AF_UNIX)
    second.transport.sendto(b"ping")
    until(loop, lambda: first.got)
    assert first.got == [(b"ping", b)]
    first.transport.sendto(b"pong", b)
    until(loop, lambda: second.got)
    assert second.got == [(b"pong", a)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
        nameless.sendto(b"who", a)
        until(loop, lambda: len(first.got) == 2)
    assert first.got[1] == (b"who", None)
    close(loop, first, second)


def test_the_empty_datagram(loop: Loop) -> None:
    server = endpoint(loop, local_addr=("127.0.0.1", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.sendto(b"", server.transport.get_extra_info("sockname"))
        until(loop, lambda: server.got)
        assert server.got == [(b"", client.getsockname())]
        assert server.transport.get_extra_info("socket").type == socket.SOCK_DGRAM
        if repr(server.transport).startswith("<DatagramTransport"):  # asyncio: from 3.13 on
            client.setblocking(False)
            server.transport.sendto(b"", client.getsockname())
            assert client.recv(10) == b""
    close(loop, server)


def test_the_largest_datagram(loop: Loop) -> None:
    server = endpoint(loop, local_addr=("127.0.0.1", 0))
    client = endpoint(loop, remote_addr=server.transport.get_extra_info("sockname"))
    data = os.urandom(65_507)
    client.transport.sendto(data)
    until(loop, lambda: server.got)
    assert server.got[0][0] == data
    client.transport.sendto(data + b"x")
    assert [type(exc) for exc in client.errors] == [OSError]
    close(loop, server, client)


def test_nobody_there(loop: Loop) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
    client = endpoint(loop, remote_addr=address)
    client.transport.sendto(b"x")
    until(loop, lambda: client.errors)
    assert isinstance(client.errors[0], ConnectionRefusedError)
    assert not client.transport.is_closing()
    close(loop, client)


def test_another_address_than_the_peers(loop: Loop) -> None:
    server = endpoint(loop, local_addr=("127.0.0.1", 0))
    client = endpoint(loop, remote_addr=server.transport.get_extra_info("sockname"))
    with pytest.raises(ValueError, match="Invalid address: must be None or"):
        client.transport.sendto(b"x", ("127.0.0.1", 1))
    for wrong in ("text", None, 1):
        with pytest.raises(TypeError):
            client.transport.sendto(wrong)
    close(loop, server, client)


@pytest.mark.parametrize(
    "address", [None, ("127.0.0.1",), ("127.0.0.1", 70_000), ("127.0.0.1", "x"), 5]
)
def test_an_address_that_is_none(loop: Loop, address: Any) -> None:
    """As the socket module has it: the wrong type or value ends the transport."""
    reports = Reports(loop)
    server = endpoint(loop, local_addr=("127.0.0.1", 0))
    server.transport.sendto(b"x", address)
    until(loop, lambda: server.lost)
    assert isinstance(server.lost[0], (TypeError, OverflowError))
    assert [c["message"] for c in reports] == ["Fatal write error on datagram transport"]


def test_a_name_is_resolved(loop: Loop) -> None:
    server = endpoint(loop, local_addr=("127.0.0.1", 0))
    _, port = server.transport.get_extra_info("sockname")
    client = endpoint(loop, local_addr=("127.0.0.1", 0))
    client.transport.sendto(b"x", ("localhost", port))
    until(loop, lambda: server.got)
    client.transport.sendto(b"x", ("256.256.256.256.invalid", port))
    assert isinstance(client.errors[0], socket.gaierror)
    close(loop, server, client)


def test_broadcast(loop: Loop) -> None:
    server = endpoint(loop, local_addr=("0.0.0.0", 0))
    _, port = server.transport.get_extra_info("sockname")
    client = endpoint(loop, remote_addr=("127.255.255.255", port), allow_broadcast=True)
    assert client.transport.get_extra_info("peername") is None
    client.transport.sendto(b"to all")
    until(loop, lambda: server.got)
    assert server.got[0][0] == b"to all"
    close(loop, server, client)


def test_protocols_that_raise(loop: Loop) -> None:
    class Protocol(Datagrams):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            raise ZeroDivisionError("received")

        def error_received(self, exc: Exception) -> None:
            super().error_received(exc)
            raise ZeroDivisionError("error")

    reports = Reports(loop)
    server = endpoint(loop, Protocol(), local_addr=("127.0.0.1", 0))
    client = endpoint(loop, Protocol(), remote_addr=server.transport.get_extra_info("sockname"))
    client.transport.sendto(b"x")
    until(loop, lambda: reports)
    assert [str(exc) for exc in reports.exceptions] == ["received"]
    with pytest.raises(ZeroDivisionError, match="error"):
        client.transport.sendto(b"x" * 70_000)
    assert not server.transport.is_closing()
    assert not client.transport.is_closing()
    close(loop, server, client)


def test_what_does_not_fit_waits(loop: Loop, tmp_path: Any) -> None:
    """A unix datagram socket whose reader does not read is full."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.bind(path)
        reader.setblocking(False)
        client = endpoint(loop, remote_addr=path, family=socket.AF_UNIX)
        transport: Any = client.transport
        transport.set_write_buffer_limits(high=1000)
        sent = []
        while "pause" not in client.events:
            data = bytearray(b"%05d" % len(sent))
            sent.append(bytes(data))
            transport.sendto(data)
            data[:] = b"wrong"
        assert transport.get_write_buffer_size() > 1000
        assert "write=<polling" in repr(transport)
        transport.close()
        assert client.lost == []
        got: list[bytes] = []

        def lost() -> bool:
            try:
                while True:
                    got.append(reader.recv(100))
            except BlockingIOError:
                return bool(client.lost)

        until(loop, lost)
        if repr(transport).startswith("<DatagramTransport"):  # asyncio 3.13 counts wrong
            assert client.events == ["made", "pause", "resume"]
        lost()
        assert got == sent


def test_abort_throws_away_what_waits(loop: Loop, tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.bind(path)
        client = endpoint(loop, remote_addr=path, family=socket.AF_UNIX)
        while client.transport.get_write_buffer_size() == 0:
            client.transport.sendto(b"x")
        client.transport.abort()
        turn(loop)
        assert client.lost == [None]


def test_sending_after_the_end(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    server = endpoint(loop, local_addr=("127.0.0.1", 0))
    client = endpoint(loop, remote_addr=server.transport.get_extra_info("sockname"))
    close(loop, client)
    with caplog.at_level(logging.WARNING, "asyncio"):
        for _ in range(6):
            client.transport.sendto(b"x")
    assert [r.message for r in caplog.records][-1] == "socket.send() raised exception."
    close(loop, server)


@pytest.mark.parametrize("method", ["close", "abort"])
def test_closing_in_datagram_received(loop: Loop, method: str) -> None:
    class Protocol(Datagrams):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            getattr(self.transport, method)()

    server = endpoint(loop, Protocol(), local_addr=("127.0.0.1", 0))
    client = endpoint(loop, remote_addr=server.transport.get_extra_info("sockname"))
    client.transport.sendto(b"1")
    client.transport.sendto(b"2")
    until(loop, lambda: server.lost)
    assert [data for data, _ in server.got] == [b"1"]
    close(loop, client)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_unclosed_transport_is_collected(loop: Loop) -> None:
    server = endpoint(loop, local_addr=("127.0.0.1", 0))
    ref = weakref.ref(server)
    fd = server.transport.get_extra_info("socket").fileno()
    loop.close()
    del server
    gc.collect()
    assert ref() is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_endpoints_leave_nothing_behind(loop: Loop) -> None:
    def measure() -> tuple[int, int]:
        for _ in range(20):
            server = endpoint(loop, local_addr=("127.0.0.1", 0))
            client = endpoint(loop, remote_addr=server.transport.get_extra_info("sockname"))
            client.transport.sendto(b"x")
            until(loop, lambda s=server: s.got)
            close(loop, server, client)
        gc.collect()
        return len(os.listdir("/proc/self/fd")), len(gc.get_objects())

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("no /proc here")
    measure()
    fds, objects = measure()
    for _ in range(3):
        fds_now, objects_now = measure()
    assert fds_now == fds
    assert objects_now <= objects + 10
