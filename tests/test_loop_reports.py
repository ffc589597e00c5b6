"""What a loop tells of what went wrong, and to whom."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import sys
from asyncio import AbstractEventLoop as Loop
from typing import Any

import pytest

import weft

from .loops import Reports, loop, turn

__all__ = ["loop"]


# asyncio leaves the transport to the collector, which has something to say of it
half_made = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def fail() -> None:
    raise LookupError("first")


def test_an_exception_handler_is_an_except_clause(loop: Loop) -> None:
    """logging.exception() and traceback.print_exc() in it show what was raised."""
    seen: list[Any] = []
    loop.set_exception_handler(lambda *_: seen.append(sys.exc_info()[1]))
    loop.call_soon(fail)
    try:
        raise KeyError("around the run")
    except KeyError:
        outer = sys.exc_info()[1]
        turn(loop)
        after = sys.exc_info()[1]
    assert after is outer
    assert [str(exc) for exc in seen] == ["first"]
    assert sys.exc_info()[1] is None


def test_the_exception_handler_of_a_transport_is_an_except_clause(loop: Loop) -> None:
    class Protocol(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            fail()

    seen = loop.create_future()
    loop.set_exception_handler(lambda *_: seen.set_result(sys.exc_info()[1]))
    a, b = socket.socketpair()
    with b:
        transport, _ = loop.run_until_complete(loop.create_connection(Protocol, sock=a))
        b.send(b"x")
        assert isinstance(loop.run_until_complete(seen), LookupError)
        transport.abort()
        turn(loop)


def test_the_log_of_an_exception_handler_that_fails_has_both_exceptions(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(loop: Loop, context: dict[str, Any]) -> None:
        raise ValueError("second")

    loop.set_exception_handler(handler)
    loop.call_soon(fail)
    with caplog.at_level(logging.ERROR, "asyncio"):
        turn(loop)
    assert "LookupError: first" in caplog.text
    assert "ValueError: second" in caplog.text


def test_a_descriptor_that_cannot_be_watched_holds_nobody_up(loop: Loop) -> None:
    """Under systemd, docker and cron standard input is /dev/null, which epoll refuses."""
    reports = Reports(loop)
    stdin = open(os.devnull, "rb", buffering=0)  # noqa: SIM115 - the transport closes it
    connecting = loop.connect_read_pipe(asyncio.Protocol, stdin)
    transport, _ = loop.run_until_complete(asyncio.wait_for(connecting, 60))
    (exc,) = reports.exceptions
    assert exc.errno == errno.EPERM
    transport.close()
    turn(loop)


@half_made
@pytest.mark.parametrize("protocol", [None, 5])
def test_what_is_no_protocol_makes_no_connection(loop: Loop, protocol: Any) -> None:
    a, b = socket.socketpair()
    with a, b, pytest.raises(AttributeError, match="connection_made"):
        loop.run_until_complete(loop.create_connection(lambda: protocol, sock=a))


def test_a_server_closes_the_connection_of_what_is_no_protocol() -> None:
    """asyncio's does when the socket is collected."""
    loop = weft.new_event_loop()
    loop.set_debug(False)
    factory: Any = lambda: None  # noqa: E731 - a return that was forgotten
    server = loop.run_until_complete(loop.create_server(factory, "127.0.0.1", 0))
    reports = Reports(loop)

    async def read() -> bytes:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            return await asyncio.wait_for(reader.read(), 60)
        finally:
            writer.close()

    assert loop.run_until_complete(read()) == b""
    assert reports == []  # in debug mode only, as with asyncio
    server.close()
    turn(loop)
    loop.close()
