"""FastAPI's place for it."""

from weft.middleware import CORSMiddleware

__all__ = ["CORSMiddleware"]
