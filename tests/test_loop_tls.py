"""TLS over stream transports: ssl= and start_tls."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import weakref
from asyncio import AbstractEventLoop as Loop
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from .loops import Reports, loop, turn
from .peers import Buffered, Recorder, drop, until

__all__ = ["loop"]


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Server's and client's."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", common_name="localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


class Echo(Recorder):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)


class Served:
    """A server and what connected to it."""

    def __init__(self, loop: Loop, contexts: Contexts, kind: type = Recorder) -> None:
        self.loop, self.protocols, self.client_context = loop, list[Any](), contexts[1]

        def factory() -> Any:
            self.protocols.append(kind())
            return self.protocols[-1]

        self.server = loop.run_until_complete(
            loop.create_server(factory, "127.0.0.1", 0, ssl=contexts[0])
        )
        self.address = self.server.sockets[0].getsockname()

    def connect(self, protocol: Any, **options: Any) -> Any:
        transport, _ = self.loop.run_until_complete(
            self.loop.create_connection(
                lambda: protocol,
                *self.address,
                ssl=self.client_context,
                server_hostname="localhost",
                **options,
            )
        )
        return transport

    def close(self) -> None:
        self.server.close()
        turn(self.loop)


@pytest.fixture
def served(loop: Loop, contexts: Contexts) -> Iterator[Served]:
    served = Served(loop, contexts, Echo)
    yield served
    served.close()


@pytest.mark.parametrize("size", [1, 5000, 16_384, 16_385, 200_000, 2_000_000])
def test_every_byte_arrives_in_order(loop: Loop, served: Served, size: int) -> None:
    protocol = Recorder()
    transport = served.connect(protocol)
    data = os.urandom(size)
    transport.write(data)
    until(loop, lambda: len(protocol.data) == size)
    assert protocol.data == data
    transport.close()
    until(loop, lambda: protocol.lost and served.protocols[0].lost)
    assert protocol.lost == served.protocols[0].lost == [None]
    assert protocol.events[-1] == "lost"


def test_many_small_writes(loop: Loop, served: Served) -> None:
    protocol = Recorder()
    transport = served.connect(protocol)
    expected = b""
    for i in range(500):
        data = b"%d," % i
        transport.write([data, bytearray(data), memoryview(data)][i % 3])
        expected += data
    transport.writelines([b"a", b"b"])
    transport.write(b"")
    until(loop, lambda: len(protocol.data) == len(expected) + 2)
    assert protocol.data == expected + b"ab"
    transport.abort()
    until(loop, lambda: protocol.lost and served.protocols[0].lost)


@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_a_buffered_protocol(loop: Loop, served: Served, size: int) -> None:
    class Protocol(Buffered):
        lost = False

        def get_buffer(self, sizehint: int) -> Any:
            buffer = super().get_buffer(sizehint)
            # asyncio loses data that comes in several pieces where this is a bytearray
            return memoryview(buffer) if type(loop).__module__.startswith("asyncio") else buffer

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost = True

    protocol = Protocol(size)
    transport = served.connect(protocol)
    data = os.urandom(50 * size)
    transport.write(data)
    until(loop, lambda: len(protocol.data) == len(data))
    assert protocol.data == data
    transport.close()
    until(loop, lambda: protocol.lost and served.protocols[0].lost)


def test_extra_info(loop: Loop, served: Served) -> None:
    protocol = Recorder()
    transport = served.connect(protocol)
    assert isinstance(transport, asyncio.Transport)
    assert transport.get_extra_info("peername") == served.address
    assert isinstance(transport.get_extra_info("ssl_object"), ssl.SSLObject)
    assert transport.get_extra_info("cipher")
    assert (("commonName", "localhost"),) in transport.get_extra_info("peercert")["subject"]
    assert transport.get_extra_info("sslcontext") is served.client_context
    assert not transport.can_write_eof()
    with pytest.raises(NotImplementedError):
        transport.write_eof()
    for wrong in ("text", None, 1):
        with pytest.raises(TypeError):
            transport.write(wrong)
    transport.close()
    until(loop, lambda: protocol.lost)


def test_pausing_and_resuming(loop: Loop, served: Served) -> None:
    protocol = Recorder()
    transport = served.connect(protocol)
    transport.write(b"first")
    until(loop, lambda: protocol.data)
    transport.pause_reading()
    assert not transport.is_reading()
    transport.write(b"x" * 1_000_000)
    for _ in range(20):
        turn(loop)
    assert protocol.data == b"first"
    transport.resume_reading()
    until(loop, lambda: len(protocol.data) == 1_000_005)
    transport.close()
    until(loop, lambda: protocol.lost and served.protocols[0].lost)


def test_water_marks(loop: Loop, contexts: Contexts) -> None:
    served = Served(loop, contexts)
    protocol = Recorder()
    transport = served.connect(protocol)
    until(loop, lambda: served.protocols[0].events)
    served.protocols[0].transport.pause_reading()
    transport.set_write_buffer_limits(high=1000)
    while "pause" not in protocol.events:
        transport.write(b"x" * 100_000)
        turn(loop)
    size = transport.get_write_buffer_size()
    assert size > 0
    served.protocols[0].transport.resume_reading()
    until(loop, lambda: "resume" in protocol.events)
    transport.close()
    until(loop, lambda: protocol.lost and served.protocols[0].lost)
    served.close()


def test_close_sends_what_was_written(loop: Loop, contexts: Contexts) -> None:
    served = Served(loop, contexts)
    protocol = Recorder()
    transport = served.connect(protocol)
    data = os.urandom(3_000_000)
    transport.write(data)
    transport.close()
    assert transport.is_closing()
    until(loop, lambda: served.protocols[0].lost)
    assert served.protocols[0].data == data
    assert "eof" in served.protocols[0].events
    until(loop, lambda: protocol.lost)
    served.close()


@pytest.mark.parametrize("method", ["close", "abort"])
def test_closing_in_data_received(loop: Loop, contexts: Contexts, method: str) -> None:
    class Protocol(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            getattr(self.transport, method)()
            self.transport.write(b"too late")

    served = Served(loop, contexts, Protocol)
    protocol = Recorder()
    transport = served.connect(protocol)
    transport.write(b"x")
    until(loop, lambda: served.protocols[0].lost and protocol.lost)
    assert protocol.data == b""
    served.close()


def test_a_protocol_that_raises_loses_its_connection(loop: Loop, contexts: Contexts) -> None:
    class Protocol(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError("oops")

    reports = Reports(loop)
    served = Served(loop, contexts, Protocol)
    protocol = Recorder()
    served.connect(protocol).write(b"x")
    until(loop, lambda: protocol.lost and served.protocols[0].lost)
    assert isinstance(served.protocols[0].lost[0], ZeroDivisionError)
    assert [c["message"] for c in reports] == ["Fatal error on SSL protocol"]
    served.close()


def test_what_ends_the_program_ends_the_loop(loop: Loop, contexts: Contexts) -> None:
    class Protocol(Recorder):
        def data_received(self, data: bytes) -> None:
            raise KeyboardInterrupt

    served = Served(loop, contexts, Protocol)
    protocol = Recorder()
    transport = served.connect(protocol)
    transport.write(b"x")
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    transport.abort()
    until(loop, lambda: protocol.lost and served.protocols[0].lost)
    served.close()


def test_garbage_instead_of_a_handshake(loop: Loop, contexts: Contexts) -> None:
    served = Served(loop, contexts)
    Reports(loop)
    with socket.create_connection(served.address) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n" * 10)
        client.setblocking(False)
        until(loop, lambda: _closed(client))
    assert served.protocols[0].events == []
    served.close()


def _closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1000) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_garbage_after_the_handshake(loop: Loop, served: Served) -> None:
    protocol = Recorder()
    transport = served.connect(protocol)
    transport.write(b"x")
    until(loop, lambda: protocol.data)
    Reports(loop)
    os.write(transport.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + b"z" * 32)
    until(loop, lambda: protocol.lost and served.protocols[0].lost)
    assert isinstance(served.protocols[0].lost[0], ssl.SSLError)


def test_a_certificate_that_is_not_trusted(loop: Loop, served: Served) -> None:
    served.client_context = ssl.create_default_context()
    Reports(loop)
    with pytest.raises(ssl.SSLCertVerificationError):
        served.connect(Recorder())
    until(loop, lambda: not served.protocols or not served.protocols[0].events)


def test_a_handshake_that_takes_too_long(loop: Loop, contexts: Contexts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connecting = loop.create_connection(
            Recorder,
            *listener.getsockname(),
            ssl=contexts[1],
            server_hostname="localhost",
            ssl_handshake_timeout=0.01,
        )
        with pytest.raises(ConnectionAbortedError, match="SSL handshake is taking longer"):
            loop.run_until_complete(connecting)


def test_a_shutdown_that_takes_too_long(loop: Loop, contexts: Contexts) -> None:
    """The peer does not answer our close_notify."""

    async def main() -> Recorder:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            protocol = Recorder()
            connecting = asyncio.ensure_future(
                loop.create_connection(
                    lambda: protocol,
                    *listener.getsockname(),
                    ssl=contexts[1],
                    server_hostname="localhost",
                    ssl_shutdown_timeout=0.01,
                )
            )
            peer = await loop.run_in_executor(None, lambda: listener.accept()[0])
            peer = await loop.run_in_executor(
                None, lambda: contexts[0].wrap_socket(peer, server_side=True)
            )
            transport, _ = await connecting
            transport.close()
            while not protocol.lost:
                await asyncio.sleep(0.01)
            peer.close()
        return protocol

    protocol = loop.run_until_complete(asyncio.wait_for(main(), 10))
    assert isinstance(protocol.lost[0], TimeoutError)


@pytest.mark.parametrize("turns", range(8))
def test_cancelled_in_the_handshake(loop: Loop, served: Served, turns: int) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(
            loop.create_connection(
                Recorder, *served.address, ssl=served.client_context, server_hostname="localhost"
            )
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            transport, _ = await task
        except asyncio.CancelledError:
            pass
        else:
            transport.abort()
        await asyncio.sleep(0.01)

    Reports(loop)
    loop.run_until_complete(main())
    gc.collect()


def test_a_peer_that_is_reset(loop: Loop, served: Served) -> None:
    protocol = Recorder()
    transport = served.connect(protocol)
    transport.write(b"x")
    until(loop, lambda: protocol.data)
    transport.abort()
    transport.write(b"x")
    until(loop, lambda: protocol.lost and served.protocols[0].lost)
    assert protocol.lost == [None]


def test_start_tls(loop: Loop, contexts: Contexts) -> None:
    async def main() -> None:
        got = loop.create_future()

        async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readline() == b"STARTTLS\n"
            writer.write(b"go on\n")
            await writer.start_tls(contexts[0])
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()
            got.set_result(None)

        server = await asyncio.start_server(upgrade, "127.0.0.1", 0)
        protocol = Recorder()
        transport, _ = await loop.create_connection(
            lambda: protocol, *server.sockets[0].getsockname()
        )
        transport.write(b"STARTTLS\n")
        while protocol.data != b"go on\n":
            await asyncio.sleep(0)
        secured = await loop.start_tls(
            transport, protocol, contexts[1], server_hostname="localhost"
        )
        assert secured is not None
        secured.write(b"secret\n")
        while not protocol.data.endswith(b"SECRET\n"):
            await asyncio.sleep(0)
        secured.close()
        while not protocol.lost:
            await asyncio.sleep(0)
        await got
        server.close()

    loop.run_until_complete(asyncio.wait_for(main(), 10))


def test_start_tls_on_what_cannot(loop: Loop, contexts: Contexts) -> None:
    with pytest.raises(TypeError, match="not supported by start_tls"):
        loop.run_until_complete(
            loop.start_tls(object(), Recorder(), contexts[1])  # type: ignore[arg-type]
        )
    with pytest.raises(TypeError, match="SSLContext"):
        loop.run_until_complete(loop.start_tls(object(), Recorder(), None))  # type: ignore[arg-type]


def test_tls_in_tls(loop: Loop, contexts: Contexts) -> None:
    """A second TLS inside the first: the inner one sits on a transport that is not native."""

    async def main() -> None:
        inner_server = Echo()

        class Upgrade(Recorder):
            def data_received(self, data: bytes) -> None:
                assert data == b"again"
                self.transport.write(b"ok")
                self.upgrading = asyncio.ensure_future(self.upgrade())

            async def upgrade(self) -> None:
                secured = await loop.start_tls(
                    self.transport, inner_server, contexts[0], server_side=True
                )
                assert secured is not None
                inner_server.transport = secured
                secured.write(b"ready")

        server = await loop.create_server(Upgrade, "127.0.0.1", 0, ssl=contexts[0])
        outer, inner = Recorder(), Recorder()
        transport, _ = await loop.create_connection(
            lambda: outer,
            *server.sockets[0].getsockname(),
            ssl=contexts[1],
            server_hostname="localhost",
        )
        transport.write(b"again")
        while outer.data != b"ok":
            await asyncio.sleep(0)
        secured = await loop.start_tls(transport, inner, contexts[1], server_hostname="localhost")
        assert secured is not None
        while inner.data != b"ready":
            await asyncio.sleep(0)
        data = os.urandom(100_000)
        secured.write(data)
        while len(inner.data) < len(data) + 5:
            await asyncio.sleep(0)
        assert inner.data[5:] == data
        secured.close()
        while not (inner.lost and inner_server.lost):
            await asyncio.sleep(0)
        server.close()
        await asyncio.sleep(0.01)

    loop.run_until_complete(asyncio.wait_for(main(), 10))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_unclosed_transport_is_collected(loop: Loop, contexts: Contexts) -> None:
    served = Served(loop, contexts)
    protocol = Recorder()
    transport = served.connect(protocol)
    turn(loop)
    transport.pause_reading()
    ref = weakref.ref(protocol)
    held = [transport, protocol]
    del transport, protocol
    served.server.close()
    served.protocols.clear()
    loop.close()
    del served
    drop(held)
    assert ref() is None


def test_connections_leave_nothing_behind(loop: Loop, served: Served) -> None:
    def one(end: str) -> None:
        protocol = Recorder()
        transport = served.connect(protocol)
        transport.write(b"x" * 1000)
        until(loop, lambda: len(protocol.data) == 1000)
        getattr(transport, end)()
        until(loop, lambda: protocol.lost and served.protocols[0].lost)
        served.protocols.clear()

    def measure() -> tuple[int, int]:
        for end in ("close", "abort") * 5:
            one(end)
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
