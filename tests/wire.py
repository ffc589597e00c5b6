"""A server of an App in a thread, and a client that sends what no HTTP library would."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

from weft import App
from weft.server import Config, Limits
from weft.testing import Worker

GET_OK = b"GET /ok HTTP/1.1\r\nhost: a\r\n\r\n"


class Reply(NamedTuple):
    status: int
    fields: list[tuple[str, str]]
    body: bytes

    def field(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key == name), None)


class Broken(Exception):
    """The reply ended before its framing says so."""


class Client:
    """One connection. `reply()` is None where the server closed it instead of answering."""

    def __init__(self, port: int, *, receive_buffer: int = 0, timeout: float = 10) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> Self:
        """Sends it, or as much as the server takes before it closes."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)
        return self

    def reset(self) -> None:
        """Ends the connection with an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            return False
        self.received += data
        return data != b""

    def until(self, end: bytes) -> bytes:
        while end not in self.received:
            if not self.more():
                raise Broken(self.received)
        data, _, self.received = self.received.partition(end)
        return data

    def exactly(self, n: int) -> bytes:
        data = bytearray(self.received)
        while len(data) < n:
            self.received = b""
            if not self.more():
                raise Broken(bytes(data))
            data += self.received
        self.received = bytes(data[n:])
        return bytes(data[:n])

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        while self.more():
            pass
        data, self.received = self.received, b""
        return data

    def head(self) -> Reply:
        line, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        assert line.startswith("HTTP/1.1 "), line
        fields = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        return Reply(int(line.split(" ")[1]), fields, b"")

    def reply(self, *, to_head: bool = False) -> Reply | None:
        """The next final reply, its framing checked; `Broken` where it is cut short."""
        if not self.received and not self.more():
            return None
        reply = self.head()
        while 100 <= reply.status < 200:
            reply = self.head()
        names = [name for name, _ in reply.fields]
        assert len(set(names) - {"set-cookie"}) == len([n for n in names if n != "set-cookie"])
        assert not {"content-length", "transfer-encoding"} <= set(names)
        if to_head or reply.status in (204, 304):
            body = b""
        elif reply.field("transfer-encoding") == "chunked":
            body = b"".join(iter(self.chunk, b""))
        elif (length := reply.field("content-length")) is not None:
            body = self.exactly(int(length))
        else:
            body = self.rest()
        return reply._replace(body=body)

    def chunk(self) -> bytes:
        data = self.exactly(int(self.until(b"\r\n"), 16))
        assert self.exactly(2) == b"\r\n"
        return data

    def is_open(self) -> bool:
        """Is another request answered, and by nothing but its own reply?"""
        self.send(GET_OK)
        reply = self.reply()
        assert reply is None or (reply.status, reply.body) == (200, b'"ok"'), reply
        return reply is not None


class Served(Worker):
    """An App that is served, and beside its routes GET /ok."""

    def connect(self, **options: int) -> Client:
        return Client(self.port, **options)

    def ask(self, data: bytes) -> Reply | None:
        """One request on a connection of its own."""
        with self.connect() as client:
            return client.send(data).reply()

    def is_well(self) -> bool:
        """Is a fresh client answered?"""
        with self.connect() as client:
            return client.is_open()


@contextmanager
def served(app: App, **limits: int) -> Iterator[Served]:
    @app.get("/ok")
    async def ok() -> str:
        return "ok"

    app._declared.insert(0, app._declared.pop())  # the first that fits is taken
    given = Limits(**limits)  # type: ignore[typeddict-item]
    worker = Served(app, Config(port=0, access_log=False, limits=given))
    worker.start(lifespan=True)
    try:
        yield worker
    finally:
        worker.stop()


def head(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in (*lines, b""))


def get(target: str, *fields: bytes) -> bytes:
    return head(b"GET " + target.encode() + b" HTTP/1.1", b"host: a", *fields)


def post(target: str, body: bytes, *fields: bytes) -> bytes:
    fields = (b"host: a", b"content-length: %d" % len(body), *fields)
    return head(b"POST " + target.encode() + b" HTTP/1.1", *fields) + body


def eventually(check: Callable[[], bool], seconds: float = 5) -> bool:
    """Does it become true?"""
    deadline = time.monotonic() + seconds
    while not (good := check()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return good


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident_kb() -> int:
    """Resident memory; always 0 under AddressSanitizer, which keeps what is freed for a while."""
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        return 0
    gc.collect()
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
