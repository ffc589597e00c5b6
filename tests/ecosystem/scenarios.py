"""Libraries whose sdists bring no tests, and servers that other libraries' clients talk to."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import httpx
import psycopg
import pytest
import redis.asyncio
import uvicorn
import websockets
from hypercorn.asyncio import serve
from hypercorn.config import Config


def run(main: Callable[[], Any]) -> Any:
    with asyncio.Runner() as runner:
        weft = type(runner.get_loop()).__module__.startswith("use_weft")
        assert weft == (os.environ.get("WEFT_LOOP") == "1")
        return runner.run(asyncio.wait_for(main(), 60))


def test_websockets_echo() -> None:
    async def echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    async def main() -> None:
        async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
            port = server.sockets[0].getsockname()[1]
            async with websockets.connect(f"ws://127.0.0.1:{port}", max_size=None) as ws:
                for message in ("text", b"bytes", "x" * 300_000, b"y" * 3_000_000):
                    await ws.send(message)
                    assert await ws.recv() == message
                await asyncio.wait_for(await ws.ping(), 10)

    run(main)


def test_psycopg() -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(autocommit=True) as connection:
            rows = await connection.execute("select n, n * n from generate_series(1, 1000) n")
            assert await rows.fetchall() == [(n, n * n) for n in range(1, 1001)]
            async with connection.transaction():
                await connection.execute("create temporary table t (a int, b text)")
                async with connection.cursor().copy("copy t from stdin") as copy:
                    for n in range(1000):
                        await copy.write_row((n, "x" * n))
            count = await connection.execute("select count(*), sum(length(b)) from t")
            assert await count.fetchone() == (1000, 499_500)
            await connection.execute("listen news")
            async with await psycopg.AsyncConnection.connect(autocommit=True) as other:
                await other.execute("notify news, 'hello'")
            async for told in connection.notifies(timeout=10, stop_after=1):
                assert told.payload == "hello"

    run(main)


def test_psycopg_is_cancelled() -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(autocommit=True) as connection:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await connection.execute("select pg_sleep(30)")
            one = await connection.execute("select 1")
            assert await one.fetchone() == (1,)

    run(main)


def test_redis() -> None:
    async def main() -> None:
        async with redis.asyncio.Redis(port=int(os.environ["REDIS_PORT"])) as client:
            await asyncio.gather(*[client.set(f"k{n}", "v" * n) for n in range(50)])
            assert await asyncio.gather(*[client.strlen(f"k{n}") for n in range(50)]) == [
                *range(50)
            ]
            await client.delete("n")
            async with client.pipeline() as pipe:
                assert await pipe.delete("n").incr("n").incr("n").execute() == [0, 1, 2]
            async with client.pubsub() as pubsub:
                await pubsub.subscribe("news")
                await client.publish("news", b"x" * 100_000)
                async for message in pubsub.listen():
                    if message["type"] == "message":
                        assert message["data"] == b"x" * 100_000
                        break
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.blpop(["nothing"], timeout=0)

    run(main)


def test_grpc() -> None:
    async def shout(request: bytes, context: Any) -> bytes:
        return request.upper()

    async def count(request: bytes, context: Any) -> Any:
        for n in range(int(request)):
            yield b"%d" % n

    async def main() -> None:
        server = grpc.aio.server()
        handlers = {
            "Shout": grpc.unary_unary_rpc_method_handler(shout),
            "Count": grpc.unary_stream_rpc_method_handler(count),
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("T", handlers)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/T/Shout")
            assert await asyncio.gather(*[call(b"a%d" % n) for n in range(50)]) == [
                b"A%d" % n for n in range(50)
            ]
            got = [item async for item in channel.unary_stream("/T/Count")(b"100")]
            assert got == [b"%d" % n for n in range(100)]
        await server.stop(None)

    run(main)


async def application(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    name = type(asyncio.get_running_loop()).__module__.encode()
    headers = [(b"content-length", b"%d" % len(body)), (b"x-loop", name)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def ask(port: int) -> None:
    async with httpx.AsyncClient() as client:
        for size in (0, 10, 100_000, 2_000_000):
            replies = await asyncio.gather(
                *[client.post(f"http://127.0.0.1:{port}/", content=b"x" * size) for _ in range(5)]
            )
            assert all(reply.content == b"x" * size for reply in replies)


def test_uvicorn() -> None:
    async def main() -> None:
        server = uvicorn.Server(
            uvicorn.Config(application, port=0, lifespan="off", log_level="warning")
        )
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        await ask(server.servers[0].sockets[0].getsockname()[1])
        server.should_exit = True
        await serving

    run(main)


def test_hypercorn(unused_tcp_port: int) -> None:
    async def main() -> None:
        config = Config()
        config.bind = [f"127.0.0.1:{unused_tcp_port}"]
        stop = asyncio.Event()
        serving = asyncio.create_task(serve(application, config, shutdown_trigger=stop.wait))
        await asyncio.sleep(0.5)
        await ask(unused_tcp_port)
        stop.set()
        await serving

    run(main)


def test_a_subprocess_talks_to_a_server() -> None:
    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        code = (
            "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
            "s.sendall(b'hello\\n'); print(s.makefile().read(), end='')"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(port), stdout=asyncio.subprocess.PIPE
        )
        assert await process.communicate() == (b"HELLO\n", None)
        server.close()

    run(main)
