"""Steps around every request, in C: they cost no Python. And the class for those in Python.

Declared by `app.add_middleware(CORSMiddleware, allow_origins=["https://example.com"])`; what is
added later is further out, as in FastAPI, whether it is in C or in Python. Those in C that are
outside of all in Python are reached without the interpreter.
"""

from weft.dispatch import BaseHTTPMiddleware
from weft.middleware.compression import CompressionMiddleware, GZipMiddleware
from weft.middleware.layers import (
    ConcurrencyLimitMiddleware,
    CORSMiddleware,
    HTTPSRedirectMiddleware,
    Middleware,
    RequestIDMiddleware,
    SecurityHeadersMiddleware,
    TrustedHostMiddleware,
)
from weft.middleware.rate_limit import RateLimitMiddleware, RedisRateLimitMiddleware
from weft.middleware.sessions import SessionMiddleware

__all__ = [
    "BaseHTTPMiddleware",
    "CORSMiddleware",
    "CompressionMiddleware",
    "ConcurrencyLimitMiddleware",
    "GZipMiddleware",
    "HTTPSRedirectMiddleware",
    "Middleware",
    "RateLimitMiddleware",
    "RedisRateLimitMiddleware",
    "RequestIDMiddleware",
    "SecurityHeadersMiddleware",
    "SessionMiddleware",
    "TrustedHostMiddleware",
]
