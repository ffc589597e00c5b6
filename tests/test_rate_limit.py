"""Rate limits: of a process, and of all that share a Redis; and what happens when that is gone."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.peer import ask, get, on_weft
from weft import App
from weft.middleware import RateLimitMiddleware, RedisRateLimitMiddleware


def limited(middleware: Any, *args: Any, **options: Any) -> App:
    app = App()
    app.add_middleware(middleware, *args, **options)

    @app.get("/")
    async def root() -> str:
        return "done"

    return app


def statuses(port: int, count: int, **fields: str) -> list[int]:
    return [ask(port, get("/", **fields)).status for _ in range(count)]


def client(address: str) -> dict[str, str]:
    return {"x_forwarded_for": address}  # the tests' own machine is trusted


def test_a_process_counts() -> None:
    with on_weft(limited(RateLimitMiddleware, 3, 3600)) as port:
        assert statuses(port, 3) == [200, 200, 200]
        refused = ask(port, get("/"))
        assert refused.status == 429
        assert 1100 < int(refused.fields["retry-after"]) <= 1200
        assert refused.body == b'{"detail":"Too Many Requests"}'
        # others have their own count; with IPv6 a network has one
        assert statuses(port, 4, **client("192.0.2.1")) == [200, 200, 200, 429]
        assert statuses(port, 1, **client("192.0.2.2")) == [200]
        assert statuses(port, 2, **client("2001:db8::1")) == [200, 200]
        assert statuses(port, 2, **client("2001:db8::2")) == [200, 429]
        assert statuses(port, 1, **client("2001:db8:0:1::2")) == [200]


def test_by_a_field() -> None:
    with on_weft(limited(RateLimitMiddleware, 1, 3600, header="X-API-Key")) as port:
        assert statuses(port, 2, x_api_key="a") == [200, 429]
        assert statuses(port, 2, x_api_key="b") == [200, 429]
        assert statuses(port, 2) == [200, 429]


def test_time_heals() -> None:
    with on_weft(limited(RateLimitMiddleware, 1, 0.05)) as port:
        assert statuses(port, 1) == [200]
        while (answer := ask(port, get("/"))).status == 429:
            assert answer.fields["retry-after"] == "1"
        assert answer.status == 200


def test_the_table_is_bounded() -> None:
    with on_weft(limited(RateLimitMiddleware, 1, 3600, header="k", clients=1)) as port:
        assert statuses(port, 2, k="0") == [200, 429]
        assert {statuses(port, 1, k=str(i))[0] for i in range(1, 50)} == {200}
        assert statuses(port, 2, k="0") == [200, 429]  # was forgotten


@pytest.mark.parametrize(("limit", "window"), [(0, 1), (1, 0), (1, -1), (1, float("nan"))])
def test_limits_that_are_none(limit: int, window: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RateLimitMiddleware(limit, window)
    with pytest.raises(ValueError, match="at least 1"):
        RedisRateLimitMiddleware(App(), "redis://x", limit, window)


# ---- Redis ----


class Store:
    """A redis-server of our own."""

    def __init__(self, path: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed")
        self.path = path
        command = [
            program,
            "--port",
            "0",
            "--unixsocket",
            str(path),
            "--save",
            "",
            "--daemonize",
            "no",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        probe = redis.Redis(unix_socket_path=str(path))
        end = time.monotonic() + 20
        while True:
            try:
                probe.ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < end
                time.sleep(0.01)
        probe.close()

    def client(self) -> Any:
        return redis.asyncio.Redis(
            unix_socket_path=str(self.path), retry=Retry(NoBackoff(), 0), socket_timeout=5
        )

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "redis.sock")
    yield store
    store.stop()


def shared(store: Any, limit: int, window: float, **options: Any) -> App:
    """The client is made on the loop it is used on."""
    made: list[Any] = []

    class Lazy:
        def __getattr__(self, name: str) -> Any:
            if not made:
                made.append(store.client())
            return getattr(made[0], name)

    app = limited(RedisRateLimitMiddleware, Lazy(), limit, window, **options)

    @app.get("/close")
    async def close() -> None:
        while made:
            await made.pop().aclose()

    return app


def test_redis_counts_for_all(store: Store) -> None:
    one, two = (shared(store, 3, 3600, timeout=10) for _ in range(2))
    with on_weft(one) as a, on_weft(two) as b:
        assert statuses(a, 2) + statuses(b, 2) == [200, 200, 200, 429]
        refused = ask(a, get("/"))
        assert refused.status == 429
        assert 1100 < int(refused.fields["retry-after"]) <= 1200
        assert statuses(b, 4, **client("192.0.2.1")) == [200, 200, 200, 429]
        assert statuses(a, 2, **client("2001:db8::1")) == [200, 200]
        assert statuses(b, 2, **client("2001:db8::2")) == [200, 429]
        for port in (a, b):
            ask(port, get("/close", **client("192.0.2.99")))


def test_script_is_sent_only_where_redis_has_not_got_it(store: Store) -> None:
    app = shared(store, 5, 3600, timeout=10)
    with redis.Redis(unix_socket_path=str(store.path)) as probe, on_weft(app) as port:

        def calls() -> list[int]:
            stats: Any = probe.info("commandstats")
            return [
                stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha")
            ]

        assert statuses(port, 3) == [200] * 3
        assert calls() == [1, 3]
        probe.script_flush()
        assert statuses(port, 3) == [200, 200, 429]  # what was counted stays
        assert calls() == [2, 6]
        probe.set("weft:rate:192.0.2.1", "no number")
        assert statuses(port, 1, **client("192.0.2.1")) == [200]  # whatever else fails lets pass
        ask(port, get("/close", **client("192.0.2.99")))


def test_by_a_field_in_redis(store: Store) -> None:
    with on_weft(shared(store, 1, 3600, header="x-api-key", timeout=10)) as port:
        assert statuses(port, 2, x_api_key="a") == [200, 429]
        assert statuses(port, 2, x_api_key="b" * 5000) == [200, 429]
        assert ask(port, get("/close", x_api_key="c")).status == 200
    keys = redis.Redis(unix_socket_path=str(store.path))
    assert all(len(key) < 200 for key in keys.keys("weft:rate:*"))
    assert all(0 < keys.pttl(key) <= 3_600_000 for key in keys.keys("weft:rate:*"))
    keys.close()


@pytest.mark.parametrize(("when_gone", "status"), [("allow", 200), ("refuse", 503)])
def test_a_store_that_is_gone(store: Store, when_gone: str, status: int) -> None:
    app = shared(store, 1, 3600, when_gone=when_gone, timeout=10)
    with on_weft(app) as port:
        assert statuses(port, 2) == [200, 429]
        store.stop()
        answers = [ask(port, get("/")) for _ in range(3)]
        assert [answer.status for answer in answers] == [status] * 3
        if status == 503:
            assert answers[0].fields["retry-after"] == "1"
        ask(port, get("/close"))


def test_a_store_that_comes_back(store: Store) -> None:
    app = shared(store, 1, 3600, timeout=10, retry_after=0.01)
    with on_weft(app) as port:
        store.stop()
        assert statuses(port, 2) == [200, 200]
        again = Store(store.path)
        try:
            end = time.monotonic() + 20
            while statuses(port, 1) == [200]:
                assert time.monotonic() < end
            ask(port, get("/close", **client("192.0.2.7")))
        finally:
            again.stop()


def test_a_store_that_does_not_answer(store: Store) -> None:
    """It is waited for once, and then not asked for a while."""
    asked = 0

    class Counting:
        def client(self) -> Any:
            inner = store.client()

            class Client:
                async def evalsha(self, *args: Any) -> Any:
                    nonlocal asked
                    asked += 1
                    return await inner.evalsha(*args)

                async def aclose(self) -> None:
                    await inner.aclose()

            return Client()

    with on_weft(shared(Counting(), 1, 3600, timeout=0.05, retry_after=3600)) as port:
        store.process.send_signal(signal.SIGSTOP)
        try:
            assert statuses(port, 20) == [200] * 20
        finally:
            store.process.send_signal(signal.SIGCONT)
        assert asked == 1
        ask(port, get("/close"))


def test_an_address_nobody_listens_at() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{sock.getsockname()[1]}/0"
        app = limited(RedisRateLimitMiddleware, url, 1, 60)
        with on_weft(app) as port:
            assert statuses(port, 3) == [200, 200, 200]


def test_what_to_do_without_a_store_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="when_gone"):
        RedisRateLimitMiddleware(App(), "redis://x", 1, when_gone="panic")
    assert asyncio.iscoroutinefunction(RedisRateLimitMiddleware.dispatch)
