"""The event loop: `_core.Loop` in front, asyncio's own classes behind it for what is not native.

Scheduling, timers, descriptors, transports, operations on sockets and the turns themselves are C.
Servers, subprocesses, signals and executors are asyncio's code on top of them, inherited."""

from __future__ import annotations

import contextlib
import functools
import os
import selectors
import socket
import ssl
import sys
import threading
import weakref
from asyncio import base_events, constants, events, exceptions, log, unix_events
from typing import TYPE_CHECKING, Any

from .. import _core
from ._tls import SSLProtocol

_base: Any = base_events  # its private names are not in typeshed
_unix: Any = unix_events

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from typing import TypeVarTuple, Unpack

    from typing_extensions import Buffer

    _Ts = TypeVarTuple("_Ts")

    class _Inherited(unix_events._UnixSelectorEventLoop):
        """asyncio's loop, with what we use of its inside."""

        _ssock: Any
        _csock: Any
        _old_agen_hooks: Any
        slow_callback_duration: float
        _asyncgen_firstiter_hook: Any
        _asyncgen_finalizer_hook: Any

        def _start_serving(self, *args: Any) -> None: ...
        async def _ensure_resolved(self, address: Any, **kwargs: Any) -> Any: ...
        async def _sock_sendfile_native(self, *args: Any) -> int: ...
        def _make_datagram_transport(self, *args: Any) -> Any: ...
        def _check_running(self) -> None: ...
        async def _make_subprocess_transport(self, *args: Any, **kwargs: Any) -> Any: ...
        def _make_self_pipe(self) -> None: ...
        def _close_self_pipe(self) -> None: ...
        def _set_coroutine_origin_tracking(self, enabled: bool) -> None: ...
        def _run_forever_setup(self) -> None: ...
        def _run_forever_cleanup(self) -> None: ...
else:
    _Inherited = unix_events._UnixSelectorEventLoop


_IP_FAMILIES = {socket.AF_INET, socket.AF_INET6}
_NATIVE_FAMILIES = {*_IP_FAMILIES, socket.AF_UNIX}


_NUMERIC_NAME = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


@functools.cache
def _has_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # an older kernel, or a sandbox that forbids it
        return False
    return True


def _has_child_watcher() -> bool:
    """Has the program chosen how children are watched? (Gone from 3.14 on.)

    asyncio makes one of the first two by itself, and we do what they do."""
    watcher = getattr(_base.events._event_loop_policy, "_watcher", None)
    return watcher is not None and type(watcher).__name__ not in _USUAL_WATCHERS


_USUAL_WATCHERS = {"ThreadedChildWatcher", "PidfdChildWatcher"}


