"""What an event loop costs: `python bench/loop_bench.py [--rows TEXT] [--out FILE.md] [loop ...]`.

Process CPU time an operation, in nanoseconds, both ends of a connection in one loop. Each
measurement has a process of its own, the loops take turns, and the best of several rounds counts.
What is echoed is compared with what was sent. Loops: asyncio, uvloop, rloop, zuvloop, weft, as far
as the interpreters (--peers for all but weft) have them.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import importlib
import os
import platform
import resource
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

LOOPS = ["asyncio", "uvloop", "rloop", "zuvloop", "weft"]
Loop = asyncio.AbstractEventLoop


def new_loop(name: str) -> Loop:
    if name == "asyncio":
        return asyncio.SelectorEventLoop()
    return importlib.import_module(name).new_event_loop()


# ---- scheduling


def chain(loop: Loop, n: int) -> None:
    def call() -> None:
        nonlocal n
        n -= 1
        if n:
            loop.call_soon(call)
        else:
            loop.stop()

    loop.call_soon(call)
    loop.run_forever()


def batch(loop: Loop, n: int) -> None:
    def call() -> None:
        pass

    for _ in range(n // 1000):
        for _ in range(999):
            loop.call_soon(call)
        loop.call_soon(loop.stop)
        loop.run_forever()


def timers(loop: Loop, n: int) -> None:
    def call() -> None:
        nonlocal n
        n -= 1
        if n == 0:
            loop.stop()

    for _ in range(n):
        loop.call_later(0, call)
    loop.run_forever()


def cancelled(loop: Loop, n: int) -> None:
    def call() -> None:
        pass

    for _ in range(n):
        loop.call_later(60, call).cancel()


def sleep0(loop: Loop, n: int) -> None:
    async def main() -> None:
        for _ in range(n):
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def wakeup(loop: Loop, n: int) -> None:
    async def main() -> None:
        for _ in range(n):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future

    loop.run_until_complete(main())


def task(loop: Loop, n: int) -> None:
    async def child() -> None:
        pass

    async def main() -> None:
        for _ in range(n):
            await loop.create_task(child())

    loop.run_until_complete(main())


def gather(loop: Loop, n: int) -> None:
    async def child() -> None:
        pass

    async def main() -> None:
        for _ in range(n // 100):
            await asyncio.gather(*[child() for _ in range(100)])

    loop.run_until_complete(main())


def threadsafe(loop: Loop, n: int) -> None:
    def call() -> None:
        nonlocal n
        n -= 1
        if n:
            loop.call_soon_threadsafe(call)
        else:
            loop.stop()

    loop.call_soon_threadsafe(call)
    loop.run_forever()


# ---- echo: one message at a time there and back


def payload(size: int) -> bytes:
    return bytes(i % 251 for i in range(size))


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class BufferedEcho(asyncio.BufferedProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = memoryview(bytearray(65536))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, n: int) -> None:
        self.transport.write(bytes(self.buffer[:n]))


class Pinger:
    """Sends the message n times, each when the last is back whole; wrong bytes end it."""

    def __init__(self, message: bytes, n: int, done: asyncio.Future[None]) -> None:
        self.message, self.n, self.done, self.got = message, n, done, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.message)

    def came(self, data: bytes | memoryview) -> None:
        if data != self.message[self.got : self.got + len(data)]:
            raise SystemExit("what came back is not what was sent")
        self.got += len(data)
        if self.got == len(self.message):
            self.got = 0
            self.n -= 1
            if self.n:
                self.transport.write(self.message)
            else:
                self.done.set_result(None)


class Ping(Pinger, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self.came(data)


class BufferedPing(Pinger, asyncio.BufferedProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.buffer = memoryview(bytearray(65536))
        super().connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, n: int) -> None:
        self.came(self.buffer[:n])


async def tcp(loop: Loop, n: int, size: int, echo: type, ping: type) -> None:
    server = await loop.create_server(echo, "127.0.0.1", 0)
    done = loop.create_future()
    address = server.sockets[0].getsockname()
    transport, _ = await loop.create_connection(lambda: ping(payload(size), n, done), *address)
    await done
    transport.close()
    server.close()
    await asyncio.sleep(0)


async def streams(loop: Loop, n: int, size: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    message = payload(size)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for _ in range(n):
        writer.write(message)
        if await reader.readexactly(size) != message:
            raise SystemExit("what came back is not what was sent")
    writer.close()
    server.close()
    await asyncio.sleep(0.01)


async def unix(loop: Loop, n: int, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/socket"
        server = await loop.create_unix_server(Echo, path)
        done = loop.create_future()
        transport, _ = await loop.create_unix_connection(lambda: Ping(payload(size), n, done), path)
        await done
        transport.close()
        server.close()
        await asyncio.sleep(0)


@functools.cache
def certificate() -> tuple[str, str]:
    folder = tempfile.mkdtemp()
    key, cert = folder + "/key.pem", folder + "/cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "1", "-subj", "/CN=localhost", "-keyout", key, "-out", cert]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


async def tls(loop: Loop, n: int, size: int) -> None:
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(*certificate())
    theirs = ssl.create_default_context(cafile=certificate()[0])
    theirs.check_hostname = False
    server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=ours)
    done = loop.create_future()
    address = server.sockets[0].getsockname()
    transport, _ = await loop.create_connection(
        lambda: Ping(payload(size), n, done), *address, ssl=theirs
    )
    await done
    transport.close()
    server.close()
    await asyncio.sleep(0.01)


class UdpEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: object) -> None:
        self.transport.sendto(data, address)


class UdpPing(asyncio.DatagramProtocol):
    def __init__(self, message: bytes, n: int, done: asyncio.Future[None]) -> None:
        self.message, self.n, self.done = message, n, done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.sendto(self.message)

    def datagram_received(self, data: bytes, address: object) -> None:
        if data != self.message:
            raise SystemExit("what came back is not what was sent")
        self.n -= 1
        if self.n:
            self.transport.sendto(self.message)
        else:
            self.done.set_result(None)


async def udp(loop: Loop, n: int, size: int) -> None:
    server, _ = await loop.create_datagram_endpoint(UdpEcho, local_addr=("127.0.0.1", 0))
    done = loop.create_future()
    client, _ = await loop.create_datagram_endpoint(
        lambda: UdpPing(payload(size), n, done), remote_addr=server.get_extra_info("sockname")
    )
    await done
    client.close()
    server.close()
    await asyncio.sleep(0)


async def spawn(loop: Loop, n: int) -> None:
    for _ in range(n):
        process = await asyncio.create_subprocess_exec("true")
        if await process.wait() != 0:
            raise SystemExit("true is not true")


IDLE = 10_000
IDLE_CLIENTS = """
import socket, sys
port, n = map(int, sys.argv[1:])
sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(n)]
print(len(sockets), flush=True)
sys.stdin.read()
"""


async def idle(loop: Loop, n: int) -> None:
    """Echo of 64 B while IDLE other connections are open; they do not count, their weight does."""
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1024)
    address = server.sockets[0].getsockname()
    before = resident_kib()
    command = [sys.executable, "-c", IDLE_CLIENTS, str(address[1]), str(IDLE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as clients:
        if await loop.run_in_executor(None, clients.stdout.readline) != b"%d\n" % IDLE:
            raise SystemExit("not all connected")
        await asyncio.sleep(0.5)
        each = (resident_kib() - before) * 1024 / IDLE
        print(f"each idle connection takes {each:,.0f} B of memory", file=sys.stderr)
        Clock.start()
        done = loop.create_future()
        transport, _ = await loop.create_connection(lambda: Ping(payload(64), n, done), *address)
        await done
        Clock.stop()
        transport.close()
        server.close()
        clients.stdin.close()
        await asyncio.sleep(0.5)


def resident_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


class Clock:
    """Process CPU time; a row with a preparation starts and stops it itself."""

    began = ended = 0

    @classmethod
    def start(cls) -> None:
        cls.began, cls.ended = time.process_time_ns(), 0

    @classmethod
    def stop(cls) -> None:
        cls.ended = cls.ended or time.process_time_ns()


def awaited(function: Callable[..., Awaitable[None]], *args: object) -> Row:
    return lambda loop, n: loop.run_until_complete(function(loop, n, *args))


Row = Callable[[Loop, int], None]
ROWS: dict[str, tuple[Row, int]] = {
    "call_soon chain": (chain, 50_000),
    "call_soon batch": (batch, 50_000),
    "timers that fire": (timers, 20_000),
    "call_later + cancel": (cancelled, 50_000),
    "call_soon_threadsafe chain": (threadsafe, 20_000),
    "sleep(0)": (sleep0, 50_000),
    "future wake-up": (wakeup, 30_000),
    "create_task + await": (task, 30_000),
    "gather of 100, each": (gather, 30_000),
    **{
        f"TCP echo {label}, {kind}": (awaited(function, size, *classes), n)
        for kind, function, classes in (
            ("Protocol", tcp, (Echo, Ping)),
            ("BufferedProtocol", tcp, (BufferedEcho, BufferedPing)),
            ("streams", streams, ()),
        )
        for label, size, n in (("64 B", 64, 5000), ("1 KiB", 1024, 5000), ("64 KiB", 65536, 1000))
    },
    "TLS echo 1 KiB": (awaited(tls, 1024), 3000),
    "TLS echo 64 KiB": (awaited(tls, 65536), 1000),
    "UDP echo 1 KiB": (awaited(udp, 1024), 5000),
    "unix echo 1 KiB": (awaited(unix, 1024), 5000),
    "subprocess spawn": (awaited(spawn), 50),
    "TCP echo 64 B beside 10,000 idle": (awaited(idle), 3000),
}


# ---- measuring

ROW_TIMEOUT_S = 60  # the longest takes 5


# asyncio's own loop asks malloc for 256 KiB a read. In a process as small as these malloc gives
# that back to the kernel each time, which would be most of its time; a real one seldom does.
ENVIRONMENT = {
    **os.environ,
    "MALLOC_TRIM_THRESHOLD_": "67108864",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
}


def measure(name: str, label: str) -> None:
    """In a process of its own: prints the nanoseconds an operation."""
    row, n = ROWS[label]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if "TLS" in label:
        certificate()
    loop = new_loop(name)
    if name != "asyncio":
        asyncio.set_event_loop_policy(None)
    Clock.start()
    row(loop, n)
    Clock.stop()
    print((Clock.ended - Clock.began) / n)
    loop.close()


def ask(python: str, name: str, label: str) -> tuple[float, str]:
    command = [python, __file__, "--measure", name, label]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ROW_TIMEOUT_S, env=ENVIRONMENT
        )
    except subprocess.TimeoutExpired:
        return float("inf"), f"not done after {ROW_TIMEOUT_S} s"
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        return float("inf"), last[0]
    return float(done.stdout), done.stderr.strip()


def has(python: str, name: str) -> bool:
    return subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 0


def table(loops: list[str], rows: dict[str, dict[str, float]], notes: list[str]) -> str:
    lines = [
        "# Event loops",
        "",
        "Process CPU time an operation in nanoseconds, both ends in one loop, the best of several",
        "rounds that take turns: `make bench-loop`. In brackets: times as fast as asyncio.",
        f"CPython {platform.python_version()}, Linux {platform.release()}, {os.cpu_count()} cores.",
        "",
        "| | " + " | ".join(loops) + " | first |",
        "| --- |" + " ---: |" * len(loops) + " --- |",
    ]
    for label, best in rows.items():
        cells = []
        for name in loops:
            known = best[name] != float("inf")
            ratio = best.get("asyncio", 0) / best[name] if known else 0
            cells.append(f"{best[name]:,.0f} ({ratio:.1f})" if known else "fails")
        first = min(best, key=lambda name: best[name])
        lines.append(f"| {label} | " + " | ".join(cells) + f" | {first} |")
    lines += ["", *(f"- {note}" for note in notes)] if notes else []
    return "\n".join(lines) + "\n"


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        return measure(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("loops", nargs="*", default=LOOPS)
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has them")
    parser.add_argument("--rows", default="", help="only those whose name contains this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--out", type=Path, help="where to write the table, as Markdown, and *.notes.md beneath it"
    )
    options = parser.parse_args()
    pythons = {n: sys.executable if n == "weft" else options.peers for n in options.loops}
    loops = [name for name in pythons if has(pythons[name], name)]
    missing = [name for name in pythons if name not in loops]
    rows: dict[str, dict[str, float]] = {}
    notes: dict[str, None] = {}
    for label in ROWS:
        if options.rows not in label:
            continue
        best = rows[label] = dict.fromkeys(loops, float("inf"))
        for _ in range(options.rounds):
            for name in loops:
                took, said = ask(pythons[name], name, label)
                best[name] = min(best[name], took)
                if said and (took == float("inf") or said.startswith("each")):
                    notes = {k: None for k in notes if not k.startswith(f"{label}, {name}")}
                    notes[f"{label}, {name}: {said}"] = None
        print(f"{label:34}" + "".join(f"{best[n]:10.0f} {n}" for n in loops), flush=True)
    if missing:
        notes[f"Not here: {', '.join(missing)}."] = None
    text = table(loops, rows, list(notes))
    if options.out:
        by_hand = options.out.with_suffix(".notes.md")
        text += "\n" + by_hand.read_text() if by_hand.exists() else ""
        options.out.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
