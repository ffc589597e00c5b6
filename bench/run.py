"""Measures weft beside its peers in one run, and prints a Markdown table.

Each server runs alone on one core, wrk on the other. In every round each server is started, its
replies are checked, it is warmed up, and every workload is run against it; rounds are interleaved
and the best of a server's rounds is printed, all of them are written beside it (docs/adr/0024).
What counts is CPU microseconds a request (user and system apart, from /proc, of the whole process
tree): requests a second are bounded by the one client core.

Usage: python bench/run.py [--rounds 3] [--seconds 3] [--servers weft,bare] [--workloads json]
                           [--peers PYTHON] [--out FILE.md]
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hmac
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
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
TICKS = os.sysconf("SC_CLK_TCK")
SERVER_CORE, CLIENT_CORE = "0", "1"
HELLO = b"Hello, World!"


@dataclass(frozen=True)
class Workload:
    path: str
    body: bytes | None  # expected, with white space removed; None: any
    connections: int = 32
    pipeline: int = 0
    upload: int = 0  # bytes of a file that is posted in a form
    post: str = ""  # JSON
    title: str = ""
    headers: tuple[str, ...] = ()
    app: str = "app"  # of the module; others than this one are of weft and FastAPI only
    access_log: bool = False


def _segment(value: object) -> str:
    text = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def bearer(secret: bytes) -> str:
    """A token as an issuer makes it, good for six hours."""
    now = int(time.time())
    claims = {"sub": "alice", "aud": "bench", "iat": now, "exp": now + 6 * 3600}
    text = f"{_segment({'alg': 'HS256', 'typ': 'JWT'})}.{_segment(claims)}"
    signature = hmac.digest(secret, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


MESSAGE = b'{"message":"Hello,World!"}'
ORDER = json.dumps(
    {
        "id": 7,
        "customer": "Ada Lovelace",
        "placed": "2024-02-29T12:30:00Z",
        "address": {"street": "12 Analytical Row", "zip": "W1"},
        "items": [{"sku": f"sku-{i}", "quantity": i + 1, "price": 1.5 * i} for i in range(10)],
    }
)
TRACK = json.dumps({"name": "walk", "points": [{"x": i * 0.5, "y": i * 0.25} for i in range(10)]})

# Written to a directory that the servers find in BENCH_STATIC.
FILES = {"small": b"weft" * 256, "large": b"weft" * (256 * 1024)}

WORKLOADS = {
    "plaintext": Workload("/plaintext", HELLO.replace(b" ", b""), title="plaintext"),
    "json": Workload("/json", b'{"message":"Hello,World!"}', title="JSON"),
    "params": Workload("/items/42?q=weft", b'{"item_id":42,"q":"weft"}', title="path + query"),
    "depends": Workload(
        "/depends?q=weft&limit=5",
        b'{"q":"weft","limit":5,"user":"alice"}',
        title="three dependencies, one with yield",
    ),
    "pipelined": Workload(
        "/plaintext", HELLO.replace(b" ", b""), pipeline=16, title="plaintext, 16 deep"
    ),
    "sleep": Workload(
        "/sleep", b'{"slept":true}', connections=256, title="10 ms sleep, 256 connections"
    ),
    "many": Workload(
        "/json", b'{"message":"Hello,World!"}', connections=5000, title="JSON, 5000 connections"
    ),
    "rows": Workload("/rows", None, title="list of 50 annotated rows"),
    "dicts": Workload("/dicts", None, title="list of 50 plain dicts"),
    "model": Workload("/model", None, title="one pydantic model"),
    "order": Workload("/orders", b'{"items":10}', post=ORDER, title="validated POST, nested model"),
    "track": Workload("/tracks", b'{"points":10}', post=TRACK, title="POST of dataclasses"),
    "upload": Workload(
        "/upload",
        b'{"size":10000000}',
        connections=2,
        upload=10_000_000,
        title="10 MB multipart upload",
    ),
    "models": Workload(
        "/models?limit=20&offset=40&sort=name",
        b'{"limit":20,"tenant":"acme","session":"abc123"}',
        headers=("x-tenant: acme", "x-trace: 1f2e", "cookie: session=abc123; theme=dark"),
        title="models of query, header and cookies",
    ),
    "included": Workload(
        "/api/v1/group19/things9/42?q=weft",
        b'{"item_id":42,"q":"weft"}',
        app="many",
        title="the last of 200 routes in included routers",
    ),
    "layers": Workload(
        "/json",
        MESSAGE,
        headers=(
            "origin: https://example.com",
            f"authorization: Bearer {bearer(b'thirty-two bytes of a secret, or more')}",
        ),
        app="layered",
        access_log=True,
        title="JSON with CORS, request id, JWT and access log",
    ),
    "middleware": Workload("/json", MESSAGE, app="middleware", title="JSON, middleware in Python"),
    "static": Workload("/static/small", FILES["small"], app="static", title="static file, 1 KiB"),
    "static-large": Workload(
        "/static/large", FILES["large"], app="static", title="static file, 1 MiB"
    ),
}

# Which workloads the C responders have: the floor answers every path alike.
FLOOR = {"plaintext", "pipelined"}
BARE = FLOOR | {"json", "params", "many"}
# Those of weft and FastAPI only: the others declare these in other ways, or not at all.
STATIC = {"static", "static-large"}  # and of nginx
PEERLESS = {"depends", "upload", "model", "order", "models", "included", "layers", "middleware"}
PEERLESS |= STATIC
# Those that only Litestar declares as well, with msgspec's Structs.
TYPED = {"rows", "dicts", "track"}


@dataclass
class Server:
    command: list[str]
    workloads: set[str] = field(default_factory=lambda: set(WORKLOADS) - PEERLESS - TYPED)
    title: str = ""


def servers(peers: str, weft: str, build: Path) -> dict[str, Server]:
    """Every server by name; {port} and {app} in a command are filled in."""
    uvicorn = [
        peers,
        "-m",
        "uvicorn",
        "--port",
        "{port}",
        "--no-access-log",
        "--log-level",
        "warning",
    ]
    granian = [
        str(Path(peers).parent / "granian"),
        "--interface",
        "asgi",
        "--port",
        "{port}",
        "--workers",
        "1",
        "--no-access-log",
        "--log-level",
        "warning",
        "--loop",
        "uvloop",
    ]
    raw = {"plaintext", "json"}
    return {
        "floor": Server(
            [str(build / "bench/floor_server"), "--port", "{port}"],
            FLOOR,
            "epoll responder in C that parses nothing",
        ),
        "bare": Server(
            [str(build / "bench/bare_server"), "--port", "{port}"],
            BARE,
            "bare_server (weft's C, no Python)",
        ),
        "weft": Server(
            [
                weft,
                "-m",
                "weft",
                "bench.apps.weft_app:{app}",
                "--port",
                "{port}",
                "--no-access-log",
                "--log-level",
                "warning",
            ],
            set(WORKLOADS),
            title="**weft**",
        ),
        "nginx": Server(
            ["bench/apps/static_nginx.sh", "{port}", os.environ.get("BENCH_STATIC", "")],
            STATIC,
            "nginx, one worker",
        ),
        "nginx-push": Server(
            ["bench/apps/static_nginx.sh", "{port}", os.environ.get("BENCH_STATIC", ""), "off"],
            STATIC,
            "nginx, one worker, tcp_nopush off",
        ),
        "socketify": Server(
            [peers, "bench/apps/socketify_app.py", "{port}"], title="socketify (sync handlers)"
        ),
        "uvicorn-raw": Server(
            [*uvicorn, "bench.apps.raw_asgi:app"], raw, "raw ASGI app on uvicorn"
        ),
        "granian-raw": Server(
            [*granian, "bench.apps.raw_asgi:app"], raw, "raw ASGI app on granian"
        ),
        "blacksheep": Server(
            [*granian, "bench.apps.blacksheep_app:app"], title="BlackSheep on granian"
        ),
        "litestar": Server(
            [*uvicorn, "bench.apps.litestar_app:app"],
            set(WORKLOADS) - PEERLESS,
            "Litestar on uvicorn",
        ),
        "robyn": Server(
            [peers, "bench/apps/robyn_app.py", "{port}", "--log-level", "ERROR"], title="Robyn"
        ),
        "sanic": Server([peers, "bench/apps/sanic_app.py", "{port}"], title="Sanic"),
        "fastapi-granian": Server(
            [*granian, "bench.apps.fastapi_app:{app}"], set(WORKLOADS), title="FastAPI on granian"
        ),
        "fastapi": Server(
            [*uvicorn, "bench.apps.fastapi_app:{app}"],
            set(WORKLOADS),
            title="FastAPI on uvicorn[standard]",
        ),
    }


@dataclass
class Sample:
    rps: float
    p50_ms: float
    p99_ms: float
    user_us: float
    system_us: float
    errors: int
    rss_mib: float


def tree(pid: int) -> list[int]:
    """pid and all its descendants."""
    found = [pid]
    for p in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{p}/task"):
                found += map(int, Path(f"/proc/{p}/task/{task}/children").read_text().split())
    return found


def cpu_ticks(pid: int) -> tuple[int, int]:
    user = system = 0
    for p in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{p}/stat").read_text().rpartition(")")[2].split()
            user += int(fields[11])
            system += int(fields[12])
    return user, system


def rss_mib(pid: int) -> float:
    pages = 0
    for p in tree(pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{p}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def milliseconds(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if match is None:  # wrk's "-nan": not one reply came
        return float("nan")
    return float(match[1]) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[match[2]]


def wrk(url: str, load: Workload, seconds: int) -> tuple[int, float, float, float, int]:
    """requests, requests a second, p50 and p99 in ms, errors"""
    command = [
        "taskset",
        "-c",
        CLIENT_CORE,
        "wrk",
        "-t1",
        f"-c{load.connections}",
        f"-d{seconds}s",
        "--latency",
        url,
    ]
    if load.pipeline:
        command[-1:] = ["-s", str(HERE / "pipeline.lua"), url, "--", str(load.pipeline)]
    if load.post:
        command[-1:] = ["-s", str(HERE / "post.lua"), url, "--", load.post]
    if load.upload:
        command[-1:] = ["-s", str(HERE / "upload.lua"), url, "--", str(load.upload)]
    for header in load.headers:
        at = command.index("--latency")
        command[at:at] = ["-H", header]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    count = int(re.search(r"(\d+) requests in", out)[1])  # type: ignore[index]
    rps = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])  # type: ignore[index]
    p50 = milliseconds(re.search(r"50%\s+(\S+)", out)[1])  # type: ignore[index]
    p99 = milliseconds(re.search(r"99%\s+(\S+)", out)[1])  # type: ignore[index]
    errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", out)))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return count, rps, p50, p99, errors + (int(bad[1]) if bad else 0)


def check(port: int, load: Workload) -> dict[str, str]:
    """Reads one reply; its body must be the expected one. Returns its header fields."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{load.path}")
    for header in load.headers:
        request.add_header(*header.split(": ", 1))
    if load.post:
        request.add_header("content-type", "application/json")
        request.data = load.post.encode()
    if load.upload:
        request.add_header("content-type", "multipart/form-data; boundary=b")
        disposition = b'Content-Disposition: form-data; name="file"; filename="x"'
        request.data = b"--b\r\n%s\r\n\r\n%s\r\n--b--\r\n" % (disposition, bytes(load.upload))
    with urllib.request.urlopen(request, timeout=5) as reply:
        body = reply.read()
        if load.body is not None and re.sub(rb"\s", b"", body) != load.body:
            raise SystemExit(f"wrong body from {load.path}: {body!r}")
        return {k.lower(): v for k, v in reply.headers.items()}


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise SystemExit(f"server ended at once: {process.args}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"server does not listen: {process.args}")


def measure(server: Server, loads: dict[str, Workload], seconds: int) -> dict[str, Sample]:
    """Each of its apps in a process of its own."""
    samples: dict[str, Sample] = {}
    apps: dict[tuple[str, bool], dict[str, Workload]] = {}
    for name, load in loads.items():
        if name in server.workloads:
            apps.setdefault((load.app, load.access_log), {})[name] = load
    for (app, logged), of_app in apps.items():
        samples |= measure_app(server, app, logged, of_app, seconds)
    return samples


def measure_app(
    server: Server, app: str, logged: bool, loads: dict[str, Workload], seconds: int
) -> dict[str, Sample]:
    port = free_port()
    command = ["taskset", "-c", SERVER_CORE]
    command += [part.format(port=port, app=app) for part in server.command]
    if logged:
        command = ["info" if part == "warning" else part for part in command]
        command.remove("--no-access-log")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    samples = {}
    try:
        wait_for(port, process)
        for name, load in loads.items():
            for _ in range(20):
                check(port, load)
            url = f"http://127.0.0.1:{port}{load.path}"
            wrk(url, load, 1)
            before = cpu_ticks(process.pid)
            count, rps, p50, p99, errors = wrk(url, load, seconds)
            after = cpu_ticks(process.pid)
            us = [(b - a) * 1e6 / TICKS / max(count, 1) for a, b in zip(before, after, strict=True)]
            samples[name] = Sample(rps, p50, p99, us[0], us[1], errors, rss_mib(process.pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return samples


def best(samples: list[Sample]) -> dict[str, float]:
    """The round that took the least CPU; latencies are the lowest of all, errors the sum."""
    row = vars(min(samples, key=lambda s: s.user_us + s.system_us)).copy()
    row |= {f: min(getattr(s, f) for s in samples) for f in ("p50_ms", "p99_ms")}
    return row | {"errors": sum(s.errors for s in samples)}


# Column of a table: heading, and what stands in it for a server's best.
COLUMNS = {
    "CPU µs a request": "{cpu:.2f}",
    "user": "{user_us:.2f}",
    "system": "{system_us:.2f}",
    "FastAPI's CPU": "{of_fastapi}",
    "bare server's CPU": "{of_bare}",
    "requests/s": "{rps:,.0f}",
    "p50 ms": "{p50_ms:.2f}",
    "p99 ms": "{p99_ms:.2f}",
    "RSS MiB": "{rss_mib:.0f}",
    "errors": "{errors:.0f}",
}


def table(
    name: str, chosen: dict[str, Server], results: dict[str, dict[str, list[Sample]]]
) -> list[str]:
    """One workload in Markdown. FastAPI's and bare_server's CPU are multiples of the row's."""
    rows = [
        f"### {WORKLOADS[name].title}",
        "",
        f"| server | {' | '.join(COLUMNS)} |",
        "| --- |" + " ---: |" * len(COLUMNS),
    ]
    figures = {server: best(r[name]) for server, r in results.items() if r.get(name)}
    for f in figures.values():
        f["cpu"] = f["user_us"] + f["system_us"]
    for server, f in figures.items():
        of = {
            f"of_{to}": f"{figures[to]['cpu'] / f['cpu']:.2f}x" if to in figures else ""
            for to in ("fastapi", "bare")
        }
        cells = [cell.format(**f, **of) for cell in COLUMNS.values()]
        rows.append(f"| {chosen[server].title} | {' | '.join(cells)} |")
    return [*rows, ""]


PEERS = ["fastapi", "uvicorn", "uvloop", "httptools", "granian", "pydantic", "socketify"]
PEERS += ["blacksheep", "litestar", "robyn", "sanic"]
VERSIONS = """
import importlib.metadata as m, sys
for name in sys.argv[1:]:
    try:
        print(name, m.version(name), end=", ")
    except m.PackageNotFoundError:
        pass
"""


def conditions(peers: str, rounds: int, seconds: int) -> list[str]:
    """What a reader has to know to compare the tables with others."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    versions = subprocess.run(
        [peers, "-c", VERSIONS, *PEERS], capture_output=True, text=True
    ).stdout
    return [
        f"Machine: {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, "
        f"Linux {platform.release()}; server on one core, wrk on the other, loopback; "
        f"the best of {rounds} interleaved rounds of {seconds} s.",
        "",
        f"Versions: CPython {platform.python_version()}; {versions.rstrip(', ')}.",
        "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--servers", help="comma-separated; all of them by default")
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument(
        "--peers", default=sys.executable, help="interpreter of the environment with the peers"
    )
    parser.add_argument(
        "--weft", default=sys.executable, help="interpreter of the environment with weft"
    )
    parser.add_argument(
        "--build", type=Path, default=ROOT / "build", help="build folder with the C servers"
    )
    parser.add_argument(
        "--out", type=Path, help="write the tables here too, and the samples beside it as JSON"
    )
    args = parser.parse_args()

    subprocess.run([args.weft, "-c", "import weft"], cwd=ROOT, check=True)  # builds what changed
    directory = tempfile.TemporaryDirectory()
    os.environ["BENCH_STATIC"] = directory.name
    for name, content in FILES.items():
        (Path(directory.name) / name).write_bytes(content)
    available = servers(args.peers, args.weft, args.build)
    chosen = {k: available[k] for k in (args.servers.split(",") if args.servers else available)}
    loads = {k: WORKLOADS[k] for k in args.workloads.split(",")}
    results: dict[str, dict[str, list[Sample]]] = {k: {} for k in chosen}
    for n in range(args.rounds):
        for key, server in chosen.items():
            for name, sample in measure(server, loads, args.seconds).items():
                results[key].setdefault(name, []).append(sample)
                print(
                    f"round {n + 1} {key:16} {name:10} {sample.user_us:.2f} + "
                    f"{sample.system_us:.2f} us {sample.rps:10,.0f}/s p99 {sample.p99_ms:.2f} ms"
                    f"{' ERRORS ' + str(sample.errors) if sample.errors else ''}",
                    file=sys.stderr,
                )

    lines = conditions(args.peers, args.rounds, args.seconds)
    for name in loads:
        lines += table(name, chosen, results)
    print("\n".join(lines))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text("\n".join(lines) + "\n")
        args.out.with_suffix(".json").write_text(
            json.dumps(
                {k: {n: [vars(s) for s in v] for n, v in r.items()} for k, r in results.items()},
                indent=1,
            )
            + "\n"
        )


if __name__ == "__main__":
    main()
