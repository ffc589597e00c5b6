"""The event loop policy, for the Pythons and programs that still use one."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from ._loop import Loop

if TYPE_CHECKING or sys.version_info < (3, 14):
    _Base = asyncio.DefaultEventLoopPolicy
else:  # the public name warns there, until it is gone
    _Base = asyncio.unix_events._DefaultEventLoopPolicy


class EventLoopPolicy(_Base):
    """asyncio's policy with weft's loop; child watchers are asyncio's."""

    _loop_factory = Loop
