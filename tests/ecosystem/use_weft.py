"""A pytest plugin: with WEFT_LOOP=1 whoever asks asyncio for a loop gets weft's."""

from __future__ import annotations

import asyncio
import os
from asyncio import unix_events
from typing import Any

import weft
from weft.loop import Loop


class Counted(Loop):
    made = 0

    def __init__(self, selector: Any = None) -> None:
        if selector is not None:
            selector.close()
        Counted.made += 1
        super().__init__()


if os.environ.get("WEFT_LOOP") == "1":
    weft.install()
    for place in (asyncio, unix_events):
        for name in ("SelectorEventLoop", "EventLoop"):
            if hasattr(place, name):
                setattr(place, name, Counted)
    unix_events._UnixDefaultEventLoopPolicy._loop_factory = Counted  # type: ignore[attr-defined]
    weft.EventLoopPolicy._loop_factory = Counted


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(f"{Counted.made} loops of weft's were made")
