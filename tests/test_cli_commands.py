"""Commands of `weft` that do not serve."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
