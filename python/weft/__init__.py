"""An API framework and server for Python whose whole request path is C."""

__version__ = "0.1.0"
