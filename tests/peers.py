"""Protocols that write down what they are told, and sockets for the other end."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from asyncio import AbstractEventLoop as Loop
from collections.abc import Callable, Iterator
from typing import Any

import pytest


class Recorder(asyncio.Protocol):
    """Writes down what it is told."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.events: list[str] = []
        self.data = b""
        self.lost: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data
        self.events.append("data")

    def eof_received(self) -> bool | None:
        self.events.append("eof")
        return None

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)
        self.events.append("lost")


class Buffered(asyncio.BufferedProtocol):
    def __init__(self, size: int = 16) -> None:
        self.buffer, self.data, self.hints = bytearray(size), b"", set[int]()

    def get_buffer(self, sizehint: int) -> bytearray:
        self.hints.add(sizehint)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]


def until(loop: Loop, done: Callable[..., Any], turns: int = 2000) -> None:
    """Run the loop until something holds."""
    for _ in range(turns):
        if done():
            return
        loop.run_until_complete(asyncio.sleep(0.001 if _ > 20 else 0))
    raise AssertionError("it never came")


Peer = socket.socket


@pytest.fixture
def pair() -> Iterator[tuple[Peer, Peer]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def connect(loop: Loop, sock: socket.socket, protocol: Any) -> Any:
    transport, got = loop.run_until_complete(loop.create_connection(lambda: protocol, sock=sock))
    assert got is protocol
    return transport


def drain(sock: socket.socket) -> bytes:
    data = b""
    while True:
        try:
            more = sock.recv(1 << 20)
        except BlockingIOError:
            return data
        if not more:
            return data
        data += more


def drop(held: list[Any]) -> None:
    """Let go of the last references."""
    held.clear()
    gc.collect()


def reset(sock: socket.socket) -> None:
    """Close so that the other side gets ECONNRESET."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs
