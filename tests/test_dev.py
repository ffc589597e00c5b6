"""`weft dev`: loads the application again when a file changes, and shows what is wrong with it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.browser import complaints
from tests.dev_server import Dev
from weft.dev.reload import differences, snapshot

GOOD = """
import weft
app = weft.App()

@app.get("/")
async def root(): return {version}

@app.get("/fail")
async def fail(secret: str = "x"):
    number = 1
    return number / 0
"""
HTML = {"accept": "text/html,*/*", "authorization": "Bearer secret-token"}


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    dev = Dev(tmp_path)
    dev.main.write_text(GOOD.format(version=1))
    dev.start()
    dev.until(lambda reply: reply.text == "1")
    yield dev
    if dev.process.poll() is None:
        dev.end()


def test_application_is_loaded_again_when_its_file_changes(dev):
    dev.main.write_text(GOOD.format(version=2))
    dev.until(lambda reply: reply.text == "2")
    assert any("main.py has changed" in line for line in dev.lines)
    assert dev.end() == 0


def test_second_save_of_the_same_size_and_second_is_not_missed(dev):
    """Python's cache of compiled modules could not tell the two apart."""
    before = dev.main.stat()
    second = before.st_mtime_ns // 10**9 * 10**9
    times = [second + 1, second + 2]
    for version, time_ns in zip((2, 3), times, strict=True):
        text = GOOD.format(version=version)
        replaced = dev.main.with_suffix(".new")
        replaced.write_text(text)
        os.utime(replaced, ns=(time_ns, time_ns))
        replaced.replace(dev.main)
        dev.until(lambda reply, expected=str(version): reply.text == expected)


def test_syntax_error_is_shown_and_survived(dev):
    dev.main.write_text("import weft\napp = weft.App(\n")
    reply = dev.until(lambda reply: reply.status_code == 500, **HTML)
    assert "SyntaxError" in reply.text
    assert "The application cannot be served" in reply.text
    dev.main.write_text(GOOD.format(version=3))
    dev.until(lambda reply: reply.text == "3")


def test_wrong_annotation_is_shown(dev):
    dev.main.write_text(GOOD.format(version=1) + "@app.get('/x')\ndef x(*args): ...\n")
    reply = dev.until(lambda reply: reply.status_code == 500)
    assert "parameter 'args' of x()" in reply.text


def test_failing_startup_is_shown(dev):
    lifespan = """
import contextlib
@contextlib.asynccontextmanager
async def lifespan(app):
    raise OSError("no database")
    yield
app = weft.App(lifespan=lifespan)
"""
    dev.main.write_text(GOOD.format(version=1) + lifespan)
    reply = dev.until(lambda reply: reply.status_code == 500)
    assert "no database" in reply.text


def test_exception_is_shown_with_the_users_lines(dev):
    reply = dev.get("/fail", **HTML)
    assert reply.status_code == 500
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "ZeroDivisionError: division by zero" in reply.text
    assert "return number / 0" in reply.text
    assert "main.py, line 11" in reply.text
    assert "secret-token" not in reply.text
    assert "Traceback (most recent call last)" in dev.get("/fail").text


ODD = """
import asyncio, weft
inner = weft.App()
@inner.get("/fail")
async def inner_fail(): return 1 / 0
app = weft.App()
app.mount("/inner", inner)

async def raises(what): raise KeyError(what)

@app.get("/group")
async def group():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(raises("one"))
        tasks.create_task(raises("two"))

@app.get("/cycle")
async def cycle():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first

@app.get("/surrogate")
async def surrogate(): raise ValueError("\\ud800")

@app.get("/long")
async def long(): raise ValueError("x" * 10_000_000)

def down(): return down()

def groups(n):
    if n == 0: raise ValueError("innermost")
    try: groups(n - 1)
    except Exception as exc: raise ExceptionGroup(f"{n} deep", [exc])

@app.get("/groups")
async def within_groups(): groups(200)

@app.get("/deep")
async def deep(): return down()
"""


def test_odd_exceptions_are_shown(dev):
    dev.main.write_text(ODD)
    dev.until(lambda reply: "ZeroDivisionError" in reply.text, "/inner/fail", **HTML)
    group = dev.get("/group", **HTML).text
    assert "KeyError: &#x27;one&#x27;" in group
    assert "2 of 2 in the group" in group
    assert group.count('class="failed">    9  async def raises(what)') == 2
    cycle = dev.get("/cycle", **HTML).text
    assert (cycle.count("ValueError: first"), cycle.count("ValueError: second")) == (1, 1)
    assert "ValueError: \\ud800" in dev.get("/surrogate", **HTML).text
    assert "\\ud800" in dev.get("/surrogate").text
    assert len(dev.get("/long", **HTML).content) < 20_000
    assert "200 deep" in dev.get("/groups", **HTML).text
    deep = dev.get("/deep", **HTML).text
    assert "RecursionError" in deep
    assert "frames more" in deep
    assert "deep</b> in main.py" in deep
    assert len(deep) < 60_000


