"""Runs CPython's own asyncio tests on weft's loop: `python run.py [-m MODULE ...] PYTHON ...`.

Each PYTHON is an interpreter with weft and the `test` package; each module has a process of its
own. What fails, and is not in exceptions.toml, is judged by asyncio's selector loop: it is run
again by itself, on both loops, and it is ours to answer for unless it fails there too. Exit status
1: something new fails, or a test in exceptions.toml has no longer any reason to be there.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
# Longest first, so that nothing long is left for the end.
SLOW = [
    "test_tasks",
    "test_events",
    "test_ssl",
    "test_subprocess",
    "test_sendfile",
    "test_unix_events",
]
# Not about a loop this platform has, or about no loop at all but in name.
LEFT_OUT = {"test_windows_events", "test_windows_utils", "test_proactor_events"}
TIMEOUT_S = 300  # one.py gives up earlier, and says where it hung


@dataclass
class Run:
    """What one process came to."""

    python: str
    module: str
    passed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)  # test: why
    loops: int = 0
    seconds: float = 0

    def read(self, lines: list[str], status: int | None, output: str) -> None:
        running = "(import)"
        complete = False
        for line in lines:
            test, what, text = json.loads(line)
            match what:
                case "start":
                    running = test
                case "skip":
                    self.skipped.add(test)
                case "fail":
                    self.failed.setdefault(test, text)
                case "end" if test not in self.skipped:
                    self.passed.add(test)
                case "loops":
                    self.loops, running, complete = text, "(exit)", True
        if status != 0 or not complete:
            self.failed[running] = f"the process ended with status {status}\n{output}"


def run_module(python: str, kind: str, module: str, tests: list[str]) -> Run:
    """tests: only these, or with a minus in front all but these"""
    run = Run(python, module)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "results")
        out.touch()
        command = [python, str(HERE / "one.py"), kind, module, str(out), *tests]
        status: int | None
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
            )
            status, output = done.returncode, done.stdout + done.stderr
        except subprocess.TimeoutExpired:
            status, output = None, "it hung"
        run.read(out.read_text().splitlines(), status, output[-4000:])
    run.seconds = time.monotonic() - start
    return run


def ask(python: str, code: str) -> str:
    return subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def modules_of(python: str) -> list[str]:
    folder = Path(ask(python, "import test.test_asyncio as t; print(t.__path__[0])"))
    found = {path.stem for path in folder.glob("test_*.py")} - LEFT_OUT
    return [m for m in SLOW if m in found] + sorted(found - set(SLOW))


def exceptions_for(version: str) -> tuple[set[str], dict[str, list[str]]]:
    """What cannot apply: module.Class.test of each; and by module those that are not started."""
    groups = tomllib.loads((HERE / "exceptions.toml").read_text())["group"]
    known, never_run = set(), {}
    for group in groups:
        if version not in group.get("pythons", [version]):
            continue
        known.update(group["tests"])
        if group.get("hangs"):
            for name in group["tests"]:
                module, _, test = name.partition(".")
                never_run.setdefault(module, []).append("-" + test)
    return known, never_run


def still_fails(kind: str, run: Run, test: str) -> str:
    """What the test says when it runs by itself; nothing where it passes."""
    again = run_module(run.python, kind, run.module, [test])
    return "\n".join(again.failed.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pythons", nargs="+")
    parser.add_argument("-m", "--module", action="append", help="only these, e.g. test_events")
    parser.add_argument("--loop", default="weft", choices=["weft", "asyncio"])
    parser.add_argument("-j", "--jobs", type=int, default=len(os.sched_getaffinity(0)) + 1)
    options = parser.parse_args()
    options.pythons = [os.path.abspath(python) for python in options.pythons]

    versions = {
        p: ask(p, "import sys; print('%d.%d' % sys.version_info[:2])") for p in options.pythons
    }
    exceptions = {version: exceptions_for(version) for version in versions.values()}
    listed = {p: modules_of(p) for p in options.pythons}
    jobs = [
        (python, module)
        for python, modules in listed.items()
        for module in options.module or modules
        if module in modules
    ]
    jobs.sort(key=lambda job: SLOW.index(job[1]) if job[1] in SLOW else len(SLOW))
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:

        def start_one(job: tuple[str, str]) -> Run:
            python, module = job
            left_out = exceptions[versions[python]][1] if options.loop == "weft" else {}
            return run_module(python, options.loop, module, left_out.get(module, []))

        runs = list(pool.map(start_one, jobs))

    wrong: list[str] = []
    for run in runs:
        version = versions[run.python]
        known, never_run = exceptions[version]
        told = []
        excused = len(never_run.get(run.module, []))
        for test, why in run.failed.items():
            name = f"{run.module}.{test}"
            if name in known:
                excused += 1
            elif options.loop == "asyncio":
                told.append(f"    fails: {test}\n{why}")
            elif test.startswith("("):  # the process as a whole: no loop is to blame for that
                wrong.append(f"{version} {name}")
                told.append(f"    FAILS: {test}\n{why}")
            elif still_fails("asyncio", run, test):
                told.append(f"    fails on asyncio's loop too: {test}")
            elif again := still_fails("weft", run, test):
                wrong.append(f"{version} {name}")
                told.append(f"    FAILS: {test}\n{again}")
            else:
                told.append(f"    passes when run again by itself: {test}\n{why}")
        for test in run.passed:
            if options.loop == "weft" and f"{run.module}.{test}" in known:
                wrong.append(f"{version} {run.module}.{test} (listed as an exception, and passes)")
        print(
            f"{version} {run.module:26} {len(run.passed):4} passed {len(run.skipped):3} skipped"
            f" {excused:3} do not apply {run.loops:5} loops {run.seconds:6.1f} s"
        )
        for line in told:
            print(line)
    total = sum(len(run.passed) for run in runs)
    print(f"{total} passed in {len(runs)} processes, {time.monotonic() - start:.0f} s")
    for name in wrong:
        print(f"WRONG: {name}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
