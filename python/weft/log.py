"""What weft says on the terminal: the logger `weft`, and `weft.error` for handlers' exceptions."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

LEVELS = ("critical", "error", "warning", "info", "debug")

logger = logging.getLogger("weft")
error_logger = logging.getLogger("weft.error")

_COLOURS = {"DEBUG": "36", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "91"}


def has_colours(stream: TextIO) -> bool:
    """Is it a terminal, and does its user like colours? (no-color.org)"""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class LevelFormatter(logging.Formatter):
    """`INFO:     message`, the level coloured where the stream shows colours."""

    def __init__(self, colours: bool) -> None:
        super().__init__()
        self.colours = colours

    def format(self, record: logging.LogRecord) -> str:
        level, gap = record.levelname, " " * (9 - len(record.levelname))
        if self.colours and level in _COLOURS:
            level = f"\x1b[{_COLOURS[level]}m{level}\x1b[0m"
        return f"{level}:{gap}{super().format(record)}"


def configure(level: str) -> None:
    """Sends what weft logs to stderr, unless the application has given the logger a handler."""
    logger.setLevel(level.upper())
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(LevelFormatter(has_colours(sys.stderr)))
    logger.addHandler(handler)
    logger.propagate = False
