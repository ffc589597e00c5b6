"""Each page of FastAPI's tutorial and advanced guide: the same app on weft and on FastAPI."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import pages_advanced, pages_tutorial, pages_tutorial_more  # noqa: F401
from tests.pages import ELSEWHERE, NOT_OURS, PAGES
from tests.peer import Ask, answers, assert_same, fastapi_names, weft_names

# The document says of streams' items what OpenAPI 3.1 can say (docs/guide/streaming.md).
DOCUMENT_DIFFERS = {"tutorial/stream-json-lines"}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_the_same(name: str) -> None:
    make, asks = PAGES[name]
    assert_same(make, *asks)
    if name not in DOCUMENT_DIFFERS:
        ours, theirs = make(weft_names()).openapi(), make(fastapi_names()).openapi()
        assert ours == theirs
        assert list(ours["paths"]) == list(theirs["paths"])


def test_the_pages_that_other_files_have() -> None:
    assert not PAGES.keys() & ELSEWHERE.keys()
    assert not NOT_OURS.keys() & (PAGES.keys() | ELSEWHERE.keys())
    for name, where in ELSEWHERE.items():
        file, test = where.split("::")
        text = (Path(__file__).parent / file).read_text()
        assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), name


def test_bodies_past_their_limit_are_413() -> None:
    """What it says differs: FastAPI's is plain text."""
    long = {"a": "b" * 100}
    asks = [Ask.json("POST", path, long) for path in ("/items", "/big/small")]
    got, expected, _, _ = answers(PAGES["advanced/request-body-limits"].make, asks)
    assert [answer.status for answer in got] == [413, 413]
    assert [answer.status for answer in expected] == [413, 413]
