"""Runs other packages' own tests, and ours with them, on weft's loop: `python run.py [SUITE ...]`.

The same tests run on asyncio's loop, which is the judge: what passes there has to pass on weft's,
unless exceptions.toml says why it cannot. The interpreter is that of an environment with weft and
requirements.txt; the suites come from the sdists of just those versions, in the folder --sdists.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import weft

HERE = Path(__file__).parent
TIMEOUT_S = 1800  # of one suite on one loop


def but(folder: str, *names: str) -> list[str]:
    return [folder, *(f"--ignore-glob={folder}/{name}" for name in names)]


# The tests of each sdist that are about a loop, and need no network, no trio, and no server but
# PostgreSQL or Redis. The long ones first.
SUITES = {
    "aiohttp": [
        f"tests/test_{name}.py"
        for name in (
            "client_functional", "client_session", "client_ws_functional", "client_proto",
            "connector", "loop", "proxy_functional", "resolver", "run_app", "streams",
            "tcp_helpers", "test_utils", "web_functional", "web_protocol", "web_runner",
            "web_sendfile_functional", "web_server", "web_websocket_functional", "worker",
        )
    ],
    "anyio": ["tests", "-k", "asyncio and not uvloop"],
    "asyncpg": but("tests", "test__*", "test_subinterpreters.py"),
    # what wants a cluster, modules, TLS or a cloud's credentials is marked so
    "redis": [
        "tests/test_asyncio", "-m",
        "not onlycluster and not redismod and not ssl and not cp_integration"
        " and not multidb_integration",
    ],
    "uvicorn": ["tests", "-k", "not benchmark"],
    "starlette": ["tests", "-k", "not trio"],
    "hypercorn": ["tests", "-k", "not trio"],
    "httpx": ["tests", "-k", "not trio"],
    "aiofiles": ["tests"],
    # packages whose sdists have no tests, and some that are used together
    "scenarios": [f"--confcutdir={HERE}", str(HERE / "scenarios.py")],  # not the conftest of ours
}  # fmt: skip
# asyncio's own behaviour where these suites make warnings errors; ours has tests of its own for it
PYTEST = ["-q", "-p", "use_weft", "-W", "default", "-o", "addopts="]
PYTEST += ["--continue-on-collection-errors", "--timeout=120"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        return int(s.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    sys.exit(f"{process.args!r} does not listen")


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[int]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            yield port
        finally:
            process.terminate()


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[int]:
    """A cluster of its own; PostgreSQL refuses to run as root, so then as the package's user."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    bin_folder = found[-1] if found else Path(shutil.which("initdb") or "/").parent
    data = folder / "data"
    data.mkdir()
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        folder.chmod(0o755)
        for path in (folder, data):
            os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    port = free_port()
    initdb = [str(bin_folder / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-N"]
    subprocess.run(initdb, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
    command = [str(bin_folder / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
    command += ["-c", "fsync=off", "-c", "max_connections=200"]
    with subprocess.Popen(command, user=user, cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            yield port
        finally:
            process.terminate()


def copy_of_weft(to: Path) -> dict[str, str]:
    """The environment for weft as it is now; the editable one is rebuilt in the middle of a run."""
    shutil.copytree(Path(weft.__file__).parent, to / "weft")
    shutil.copy(weft._core.__file__, to / "weft")
    build = Path(weft._core.__file__).parents[2]
    return {"PYTHONPATH": f"{to}:{HERE}", "MESONPY_EDITABLE_SKIP": str(build)}


def unpack(sdists: Path, name: str, to: Path) -> Path:
    if name == "scenarios":
        (to / name).mkdir()
        return to / name
    with tarfile.open(sdists / f"{name}-{version(name)}.tar.gz") as archive:
        archive.extractall(to)
    folder = to / f"{name}-{version(name)}"
    shutil.rmtree(folder / name, ignore_errors=True)  # it would be found before what is installed
    return folder


def run(
    suite: str, folder: Path, loop: str, env: dict[str, str], *only: str
) -> tuple[dict[str, str], str]:
    """What became of each test, and the last of what pytest said."""
    out = folder / f"{loop}.xml"
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", *PYTEST, f"--junitxml={out}", *SUITES[suite], *only]
    if suite == "redis":  # a server of its own, since its tests flush it
        url = env["REDIS_URL"]
        command += [f"--redis-url={url}", f"--redis-mod-url={url}"]
    env = {**env, "WEFT_LOOP": "1" if loop == "weft" else "0"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, timeout=TIMEOUT_S, encoding="utf-8",
            errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {}, f"not done after {TIMEOUT_S} s"
    results: dict[str, str] = {}
    if out.exists():
        for case in ET.parse(out).iter("testcase"):
            name = f"{case.get('classname')}.{case.get('name')}"
            bad = case.find("failure") is not None or case.find("error") is not None
            skipped = case.find("skipped") is not None
            results[name] = "failed" if bad else "skipped" if skipped else "passed"
    return results, "\n".join((done.stdout + done.stderr).strip().splitlines()[-40:])


def judge(suite: str, sdists: Path, env: dict[str, str], known: set[str]) -> tuple[str, list[str]]:
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as tmp:
        folder = unpack(sdists, suite, Path(tmp))
        theirs, said_theirs = run(suite, folder, "asyncio", env)
        ours, said = run(suite, folder, "weft", env)
        wanted = {test for test, result in theirs.items() if result == "passed"}
        failed = {test for test in wanted if ours.get(test) != "passed"}
        for _ in range(2 if failed else 0):  # what fails now and then does so on both
            again, _ = run(suite, folder, "weft", env, "--last-failed")
            failed -= {test for test, result in again.items() if result == "passed"}
    wrong = sorted(name for name in (f"{suite}: {test}" for test in failed) if name not in known)
    if not wanted or (suite == "scenarios" and wanted != theirs.keys()):  # those are our own
        wrong.append(f"{suite}: does not pass on asyncio's loop\n{said_theirs}")
    passed = sum(result == "passed" for result in ours.values())
    line = (
        f"{suite:10} {len(wanted):5} pass on asyncio's loop, {passed:5} on weft's,"
        f" {len(wrong):3} wrong, {time.monotonic() - start:5.0f} s"
    )
    return line, [*wrong, said] if wrong else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suites", nargs="*", default=list(SUITES))
    parser.add_argument("--sdists", type=Path, required=True)
    options = parser.parse_args()
    groups = tomllib.loads((HERE / "exceptions.toml").read_text())["group"]
    known = {test for group in groups for test in group["tests"]}
    failed = False
    with contextlib.ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(4)]
        env = os.environ | copy_of_weft(folders[2])
        if "scenarios" in options.suites:
            env["REDIS_PORT"] = str(stack.enter_context(redis(folders[0])))
        if "redis" in options.suites:
            env["REDIS_URL"] = f"redis://127.0.0.1:{stack.enter_context(redis(folders[3]))}/0"
        if {"asyncpg", "scenarios"} & set(options.suites):
            env["PGPORT"] = str(stack.enter_context(postgres(folders[1])))
            env.update(PGHOST="127.0.0.1", PGUSER="postgres", PGDATABASE="postgres")
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(2))
        jobs = [pool.submit(judge, s, options.sdists, env, known) for s in options.suites]
        for job in jobs:
            line, wrong = job.result()
            print(line, *wrong, sep="\n    ", flush=True)
            failed = failed or bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
