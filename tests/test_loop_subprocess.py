"""Children of the loop, and names it looks up: what comes back, and what is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from asyncio import AbstractEventLoop, subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import weft

from .loops import loop

__all__ = ["loop"]

Loop = AbstractEventLoop

PIPE, DEVNULL, STDOUT = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# ---- subprocesses


def test_a_shell_with_every_kind_of_pipe(loop: Loop, tmp_path: Path) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_shell(
            "cat; echo error >&2; exit 3", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        assert await process.communicate(b"x" * 200_000) == (b"x" * 200_000, b"error\n")
        assert process.returncode == 3

        process = await asyncio.create_subprocess_shell(
            "echo a; echo b >&2", stdout=PIPE, stderr=STDOUT
        )
        assert await process.communicate() == (b"a\nb\n", None)

        process = await asyncio.create_subprocess_exec("cat", stdin=DEVNULL, stdout=DEVNULL)
        assert await process.wait() == 0

        path = tmp_path / "out"
        with path.open("wb") as out:
            process = await asyncio.create_subprocess_exec("echo", "to a file", stdout=out)
            assert await process.wait() == 0
        assert path.read_text() == "to a file\n"

    loop.run_until_complete(main())


def test_a_child_that_a_signal_ends(loop: Loop) -> None:
    async def main() -> None:
        for end in ("kill", "terminate"):
            process = await asyncio.create_subprocess_exec("sleep", "100")
            getattr(process, end)()
            assert await process.wait() == (-signal.SIGKILL if end == "kill" else -signal.SIGTERM)
            with pytest.raises(ProcessLookupError):
                process.kill()

    loop.run_until_complete(main())


def test_a_program_that_is_not_there(loop: Loop) -> None:
    before = open_descriptors()

    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec("/nowhere/nothing", stdin=PIPE, stdout=PIPE)

    loop.run_until_complete(main())
    assert open_descriptors() == before


def test_many_children_at_once_leave_nothing_behind(loop: Loop) -> None:
    async def main() -> None:
        processes = await asyncio.gather(
            *[asyncio.create_subprocess_exec("sh", "-c", f"exit {n}") for n in range(20)]
        )
        assert await asyncio.gather(*[p.wait() for p in processes]) == list(range(20))

    loop.run_until_complete(main())
    before = open_descriptors()
    loop.run_until_complete(main())
    assert open_descriptors() == before


def test_children_need_no_thread() -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec("sleep", "0.05")
        assert threading.active_count() <= threads  # earlier ones may end
        await process.wait()

    threads = threading.active_count()
    weft.run(main())


def test_a_child_that_somebody_else_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> int:
        process = await asyncio.create_subprocess_exec("sleep", "0.2")
        os.waitpid(process.pid, 0)  # before the loop can
        return await process.wait()

    assert weft.run(main()) == 255
    assert "exit status already read" in caplog.text


def test_cancelled_while_it_starts(loop: Loop) -> None:
    """At each await point there is: the child is killed and waited for, nothing stays open."""

    async def main(turns: int) -> bool:
        task = loop.create_task(
            asyncio.create_subprocess_exec("sleep", "100", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            process = await task
        except asyncio.CancelledError:
            return True
        process.kill()
        await process.communicate()
        return False

    loop.run_until_complete(main(100))
    before = open_descriptors()
    cancelled = [loop.run_until_complete(main(turns)) for turns in range(6)]
    assert all(cancelled[:2])
    assert open_descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_loop_closed_while_a_child_runs(loop: Loop) -> None:
    before = open_descriptors()
    process = loop.run_until_complete(asyncio.create_subprocess_exec("sleep", "100"))
    transport: Any = process._transport  # type: ignore[attr-defined]
    child = transport.get_extra_info("subprocess")
    process.kill()
    loop.close()
    transport.close()
    child.wait()
    assert open_descriptors() <= before


# ---- names and addresses


class Counted(ThreadPoolExecutor):
    calls = 0

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return super().submit(*args, **kwargs)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", None, b"127.0.0.1"])
@pytest.mark.parametrize("port", [80, "80", b"80", None])
@pytest.mark.parametrize("flags", [0, socket.AI_PASSIVE])
def test_numeric_addresses_are_as_sockets_has_them(
    loop: Loop, host: str | bytes | None, port: int | str | bytes | None, flags: int
) -> None:
    def outcome(call: Any) -> Any:
        try:
            return call()
        except OSError as exc:
            return type(exc), exc.args

    theirs = outcome(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags))
    ours = outcome(
        lambda: loop.run_until_complete(
            loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
        )
    )
    assert ours == theirs


def test_numeric_addresses_need_no_thread() -> None:
    with Counted(1) as executor:

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_debug(False)  # debug mode times even numeric addresses, in the executor
            loop.set_default_executor(executor)
            await loop.getaddrinfo("127.0.0.1", 80)
            await loop.getaddrinfo("::1", "443")
            numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
            assert await loop.getnameinfo(("127.0.0.1", 80), numeric) == ("127.0.0.1", "80")
            assert executor.calls == 0
            assert await loop.getaddrinfo("localhost", 80)
            assert executor.calls == 1

        weft.run(main())


def test_a_name_that_is_none(loop: Loop) -> None:
    async def main() -> None:
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("no such name", 80)
        with pytest.raises(TypeError):
            await loop.getaddrinfo(5, 80)  # type: ignore[arg-type]
        with pytest.raises(socket.gaierror):
            await loop.getnameinfo(
                ("not numeric", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
            )

    loop.run_until_complete(main())
