"""Servers: create_server and its kin."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
from asyncio import AbstractEventLoop as Loop
from typing import Any

import pytest

from .connections import become
from .loops import Reports, loop, turn
from .peers import Recorder, until

__all__ = ["loop"]


def serve(loop: Loop, factory: Any, **options: Any) -> tuple[asyncio.Server, Any]:
    server = loop.run_until_complete(loop.create_server(factory, "127.0.0.1", 0, **options))
    return server, server.sockets[0].getsockname()


def test_all_who_wait_are_accepted(loop: Loop) -> None:
    protocols: list[Recorder] = []

    def factory() -> Recorder:
        protocols.append(Recorder())
        return protocols[-1]

    server, address = serve(loop, factory)
    clients = [socket.create_connection(address) for _ in range(20)]
    until(loop, lambda: len(protocols) == 20 and all(p.events for p in protocols))
    for i, client in enumerate(clients):
        client.send(b"%d" % i)
    until(loop, lambda: all(p.data for p in protocols))
    assert sorted(int(p.data) for p in protocols) == list(range(20))
    peers = {p.transport.get_extra_info("peername") for p in protocols}
    assert peers == {client.getsockname() for client in clients}
    for client in clients:
        client.close()
    until(loop, lambda: all(p.lost for p in protocols))
    server.close()
    loop.run_until_complete(server.wait_closed())


def test_a_server_that_does_not_serve_yet(loop: Loop) -> None:
    protocol = Recorder()
    server, address = serve(loop, lambda: protocol, start_serving=False)
    assert not server.is_serving()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(address):
        pass
    loop.run_until_complete(server.start_serving())
    assert server.is_serving()
    with socket.create_connection(address):
        until(loop, lambda: protocol.events)
    server.close()
    until(loop, lambda: protocol.lost)
    assert server.sockets == ()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(address):
        pass


def test_serve_forever_is_cancelled(loop: Loop) -> None:
    async def main() -> None:
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        async with server:
            task = asyncio.ensure_future(server.serve_forever())
            await asyncio.sleep(0)
            assert server.is_serving()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert not server.is_serving()

    loop.run_until_complete(main())


def test_closing_the_server_from_a_connection(loop: Loop) -> None:
    protocols: list[Recorder] = []

    class Protocol(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            protocols.append(self)
            server.close()

    server, address = serve(loop, Protocol)
    clients = [socket.create_connection(address) for _ in range(3)]
    until(loop, lambda: protocols)
    for _ in range(5):
        turn(loop)
    for protocol in protocols:
        protocol.transport.abort()
    for client in clients:
        client.close()
    turn(loop)
    loop.run_until_complete(asyncio.wait_for(server.wait_closed(), 5))


# asyncio leaves the socket to the collector, which warns
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_factory_that_fails_costs_its_connection_only(loop: Loop) -> None:
    good: list[Recorder] = []
    fail = True

    def factory() -> Recorder:
        if fail:
            raise ZeroDivisionError("factory")
        good.append(Recorder())
        return good[-1]

    reports = Reports(loop)
    server, address = serve(loop, factory)
    with socket.create_connection(address):
        for _ in range(5):
            turn(loop)
    assert reports == []  # debug mode says it
    loop.set_debug(True)
    with socket.create_connection(address):
        until(loop, lambda: reports)
    assert [c["message"] for c in reports] == [
        "Error on transport creation for incoming connection"
    ]
    assert isinstance(reports.exceptions[0], ZeroDivisionError)
    reports.clear()
    loop.set_debug(False)
    fail = False
    with socket.create_connection(address):
        until(loop, lambda: good and good[0].events)
    until(loop, lambda: good[0].lost)
    server.close()
    turn(loop)


def test_without_descriptors_the_server_waits_and_goes_on(loop: Loop) -> None:
    protocol = Recorder()
    server, address = serve(loop, lambda: protocol)
    reports = Reports(loop)
    client = socket.socket()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    client.connect(address)
    held: list[socket.socket] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 8, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(socket.socket())
        until(loop, lambda: reports)
        told = len(reports)  # asyncio tells it once for each of the backlog
        for _ in range(3):
            turn(loop)
        assert len(reports) == told
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for sock in held:
            sock.close()
    assert reports[0]["message"] == "socket.accept() out of system resource"
    assert reports[0]["exception"].errno == errno.EMFILE
    assert protocol.events == []
    until(loop, lambda: protocol.events)
    client.close()
    until(loop, lambda: protocol.lost)
    server.close()
    turn(loop)


def test_connect_accepted_socket(loop: Loop) -> None:
    protocol = Recorder()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        sock, _ = listener.accept()
    transport, _ = loop.run_until_complete(loop.connect_accepted_socket(lambda: protocol, sock))
    assert transport is protocol.transport
    client.send(b"x")
    until(loop, lambda: protocol.data)
    client.close()
    until(loop, lambda: protocol.lost)


def test_streams(loop: Loop) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert type(reader) is asyncio.StreamReader
        for word in (b"one\n", b"two\n", b"x" * 50_000 + b"\n"):
            writer.write(word)
            assert await reader.readline() == word.upper()
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(asyncio.wait_for(main(), 10))


def test_cancelled_while_connecting(loop: Loop) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for turns in range(6):
                task = asyncio.ensure_future(
                    loop.create_connection(Recorder, *listener.getsockname())
                )
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    transport, _ = await task
                except asyncio.CancelledError:
                    continue
                transport.abort()
                await asyncio.sleep(0)

    loop.run_until_complete(main())


def test_a_stream_reader_that_is_full_pauses_its_transport(loop: Loop) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=1000)
        with theirs:
            sent = b"x" * 100_000
            sending = asyncio.ensure_future(loop.sock_sendall(theirs, sent))
            assert await become(lambda: not writer.transport.is_reading())  # type: ignore[attr-defined]
            assert await reader.readexactly(len(sent)) == sent
            await sending
            assert writer.transport.is_reading()  # type: ignore[attr-defined]
            theirs.send(b"y" * 5000 + b"\n")
            with pytest.raises(asyncio.LimitOverrunError):
                await reader.readuntil(b"\n")
            assert await reader.read(5) == b"yyyyy"
        assert (await reader.read()).endswith(b"y\n")
        writer.close()
        await writer.wait_closed()

    loop.run_until_complete(asyncio.wait_for(main(), 10))


def test_a_stream_reader_of_ones_own(loop: Loop) -> None:
    """Whoever overrides feed_data or data_received is asked."""
    fed: list[bytes] = []

    class Reader(asyncio.StreamReader):
        def feed_data(self, data: bytes) -> None:
            fed.append(data)
            super().feed_data(data)

    class Protocol(asyncio.StreamReaderProtocol):
        def data_received(self, data: bytes) -> None:
            fed.append(data)
            super().data_received(data)

    async def main(reader: asyncio.StreamReader, kind: Any) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            transport, _ = await loop.create_connection(lambda: kind(reader, loop=loop), sock=ours)
            theirs.send(b"x")
            assert await reader.readexactly(1) == b"x"
        assert await reader.read() == b""
        transport.close()
        await asyncio.sleep(0)

    loop.run_until_complete(main(Reader(loop=loop), asyncio.StreamReaderProtocol))
    loop.run_until_complete(main(asyncio.StreamReader(loop=loop), Protocol))
    assert fed == [b"x", b"x"]


def test_a_stream_reader_whose_buffer_is_looked_at(loop: Loop) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        with theirs, memoryview(reader._buffer):  # type: ignore[attr-defined]
            theirs.send(b"x")
            with pytest.raises(BufferError):
                await reader.read(1)
        writer.close()

    reports = Reports(loop)
    loop.run_until_complete(asyncio.wait_for(main(), 10))
    assert [c["message"] for c in reports] == ["Fatal error: protocol.data_received() call failed."]
