"""Serving an App: its loop, lifespan, sockets and signals around the core's server."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from weft import _core, forwarded, log
from weft.dispatch import Dispatch, compose, rescue
from weft.exceptions import SignatureError
from weft.generators import reply_of_items
from weft.loop import new_event_loop
from weft.middleware.layers import Middleware
from weft.mounts import Host, Mount
from weft.paths import normalized_root
from weft.requests import Request
from weft.responses import JSONResponse, Response
from weft.routing import Route, endpoint_name
from weft.sites import Compiled, Site, compile_site

if TYPE_CHECKING:
    from weft.app import App
    from weft.dev.view import View

DRAIN_SECONDS = 30.0  # where drain_timeout_ms does not say; Kubernetes waits as long
_BACKLOG = 2048
AccessLogFormat = Literal["short", "common", "combined", "json"]
DEFAULT_HEADERS = ("x-forwarded-for", "x-forwarded-proto")
_ABORT_SECONDS = 5.0  # for cancelled handlers to clean up
_POLL_SECONDS = 0.02
_HOSTS = "give 127.0.0.1 to be reached from this machine only, 0.0.0.0 from everywhere"


class StartupError(Exception):
    """Why an App cannot be served, in a sentence for whoever started it."""


class Limits(TypedDict, total=False):
    """Bounds of the server, in bytes, milliseconds and counts; 0 turns a timeout off."""

    head_bytes_max: int
    """of a request's head: 65,536; then 431"""
    target_bytes_max: int
    """of a request target: 16,384; then 414"""
    fields_max: int
    """field lines of a head: 100, which is also the most; then 431"""
    body_bytes_max: int
    """of a request's body where the route says nothing: 10 MiB; then 413"""
    head_timeout_ms: int
    """until a head is there: 10,000; then 408"""
    body_rate_min: int
    """bytes a second of a body: 240; slower is a 408"""
    body_grace_ms: int
    """for a body to begin, and for short stalls: 10,000"""
    idle_timeout_ms: int
    """between requests of a connection: 75,000"""
    write_timeout_ms: int
    """for a client that takes nothing: 60,000"""
    handler_timeout_ms: int
    """for a handler: 0, which is none; then it is cancelled, and 504"""
    handler_grace_ms: int
    """for that one to end, and its 504 to be made: 10,000; then the server sends its own"""
    connections_max: int
    """65,536; then 503"""
    requests_per_connection_max: int
    """0, which is any number"""
    drain_timeout_ms: int
    """for requests that run, once asked to stop: 30,000; then they are cancelled"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Where and how to serve: at `host` and `port` (0: one that is free), or on the unix socket
    `uds`."""

    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    fds: tuple[int, ...] = ()
    """listening sockets made by somebody else, in place of all of the above"""
    log_level: str = "info"
    access_log: bool = True
    access_log_format: AccessLogFormat = "short"
    forwarded_allow_ips: str | Sequence[str] | None = None
    """addresses and networks of proxies that are trusted, `"*"` for all; None is what
    FORWARDED_ALLOW_IPS says in the environment, else 127.0.0.1"""
    forwarded_headers: Sequence[str] = DEFAULT_HEADERS
    """what is read of theirs: also `x-forwarded-host` and `forwarded` (RFC 7239), which a proxy
    that does not set them passes on from its client"""
    root_path: str = ""
    """what a proxy takes off the paths it passes on, like /api/v1"""
    decode_bodies: bool = True
    """undo the Content-Encoding of requests: gzip, br, zstd"""
    limits: Limits = field(default_factory=Limits)


