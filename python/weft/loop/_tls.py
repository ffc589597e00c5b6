"""TLS over a stream transport: asyncio's SSLProtocol, its steps and what runs for all data in C."""

from __future__ import annotations

from asyncio import sslproto
from typing import Any

from .. import _core

_sslproto: Any = sslproto  # its private names are not in typeshed
_start_shutdown = _sslproto.SSLProtocol._start_shutdown


class SSLTransport(_sslproto._SSLProtocolTransport):  # type: ignore[misc]
    """What an application writes to."""

    write = _core._tls_write


class SSLProtocol(_core.TLS, sslproto.SSLProtocol):
    """Arguments, the backlog and flow control are asyncio's."""

    max_size: int  # type: ignore[misc]
    _app_transport_created: bool

    def __init__(self, *args: Any, **options: Any) -> None:
        # asyncio's would make a read buffer of `max_size` for each connection. Native transports do
        # not use it; for others get_buffer() makes one.
        self.max_size = 0
        super().__init__(*args, **options)
        del self.max_size

    def _get_app_transport(self) -> Any:
        if self._app_transport is None:
            if self._app_transport_created:
                raise RuntimeError("Creating _SSLProtocolTransport twice")
            self._app_transport = SSLTransport(self._loop, self)
            self._app_transport_created = True
        return self._app_transport

    def _read_later(self) -> None:
        self._loop.call_soon(self._do_read)

    def _start_shutdown(self) -> None:
        if self._state is _sslproto.SSLProtocolState.DO_HANDSHAKE:
            # asyncio's own: what it asks of the transport differs between releases
            _start_shutdown(self)
        else:
            super()._start_shutdown()
