"""Counts the instructions weft executes for one request, with callgrind: repeatable where timings
are not.

Starts the server under valgrind, sends requests over one keep-alive connection, and takes the
difference of two runs of different length, so that start-up and warm-up cancel out. Kernel work
is not counted.

With --compare FILE the counts are set beside those of FILE, and more than --limit percent above one
of them is a failure; where interpreter, compiler or machine are others, nothing is, since counts
differ for that reason alone. With --out FILE they are written there, to be committed.

Usage: python bench/instructions.py [--compare FILE] [--out FILE] [WORKLOAD ...]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run import ROOT, free_port

# "bare" is bare_server, where it has been built; "parked" is a handler that waits once.
PATHS = {
    "plaintext": "/plaintext",
    "json": "/json",
    "params": "/items/42?q=weft",
    "parked": "/parked",
    "bare": "/plaintext",
    "layers": "/json",
    "middleware": "/json",
    "within": "/json",
}
NO_LOG = ["--no-access-log", "--log-level", "warning"]
# Where it is not bench.apps.weft_app without a log: CORS, request id and access log; one middleware
# in Python; and that with CORS inside of it.
APPS = {
    "layers": ["bench.apps.weft_layers:layers"],
    "middleware": ["bench.apps.weft_layers:python", *NO_LOG],
    "within": ["bench.apps.weft_layers:within", *NO_LOG],
}
WARM_UP = 500  # requests, until caches and pools are full
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


def per_request(command: list[str], path: str, requests: int) -> int:
    few, many = (total(command, path, n) for n in (WARM_UP, WARM_UP + requests))
    return round((many - few) / requests)


def first_line(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[
        0
    ]


def environment(weft: str) -> dict[str, str]:
    """What else the counts depend on."""
    return {
        "python": first_line(weft, "--version"),
        "compiler": first_line(os.environ.get("CC", "cc"), "--version"),
        "valgrind": first_line("valgrind", "--version"),
        "machine": platform.machine(),
    }


def compare(counts: dict[str, int], here: dict[str, str], recorded: Path, limit: float) -> bool:
    """Prints the differences; is none of them too large?"""
    old = json.loads(recorded.read_text())
    too_many = []
    for name, count in counts.items():
        before = old["instructions"].get(name)
        if before is None:
            print(f"{name:10} {count:>8,}  (not recorded)")
            continue
        percent = (count / before - 1) * 100
        print(f"{name:10} {count:>8,}  recorded {before:>8,}  {percent:+6.1f}%")
        if percent > limit:
            too_many.append(name)
    if old["environment"] != here:
        print(f"recorded with {old['environment']}, counted with {here}: not judged")
        return True
    if too_many:
        print(f"more than {limit:g}% above what {recorded} says: {', '.join(too_many)}")
    return not too_many


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", choices=[[], *PATHS], default=[])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--weft", default=sys.executable, help="interpreter that has weft")
    parser.add_argument("--bare", type=Path, help="bare_server, to count it too")
    parser.add_argument("--compare", type=Path, metavar="FILE")
    parser.add_argument("--limit", type=float, default=10, help="percent (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE")
    args = parser.parse_args()
    weft = [args.weft, "-m", "weft", "--port", "{port}"]
    counts = {}
    for name in args.workloads or PATHS:
        if name == "bare" and args.bare is None:
            continue
        command = [*weft, *APPS.get(name, ["bench.apps.weft_app:app", *NO_LOG])]
        if name == "bare":
            command = [str(args.bare), "--port", "{port}"]
        counts[name] = per_request(command, PATHS[name], args.requests)
        if args.compare is None:
            print(f"{name:10} {counts[name]:>8,} instructions a request", flush=True)
    here = environment(args.weft)
    good = args.compare is None or compare(counts, here, args.compare, args.limit)
    if args.out:
        recorded = {"environment": here, "instructions": counts}
        args.out.write_text(json.dumps(recorded, indent=1) + "\n")
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