class Server:
    """One App on one loop; `serve()` runs it from the lifespan's startup to its shutdown.

    `addresses` are those it listens at once it serves, like "127.0.0.1:8000". `SignatureError` for
    a route that no plan can be made of. `on_error` is called with each exception of a handler that
    nothing else answers, on the loop's thread. `view` has routes of its own, which no middleware in
    Python is around, and is told of the core; for development only.
    """

    def __init__(
        self,
        app: App,
        config: Config,
        *,
        on_error: Callable[[BaseException], None] | None = None,
        view: View | None = None,
    ) -> None:
        self.app = app
        self.config = config
        self.on_error = on_error
        self.view = view
        self.addresses: list[str] = []
        self.phase: Literal["startup", "serving", "draining", "shutdown"] = "startup"
        self.stopped_by: signal.Signals | None = None
        self._forwarded = _describe_proxies(config)
        self._root_path = _root_path(app, config)
        own = view.routes if view is not None else []
        self._site = compile_site(app, own)
        self._unsurrounded = len(own)
        self.core: _core.Server | None = None
        self._stop = asyncio.Event()
        self._abort = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def serve(self, ready: Callable[[], None], *, lifespan: bool = True) -> None:
        """Serves until `stop()` or a signal; `ready` is called once requests are answered.

        `StartupError` when it cannot listen; `TypeError` on a loop that is not weft's; whatever the
        lifespan raises.
        """
        self._task = asyncio.current_task()
        failure: StartupError | None = None
        with self._signals():
            async with self.app.running_lifespan() if lifespan else nullcontext():
                try:
                    core = self.core = self._make_core()
                    self.addresses = listen(core, self.config)
                    core.start()
                    self.phase = "serving"
                    ready()
                    await self._stop.wait()
                    await self._drain(core)
                except StartupError as exc:
                    failure = exc  # not the lifespan's affair: it ends as it always does
                finally:
                    self.phase = "shutdown"
                    if self.core is not None:
                        self.core.close()
                    if self.config.uds is not None and self.addresses:
                        _unlink(self.config.uds)
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Finishes what runs and ends; the second time, at once. On the loop's thread."""
        if self.phase == "serving" and not self._stop.is_set():
            self._stop.set()
        elif self.phase in ("serving", "draining"):
            self._abort.set()
        elif self._task is not None:
            self._task.cancel()  # a startup or shutdown that outlasts its user's patience

    def _make_core(self) -> _core.Server:
        core = _core.Server(
            asyncio.get_running_loop(),
            self.app,
            Request,
            response_class=Response,
            config=_limits_of_core(self.config.limits),
            server_name=b"weft",
            access_log_fd=_access_log_fd(self.config),
            on_error=self.on_error,
            unrouted=self._site.unrouted,
            redirect_slashes=self.app.redirect_slashes,
            decode_bodies=self.config.decode_bodies,
            access_log_format=self.config.access_log_format,
            forwarded=self._forwarded,
            root_path=self._root_path,
        )
        if self.view is not None:
            self.view.watch(core, self._site)
        _serve(core, self._site, 0, (), self._unsurrounded)
        return core

    async def _drain(self, core: _core.Server) -> None:
        """Streams of events end at once, everything else gets its time."""
        self.phase = "draining"
        core.drain()
        seconds = self.config.limits.get("drain_timeout_ms", DRAIN_SECONDS * 1000) / 1000
        if not await self._wait_for(
            lambda: core.open_connections == 0 and core.running == 0, seconds or math.inf
        ):
            log.logger.warning(
                "Closing %d connections that are not done, cancelling %d handlers and background "
                "tasks.",
                core.open_connections,
                core.running,
            )
            core.abort()
            await self._wait_for(lambda: core.running == 0, _ABORT_SECONDS, abortable=False)

    async def _wait_for(
        self, done: Callable[[], bool], seconds: float, *, abortable: bool = True
    ) -> bool:
        deadline = asyncio.get_running_loop().time() + seconds
        while not done():
            if asyncio.get_running_loop().time() > deadline or (abortable and self._abort.is_set()):
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM stop the server, where this thread may say so."""
        loop = asyncio.get_running_loop()
        handled: list[signal.Signals] = []
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._on_signal, number)
                handled.append(number)
        except (ValueError, RuntimeError):
            pass  # not the main thread: whoever started this one stops it
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals) -> None:
        self.stopped_by = number
        if self.phase == "serving":
            log.logger.info("Shutting down; once more to do so at once.")
        self.stop()


def _limits_of_core(limits: Limits) -> dict[str, int]:
    named = cast("dict[str, int]", limits)
    return {name: value for name, value in named.items() if name != "drain_timeout_ms"}


def _serve(
    core: _core.Server,
    site: Site,
    mount: int,
    around: tuple[Dispatch, ...] = (),
    unsurrounded: int = 0,
) -> None:
    """Adds the routes of a router, and what is mounted in it, to the router `mount` of the core.

    `around` is the middleware of the Apps around it, from the outermost in Python inwards.
    """
    if site.is_app:
        around += _add_middleware(core, site.app, mount, around)
        handlers = site.app.exception_handlers
        core.set_exception_handlers(
            {key: handler for key, handler in handlers.items() if not isinstance(key, int)},
            {key: handler for key, handler in handlers.items() if isinstance(key, int)},
            mount,
        )
        core.set_overrides(site.app.dependency_overrides, site.override, mount)
    for i, entry in enumerate(site.entries):
        if i == unsurrounded and site.is_app and (middleware := compose(around)) is not None:
            core.set_middleware(middleware, rescue, mount)  # around the routes that come now
        if isinstance(entry, Compiled):
            _add_route(core, entry, mount)
        elif isinstance(entry, Site):
            _serve(core, entry, _add_mount(core, entry, mount), around)
        else:
            _add_static(core, entry, mount)


def _add_middleware(
    core: _core.Server, app: App, mount: int, around: tuple[Dispatch, ...]
) -> tuple[Dispatch, ...]:
    """Tells the core of an App's steps in C. What comes back is its middleware from the first in
    Python inwards; steps in C that stand side by side there are one of them."""
    outer = next((step for step in reversed(around) if isinstance(step, _core.Layers)), None)
    within: list[Dispatch] = []
    for in_c, steps in groupby(app.middleware_stack, lambda step: isinstance(step, Middleware)):
        if not in_c:
            within += cast("Iterator[Dispatch]", steps)
        elif within or around:
            outer = _inner_layers(core, cast("Iterator[Middleware]", steps), outer, mount)
            within.append(outer)
        else:
            for layer in cast("Iterator[Middleware]", steps):
                with _named(layer):
                    core.add_layer(*layer.layer(), mount)
    return tuple(within)


def _inner_layers(
    core: _core.Server, steps: Iterator[Middleware], outer: _core.Layers | None, mount: int
) -> _core.Layers:
    layers = core.inner_layers(outer, mount)
    for layer in steps:
        with _named(layer):
            layers.add(*layer.layer())
    return layers


@contextmanager
def _named(layer: Middleware) -> Iterator[None]:
    """`StartupError` for what weft was built without."""
    try:
        yield
    except ValueError as exc:
        raise StartupError(f"{type(layer).__name__}: {exc}.") from exc


def _add_mount(core: _core.Server, site: Site, parent: int) -> int:
    at = site.at
    if at == "fallback":
        return core.add_fallback(parent)
    pattern, host = (at.pattern, True) if isinstance(at, Host) else (getattr(at, "path", ""), False)
    app = site.app if site.is_app else None
    slashes = site.router.redirect_slashes
    try:
        return core.add_mount(parent, pattern, host, app, site.unrouted, slashes)
    except ValueError as exc:
        raise StartupError(f"{site.router!r} cannot be mounted: {exc}.") from exc


def _add_static(core: _core.Server, entry: Mount, mount: int) -> None:
    files: Any = entry.app
    try:
        core.add_static(mount, entry.path + "/{path:path}", *files.arguments())
    except ValueError as exc:
        raise StartupError(f"The files at {entry.path!r} cannot be served: {exc}.") from exc


def _add_route(core: _core.Server, compiled: Compiled, mount: int) -> None:
    """`StartupError` for a path that the router does not take."""
    route, model = compiled.route, compiled.model
    made_by = route.response_class
    if made_by is JSONResponse:
        made_by = None  # what the core does with values by itself
    text_type = _text_type(made_by)
    makes: Callable[..., Response] | None = made_by
    if (of_items := reply_of_items(route, model)) is not None:
        makes, model, text_type = of_items, None, None
    name = f"{route.endpoint.__module__}.{endpoint_name(route.endpoint)}"
    shape: dict[str, Any] = {} if model is None or model.shape is None else {"shape": model.shape}
    try:
        core.add_route(
            route.path,
            route.methods,
            compiled.plan,
            kind=route.kind,
            status_code=route.default_status,
            response_class=makes,
            text_type=text_type,
            body_max=route.max_body_size,
            cancel=route.cancel_on_disconnect,
            name=name,
            params=compiled.params,
            form_limits=_form_limits(route),
            model=model.judge if model is not None else None,
            mount=mount,
            timeout_ms=_milliseconds(route.timeout),
            strict_content_type=route.strict_content_type is not False,
            route=route,
            handler=compiled.handler,
            **shape,
        )
    except ValueError as exc:
        raise StartupError(f"The route of {name} cannot be served: {exc}.") from exc


def _milliseconds(seconds: float | None) -> int:
    return 0 if seconds is None else max(1, round(seconds * 1000))


def _form_limits(route: Route) -> tuple[int, int, int]:
    limits = route.form_limits or {}
    return (
        limits.get("max_files", 1000),
        limits.get("max_fields", 1000),
        limits.get("max_part_size", 1024 * 1024),
    )


def _describe_proxies(config: Config) -> tuple[bytes, bool, bool, int]:
    try:
        return forwarded.describe(config.forwarded_allow_ips, config.forwarded_headers)
    except ValueError as exc:
        raise StartupError(f"It is not clear {exc}.") from None


def _root_path(app: App, config: Config) -> tuple[bytes, bool]:
    """In bytes; and may a path have it already? One that the App names is not always taken off."""
    try:
        root_path = normalized_root(config.root_path)
    except ValueError as exc:
        raise StartupError(f"It is a {exc}.") from None
    if root_path and app.root_path and root_path != app.root_path:
        raise StartupError(
            f"The root path is {root_path!r} here and {app.root_path!r} in {app!r}: say it once."
        )
    return (root_path or app.root_path).encode(), not root_path


def run(app: App, config: Config) -> None:
    """Serves until a signal; `SystemExit`, with the reason on stderr, when it cannot start."""
    log.configure(config.log_level)
    try:
        server = Server(app, config)
    except (SignatureError, StartupError) as exc:
        log.logger.error("%s", exc)
        raise SystemExit(1) from None

    def ready() -> None:
        log.logger.info("Started process %d.", os.getpid())
        for address in server.addresses:
            url = address if address.startswith("unix:") else f"http://{address}"
            log.logger.info("weft running on %s (Press CTRL+C to quit)", url)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            runner.run(server.serve(ready))
        except StartupError as exc:
            log.logger.error("%s", exc)
            raise SystemExit(1) from None
        except asyncio.CancelledError:
            log.logger.error("Interrupted in the application's %s.", server.phase)
            raise SystemExit(128 + (server.stopped_by or signal.SIGINT)) from None
        except Exception:
            log.logger.exception("The application's %s failed.", server.phase)
            raise SystemExit(1) from None
    log.logger.info("Finished.")


def _access_log_fd(config: Config) -> int:
    wanted = config.access_log and config.log_level in ("info", "debug")
    try:
        return sys.stdout.fileno() if wanted else -1
    except (OSError, ValueError, AttributeError):  # closed, or replaced by something without one
        return -1


# ---- listening ----


def _text_type(made_by: type[Response] | None) -> bytes | None:
    """The content-type of a str reply, where `made_by` does to it what the core does by itself."""
    if made_by is None or made_by.media_type is None or made_by.charset != "utf-8":
        return None
    overridden = {"__init__", "render", "init_headers"} & set().union(
        *(vars(c) for c in made_by.__mro__[: made_by.__mro__.index(Response)])
    )
    return None if overridden else made_by("").raw_headers[0][1]


def listen(core: _core.Server, config: Config) -> list[str]:
    """Opens the sockets of `config`; gives their addresses, or raises `StartupError`."""
    if config.fds:
        for fd in config.fds:
            core.listen_fd(fd)
        return core.addresses
    if config.uds is not None:
        _listen_unix(core, config.uds)
        return core.addresses
    port = config.port
    failure: OSError | None = None
    for host in _resolve(config.host, port):
        try:
            core.listen(host, port)
        except OSError as exc:
            failure = exc
            if exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                break
            continue  # "localhost" names ::1 also on machines without IPv6
        port = int(core.addresses[0].rpartition(":")[2])  # where it was 0, the others get the same
    if not core.addresses or (failure is not None and failure.errno == errno.EADDRINUSE):
        raise StartupError(_explain(config.host, port, failure)) from failure
    return core.addresses


def bind(config: Config) -> list[socket.socket]:
    """Listening sockets of `config` that outlive a server and can be inherited by one."""
    if config.uds is not None:
        _remove_stale(config.uds)
        sock = socket.socket(socket.AF_UNIX)
        addresses: list[tuple[socket.socket, Any]] = [(sock, config.uds)]
    else:
        addresses = []
        for host in _resolve(config.host, config.port):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            sock = socket.socket(family)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            addresses.append((sock, (host, config.port)))
    sockets, failure = [], None
    for sock, address in addresses:
        try:
            sock.bind(address)
            sock.listen(_BACKLOG)
            sockets.append(sock)
        except OSError as exc:
            failure = exc
            sock.close()
    if not sockets or (failure is not None and failure.errno == errno.EADDRINUSE):
        for sock in sockets:
            sock.close()
        raise StartupError(_explain(config.host, config.port, failure)) from failure
    return sockets


def _resolve(host: str, port: int) -> list[str]:
    if not 0 <= port <= 65535:
        raise StartupError(f"There is no port {port}: choose 1 to 65535, or 0 for any free one.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise StartupError(f"There is no host {host!r}: {_HOSTS}.") from None
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def _explain(host: str, port: int, failure: OSError | None) -> str:
    where = f"port {port} of {host}"
    match failure.errno if failure is not None else None:
        case errno.EADDRINUSE:
            return (
                f"Cannot listen on {where}: another program does already. "
                "Stop it, or choose another port: --port 8001."
            )
        case errno.EACCES | errno.EPERM:
            return (
                f"May not listen on {where}: ports below 1024 are for root. "
                "Choose a higher one, or give the interpreter CAP_NET_BIND_SERVICE."
            )
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            return f"Cannot listen on {where}: it is not an address of this machine; {_HOSTS}."
        case _:
            reason = os.strerror(failure.errno) if failure and failure.errno else str(failure)
            return f"Cannot listen on {where}: {reason}."


def _listen_unix(core: _core.Server, path: str) -> None:
    _remove_stale(path)
    try:
        core.listen_unix(path)
    except OSError as exc:
        reason = os.strerror(exc.errno) if exc.errno else str(exc)
        raise StartupError(f"Cannot listen on the unix socket {path}: {reason}.") from exc


def _remove_stale(path: str) -> None:
    """Removes a socket that nobody listens on any more; leaves and explains anything else."""
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return  # nothing there, or listening will say what is wrong
    if not is_socket:
        raise StartupError(f"Cannot listen on {path}: there is a file that is no socket.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            _unlink(path)
            return
        except OSError:
            return
    raise StartupError(f"Cannot listen on the unix socket {path}: another program does already.")


def _unlink(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
