"""What a loop, its handles, transports and servers have in public, beside asyncio's.

The same names, and the same parameters, but for those listed here and in
docs/internals/pyloop-differences.md."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import socket
import ssl
from typing import Any

import pytest
import trustme

import weft

from .loops import loop as loop

Loop = asyncio.AbstractEventLoop

# Parameters that ours take by position only.
BY_POSITION = {"set_protocol", "write", "writelines"}


def public(thing: Any) -> set[str]:
    return {name for name in dir(thing) if name[0] != "_" and hasattr(thing, name)}


def parameters(method: Any) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(method).parameters.values()
    return [(p.name, p.kind, p.default) for p in found]


def by_position(parameters: list[tuple[str, Any, Any]]) -> list[tuple[str, Any, Any]]:
    return [(name, inspect.Parameter.POSITIONAL_ONLY, default) for name, _, default in parameters]


def compare(theirs: Any, ours: Any, *missing: str) -> None:
    assert public(theirs) - public(ours) == set(missing)
    assert public(ours) - public(theirs) == set()
    for name in public(ours):
        their, our = getattr(theirs, name), getattr(ours, name)
        assert callable(their) == callable(our), name
        if callable(our):
            wanted = parameters(their)
            assert parameters(our) == wanted or (
                name in BY_POSITION and parameters(our) == by_position(wanted)
            ), name
            coroutine = inspect.iscoroutinefunction
            assert coroutine(our) == coroutine(their), name
            assert our.__doc__ or not their.__doc__, name


class Ends(asyncio.Protocol):
    """Notes when the last of its connections is gone."""

    def __init__(self, open: set[asyncio.Protocol]) -> None:
        self.open = open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.remove(self)


async def transports(open: set[asyncio.Protocol]) -> dict[str, Any]:
    """One of each kind, and a server. In `open` are streams, both ends, while they are."""
    ca = trustme.CA()
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(server_tls)
    client_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(client_tls)
    loop = asyncio.get_running_loop()
    ends = functools.partial(Ends, open)
    plain = await loop.create_server(ends, "127.0.0.1", 0)
    over_tls = await loop.create_server(ends, "127.0.0.1", 0, ssl=server_tls)
    tcp, _ = await loop.create_connection(ends, *plain.sockets[0].getsockname())
    tls, _ = await loop.create_connection(
        ends,
        *over_tls.sockets[0].getsockname(),
        ssl=client_tls,
        server_hostname="localhost",
    )
    udp, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    reading, writing = os.pipe()
    read_pipe, _ = await loop.connect_read_pipe(ends, os.fdopen(reading, "rb", 0))
    write_pipe, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(writing, "wb", 0))
    child, _ = await loop.subprocess_exec(asyncio.SubprocessProtocol, "true")
    return {
        "server": plain,
        "TCP": tcp,
        "TLS": tls,
        "UDP": udp,
        "read pipe": read_pipe,
        "write pipe": write_pipe,
        "child": child,
        "TLS server": over_tls,
    }


# What asyncio's classes inherit without being of use: max_size is the size of their recv(), and
# their datagram transport and their write pipe are streams too, in name.
MISSING = {
    "TCP": ["max_size"],
    "UDP": ["max_size", "can_write_eof", "write", "write_eof", "writelines"],
    "read pipe": ["max_size"],
    "write pipe": ["is_reading", "pause_reading", "resume_reading"],
}


def test_the_loop_and_its_handles() -> None:
    theirs, ours = asyncio.SelectorEventLoop(), weft.new_event_loop()
    compare(theirs, ours)
    compare(theirs.call_soon(print), ours.call_soon(print))
    timers = theirs.call_later(1, print), ours.call_later(1, print)
    compare(*timers)
    for timer in timers:
        timer.cancel()
    theirs.close()
    ours.close()


async def end(made: dict[str, Any], open: set[asyncio.Protocol]) -> None:
    for thing in made.values():
        getattr(thing, "abort", thing.close)()
    while open:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.001)  # datagrams and the child's pipes


def test_transports_and_servers() -> None:
    theirs, ours = asyncio.SelectorEventLoop(), weft.new_event_loop()
    their_open: set[asyncio.Protocol] = set()
    our_open: set[asyncio.Protocol] = set()
    their_things = theirs.run_until_complete(transports(their_open))
    our_things = ours.run_until_complete(transports(our_open))
    for name, their in their_things.items():
        our = our_things[name]
        compare(their, our, *MISSING.get(name, []))
        if hasattr(their, "get_extra_info"):
            for info in ("socket", "sockname", "peername", "pipe", "subprocess", "sslcontext"):
                their_info, our_info = their.get_extra_info(info), our.get_extra_info(info)
                assert type(their_info) is type(our_info), (name, info)
    theirs.run_until_complete(end(their_things, their_open))
    ours.run_until_complete(end(our_things, our_open))
    theirs.close()
    ours.close()


# ---- arguments by name


def test_callbacks_are_scheduled_by_name(loop: Loop) -> None:
    got: list[int] = []

    def callback() -> None:
        got.append(1)
        if len(got) == 4:
            loop.stop()

    any_loop: Any = loop
    any_loop.call_soon(callback=callback)
    any_loop.call_soon_threadsafe(callback=callback, context=None)
    any_loop.call_later(delay=0, callback=callback)
    assert any_loop.call_at(callback=callback, when=loop.time() + 0.001).when() > 0
    loop.run_forever()
    assert len(got) == 4


def test_a_delay_by_position_and_a_callback_by_name(loop: Loop) -> None:
    any_loop: Any = loop
    any_loop.call_later(0.001, callback=loop.stop)
    loop.run_forever()


def test_names_that_are_wrong_are_refused(loop: Loop) -> None:
    any_loop: Any = loop
    for call in (
        lambda: any_loop.call_soon(print, callback=print),
        lambda: any_loop.call_soon(function=print),
        lambda: any_loop.call_soon(context=None),
        lambda: any_loop.call_later(delay=1),
        lambda: any_loop.call_later(1, print, 2, callback=print),
        lambda: any_loop.call_at(when=1, callback=print, delay=2),
        lambda: any_loop.add_reader(fd=0),
        lambda: any_loop.add_reader(0, print, context=None),
        lambda: any_loop.remove_reader(),
        lambda: any_loop.remove_writer(0, fd=0),
        lambda: any_loop.remove_writer(0, 1),
    ):
        with pytest.raises(TypeError):
            call()


def test_descriptors_are_watched_by_name(loop: Loop) -> None:
    any_loop: Any = loop
    a, b = socket.socketpair()
    with a, b:
        any_loop.add_writer(fd=a, callback=loop.stop)
        loop.run_forever()
        assert any_loop.remove_writer(fd=a)
        any_loop.add_reader(a.fileno(), callback=loop.stop)
        b.send(b"x")
        loop.run_forever()
        assert any_loop.remove_reader(fd=a)
        assert not any_loop.remove_reader(fd=a)


def test_a_socket_is_received_from_by_name(loop: Loop) -> None:
    async def main() -> None:
        a, b = socket.socketpair()
        with a, b:
            a.setblocking(False)
            b.send(b"hello")
            assert await loop.sock_recv(sock=a, n=5) == b"hello"  # type: ignore[call-arg]

    loop.run_until_complete(main())
