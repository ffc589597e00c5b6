"""How long an app with many routes takes until it answers, and how much memory it has then.

Each start is a process of its own: from its spawning to the first reply of the last route, weft and
FastAPI in turn. An app of ten routes tells what of it is the interpreter and its imports. CPU is
what the process has used by then, which others on the machine disturb less.

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
from pathlib import Path

from run import ROOT, SERVER_CORE, free_port, rss_mib

QUIET = ["--no-access-log", "--log-level", "warning"]


def cpu_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def start(command: list[str], routes: int) -> tuple[float, float, float]:
    """Seconds until the last route answers, those of CPU, and MiB then."""
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
                seconds = time.perf_counter() - began
                return seconds, cpu_seconds(process.pid), rss_mib(process.pid)
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
    found: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    for _ in range(args.rounds):
        for routes in (10, args.routes):
            for name, command in commands.items():
                found.setdefault((name, routes), []).append(start(command, routes))
    medians = {
        key: tuple(statistics.median(column) for column in zip(*samples, strict=True))
        for key, samples in found.items()
    }
    print("| app | routes | seconds | CPU s | MiB | of the routes: ms | CPU ms | MiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (name, routes), (seconds, cpu, mib) in medians.items():
        base_seconds, base_cpu, base_mib = medians[name, 10]
        own = f"{(seconds - base_seconds) * 1e3:.0f} | {(cpu - base_cpu) * 1e3:.0f}"
        own = " |  | " if routes == 10 else f"{own} | {mib - base_mib:.1f}"
        print(f"| {name} | {routes} | {seconds:.3f} | {cpu:.3f} | {mib:.1f} | {own} |")


if __name__ == "__main__":
    main()
