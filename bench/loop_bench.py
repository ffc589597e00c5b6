"""What an event loop costs: `python bench/loop_bench.py [loop ...]`.

Process CPU time an operation, in nanoseconds; loops interleaved, best of several rounds. Loops:
asyncio, uvloop, rloop, weft, as far as they are installed.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from collections.abc import Callable

ROUNDS = 5


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    if name == "asyncio":
        return asyncio.SelectorEventLoop()
    return importlib.import_module(name).new_event_loop()


def chain(loop: asyncio.AbstractEventLoop, n: int) -> None:
    def call() -> None:
        nonlocal n
        n -= 1
        if n:
            loop.call_soon(call)
        else:
            loop.stop()

    loop.call_soon(call)
    loop.run_forever()


def batch(loop: asyncio.AbstractEventLoop, n: int) -> None:
    def call() -> None:
        pass

    for _ in range(n // 1000):
        for _ in range(999):
            loop.call_soon(call)
        loop.call_soon(loop.stop)
        loop.run_forever()


def timers(loop: asyncio.AbstractEventLoop, n: int) -> None:
    def call() -> None:
        nonlocal n
        n -= 1
        if n == 0:
            loop.stop()

    for _ in range(n):
        loop.call_later(0, call)
    loop.run_forever()


def cancelled(loop: asyncio.AbstractEventLoop, n: int) -> None:
    def call() -> None:
        pass

    for _ in range(n):
        loop.call_later(60, call).cancel()


def sleep0(loop: asyncio.AbstractEventLoop, n: int) -> None:
    async def main() -> None:
        for _ in range(n):
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def wakeup(loop: asyncio.AbstractEventLoop, n: int) -> None:
    async def main() -> None:
        for _ in range(n):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future

    loop.run_until_complete(main())


def task(loop: asyncio.AbstractEventLoop, n: int) -> None:
    async def child() -> None:
        pass

    async def main() -> None:
        for _ in range(n):
            await loop.create_task(child())

    loop.run_until_complete(main())


def gather(loop: asyncio.AbstractEventLoop, n: int) -> None:
    async def child() -> None:
        pass

    async def main() -> None:
        for _ in range(n // 100):
            await asyncio.gather(*[child() for _ in range(100)])

    loop.run_until_complete(main())


def threadsafe(loop: asyncio.AbstractEventLoop, n: int) -> None:
    def call() -> None:
        nonlocal n
        n -= 1
        if n:
            loop.call_soon_threadsafe(call)
        else:
            loop.stop()

    loop.call_soon_threadsafe(call)
    loop.run_forever()


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Ping(asyncio.Protocol):
    def __init__(self, n: int, done: asyncio.Future[None]) -> None:
        self.n, self.done, self.got = n, done, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(b"x" * 1024)

    def data_received(self, data: bytes) -> None:
        self.got += len(data)
        if self.got == 1024:
            self.got = 0
            self.n -= 1
            if self.n:
                self.transport.write(b"x" * 1024)
            else:
                self.done.set_result(None)


def echo(loop: asyncio.AbstractEventLoop, n: int) -> None:
    async def main() -> None:
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        done = loop.create_future()
        transport, _ = await loop.create_connection(lambda: Ping(n, done), *address)
        await done
        transport.close()
        server.close()
        await asyncio.sleep(0)

    loop.run_until_complete(main())


def streams(loop: asyncio.AbstractEventLoop, n: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for _ in range(n):
            writer.write(b"x" * 1024)
            await reader.readexactly(1024)
        writer.close()
        server.close()
        await asyncio.sleep(0.01)

    loop.run_until_complete(main())


Row = Callable[[asyncio.AbstractEventLoop, int], None]
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
    "TCP echo 1 KiB, protocol": (echo, 5_000),
    "TCP echo 1 KiB, streams": (streams, 3_000),
}


def available(names: list[str]) -> list[str]:
    found = []
    for name in names:
        try:
            new_loop(name).close()
        except ImportError:
            continue
        found.append(name)
    return found


def measure(name: str, row: Row, n: int) -> float:
    loop = new_loop(name)
    try:
        start = time.process_time_ns()
        row(loop, n)
        return (time.process_time_ns() - start) / n
    finally:
        loop.close()


def main() -> None:
    names = available(sys.argv[1:] or ["asyncio", "uvloop", "rloop", "weft"])
    print(f"{'ns an operation':28}" + "".join(f"{name:>10}" for name in names))
    for label, (row, n) in ROWS.items():
        best = dict.fromkeys(names, float("inf"))
        for _ in range(ROUNDS):
            for name in names:
                best[name] = min(best[name], measure(name, row, n))
        ratio = best["asyncio"] / best["weft"] if {"asyncio", "weft"} <= best.keys() else 0
        print(f"{label:28}" + "".join(f"{best[n]:10.0f}" for n in names) + f"   x{ratio:.1f}")


if __name__ == "__main__":
    main()
