"""How long an app with many routes takes until it answers, and how much memory it has then.

Each start is a process of its own: from its spawning to the first reply of the last route, weft and
FastAPI in turn. An app of ten routes tells what of it is the interpreter and its imports.

Usage: python bench/startup.py [--routes 1000] [--rounds 5] [--peers PYTHON] [--weft PYTHON]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request

from run import ROOT, SERVER_CORE, free_port, rss_mib

QUIET = ["--no-access-log", "--log-level", "warning"]


def start(command: list[str], routes: int) -> tuple[float, float]:
    """Seconds until the last route answers, and MiB then."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api/v1/group{routes // 10 - 1}/things9/42"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_ROUTES": str(routes)}
    began = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "-c", SERVER_CORE, *command, "--port", str(port), *QUIET],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    try:
        while True:
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(url, timeout=5) as reply:
                    if reply.read().replace(b" ", b"") != b'{"item_id":42,"q":null}':
                        raise SystemExit("wrong reply")
                return time.perf_counter() - began, rss_mib(process.pid)
            if process.poll() is not None or time.perf_counter() - began > 120:
                raise SystemExit(f"it does not start: {command}")
            time.sleep(0.002)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--weft", default=sys.executable)
    args = parser.parse_args()
    commands = {
        "weft": [args.weft, "-m", "weft", "bench.apps.startup_weft:app"],
        "FastAPI": [args.peers, "-m", "uvicorn", "bench.apps.startup_fastapi:app"],
    }
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(args.rounds):
        for routes in (10, args.routes):
            for name, command in commands.items():
                found.setdefault((name, routes), []).append(start(command, routes))
    medians = {
        key: tuple(statistics.median(column) for column in zip(*samples, strict=True))
        for key, samples in found.items()
    }
    print("| app | routes | seconds | MiB | of the routes: ms | MiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for (name, routes), (seconds, mib) in medians.items():
        base_seconds, base_mib = medians[name, 10]
        own = f"{(seconds - base_seconds) * 1000:.0f} | {mib - base_mib:.1f}"
        print(
            f"| {name} | {routes} | {seconds:.3f} | {mib:.1f} | {own if routes != 10 else ' | '} |"
        )


if __name__ == "__main__":
    main()
