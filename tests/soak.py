"""Loops and servers for a long time: `make soak`, and in short test_soak.py.

A cycle makes a loop and uses all of it: servers and clients over TCP, unix sockets and TLS, UDP, a
pipe, timers that fire and that are cancelled, tasks that are, a thread, a child and a signal; then
closes it. An hour is one loop that does what HOUR counts, as fast as it can. Memory, descriptors,
threads and objects after the first cycles, or the first tenths of the hour, have to be at the end
what they were, and nothing may warn or fail on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

import weft

WARM_UP = 20  # cycles until caches and pools have their size
GROWTH_KIB_MAX = 2048  # of malloc's and the interpreter's own breathing, over any number of cycles

# What a busy service does in an hour: 500 requests a second, 50 of them a connection.
HOUR = {
    "connections": 36_000,
    "messages": 1_800_000,
    "timers set and cancelled": 1_800_000,
    "connections cut": 3_600,
    "TLS connections": 3_600,
    "datagrams": 180_000,
    "tasks cancelled": 36_000,
    "calls in threads": 36_000,
    "files sent": 3_600,
    "children": 360,
    "signals": 3_600,
}
TENTHS_TO_WARM_UP = 2


@dataclass
class Used:
    descriptors: int
    threads: int
    objects: int
    resident_kib: int

    @classmethod
    def now(cls) -> Used:
        gc.collect()
        status = Path("/proc/self/status").read_text().splitlines()
        resident = next(line for line in status if line.startswith("VmRSS"))
        return cls(
            descriptors=len(os.listdir("/proc/self/fd")),
            threads=threading.active_count(),
            objects=len(gc.get_objects()),
            resident_kib=int(resident.split()[1]),
        )


class Contexts:
    """TLS for "localhost", the server's side and the client's."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
    except ConnectionError:  # whoever cuts the connection
        writer.transport.abort()


async def talk(address: Any, messages: int, **options: Any) -> None:
    if isinstance(address, str):
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        reader, writer = await asyncio.open_connection(*address, **options)
    loop = asyncio.get_running_loop()
    for n in range(messages):
        message = b"%d" % n * 100
        timeout = loop.call_later(60, writer.close)
        writer.write(message)
        assert await reader.readexactly(len(message)) == message
        timeout.cancel()
    writer.close()
    await writer.wait_closed()


async def cancel_tasks(count: int) -> None:
    tasks = [asyncio.create_task(asyncio.sleep(60)) for _ in range(count)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def signal_myself(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        told = asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, told.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await told.wait()
    loop.remove_signal_handler(signal.SIGUSR1)


async def talk_to_myself(datagrams: int) -> None:
    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, address: Any) -> None:
            came.release()

    came = asyncio.Semaphore(0)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Protocol, local_addr=("127.0.0.1", 0)
    )
    address = transport.get_extra_info("sockname")
    for _ in range(datagrams):
        transport.sendto(b"to myself", address)
        await came.acquire()
    transport.close()


async def through_a_pipe() -> None:
    loop = asyncio.get_running_loop()
    r, w = os.pipe()
    reader = asyncio.StreamReader()
    reading, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(r, "rb", 0)
    )
    writing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(w, "wb", 0))
    writing.write(b"x" * 200_000)
    writing.close()
    assert await reader.read() == b"x" * 200_000
    reading.close()


async def send_a_file(address: Any) -> None:
    reader, writer = await asyncio.open_connection(*address)
    with tempfile.TemporaryFile() as file:
        file.write(b"f" * 20_000)
        file.seek(0)
        await asyncio.get_running_loop().sendfile(writer.transport, file)
    assert await reader.readexactly(20_000) == b"f" * 20_000
    writer.close()
    await writer.wait_closed()


