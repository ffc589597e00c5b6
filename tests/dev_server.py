"""`weft dev` as a process of its own, for tests of what it serves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Dev:
    """`python -m weft dev` in a directory with a main.py."""

    def __init__(self, directory: Path) -> None:
        self.main = directory / "main.py"
        self.port = free_port()
        self.lines: list[str] = []

    def start(self) -> None:
        path = os.pathsep.join(map(os.path.abspath, sys.path))
        command = [sys.executable, "-P", "-m", "weft", "dev", "main:app"]  # as the script is run
        command += ["--port", str(self.port)]
        env = {**os.environ, "PYTHONPATH": path}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # users do not have it
        self.process = subprocess.Popen(
            command,
            cwd=self.main.parent,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def get(self, path: str = "/", **headers: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.get(url, headers=headers, timeout=20, trust_env=False)

    def until(self, fits: Callable[[httpx.Response], bool], path: str = "/", **headers: str):
        """The first reply that fits. None may be refused once the first one came."""
        until = time.monotonic() + 30
        came = False
        while time.monotonic() < until:
            try:
                reply = self.get(path, **headers)
            except httpx.ConnectError:
                assert not came, "a connection was refused"
                time.sleep(0.05)
                continue
            came = True
            if fits(reply):
                return reply
            time.sleep(0.05)
        raise AssertionError("".join(self.lines))

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(20)
        self.reader.join(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status
