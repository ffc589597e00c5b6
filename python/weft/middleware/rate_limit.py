"""So many requests in so much time from each client: counted by each process, or by Redis."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from typing import TYPE_CHECKING, Any

from weft import log
from weft.dispatch import BaseHTTPMiddleware, CallNext
from weft.middleware.layers import Middleware
from weft.requests import Request
from weft.responses import JSONResponse, Response

if TYPE_CHECKING:
    from weft.app import App

__all__ = ["RateLimitMiddleware", "RedisRateLimitMiddleware"]


_KEY_CHARS = 128  # of what a client sends: longer ones are hashed, so that keys stay short


def _check(limit: int, window: float) -> None:
    if limit < 1 or not 0 < window < 10**9:
        raise ValueError("the limit is at least 1, the window a number of seconds above 0")


class RateLimitMiddleware(Middleware):
    """Answers 429 (RFC 6585, section 4), with Retry-After in seconds, to who asks more than `limit`
    times in `window` seconds.

    That many may come at once; then one each `window / limit` seconds. Clients are told apart by
    address (with IPv6, by /64 network), or by the field `header` where a request has it. Each
    process counts by itself, and remembers about `clients` of them, in 16 bytes each: of more, it
    forgets who is furthest from the limit. `ValueError` for a limit or clients below 1, and for a
    window that is not above 0.
    """

    def __init__(
        self, limit: int, window: float = 60.0, *, header: str | None = None, clients: int = 65_536
    ) -> None:
        _check(limit, window)
        if clients < 1:
            raise ValueError("clients is at least 1")
        name = (header or "").lower().encode("latin-1")
        self._config = (limit, max(1, int(window * 1e9)), name, clients)

    def layer(self) -> tuple[str, tuple[object, ...]]:
        return "rate_limit", self._config


# When the client will have paid for its requests (see serve/layer/rate_limit.c), in microseconds.
# Gives what is missing before one more would pass, in microseconds; 0: it has passed.
_SCRIPT = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
if due - now > burst then
    return due - now - burst
end
due = due + interval
redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000))
return 0
"""
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()  # as Redis knows it by


class RedisRateLimitMiddleware(BaseHTTPMiddleware):
    """The same limit for all processes and machines that share a Redis.

    `redis` is its URL, or a client of `redis.asyncio`. While it is gone, or does not answer within
    `timeout` seconds, requests pass (`when_gone="allow"`) or get 503 (`"refuse"`), and it is asked
    again only after `retry_after` seconds, so that nobody waits for it in between. It is middleware
    in Python, inside of that in C.
    """

    def __init__(
        self,
        app: App,
        redis: Any,
        limit: int,
        window: float = 60.0,
        *,
        header: str | None = None,
        prefix: str = "weft:rate:",
        timeout: float = 0.25,
        retry_after: float = 1.0,
        when_gone: str = "allow",
    ) -> None:
        _check(limit, window)
        if when_gone not in ("allow", "refuse"):
            raise ValueError(f"when_gone is 'allow' or 'refuse', not {when_gone!r}")
        super().__init__(app)
        self._redis = _client(redis, timeout)
        interval = max(1, round(window * 1e6 / limit))
        self._arguments = (interval, max(0, round(window * 1e6) - interval))
        self._header = header
        self._prefix = prefix
        self._timeout = timeout
        self._retry_after = retry_after
        self._allow = when_gone == "allow"
        self._gone_until = 0.0

    async def dispatch(self, request: Request, call_next: CallNext) -> Response:
        """Answers 429 where the client has asked too often; 503 without Redis, if it says so."""
        wait = await self._wait(request)
        if wait is None and not self._allow:
            return _refusal(503, "Service Unavailable", self._retry_after)
        if wait:
            return _refusal(429, "Too Many Requests", wait)
        return await call_next(request)

    async def _wait(self, request: Request) -> float | None:
        """Seconds until one more would pass, 0 for one that has; None: nobody knows."""
        if time.monotonic() < self._gone_until:
            return None
        try:
            async with asyncio.timeout(self._timeout):
                return float(await self._ask(self._key(request))) / 1e6
        except Exception as exc:  # whatever a store can fail with
            self._gone_until = time.monotonic() + self._retry_after
            log.logger.warning("The store of the rate limit is gone: %s", exc or type(exc).__name__)
            return None

    async def _ask(self, key: str) -> Any:
        """By the script's digest; by its text, which it then knows, where Redis has not got it: at
        first, and after a restart, a failover or SCRIPT FLUSH."""
        try:
            return await self._redis.evalsha(_SHA, 1, key, *self._arguments)
        except Exception as exc:
            if not _is_no_script(exc):
                raise
        return await self._redis.eval(_SCRIPT, 1, key, *self._arguments)

    def _key(self, request: Request) -> str:
        name = request.headers.get(self._header) if self._header is not None else None
        if name is None:
            name = request.client.host if request.client is not None else ""
            if ":" in name:
                name = _network(name)
        elif len(name) > _KEY_CHARS:
            name = hashlib.sha256(name.encode()).hexdigest()
        return self._prefix + name


def _client(redis: Any, timeout: float) -> Any:
    if not isinstance(redis, str):
        return redis
    import redis.asyncio as redis_asyncio
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return redis_asyncio.from_url(
        redis, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
    )


def _is_no_script(exc: Exception) -> bool:
    """Is it Redis' NOSCRIPT? By name, as there is more than one client library."""
    return type(exc).__name__ == "NoScriptError" or str(exc).startswith("NOSCRIPT")


def _network(address: str) -> str:
    import ipaddress

    ip = ipaddress.IPv6Address(address)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))


def _refusal(status: int, detail: str, seconds: float) -> Response:
    headers = {"retry-after": str(math.ceil(seconds))}
    return JSONResponse({"detail": detail}, status, headers)
