"""The parent of `weft dev`: it holds the sockets, and starts the App anew when a file changes.

The sockets are its own, so that no connection is refused while the App is loaded again: a client
waits in the backlog for the child that comes next.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from types import FrameType

from weft import log
from weft.loading import Problem
from weft.server import Config, StartupError, bind

_POLL_SECONDS = 0.25
_STOP_SECONDS = 3.0  # for what runs; then it is cancelled, and at last killed
_SKIPPED = {"__pycache__", "node_modules", "site-packages"}
_SUFFIXES = (".py", ".html", ".jinja", ".jinja2", ".toml", ".env")

Snapshot = dict[str, tuple[int, int]]


class Reloader:
    """Serves `target`, found in `directory`, until SIGINT or SIGTERM."""

    def __init__(self, target: str, directory: str, config: Config) -> None:
        self.target = target
        self.directory = directory
        self.config = config
        self.sockets: list[socket.socket] = []
        self.stopping = False
        # The child has the reading end, and ends when this process does, however that was.
        self.alive, self._alive = os.pipe()

    def run(self) -> int:
        """The exit status; `Problem` when it cannot listen."""
        try:
            self.sockets = bind(self.config)
        except StartupError as exc:
            raise Problem(str(exc)) from None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        log.logger.info("Watching %s for changes.", self.directory)
        try:
            seen = snapshot(self.directory)
            child = self._start()
            while not self.stopping:
                time.sleep(_POLL_SECONDS)
                now = snapshot(self.directory)
                if changed := differences(seen, now):
                    seen = now
                    name = os.path.relpath(changed[0], self.directory)
                    log.logger.info("%s has changed: loading the application again.", name)
                    _stop(child)
                    _forget(changed)
                    child = self._start()
                elif child.poll() is not None and not self.stopping:
                    ended = (
                        f"The application has ended by itself, {_how(child.returncode)}; it is "
                        "started again when a file changes."
                    )
                    log.logger.error(ended)
                    child = self._start(ended)  # a page that says so
                    while not self.stopping and snapshot(self.directory) == now:
                        time.sleep(_POLL_SECONDS)
            _stop(child)
        finally:
            os.close(self.alive)
            os.close(self._alive)
            for sock in self.sockets:
                sock.close()
            if self.config.uds is not None:
                os.unlink(self.config.uds)
        return 0

    def _start(self, died: str = "") -> subprocess.Popen[bytes]:
        fds = [sock.fileno() for sock in self.sockets]
        # -P: modules of the directory stand in for nobody's but the application's.
        command = [sys.executable, "-P", "-m", "weft.dev.child", self.target, self.directory]
        command += [self.config.log_level, str(int(self.config.access_log)), self.config.root_path]
        command += [died, str(self.alive), *map(str, fds)]
        return subprocess.Popen(command, pass_fds=(self.alive, *fds))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True


def _how(status: int) -> str:
    """By what a child ended, which `Popen.returncode` says."""
    if status >= 0:
        return f"with status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Asks it to end, then to end at once, then ends it."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            return
        child.send_signal(number)
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def _forget(sources: Iterable[str]) -> None:
    """Removes their compiled form. Python takes it to be that of a source of the same size and the
    same second (PEP 552), though an editor and a formatter may both have saved within one."""
    for source in sources:
        if source.endswith(".py"):
            with contextlib.suppress(OSError):
                os.unlink(importlib.util.cache_from_source(source))


def snapshot(directory: str) -> Snapshot:
    """When each source file below `directory` was changed last, and how long it is."""
    return {path: (s.st_mtime_ns, s.st_size) for path, s in _files(directory)}


def differences(before: Snapshot, now: Snapshot) -> list[str]:
    """The files that are new, gone or changed, sorted."""
    return sorted(p for p in before.keys() | now.keys() if before.get(p) != now.get(p))


def _files(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        entries = list(os.scandir(directory))
    except OSError:  # gone meanwhile, or not ours to read
        return
    for entry in entries:
        if entry.name.startswith(".") and entry.name != ".env":
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                virtual = os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
                if entry.name not in _SKIPPED and not virtual:
                    yield from _files(entry.path)
            elif entry.name.endswith(_SUFFIXES):
                status = entry.stat()
                if stat.S_ISREG(status.st_mode):
                    yield entry.path, status
        except OSError:
            continue
