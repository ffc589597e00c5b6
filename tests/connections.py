"""Connections to a TestClient's server that do what no well-behaved client would."""

from __future__ import annotations

import asyncio
import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from weft.testing import TestClient


@contextmanager
def connect(client: TestClient, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """A socket connected to the server; `receive_buffer` bounds what may be on its way."""
    with socket.socket() as sock:
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(30)
        sock.connect(("127.0.0.1", client._worker.port))
        yield sock


def ask(sock: socket.socket, path: str, method: str = "GET", version: str = "1.1") -> None:
    sock.sendall(f"{method} {path} HTTP/{version}\r\nHost: x\r\n\r\n".encode())


def reply(sock: socket.socket, method: str = "GET") -> http.client.HTTPResponse:
    """The next reply; its content is read with `.read()`, which raises where it is cut short."""
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    return response


def reset(sock: socket.socket) -> None:
    """Closes with a RST instead of a FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    """Did it become true? A test that passes does not wait long."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


async def become(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    """`wait_until`, in a coroutine."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.001)
    return True


@contextmanager
def in_threads(count: int, function: Callable[[int], object]) -> Iterator[None]:
    """Calls `function(0)`, `function(1)`, ... side by side; the end waits for all."""
    threads = [threading.Thread(target=function, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()