async def cut(address: Any) -> None:
    """A client that is gone before it is answered."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        await loop.sock_sendall(sock, b"x" * 1000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


async def use(contexts: Contexts, folder: str, clients: int, with_child: bool) -> None:
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    tls = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=contexts.server)
    unix = await asyncio.start_unix_server(echo, os.path.join(folder, "socket"))
    address, secret = (s.sockets[0].getsockname() for s in (server, tls))
    await asyncio.gather(
        *[talk(address, 5) for _ in range(clients)],
        talk(secret, 2, ssl=contexts.client, server_hostname="localhost"),
        talk(os.path.join(folder, "socket"), 2),
        cut(address),
    )
    await send_a_file(address)
    await through_a_pipe()
    for each in (server, tls, unix):
        each.close()
    for n in range(200):
        loop.call_later(60, print, n).cancel()
    await asyncio.gather(*[asyncio.sleep(0.0001 * n) for n in range(10)])
    await cancel_tasks(20)
    await talk_to_myself(1)
    assert await asyncio.to_thread(int, "5") == 5
    await signal_myself(1)
    if with_child:
        process = await asyncio.create_subprocess_exec("true")
        assert await process.wait() == 0


async def tenth_of_an_hour(contexts: Contexts, scale: float) -> None:
    """In rounds, so that all of it happens beside the rest."""
    count = {what: max(int(n * scale / 10), 1) for what, n in HOUR.items()}
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    tls = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=contexts.server)
    address, secret = (s.sockets[0].getsockname() for s in (server, tls))

    async def connections(count: int) -> None:
        for _ in range(count // 30):
            await asyncio.gather(*[talk(address, messages) for _ in range(30)])

    async def each(count: int, function: Any, *args: Any, **options: Any) -> None:
        for _ in range(count):
            await function(*args, **options)

    async def child() -> None:
        process = await asyncio.create_subprocess_exec("true")
        assert await process.wait() == 0

    messages = count["messages"] // count["connections"]
    await asyncio.gather(
        connections(count["connections"]),  # a timer a message
        each(count["connections cut"], cut, address),
        each(
            count["TLS connections"], talk, secret, 2, ssl=contexts.client,
            server_hostname="localhost",
        ),
        talk_to_myself(count["datagrams"]),
        each(count["tasks cancelled"] // 20, cancel_tasks, 20),
        each(count["calls in threads"], asyncio.to_thread, int, "5"),
        each(count["files sent"], send_a_file, address),
        each(count["children"], child),
        signal_myself(count["signals"]),
    )  # fmt: skip
    for each_server in (server, tls):
        each_server.close()
        await each_server.wait_closed()


def soak(cycles: int, every: int = 0) -> tuple[Used, Used]:
    """What is used after the first cycles, and after all of them."""
    contexts = Contexts()

    def cycle(number: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            weft.run(use(contexts, folder, clients=5, with_child=number % 10 == 0))

    for n in range(WARM_UP):
        cycle(n)
    before = Used.now()
    for n in range(cycles):
        cycle(n)
        if every and n % every == 0:
            print(n, Used.now(), flush=True)
    return before, Used.now()


def hour(scale: float, say: bool = False) -> tuple[Used, Used]:
    """What is used after the first tenths of an hour, or of a part of one, and at its end."""
    contexts = Contexts()

    async def main() -> tuple[Used, Used]:
        for tenth in range(10):
            start = time.perf_counter()
            await tenth_of_an_hour(contexts, scale)
            await asyncio.sleep(0.01)  # for who is on the way out
            used = Used.now()
            if tenth < TENTHS_TO_WARM_UP:
                before = used
            if say:
                print(
                    f"{6 * tenth + 6} min in {time.perf_counter() - start:.0f} s", used, flush=True
                )
        return before, used

    return weft.run(main(), debug=False)


def complaints(before: Used, after: Used) -> list[str]:
    found = [
        f"{what}: {getattr(before, what)}, then {getattr(after, what)}"
        for what in ("descriptors", "threads")
        if getattr(after, what) > getattr(before, what)
    ]
    if after.objects > before.objects + 10:  # it is 0 or 1, however many the cycles
        found.append(f"objects: {before.objects}, then {after.objects}")
    if after.resident_kib > before.resident_kib + GROWTH_KIB_MAX:
        found.append(f"memory: {before.resident_kib} KiB, then {after.resident_kib}")
    return found


@contextmanager
def warned() -> Iterator[list[str]]:
    """What was said meanwhile by warnings, and by exceptions that nobody could catch."""
    said: list[str] = []
    unraisable = sys.unraisablehook
    sys.unraisablehook = lambda args: said.append(
        f"{args.err_msg} {args.object!r}: {args.exc_value!r}"
    )
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield said
            said += [str(warning) for warning in caught]
    finally:
        sys.unraisablehook = unraisable


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cycles", nargs="?", type=int, default=500)
    parser.add_argument("--hours", type=float, default=1)
    options = parser.parse_args()
    found = []
    with warned() as said:
        print(f"{options.cycles} loops made, used and closed", flush=True)
        before, after = soak(options.cycles, every=max(options.cycles // 10, 1))
        found += complaints(before, after)
        print(before, after, sep="\n")
        if options.hours:
            print("An hour of", ", ".join(f"{n} {what}" for what, n in HOUR.items()), flush=True)
            found += complaints(*hour(options.hours, say=True))
    found += said
    print(*found or ["Nothing has grown, and nothing warned."], sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
