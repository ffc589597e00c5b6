"""Measures what does not show in requests a second: memory of idle connections, growth over many
requests, and what importing weft costs.

- Opens idle keep-alive connections (10,000 by default), each after one request, and divides the
  growth of the server's resident memory by their number; then asks each of them again.
- Sends requests (ten million by default) with wrk and compares resident memory after a warm-up
  with the end.
- Times `import weft` and `import asyncio` in fresh interpreters.

Usage: python bench/idle.py [--connections 10000] [--requests 10000000] [--weft PYTHON]
                            [--out FILE.md]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
from pathlib import Path

from run import CLIENT_CORE, ROOT, SERVER_CORE, WORKLOADS, check, free_port, wait_for, wrk

REQUEST = b"GET /json HTTP/1.1\r\nHost: localhost\r\n\r\n"


def rss_kib(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])  # type: ignore[index]


def ask(s: socket.socket) -> None:
    s.sendall(REQUEST)
    reply = s.recv(4096)
    if not reply.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"unexpected reply: {reply[:80]!r}")


@contextlib.contextmanager
def server(weft: str):
    port = free_port()
    command = [
        "taskset",
        "-c",
        SERVER_CORE,
        weft,
        "-m",
        "weft",
        "bench.apps.weft_app:app",
        "--port",
        str(port),
        "--no-access-log",
        "--log-level",
        "warning",
    ]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        wait_for(port, process)
        yield process.pid, port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def idle(weft: str, connections: int) -> str:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, connections + 200), hard))
    with server(weft) as (pid, port), contextlib.ExitStack() as stack:
        warm = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        for s in warm:
            ask(s)
        for s in warm:
            s.close()
        before = rss_kib(pid)
        held = []
        for _ in range(connections):
            s = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            ask(s)
            held.append(s)
        after = rss_kib(pid)
        for s in held:
            ask(s)
        return (
            f"idle keep-alive connections: {connections} held, each answered again; "
            f"{(after - before) * 1024 / connections:.0f} bytes of resident memory each "
            f"({before / 1024:.1f} -> {after / 1024:.1f} MiB)"
        )


def growth(weft: str, requests: int) -> str:
    with server(weft) as (pid, port):
        load = WORKLOADS["pipelined"]
        check(port, load)
        url = f"http://127.0.0.1:{port}/plaintext"
        wrk(url, load, 3)
        before, done = rss_kib(pid), 0
        while done < requests:
            done += wrk(url, load, 5)[0]
        after = rss_kib(pid)
        return (
            f"resident memory over {done:,} requests: {before} -> {after} KiB ({after - before:+d})"
        )


def import_time(weft: str) -> str:
    code = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    ms = {}
    for module in ("asyncio", "weft"):
        runs = [
            float(
                subprocess.run(
                    [weft, "-c", code.format(module)], capture_output=True, text=True, check=True
                ).stdout
            )
            for _ in range(11)
        ]
        ms[module] = statistics.median(runs) * 1000
    return (
        f"import asyncio {ms['asyncio']:.1f} ms, import weft {ms['weft']:.1f} ms: "
        f"{ms['weft'] - ms['asyncio']:.1f} ms more"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--weft", default=sys.executable)
    parser.add_argument("--out", type=Path, help="write what is measured here too")
    args = parser.parse_args()
    os.sched_setaffinity(0, {int(CLIENT_CORE)})
    lines = [
        import_time(args.weft),
        idle(args.weft, args.connections),
        growth(args.weft, args.requests),
    ]
    text = "".join(f"- {line}\n" for line in lines)
    print(text, end="")
    if args.out:
        args.out.write_text(
            "What `bench/idle.py` measures beside the table of requests.\n\n" + text
        )


if __name__ == "__main__":
    main()
