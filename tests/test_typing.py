"""Type checkers see weft as its users need it: no word about right code, one about each mistake."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent
RIGHT = [HERE / "typing" / "typical.py", *sorted((ROOT / "examples").rglob("*.py"))]
MISTAKES = HERE / "typing" / "mistakes.py"

pytestmark = pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""), reason="type checkers are not what is tested"
)


def marked(path: Path) -> set[int]:
    lines = path.read_text().splitlines()
    return {n for n, line in enumerate(lines, 1) if line.endswith("# wrong")}


def mypy(*paths: Path) -> dict[Path, set[int]]:
    """Lines with errors, by file."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"]
    env = {**os.environ, "MYPYPATH": str(ROOT / "python")}
    run = subprocess.run(
        [*command, "--cache-dir", str(ROOT / ".mypy_cache/users"), *map(str, paths)],
        cwd=HERE,
        env=env,
        capture_output=True,
        text=True,
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found: dict[Path, set[int]] = {path: set() for path in paths}
    for name, line in re.findall(r"^(.+?):(\d+): error:", run.stdout, re.M):
        if (path := (HERE / name).resolve()) in found:  # not what they import
            found[path].add(int(line))
    return found


def pyright(*paths: Path) -> dict[Path, set[int]]:
    """The same."""
    config = ROOT / ".mypy_cache" / "pyrightconfig.json"
    settings = {
        "include": [os.path.relpath(path, config.parent) for path in paths],
        "extraPaths": [os.path.relpath(ROOT / "python", config.parent)],
        "strict": [os.path.relpath(HERE / "typing", config.parent)],
        # what these files do on purpose
        "reportUnusedFunction": False,
        "reportUnusedExpression": False,
        "pythonVersion": "3.11",
    }
    config.parent.mkdir(exist_ok=True)
    config.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "-p", str(config)]
    run = subprocess.run([*command, "--pythonpath", sys.executable], capture_output=True, text=True)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found: dict[Path, set[int]] = {path: set() for path in paths}
    for item in json.loads(run.stdout)["generalDiagnostics"]:
        if item["severity"] == "error":
            line = item["range"]["start"]["line"] + 1
            found[Path(item["file"]).resolve()].add(line)
    return found


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_checker_tells_right_from_wrong(checker):
    found = checker(*RIGHT, MISTAKES)
    assert found == {**{path: set() for path in RIGHT}, MISTAKES: marked(MISTAKES)}
