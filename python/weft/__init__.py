"""An API framework and server for Python whose whole request path is C."""

from .loop import EventLoopPolicy, Loop, install, new_event_loop, run

__version__ = "0.1.0"

__all__ = ["EventLoopPolicy", "Loop", "install", "new_event_loop", "run"]