def test_a_module_named_like_one_of_pythons_is_the_applications_only(tmp_path):
    (tmp_path / "copy.py").write_text("raise RuntimeError('not mine')")
    dev = Dev(tmp_path)
    dev.main.write_text(GOOD.format(version=1))
    dev.start()
    try:
        dev.until(lambda reply: reply.text == "1")
    finally:
        dev.end()


def test_exception_as_a_page_in_a_browser(dev, browser):
    browser.get(f"http://127.0.0.1:{dev.port}/fail?secret=1")
    assert browser.find_element("css selector", ".message").text == (
        "ZeroDivisionError: division by zero"
    )
    failed = browser.find_element("css selector", "pre .failed")
    assert failed.text.split() == ["11", "return", "number", "/", "0"]
    other = browser.find_element("css selector", "pre span:not(.failed)")
    colours = [element.value_of_css_property("background-color") for element in (failed, other)]
    assert colours[0] != colours[1]
    text = browser.find_element("css selector", "main").text
    assert "fail in main.py, line 11" in text
    assert f"GET http://127.0.0.1:{dev.port}/fail?secret=1" in text
    assert "user-agent" in text
    assert all("status of 500" in complaint for complaint in complaints(browser))


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("import os; os._exit(7)", "with status 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
    ],
)
def test_application_that_ends_by_itself_is_started_again_on_a_change(dev, source, how):
    dev.main.write_text(source)
    reply = dev.until(lambda reply: reply.status_code == 500, **HTML)
    assert f"has ended by itself, {how}" in reply.text
    assert any(f"has ended by itself, {how}" in line for line in dev.lines)
    dev.main.write_text(GOOD.format(version=4))
    dev.until(lambda reply: reply.text == "4")


def test_module_that_exits_is_shown(dev):
    dev.main.write_text("import sys\nsys.exit('set DATABASE_URL')\n")
    reply = dev.until(lambda reply: reply.status_code == 500, **HTML)
    assert "SystemExit: set DATABASE_URL" in reply.text
    assert "main.py, line 2" in reply.text
    dev.main.write_text(GOOD.format(version=5))
    dev.until(lambda reply: reply.text == "5")


STRANGERS = [
    {"host": "evil.example:8000"},
    {"host": "evil.example:8000", "origin": "http://evil.example:8000"},
    {"origin": "http://evil.example"},
    {"origin": "http://192.0.2.1"},
    {"origin": "http://[bad"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
]


@pytest.mark.parametrize("stranger", STRANGERS)
def test_strangers_see_no_source_code(dev, stranger):
    for accept in ({}, {"accept": "text/html"}):
        reply = dev.get("/fail", **stranger, **accept)
        assert reply.status_code == 500
        assert "return number" not in reply.text
        assert "open it as http://127.0.0.1" in reply.text
    for path in ("/_weft/plans", "/_weft/requests"):
        assert dev.get(path, **stranger).status_code == 403
    assert dev.get("/", **stranger).text == "1"


@pytest.mark.parametrize(
    "own",
    [
        {"host": "localhost:80"},
        {"host": "[::1]:80"},
        {"origin": "http://localhost:5173"},
        # By a link, or back from who signs people in.
        {
            "sec-fetch-site": "cross-site",
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document",
        },
    ],
)
def test_developers_see_source_code(dev, own):
    assert "return number" in dev.get("/fail", **own).text


def test_child_ends_when_its_parent_is_killed(dev):
    dev.process.kill()
    dev.process.wait()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            dev.get()
        except httpx.ConnectError:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("it still answers")
    dev.reader.join(20)
    dev.process.stdout.close()


def test_snapshot_sees_sources_only(tmp_path):
    sources = ["a.py", "sub/b.py", "sub/page.html"]
    for name in (*sources, "c.txt", ".git/d.py", "v/e.py", "v/pyvenv.cfg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    before = snapshot(str(tmp_path))
    seen = sorted(os.path.relpath(path, tmp_path) for path in before)
    assert seen == sources
    (tmp_path / "a.py").unlink()
    (tmp_path / "sub/b.py").write_text("x")
    (tmp_path / "new.py").write_text("")
    now = snapshot(str(tmp_path))
    changed = [os.path.relpath(path, tmp_path) for path in differences(before, now)]
    assert changed == ["a.py", "new.py", "sub/b.py"]
