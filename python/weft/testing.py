"""A client for tests: httpx against the real server, on a loopback port of its own."""

from __future__ import annotations

import asyncio
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from weft.loop import new_event_loop
from weft.server import Config, Server

try:
    import httpx
except ModuleNotFoundError as exc:  # pragma: no cover
    raise ModuleNotFoundError("weft.testing needs httpx: pip install httpx") from exc

if TYPE_CHECKING:
    from weft.app import App

__all__ = ["TestClient"]

_CONFIG = Config(port=0, access_log=False)


class TestClient(httpx.Client):
    """An `httpx.Client` whose relative URLs reach `app`, served in a thread as it is in production.

    `with TestClient(app) as client:` runs the lifespan around it, and raises what its startup
    raises. Used without `with`, it serves from the first request until `close()`, without a
    lifespan. A request returns when all of it is done: background tasks and the clean-up of
    dependencies too, for which it waits up to `timeout` seconds once its reply is read, unless
    `wait_for_tasks` is False. An
    exception that the app does not answer, and one in what comes after the reply, is raised by the
    request; with `raise_server_exceptions=False` it is the 500 that a client would get.
    `root_path` is the server's: URLs do not have it.
    """

    __test__ = False  # not a test case, whatever pytest thinks of its name

    def __init__(
        self,
        app: App,
        base_url: str = "http://testserver",
        raise_server_exceptions: bool = True,
        headers: dict[str, str] | None = None,
        cookies: dict[str, str] | None = None,
        follow_redirects: bool = True,
        timeout: float | None = 30.0,
        root_path: str = "",
        wait_for_tasks: bool = True,
    ) -> None:
        self.app = app
        self._worker = Worker(app, replace(_CONFIG, root_path=root_path))
        self._link = _Transport(
            self._worker, raise_server_exceptions, timeout if wait_for_tasks else 0.0
        )
        # For clients that nobody closes: at the end of the process at the latest.
        self._end = weakref.finalize(self, _end, self._worker, self._link)
        super().__init__(
            base_url=base_url,
            headers={"user-agent": "testclient", **(headers or {})},
            cookies=cookies,
            follow_redirects=follow_redirects,
            timeout=timeout,
            transport=self._link,
        )

    # httpx's own __enter__ refuses a client that has been used before.

    def __enter__(self) -> Self:
        _end(self._worker, self._link)  # one that serves already has not run the lifespan
        self._worker.start(lifespan=True)
        return self

    def __exit__(self, *args: Any) -> None:
        _end(self._worker, self._link)

    def close(self) -> None:
        """Closes its connections and stops the server, if it runs."""
        super().close()
        self._worker.stop()


def _end(worker: Worker, link: _Transport) -> None:
    link.close()  # first: an open connection would be waited for
    worker.stop()


class Worker:
    """An App served by a thread with its own loop, between `start()` and `stop()`."""

    def __init__(self, app: App, config: Config = _CONFIG) -> None:
        self.app = app
        self.config = config
        self.port = 0
        self.errors: deque[BaseException] = deque()
        self._thread: threading.Thread | None = None
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None

    @property
    def running(self) -> bool:
        """Has it been started, and not stopped?"""
        return self._thread is not None

    @property
    def busy(self) -> int:
        """How many requests are being handled, or have tasks that run."""
        core = self._server.core if self.running and self._server is not None else None
        return core.running if core is not None else 0

    def start(self, *, lifespan: bool) -> None:
        """Returns once requests are answered; raises what kept it from starting."""
        ready = threading.Event()
        self.errors.clear()
        self._failure = None
        self._thread = threading.Thread(
            target=self._run, args=(lifespan, ready), name="weft-test-server", daemon=True
        )
        self._thread.start()
        ready.wait()
        self._raise_failure()

    def _run(self, lifespan: bool, ready: threading.Event) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._server = Server(self.app, self.config, on_error=self.errors.append)
            await self._server.serve(listening, lifespan=lifespan)

        def listening() -> None:
            assert self._server is not None
            self.port = int(self._server.addresses[0].rpartition(":")[2])
            ready.set()

        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(serve())
        except BaseException as exc:  # handed to the thread that waits for us
            self._failure = exc
        finally:
            ready.set()

    def stop(self) -> None:
        """Waits for what runs, and for the lifespan; raises what its shutdown raises."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._server is not None:
            with suppress(RuntimeError):  # closed: it has ended by itself
                self._loop.call_soon_threadsafe(self._server.stop)
        thread.join()
        self._raise_failure()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            if self._thread is not None:
                self._thread.join()
                self._thread = None
            raise failure


class _Transport(httpx.BaseTransport):
    """Sends every request to the worker; the host that its URL names is in its host field."""

    def __init__(
        self, worker: Worker, raise_server_exceptions: bool, timeout: float | None
    ) -> None:
        self.worker = worker
        self.raise_server_exceptions = raise_server_exceptions
        self.timeout = math.inf if timeout is None else timeout
        self.http = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not self.worker.running:
            self.worker.start(lifespan=False)
        self.worker.errors.clear()
        before = self.worker.busy
        response = self._send(request)
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _Stream(response.stream, self, before)
        if response.status_code >= 500:
            self.raise_error(response)
        return response

    def _send(self, request: httpx.Request) -> httpx.Response:
        here = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.worker.port)
        with self.explained():
            return self.http.handle_request(
                httpx.Request(
                    request.method,
                    here,
                    headers=request.headers,
                    stream=request.stream,
                    extensions=request.extensions,
                )
            )

    def settle(self, before: int) -> None:
        """Waits for what comes after the reply to a request, when `before` others were handled."""
        until = time.monotonic() + self.timeout
        while self.worker.busy > before and time.monotonic() < until:
            time.sleep(0.0005)

    def raise_error(self, response: httpx.Response | None = None) -> None:
        if self.worker.errors and self.raise_server_exceptions:
            error = self.worker.errors.popleft()
            if response is not None:
                response.close()
            raise error

    @contextmanager
    def explained(self) -> Iterator[None]:
        """A connection that breaks because the app has raised is that exception."""
        try:
            yield
        except httpx.TransportError as exc:
            if self.worker.errors and self.raise_server_exceptions:
                raise self.worker.errors.popleft() from exc
            raise

    def close(self) -> None:
        self.http.close()


class _Stream(httpx.SyncByteStream):
    """The content of a reply as it comes."""

    def __init__(self, stream: httpx.SyncByteStream, link: _Transport, before: int) -> None:
        self.stream = stream
        self.link = link
        self.before = before
        self.open = True

    def __iter__(self) -> Iterator[bytes]:
        with self.link.explained():
            yield from self.stream

    def close(self) -> None:
        self.stream.close()
        waits, self.open = self.open and self.link.timeout > 0, False
        if waits:
            self.link.settle(self.before)
            self.link.raise_error()