def _exit_code(pid: int) -> int:
    try:
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)
    except ChildProcessError:
        log.logger.warning(
            "child process pid %d exit status already read: will report returncode 255", pid
        )
        return 255


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
        # For asyncio's own datagram transport, which remains for families that ours does not know.
        self._transports: Mapping[int, Any] = weakref.WeakValueDictionary()
        self._signal_handlers: dict[int, Any] = {}
        self._unix_server_sockets: dict[Any, int] = {}
        self._ssock = self._csock = None
        self._pidfds: set[int] = set()
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

    def _make_read_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[Any] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> _core.ReadPipeTransport:
        return _core.ReadPipeTransport(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[Any] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> _core.WritePipeTransport:
        return _core.WritePipeTransport(self, pipe, protocol, waiter, extra)

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

    # ---- operations on sockets; what only looks like one is asyncio's, and TLS, to be refused

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        """Receive up to n bytes."""
        if type(sock) is not socket.socket:
            return await super().sock_recv(sock, n)
        return await self._receive(sock, n)

    async def sock_recv_into(self, sock: socket.socket, buf: Buffer) -> int:
        """Receive into a buffer; how many bytes."""
        if type(sock) is not socket.socket:
            return await super().sock_recv_into(sock, buf)
        return await self._receive_into(sock, buf)

    async def sock_recvfrom(self, sock: socket.socket, bufsize: int) -> tuple[bytes, Any]:
        """Receive a datagram, and who sent it."""
        if type(sock) is not socket.socket:
            return await super().sock_recvfrom(sock, bufsize)
        return await self._receive_from(sock, bufsize)

    async def sock_recvfrom_into(
        self, sock: socket.socket, buf: Buffer, nbytes: int = 0
    ) -> tuple[int, Any]:
        """Receive a datagram into a buffer; how many bytes, and who sent it."""
        if type(sock) is not socket.socket:
            return await super().sock_recvfrom_into(sock, buf, nbytes)
        return await self._receive_from_into(sock, buf, nbytes or memoryview(buf).nbytes)

    async def sock_sendall(self, sock: socket.socket, data: Buffer) -> None:
        """Send all of the data."""
        if type(sock) is not socket.socket:
            return await super().sock_sendall(sock, data)
        return await self._send_all(sock, data)

    async def sock_sendto(self, sock: socket.socket, data: Buffer, address: Any) -> int:
        """Send a datagram; how many bytes of it."""
        if type(sock) is not socket.socket:
            return await super().sock_sendto(sock, data, address)
        return await self._send_to(sock, data, address)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect to an address; a host's name is looked up."""
        if type(sock) is not socket.socket:
            return await super().sock_connect(sock, address)
        if self._debug and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")
        if sock.family in _IP_FAMILIES:
            found = await self._ensure_resolved(
                address, family=sock.family, type=sock.type, proto=sock.proto, loop=self
            )
            address = found[0][4]
        return await self._connect(sock, address)

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        """Accept a connection: its socket, which does not block, and the peer's address."""
        if type(sock) is not socket.socket:
            return await super().sock_accept(sock)
        return await self._accept(sock)

    async def _sock_sendfile_native(
        self, sock: socket.socket, file: Any, offset: int, count: int | None
    ) -> int:
        if type(sock) is not socket.socket or not hasattr(_unix.os, "sendfile"):
            return await super()._sock_sendfile_native(sock, file, offset, count)
        try:
            fileno = file.fileno()
            size = os.fstat(fileno).st_size
        except (AttributeError, OSError) as exc:  # io.UnsupportedOperation is one
            raise exceptions.SendfileNotAvailableError("not a regular file") from exc
        if not (count or size):
            return 0
        return await self._send_file(sock, fileno, offset, count or 0, size)

    async def _sendfile_native(
        self, transport: Any, file: Any, offset: int, count: int | None
    ) -> int:
        reads = transport.is_reading()
        transport.pause_reading()
        await transport._make_empty_waiter()
        try:
            return await self.sock_sendfile(transport._sock, file, offset, count, fallback=False)
        finally:
            transport._reset_empty_waiter()
            if reads:
                transport.resume_reading()

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
        timeouts = ssl_handshake_timeout, ssl_shutdown_timeout
        if sock.family not in _NATIVE_FAMILIES:
            super()._start_serving(protocol_factory, sock, sslcontext, server, backlog, *timeouts)
            return
        factory: Callable[[], asyncio.BaseProtocol] = protocol_factory
        if sslcontext is not None:
            factory = functools.partial(self._accept_tls, protocol_factory, sslcontext, *timeouts)
        _core.Listener(self, sock, factory, server, backlog)

    def _accept_tls(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sslcontext: ssl.SSLContext,
        ssl_handshake_timeout: float | None,
        ssl_shutdown_timeout: float | None,
    ) -> SSLProtocol:
        """What stands between a connection just accepted and the application's protocol."""
        protocol = protocol_factory()
        waiter = self.create_future()
        tls = SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            True,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        waiter.add_done_callback(
            functools.partial(self._tls_accepted, tls._app_transport, protocol)
        )
        return tls

    def _tls_accepted(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None],
    ) -> None:
        exc = waiter.exception()
        if exc is None:
            return
        transport.close()
        if self._debug:
            context = {
                "message": "Error on transport creation for incoming connection",
                "exception": exc,
                "protocol": protocol,
                "transport": transport,
            }
            self.call_exception_handler(context)

    # ---- names and addresses

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """`socket.getaddrinfo`: numeric addresses at once, names by a thread of the executor."""
        if not self._debug:  # which has something to say about slow ones
            numeric = flags | socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            with contextlib.suppress(socket.gaierror):
                return socket.getaddrinfo(host, port, family, type, proto, numeric)
        return await super().getaddrinfo(
            host, port, family=family, type=type, proto=proto, flags=flags
        )

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """`socket.getnameinfo`: numbers at once, names by a thread of the executor."""
        if flags & _NUMERIC_NAME == _NUMERIC_NAME:
            return socket.getnameinfo(sockaddr, flags)
        return await super().getnameinfo(sockaddr, flags)

    # ---- subprocesses

    async def _make_subprocess_transport(
        self, protocol: Any, args: Any, shell: bool, *pipes: Any, extra: Any = None, **kwargs: Any
    ) -> Any:
        """As asyncio's, but that the kernel tells us of the child's end by a descriptor."""
        if not _has_pidfd() or _has_child_watcher():
            return await super()._make_subprocess_transport(
                protocol, args, shell, *pipes, extra=extra, **kwargs
            )
        waiter = self.create_future()
        transport = _unix._UnixSubprocessTransport(
            self, protocol, args, shell, *pipes, waiter=waiter, extra=extra, **kwargs
        )
        self._watch_child(transport)
        try:
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            await transport._wait()
            raise
        return transport

    def _watch_child(self, transport: Any) -> None:
        pid = transport.get_pid()
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:  # somebody else's waitpid(-1) has it
            self.call_soon(self._child_ended, transport, pid)
            return
        except OSError:  # no descriptor is left: a thread needs none
            threading.Thread(
                target=self._wait_for_child,
                args=(transport, pid),
                name=f"waitpid-{pid}",
                daemon=True,
            ).start()
            return
        self._pidfds.add(pidfd)
        self.add_reader(pidfd, self._child_ended, transport, pid, pidfd)

    def _child_ended(self, transport: Any, pid: int, pidfd: int | None = None) -> None:
        if pidfd is not None:
            self.remove_reader(pidfd)
            self._pidfds.remove(pidfd)
            os.close(pidfd)
        # after what its pipes bring this turn
        self.call_soon(transport._process_exited, _exit_code(pid))

    def _wait_for_child(self, transport: Any, pid: int) -> None:
        code = _exit_code(pid)
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            self.call_soon_threadsafe(transport._process_exited, code)

    def close(self) -> None:
        """Close the loop; a child that still runs is not waited for any more."""
        super().close()
        while self._pidfds:
            os.close(self._pidfds.pop())

    # ---- signals

    def add_signal_handler(
        self, sig: int, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts
    ) -> None:
        """Call back when the signal arrives; as asyncio, with set_wakeup_fd."""
        self._check_closed()
        if self._csock is None:
            self._make_self_pipe()
        super().add_signal_handler(sig, callback, *args)
