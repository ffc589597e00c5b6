"""schemathesis asks the bookshop what its document allows and forbids, and finds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from examples.bookshop.main import app

from weft.testing import TestClient

HOOKS = Path(__file__).parent / "clients"
EXAMPLES = 60 if "CI" not in os.environ else 10  # of each operation and phase


def test_schemathesis_finds_nothing_against_the_bookshop(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    with TestClient(app) as client:
        login = {"username": "ada", "password": "lovelace"}
        token = client.post("/token", data=login).json()["access_token"]
        url = f"http://127.0.0.1:{client._worker.port}/openapi.json"
        command = [sys.executable, "-m", "schemathesis.cli", "run", url, "--no-color"]
        # An event stream has no end, and who signs in with other names is refused.
        command += [
            "--exclude-path",
            "/events",
            "--exclude-path",
            "/token",
            "--max-examples",
            str(EXAMPLES),
            "--seed",
            "7",
        ]
        command += ["--header", f"Authorization: Bearer {token}"]
        env = {**os.environ, "PYTHONPATH": str(HOOKS), "SCHEMATHESIS_HOOKS": "hooks"}
        env.pop("LD_PRELOAD", None)  # a sanitizer's is the server's affair
        run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Tested: 10" in run.stdout
    assert "No issues found" in run.stdout
