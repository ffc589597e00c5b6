"""Commands of `weft` that do not serve."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import weft
from weft import cli

MAIN = """
import weft
app = weft.App()

def user(token: str = weft.Header()): return token

@app.get("/items/{item_id}")
async def item(item_id: int, who: str = weft.Depends(user)): return item_id
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "listed.py").write_text(MAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("listed", None)


def test_routes_as_json(project, capsys):
    assert cli.main(["routes", "listed:app", "--json"]) == 0
    (route,) = json.loads(capsys.readouterr().out)
    assert route["path"] == "/items/{item_id}"
    assert route["methods"] == ["GET"]
    assert route["endpoint"] == "listed.item"
    user, item = route["calls"]
    assert (user["call"], user["kind"], user["fills"]) == ("user", "thread", "who")
    assert "header token" in user["steps"][0]["step"]
    assert (item["call"], item["kind"]) == ("item", "async")
    assert all(step["native"] and not step["why"] for step in user["steps"] + item["steps"])


ODD = """
import weft
app = weft.App()

class Shown:
    def __init__(self, text): self.text = text
    def __repr__(self): return self.text or 1 / 0

@app.get("/")
def odd(
    a: str = Shown("two\\nlines \\x1b[31mred"),
    b: str = Shown("x" * 100_000),
    c: str = Shown(""),
    d: str = "\\x1b" * 100,
): ...
"""


def test_routes_show_a_default_on_its_line_whatever_its_repr(project, capsys):
    (project / "listed.py").write_text(ODD)
    assert cli.main(["routes", "listed:app"]) == 0
    out = capsys.readouterr().out
    _, *lines = out.splitlines()
    a, b, c, d = (line.partition(" = ")[2] for line in lines[1:])
    assert a == r"two\nlines \x1b[31mred"
    assert b == "x" * 77 + "..."
    assert c.startswith("<listed.Shown object at 0x")
    assert d == "'" + r"\x1b" * 19 + "..."


FILES = """
import weft
from weft.staticfiles import StaticFiles
app = weft.App()
sub = weft.App()
async def user(): ...
app.frontend("/", directory=".", check_dir=False)
router = weft.Router(dependencies=[weft.Depends(user)])
router.frontend("/ui", directory="dist", check_dir=False)
app.include_router(router)
app.mount("/files", StaticFiles(directory="."))
app.mount("/sub", sub)
sub.mount("/files", StaticFiles(directory="."))
@sub.middleware("http")
async def around(request, call_next): ...
"""


def test_routes_say_of_files_what_they_are(project, capsys):
    """A frontend was shown as the method that answers for it, and files beneath middleware too."""
    (project / "listed.py").write_text(FILES)
    assert cli.main(["routes", "listed:app", "--json"]) == 0
    routes = json.loads(capsys.readouterr().out)
    assert [(r["path"], r["endpoint"], r["kind"], r["methods"]) for r in routes] == [
        ("/files/{path:path}", "StaticFiles('.')", "files", ["GET", "HEAD"]),
        ("/sub/files/{path:path}", "StaticFiles('.')", "files", ["GET", "HEAD"]),
        ("/ui", "frontend('dist')", "frontend", ["GET", "HEAD"]),
        ("/ui/{path:path}", "frontend('dist')", "frontend", ["GET", "HEAD"]),
        ("/{path:path}", "frontend('.')", "frontend", ["GET", "HEAD"]),
    ]
    assert [call["call"] for call in routes[2]["calls"]] == ["user", "respond"]
    assert cli.main(["routes", "listed:app"]) == 0
    assert "frontend('dist')" in capsys.readouterr().out


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert f"weft {name}" in out


def test_new_project_runs_and_is_tested(project):
    assert cli.main(["new", "my-api"]) == 0
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(command, cwd="my-api", env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout
    assert "my-api" in (project / "my-api/README.md").read_text()


def test_new_project_in_a_directory_with_a_space(project, capsys):
    assert cli.main(["new", "my api"]) == 0
    assert "Next: cd 'my api' && weft dev main:app\n" in capsys.readouterr().out


def test_new_project_installs_no_other_projects_package(project):
    """By the name of weft the package index has one that is not ours."""
    assert cli.main(["new", "my-api"]) == 0
    for path in (project / "my-api").glob("requirements*.txt"):
        assert "weft" not in path.read_text()
    for name in ("Dockerfile", "README.md"):
        text = (project / "my-api" / name).read_text()
        assert "pip install" in text
        assert not re.search(r"pip install [^\n]*\bweft(?!-)\b(?![/-])", text)


@pytest.mark.parametrize(
    ("name", "why"), [("listed.py", "exists already"), ("a{b}", "no name for a project")]
)
def test_new_project_that_cannot_be(project, capsys, name, why):
    assert cli.main(["new", name]) == 1
    assert why in capsys.readouterr().err


def complete(script: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    line = (
        f"source {script}; COMP_WORDS=({' '.join(map(repr, words))}); "
        f'COMP_CWORD={len(words) - 1}; _weft; echo "${{COMPREPLY[@]}}"'
    )
    return subprocess.check_output(["bash", "-c", line], text=True).split()


def test_help_of_completion_says_how_in_each_shell(capsys):
    with pytest.raises(SystemExit):
        cli.main(["completion", "--help"])
    out = capsys.readouterr().out
    for line in ('eval "$(weft completion bash)"', 'eval "$(weft completion zsh)"'):
        assert line in out
    assert "weft completion fish | source" in out


def test_completion_in_bash(project, capsys):
    assert cli.main(["completion", "bash"]) == 0
    script = project / "weft.bash"
    script.write_text(capsys.readouterr().out)
    assert complete(script, "weft", "ro") == ["routes"]
    assert complete(script, "weft", "routes", "--j") == ["--json"]
    assert complete(script, "weft", "--log-level", "w") == ["warning"]
    assert complete(script, "weft", "main:app", "--ud") == ["--uds"]
    assert complete(script, "weft", "completion", "z") == ["zsh"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_in_other_shells(project, capsys, shell):
    assert cli.main(["completion", shell]) == 0
    script = project / "script"
    script.write_text(capsys.readouterr().out)
    assert "routes" in script.read_text()
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(script)], check=True)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["rutes", "listed:app"], "there is no command 'rutes'. Did you mean `weft routes`?"),
        (["xyz", "listed:app"], "there is no command 'xyz'. See `weft --help`."),
    ],
)
def test_a_command_that_is_none(project, capsys, args, message):
    assert cli.main(args) == 1
    assert capsys.readouterr().err == f"weft: error: {message}\n"


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("nope=1", "there is no limit 'nope'; there are head_bytes_max, "),
        ("body_bytes_max=many", "body_bytes_max is a number"),
        ("body_bytes_max", "body_bytes_max is a number"),
        ("body_bytes_max=18446744073709551616", "body_bytes_max is a number"),
    ],
)
def test_a_limit_that_is_none(project, capsys, limit, message):
    with pytest.raises(SystemExit):
        cli.main(["listed:app", "--limit", limit])
    assert message in capsys.readouterr().err


