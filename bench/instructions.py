"""Counts the instructions weft executes for one request, with callgrind: repeatable where timings
are not.

Starts the server under valgrind, sends requests over one keep-alive connection, and takes the
difference of two runs of different length, so that start-up and warm-up cancel out. Kernel work
is not counted.

Usage: python bench/instructions.py [--out FILE.json] [--requests 2000] [plaintext json params]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run import ROOT, WORKLOADS, free_port

VALGRIND = ["valgrind", "--tool=callgrind", "--callgrind-out-file={out}"]


def exchange(s: socket.socket, request: bytes, count: int) -> None:
    """Sends `count` requests one after another and reads each reply to its end."""
    data = b""
    for _ in range(count):
        s.sendall(request)
        while b"\r\n\r\n" not in data:
            data += s.recv(65536)
        head, _, data = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        while len(data) < length:
            data += s.recv(65536)
        data = data[length:]


def total(command: list[str], path: str, count: int) -> int:
    """Instructions of the whole server process that answers `count` requests."""
    port = free_port()
    with tempfile.TemporaryDirectory() as tmp:
        out = Path(tmp) / "callgrind.out"
        full = [part.format(out=out) for part in VALGRIND] + [
            part.format(port=port) for part in command
        ]
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        process = subprocess.Popen(
            full, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for _ in range(600):
            try:
                s = socket.create_connection(("127.0.0.1", port), 1)
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise SystemExit("the server did not start under valgrind")
        with s:
            request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
            exchange(s, request, count)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        return int(re.search(rb"Collected : (\d+)", errors)[1])  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", default=["plaintext", "json", "params"])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--weft", default=sys.executable)
    parser.add_argument("--bare", help="path of bare_server, to count it too")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    weft = [
        args.weft,
        "-m",
        "weft",
        "bench.apps.weft_app:app",
        "--port",
        "{port}",
        "--no-access-log",
        "--log-level",
        "warning",
    ]
    counted = {}
    for name in args.workloads:
        few, many = (total(weft, WORKLOADS[name].path, n) for n in (1000, 1000 + args.requests))
        counted[f"weft {name}"] = round((many - few) / args.requests)
        print(f"weft {name}: {counted[f'weft {name}']} instructions a request", flush=True)
    if args.bare:
        few, many = (
            total([args.bare, "--port", "{port}"], "/", n) for n in (1000, 1000 + args.requests)
        )
        counted["bare_server"] = round((many - few) / args.requests)
        print(f"bare_server: {counted['bare_server']} instructions a request", flush=True)
    if args.out:
        args.out.write_text(json.dumps(counted, indent=1) + "\n")


if __name__ == "__main__":
    main()
