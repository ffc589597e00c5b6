"""How many examples a property is tried on."""

from __future__ import annotations

import os

# A part of 1 for runs beside the whole one, under sanitizers or other interpreters.
SHARE = float(os.environ.get("WEFT_EXAMPLES", "1"))


def some(count: int) -> int:
    """`count`, or the share of it that this run is to try."""
    return max(10, int(count * SHARE))
