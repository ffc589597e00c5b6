"""Applications that reach for the process itself: it may end, but by its own will, and says so."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from .wire import Client, get

PROGRAM = """
import asyncio, gc, os, signal, sys, threading, time
from weft import App, Request, Response, StreamingResponse
from weft.server import Config, run
import weft.server

weft.server.DRAIN_SECONDS = 0.2
weft.server._ABORT_SECONDS = 0.2
app = App()

@app.get("/ok")
async def ok() -> str:
    return "ok"

def server():
    return next(o for o in gc.get_objects() if isinstance(o, weft._core.Server))

{endpoint}

if __name__ == "__main__":
    run(app, Config(port=0, access_log=False))
"""


@contextlib.contextmanager
def serving(endpoint: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    program = PROGRAM.format(endpoint=textwrap.dedent(endpoint))
    command = [sys.executable, "-X", "faulthandler", "-c", program]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            port = None
            while port is None:
                line = process.stderr.readline()
                assert line, "it did not start"
                port = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            yield process, int(port[1])
        finally:
            process.kill()


ABORTED = {-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE}


def end(process: subprocess.Popen[str], *, by_itself: float = 0) -> str:
    """Ends it; what it has said. Nobody aborted, and no memory was hurt."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(by_itself)
    process.send_signal(signal.SIGTERM)
    try:
        _, said = process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # faulthandler says where it is
        raise AssertionError(process.communicate()[1]) from None
    assert process.returncode not in ABORTED, said
    assert "Fatal Python error" not in said
    assert "Sanitizer" not in said
    return said


GOES_ON = {
    "noisy destructors": """
        class Dying(list):
            def __del__(self) -> None:
                raise ZeroDivisionError

        @app.get("/do")
        async def do(request: Request):
            request.state.it = Dying()
            if gc.get_count()[0] % 2:
                raise ValueError(Dying())
            return Dying([1, 2, Dying()])
    """,
    "exits": """
        @app.get("/do")
        async def do() -> None:
            sys.exit(3)
    """,
    "exits later": """
        @app.get("/do")
        async def do() -> None:
            await asyncio.sleep(0.001)
            sys.exit(3)
    """,
    "exits in a thread": """
        @app.get("/do")
        def do() -> None:
            sys.exit(3)
    """,
    "exits in a stream": """
        async def chunks():
            yield b"a"
            sys.exit(3)

        @app.get("/do")
        async def do() -> StreamingResponse:
            return StreamingResponse(chunks())
    """,
    "exits afterwards": """
        async def afterwards() -> None:
            sys.exit(3)

        @app.get("/do")
        async def do() -> Response:
            return Response("done", background=afterwards)
    """,
    "no collector, then a full one": """
        @app.get("/do")
        async def do(request: Request) -> str:
            gc.disable()
            request.state.own = request
            gc.collect()
            gc.enable()
            return "done"
    """,
    "another handler of signals": """
        @app.get("/do")
        async def do() -> str:
            signal.raise_signal(signal.SIGUSR1)
            return "done"

        signal.signal(signal.SIGUSR1, lambda *args: 1 / 0)
    """,
    "out of memory": """
        @app.get("/do")
        async def do() -> str:
            weft._core._alloc_fail_from(1)
            asyncio.get_running_loop().call_soon(weft._core._alloc_fail_from, 0)
            return "x" * 100_000
    """,
}

ENDS = {
    "hardly any stack": """
        @app.get("/do")
        async def do() -> str:
            sys.setrecursionlimit(len(__import__("inspect").stack()) + 12)
            return [[[[[[[[[[[[[[[[[[[[[["deep"]]]]]]]]]]]]]]]]]]]]]]
    """,
    "Ctrl-C in a handler": """
        @app.get("/do")
        async def do() -> None:
            raise KeyboardInterrupt
    """,
    "Ctrl-C later": """
        @app.get("/do")
        async def do() -> None:
            await asyncio.sleep(0.001)
            raise KeyboardInterrupt
    """,
    "Ctrl-C in a thread": """
        @app.get("/do")
        def do() -> None:
            raise KeyboardInterrupt
    """,
    "stops the loop": """
        @app.get("/do")
        async def do() -> None:
            asyncio.get_running_loop().stop()
            await asyncio.sleep(60)
    """,
    "cancels everything": """
        @app.get("/do")
        async def do() -> None:
            for task in asyncio.all_tasks():
                task.cancel()
            await asyncio.sleep(60)
    """,
    "exits from a callback": """
        @app.get("/do")
        async def do() -> None:
            asyncio.get_running_loop().call_soon(sys.exit, 3)
            await asyncio.sleep(60)
    """,
    "exits in a child": """
        async def child() -> None:
            sys.exit(3)

        @app.get("/do")
        async def do() -> None:
            await asyncio.create_task(child())
    """,
    "closes its server": """
        @app.get("/do")
        async def do() -> None:
            server().close()
            await asyncio.sleep(60)
    """,
    "closes its server and stops the loop": """
        @app.get("/do")
        async def do() -> None:
            server().close()
            asyncio.get_running_loop().stop()
    """,
    "closes all descriptors": """
        @app.get("/do")
        async def do() -> None:
            os.closerange(3, 100)
            threading.Timer(0.3, os._exit, [0]).start()
    """,
    "ends another's server": """
        def end() -> None:
            server().drain()
            asyncio.get_running_loop().call_soon(server().abort)

        @app.get("/do")
        async def do() -> None:
            end()
            await asyncio.sleep(60)
    """,
    "raises SIGTERM": """
        @app.get("/do")
        async def do() -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
    """,
    "takes the modules away": """
        @app.get("/do")
        async def do() -> None:
            for name in [name for name in sys.modules if name.startswith("weft")]:
                del sys.modules[name]
            gc.collect()
            asyncio.get_running_loop().stop()
    """,
}


@pytest.mark.parametrize("row", GOES_ON)
def test_what_goes_on(row: str) -> None:
    with serving(GOES_ON[row]) as (process, port):
        for _ in range(2):
            with Client(port) as client, contextlib.suppress(Exception):
                client.send(get("/do")).reply()
        with Client(port) as client:
            assert client.is_open()
        said = end(process)
        assert process.returncode == 0, said


@pytest.mark.parametrize("row", ENDS)
def test_what_may_end(row: str) -> None:
    with serving(ENDS[row]) as (process, port), Client(port) as other:
        assert other.is_open()
        with Client(port) as client:
            client.socket.settimeout(0.3)
            with contextlib.suppress(Exception):
                client.send(get("/do")).reply()
        end(process, by_itself=0.3)


def test_memory_that_runs_out_between_two_steps() -> None:
    # It used to end the loop, or to leave a handler that nothing would wake.
    pytest.importorskip("_testcapi")
    endpoint = """
        import _testcapi

        @app.get("/do/{nth}")
        async def do(nth: int) -> str:
            await asyncio.sleep(0)
            _testcapi.set_nomemory(nth, nth + 3)
            await asyncio.sleep(0)
            return "done"

        @app.get("/again")
        async def again() -> None:
            _testcapi.remove_mem_hooks()
    """
    statuses = set()
    with serving(endpoint) as (process, port):
        for nth in range(40):
            with Client(port) as client:
                reply = client.send(get(f"/do/{nth}")).reply()
                assert reply is not None
                statuses.add(reply.status)
            for _ in range(5):  # the failures may be these requests' affair
                with Client(port) as client:
                    reply = client.send(get("/again")).reply()
                if reply is not None and reply.status == 200:
                    break
            assert reply is not None
            assert reply.status == 200
        end(process)
        assert process.returncode == 0
    assert statuses == {200, 500}
