"""The event loop: `_core.Loop` in front, asyncio's own classes behind it for what is not native.

Scheduling, timers, descriptors and the turns themselves are C. Transports, servers, `sock_*`,
subprocesses, signals and executors are asyncio's code on top of them, inherited."""

from __future__ import annotations

import selectors
import socket
import ssl
import sys
import threading
import weakref
from asyncio import base_events, constants, events, log, unix_events
from typing import TYPE_CHECKING, Any

from .. import _core
from ._tls import SSLProtocol

_base: Any = base_events  # its private names are not in typeshed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from typing import TypeVarTuple, Unpack

    _Ts = TypeVarTuple("_Ts")

    class _Inherited(unix_events._UnixSelectorEventLoop):
        """asyncio's loop, with what we use of its inside."""

        _ssock: Any
        _csock: Any
        _old_agen_hooks: Any
        slow_callback_duration: float
        _asyncgen_firstiter_hook: Any
        _asyncgen_finalizer_hook: Any

        def _ensure_fd_no_transport(self, fd: Any) -> None: ...
        def _start_serving(self, *args: Any) -> None: ...
        def _make_datagram_transport(self, *args: Any) -> Any: ...
        def _check_running(self) -> None: ...
        def _make_self_pipe(self) -> None: ...
        def _close_self_pipe(self) -> None: ...
        def _set_coroutine_origin_tracking(self, enabled: bool) -> None: ...
        def _run_forever_setup(self) -> None: ...
        def _run_forever_cleanup(self) -> None: ...
else:
    _Inherited = unix_events._UnixSelectorEventLoop


_NATIVE_FAMILIES = {socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}


class _Reactor:
    """What asyncio sees as `loop._selector`: enough for a transport's repr, and to close."""

    def __init__(self, loop: Loop) -> None:
        self._loop = weakref.ref(loop)

    def close(self) -> None:
        loop = self._loop()
        if loop is not None:
            loop._release()

    def get_key(self, fd: Any) -> selectors.SelectorKey:
        loop = self._loop()
        reader, writer = loop._watched(fd) if loop is not None else (None, None)
        mask = (selectors.EVENT_READ if reader else 0) | (selectors.EVENT_WRITE if writer else 0)
        if not mask:
            raise KeyError(f"{fd!r} is not registered")
        fileno = fd if isinstance(fd, int) else fd.fileno()
        return selectors.SelectorKey(fd, fileno, mask, (reader, writer))


class Loop(_core.Loop, _Inherited):  # type: ignore[misc]
    """An `asyncio.AbstractEventLoop` whose turns are C."""

    def __init__(self) -> None:
        # BaseSelectorEventLoop's would make a selector and a self-pipe; the reactor has both.
        base_events.BaseEventLoop.__init__(self)
        log.logger.debug("Using reactor: %s", self._poller())
        self._selector = _Reactor(self)
        self._transports: Mapping[int, Any] = weakref.WeakValueDictionary()
        self._signal_handlers: dict[int, Any] = {}
        self._unix_server_sockets: dict[Any, int] = {}
        self._ssock = self._csock = None
        self._old_agen_hooks = None

    # ---- running

    def run_forever(self) -> None:
        """Run until stop() is called."""
        self._check_closed()
        self._check_running()
        try:
            self._run_forever_setup()
            self._run_turns()
        finally:
            self._run_forever_cleanup()

    if sys.version_info < (3, 13):

        def _run_forever_setup(self) -> None:
            self._set_coroutine_origin_tracking(self._debug)
            self._old_agen_hooks = sys.get_asyncgen_hooks()
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(
                firstiter=self._asyncgen_firstiter_hook,
                finalizer=self._asyncgen_finalizer_hook,
            )
            events._set_running_loop(self)

        def _run_forever_cleanup(self) -> None:
            self._stopping = False
            self._thread_id = None
            events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            if self._old_agen_hooks is not None:
                sys.set_asyncgen_hooks(*self._old_agen_hooks)
                self._old_agen_hooks = None

    def _close_self_pipe(self) -> None:
        if self._ssock is not None:
            super()._close_self_pipe()

    def _ran(self, handle: asyncio.Handle, seconds: float) -> None:
        if seconds >= self.slow_callback_duration:
            name = _base._format_handle(handle)
            _base.logger.warning("Executing %s took %.3f seconds", name, seconds)

    # ---- tasks

    _create_task_by_factory = _base.BaseEventLoop.create_task

    # ---- transports

    def _make_socket_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[Any] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: Any = None,
    ) -> _core.SocketTransport:
        self._ensure_fd_no_transport(sock)
        return _core.SocketTransport(self, sock, protocol, waiter, extra, server)

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        waiter: asyncio.Future[Any] | None = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        ssl_handshake_timeout: float | None = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: float | None = constants.SSL_SHUTDOWN_TIMEOUT,
    ) -> asyncio.Transport:
        self._ensure_fd_no_transport(rawsock)
        tls = SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        _core.SocketTransport(self, rawsock, tls, None, extra, server)
        transport: asyncio.Transport = tls._app_transport
        return transport

    def _make_datagram_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        address: Any = None,
        waiter: asyncio.Future[Any] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Any:
        real = issubclass(type(sock), socket.socket)  # a mock of one says that it is an instance
        if not real or sock.family not in _NATIVE_FAMILIES:
            return super()._make_datagram_transport(sock, protocol, address, waiter, extra)
        self._ensure_fd_no_transport(sock)
        return _core.DatagramTransport(self, sock, protocol, address, waiter, extra)

    async def start_tls(
        self,
        transport: Any,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport:
        """Go on in TLS; the transport to use from now on."""
        if not isinstance(sslcontext, ssl.SSLContext):
            raise TypeError(
                f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}"
            )
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        waiter = self.create_future()
        tls = SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            call_connection_made=False,
        )
        transport.pause_reading()  # nothing may come before the handshake has begun
        transport.set_protocol(tls)
        begin = self.call_soon(tls.connection_made, transport)
        go_on = self.call_soon(transport.resume_reading)
        try:
            await waiter
        except BaseException:
            transport.close()
            begin.cancel()
            go_on.cancel()
            raise
        above: asyncio.Transport = tls._app_transport
        return above

    def _start_serving(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sock: socket.socket,
        sslcontext: ssl.SSLContext | None = None,
        server: Any = None,
        backlog: int = 100,
        ssl_handshake_timeout: float | None = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: float | None = constants.SSL_SHUTDOWN_TIMEOUT,
    ) -> None:
        if sslcontext is None and sock.family in _NATIVE_FAMILIES:
            _core.Listener(self, sock, protocol_factory, server, backlog)
        else:
            super()._start_serving(
                protocol_factory,
                sock,
                sslcontext,
                server,
                backlog,
                ssl_handshake_timeout,
                ssl_shutdown_timeout,
            )

    # ---- signals

    def add_signal_handler(
        self, sig: int, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts
    ) -> None:
        """Call back when the signal arrives; as asyncio, with set_wakeup_fd."""
        self._check_closed()
        if self._csock is None:
            self._make_self_pipe()
        super().add_signal_handler(sig, callback, *args)
