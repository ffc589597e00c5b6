"""The command `weft` as a process of its own: what it prints, answers and exits with."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import weft
from weft import cli

MAIN = """
import asyncio, contextlib, sys, time
import weft

@contextlib.asynccontextmanager
async def lifespan(app):
    print("startup", flush=True)
    yield
    print("shutdown", flush=True)

app = weft.App(lifespan=lifespan)

@app.get("/")
async def root(): return {"hello": "world"}

@app.get("/slow/{seconds}")
async def slow(seconds: float):
    print("started", flush=True)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
    return "slept"

@app.get("/fail")
async def fail(): raise ZeroDivisionError("boom")
"""


class Process:
    """`python -m weft` in a directory with a main.py; its lines as they come."""

    def __init__(self, directory: Path, *args: str, command: str = "-m weft") -> None:
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
            "COLUMNS": "80",
        }
        self.popen = subprocess.Popen(
            [sys.executable, *command.split(), *args],
            cwd=directory, env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.out: list[str] = []
        self.err: list[str] = []
        self.news = threading.Condition()
        self.readers = [
            threading.Thread(target=self.read, args=pair)
            for pair in ((self.popen.stdout, self.out), (self.popen.stderr, self.err))
        ]
        for reader in self.readers:
            reader.start()

    def read(self, stream: Any, lines: list[str]) -> None:
        for line in stream:
            with self.news:
                lines.append(line.rstrip("\n"))
                self.news.notify_all()

    def wait_for(self, pattern: str, *, lines: list[str] | None = None) -> re.Match[str]:
        """The first line that has `pattern`, on stderr unless told otherwise."""
        lines = self.err if lines is None else lines

        def found() -> re.Match[str] | None:
            return next((m for line in lines if (m := re.search(pattern, line))), None)

        with self.news:
            match = self.news.wait_for(found, timeout=15)
        assert match, (pattern, self.out, self.err)
        return match

    def url(self) -> str:
        return self.wait_for(r"weft running on (http://\S+) \(Press CTRL\+C to quit\)")[1]

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def end(self) -> int:
        status = self.popen.wait(15)
        for reader in self.readers:
            reader.join()
        return status


Weft = Callable[..., Process]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Weft]:
    """`run(*args)` starts weft beside a main.py; what still runs at the end is killed."""
    (tmp_path / "main.py").write_text(MAIN)
    processes: list[Process] = []

    def start(*args: str, **options: str) -> Process:
        processes.append(Process(tmp_path, *args, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.popen.kill()
        process.end()
        process.popen.stdout.close()  # type: ignore[union-attr]
        process.popen.stderr.close()  # type: ignore[union-attr]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_and_stop(run: Weft, number: signal.Signals) -> None:
    process = run("main:app", "--port", "0")
    url = process.url()
    assert httpx.get(url).json() == {"hello": "world"}
    process.wait_for(r'GET / HTTP/1.1" 200', lines=process.out)
    process.signal(number)
    assert process.end() == 0
    assert process.out[0] == "startup"
    assert process.out[-1] == "shutdown"
    assert "\x1b" not in "".join(process.err)  # not a terminal: no colours
    assert process.err[-1] == "INFO:     Finished."


def test_the_app_may_be_left_out(run: Weft) -> None:
    assert httpx.get(run("main", "--port", "0").url()).status_code == 200


def test_no_access_log(run: Weft) -> None:
    process = run("main:app", "--port", "0", "--no-access-log")
    httpx.get(process.url())
    process.signal(signal.SIGTERM)
    process.end()
    assert process.out == ["startup", "shutdown"]


def test_run_from_a_script(run: Weft, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        MAIN + "app.run(port=0, access_log=False, limits={'target_bytes_max': 100})"
    )
    process = run(command="script.py")
    url = process.url()
    assert httpx.get(url).json() == {"hello": "world"}
    assert httpx.get(url + "/" + "x" * 100).status_code == 414
    process.signal(signal.SIGTERM)
    assert process.end() == 0
    assert process.out == ["startup", "shutdown"]


def test_log_level(run: Weft, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    process = run("main:app", "--uds", str(path), "--log-level", "error")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path), retries=0)) as client:
        process.wait_for("startup", lines=process.out)
        for _ in range(500):
            if path.exists():
                break
            threading.Event().wait(0.01)
        assert client.get("http://a/fail").status_code == 500
    process.signal(signal.SIGTERM)
    process.end()
    assert process.err[0].startswith("ERROR:    ")
    assert "ZeroDivisionError: boom" in process.err
    assert not [line for line in process.err if "INFO" in line]


def test_a_traceback_has_the_users_frames_only(run: Weft) -> None:
    process = run("main:app", "--port", "0")
    assert httpx.get(process.url() + "/fail").text == "Internal Server Error"
    process.wait_for("ZeroDivisionError: boom")
    frames = [line for line in process.err if line.startswith("  File ")]
    assert len(frames) == 1
    assert "main.py" in frames[0]


def in_thread(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def work() -> None:
        try:
            results.append(call())
        except Exception as exc:
            results.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, results


def test_what_runs_is_finished(run: Weft) -> None:
    process = run("main:app", "--port", "0")
    url = process.url()
    thread, results = in_thread(lambda: httpx.get(url + "/slow/0.5"))
    process.wait_for("started", lines=process.out)
    process.signal(signal.SIGTERM)
    thread.join()
    assert results[0].json() == "slept"
    assert results[0].headers["connection"] == "close"
    assert process.end() == 0


def test_the_second_signal_does_not_wait(run: Weft) -> None:
    process = run("main:app", "--port", "0")
    url = process.url()
    thread, results = in_thread(lambda: httpx.get(url + "/slow/60"))
    process.wait_for("started", lines=process.out)
    process.signal(signal.SIGINT)
    process.wait_for("Shutting down")
    process.signal(signal.SIGINT)
    assert process.end() == 0
    thread.join()
    assert isinstance(results[0], httpx.TransportError)
    assert process.out[-2:] == ["cancelled", "shutdown"]


def test_unix_socket(run: Weft, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:  # left behind by one that crashed
        stale.bind(str(path))
    process = run("main:app", "--uds", str(path))
    process.wait_for(f"weft running on unix:{path}")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
        assert client.get("http://a/").json() == {"hello": "world"}
        other = run("main:app", "--uds", str(path))
        assert other.end() == 1
        other.wait_for("another program does already")
        assert client.get("http://a/").status_code == 200
    process.signal(signal.SIGTERM)
    process.end()
    assert not path.exists()


def test_a_unix_socket_where_a_file_is(run: Weft, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    process = run("main:app", "--uds", str(tmp_path / "file"))
    assert process.end() == 1
    process.wait_for("a file that is no socket")
    assert (tmp_path / "file").read_text() == "precious"


# ---- starts that fail ----


def test_port_in_use(run: Weft) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = run("main:app", "--port", str(port))
        assert process.end() == 1
    process.wait_for(f"Cannot listen on port {port} of 127.0.0.1: another program does already.")
    process.wait_for("--port 8001")
    assert "Traceback" not in "".join(process.err)
    assert process.out == ["startup", "shutdown"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--host", "no.such.host.invalid"], "There is no host 'no.such.host.invalid'"),
        (["--host", "192.0.2.1"], "not an address of this machine"),
        (["--port", "70000"], "There is no port 70000"),
        (["--uds", "/no/such/directory/socket"], "No such file or directory"),
    ],
)
def test_where_nothing_can_listen(run: Weft, args: list[str], message: str) -> None:
    process = run("main:app", *args)
    assert process.end() == 1
    process.wait_for(re.escape(message))
    assert "Traceback" not in "".join(process.err)


def test_a_startup_that_fails(run: Weft, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(MAIN.replace('print("startup"', 'int("no"); print("startup"'))
    process = run("bad:app")
    assert process.end() == 1
    process.wait_for("The application's startup failed.")
    process.wait_for("ValueError")


def test_a_startup_that_is_interrupted(run: Weft, tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(
        MAIN.replace("    yield", "    await asyncio.sleep(60)\n    yield")
    )
    process = run("long:app")
    process.wait_for("startup", lines=process.out)
    process.signal(signal.SIGINT)
    assert process.end() == 130
    process.wait_for("Interrupted in the application's startup.")


def test_a_signature_that_cannot_be(run: Weft, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(
        MAIN + "\n@app.get('/bad')\nasync def bad_handler(*args): ...\n"
    )
    for args in (["bad:app"], ["routes", "bad:app"]):
        process = run(*args)
        assert process.end() == 1
        process.wait_for("args.*bad_handler")
        assert "Traceback" not in "".join(process.err)


# ---- finding the App ----


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nope:app", "there is no module 'nope' in .*--app-dir"),
        ("cli_main.nope:app", "there is no module 'cli_main.nope'"),
        ("cli_main:nope", "has no 'nope'; it has cli_main:api, cli_main:other"),
        ("cli_main", "has no 'app'; it has cli_main:api"),
        ("cli_main:number", "is not a weft App, but of the type builtins.int"),
        ("empty:app", r"the module 'empty' has no 'app' in .*/empty\.py, nor any other App"),
        ("help", "there is no command 'help'. Did you mean `weft --help`?"),
        ("version", "Did you mean `weft --version`?"),
        ("cli_main.py", "is a file: name its module, as in cli_main:app"),
        ("./pkg/cli_main.py:api", "as in pkg.cli_main:api"),
        (":app", "names no App"),
        ("cli_main:", "names no App"),
    ],
)
def test_targets_that_name_no_app(
    here: Path, capsys: pytest.CaptureFixture[str], target: str, message: str
) -> None:
    (here / "cli_main.py").write_text(
        "import weft\napi = weft.App()\nother = weft.App()\nnumber = 1"
    )
    (here / "empty.py").write_text("")
    assert cli.main([target]) == 1
    assert re.search("^weft: error: .*" + message, capsys.readouterr().err)


def test_a_module_may_be_called_help(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "help.py").write_text("")
    assert cli.main(["help"]) == 1
    assert "the module 'help' has no 'app'" in capsys.readouterr().err


def test_a_socket_without_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["main:app", "--uds", ""])
    assert "--uds: a unix socket has a path" in capsys.readouterr().err


def test_an_app_dir_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["main:app", "--app-dir", "/no/such"]) == 1
    assert "/no/such: there is no such directory" in capsys.readouterr().err


def test_why_a_module_cannot_be_imported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "needs.py").write_text("def find():\n    import not_installed_anywhere\nfind()\n")
    (here / "typo.py").write_text("app = (")
    (here / "calls.py").write_text("import needs")
    files = {
        "needs": ["needs.py", "needs.py"],
        "typo": ["typo.py"],
        "calls": ["calls.py"] + 2 * ["needs.py"],
    }
    for module, frames in files.items():
        assert cli.main([f"{module}:app"]) == 1
        *shown, last = capsys.readouterr().err.splitlines()
        assert f"the module {module!r} cannot be imported" in last
        assert (
            re.findall(r'File ".*/(.*)"', "\n".join(shown)) == frames
        )  # ours and importlib's are not
        assert ("SyntaxError" if module == "typo" else "not_installed_anywhere") in shown[-1]


def test_a_route_that_cannot_be_served(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    (here / "twice_main.py").write_text(
        "import weft\napp = weft.App()\n@app.get('/{x}/{x}')\nasync def read(x): ..."
    )
    with pytest.raises(SystemExit):
        cli.main(["twice_main:app", "--port", "0"])
    assert "The route of twice_main.read cannot be served: bad path '/{x}/{x}'" in caplog.text
    assert "Traceback" not in caplog.text


def test_app_dir_and_nested_names(here: Path) -> None:
    (here / "sub").mkdir()
    (here / "sub" / "nested_main.py").write_text(
        "import weft\nclass holder:\n    api = weft.App(title='found')"
    )
    assert cli.load_app("nested_main:holder.api", "sub").title == "found"


def test_routes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "routes_main.py").write_text(
        "import weft\n"
        "app = weft.App()\n"
        "@app.get('/items/{item_id}')\n"
        "async def read_item(item_id: int, q: str | None = None): ...\n"
        "@app.post('/x')\n"
        "def write(): ...\n"
    )
    assert cli.main(["routes", "routes_main:app"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["METHOD", "PATH", "ENDPOINT", "PLAN"]
    assert lines[1].split() == ["GET", "/items/{item_id}", "routes_main.read_item", "async"]
    assert lines[2].strip() == "item_id <- path item_id: int"
    assert lines[3].strip().startswith("q <- query q: ")
    assert lines[4].split() == ["POST", "/x", "routes_main.write", "thread"]
    assert lines[1].index("async") == lines[2].index("item_id <-") == lines[4].index("thread")


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for option, text in (("--version", f"weft {weft.__version__}"), ("--help", "module:app")):
        with pytest.raises(SystemExit) as exit:
            cli.main([option])
        assert exit.value.code == 0
        assert text in capsys.readouterr().out


def test_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        cli.main([])
    assert exit.value.code == 2
    assert "module:app" in capsys.readouterr().err
