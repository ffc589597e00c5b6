"""Loops and servers for a long time: `make soak`, and in short test_soak.py.

A cycle makes a loop and uses all of it: a server and clients, UDP, timers that fire and that are
cancelled, tasks that are, a thread, a child and a signal; then closes it. Memory, descriptors and
threads after the first cycles have to be what they are after the last.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import weft

WARM_UP = 20  # cycles until caches and pools have their size
GROWTH_KIB_MAX = 2048  # of malloc's and the interpreter's own breathing, over any number of cycles


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


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()


async def talk(address: tuple[str, int], messages: int) -> None:
    reader, writer = await asyncio.open_connection(*address)
    for n in range(messages):
        message = b"%d" % n * 100
        writer.write(message)
        assert await reader.readexactly(len(message)) == message
    writer.close()
    await writer.wait_closed()


async def use(clients: int, with_child: bool) -> None:
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    await asyncio.gather(*[talk(address, 5) for _ in range(clients)])
    server.close()

    for n in range(200):
        loop.call_later(60, print, n).cancel()
    await asyncio.gather(*[asyncio.sleep(0.0001 * n) for n in range(10)])
    tasks = [loop.create_task(asyncio.sleep(60)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    transport.sendto(b"to myself", transport.get_extra_info("sockname"))
    assert await asyncio.to_thread(int, "5") == 5
    told = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, told.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await told.wait()
    loop.remove_signal_handler(signal.SIGUSR1)
    transport.close()
    if with_child:
        process = await asyncio.create_subprocess_exec("true")
        assert await process.wait() == 0


def cycle(number: int) -> None:
    weft.run(use(clients=5, with_child=number % 10 == 0))


def soak(cycles: int, every: int = 0) -> tuple[Used, Used]:
    """What is used after the first cycles, and after all of them."""
    for n in range(WARM_UP):
        cycle(n)
    before = Used.now()
    for n in range(cycles):
        cycle(n)
        if every and n % every == 0:
            print(n, Used.now(), flush=True)
    return before, Used.now()


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


def main() -> int:
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    before, after = soak(cycles, every=max(cycles // 10, 1))
    print(before, after, *complaints(before, after), sep="\n")
    return 1 if complaints(before, after) else 0


if __name__ == "__main__":
    sys.exit(main())