def test_limits_are_handed_on(project, monkeypatch):
    given = {}
    monkeypatch.setattr(weft.App, "run", lambda app, **options: given.update(options))
    line = "listed:app --limit body_bytes_max=10 --limit drain_timeout_ms=5"
    assert cli.main(line.split()) == 0
    assert given["limits"] == {"body_bytes_max": 10, "drain_timeout_ms": 5}


WRONG = {
    "no_parentheses": (
        "@app.get\nasync def read(): ...",
        "a route is declared with its path first, as in @app.get('/items')",
    ),
    "no_slash": ("@app.get('a')\nasync def read(): ...", "a path must start with '/': 'a'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_declaration_that_cannot_be_ends_in_the_users_line(project, capsys, name):
    source, message = WRONG[name]
    (project / f"{name}.py").write_text(f"import weft\napp = weft.App()\n{source}\n")
    assert cli.main([f"{name}:app"]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert re.findall(r'File ".*/(.*)", line (\d+)', err) == [(f"{name}.py", "3")]
    assert f"the module {name!r} cannot be imported; above is why." in err


ANNOTATIONS = {
    "odd": (
        "class Odd: ...\n@app.get('/')\nasync def read(x: Odd): ...",
        r"parameter 'x' of read\(\) \(.*odd.py:4\): .*Annotated\[odd.Odd, Depends\(function\)\]",
    ),
    "missing": (
        "@app.get('/')\nasync def read(x: 'Missing'): ...",
        r"parameter 'x' of read\(\) \(.*missing.py:3\): name 'Missing' is not defined. .*run time",
    ),
    "odd_reply": (
        "@app.get('/')\nasync def read() -> 5: ...",
        r"the reply of read\(\) \(.*odd_reply.py:3\) is 5, .*response_model=None",
    ),
}


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_an_annotation_that_is_wrong(project, caplog, name):
    source, message = ANNOTATIONS[name]
    (project / f"{name}.py").write_text(f"import weft\napp = weft.App()\n{source}\n")
    with pytest.raises(SystemExit):
        cli.main([f"{name}:app", "--port", "0"])
    assert re.search(message, caplog.text)
    assert "\n\n" not in caplog.text  # not all of what pydantic has to say about models
    assert "arbitrary_types_allowed" not in caplog.text


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colours_on_a_terminal(project, variables, coloured):
    ours, theirs = os.openpty()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    env = {"TERM": "xterm", **{k: v for k, v in env.items() if k not in ("NO_COLOR", "TERM")}}
    command = [sys.executable, "-m", "weft", "nowhere:app"]
    subprocess.run(command, env={**env, **variables}, stderr=theirs, check=False)
    os.close(theirs)
    said = os.read(ours, 10_000)
    os.close(ours)
    assert said.startswith(b"weft: \x1b[31merror\x1b[0m: " if coloured else b"weft: error: ")
