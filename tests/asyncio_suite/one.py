"""Runs one module of CPython's `test.test_asyncio`: `python one.py LOOP MODULE OUT [TEST ...]`.

LOOP is `weft` or `asyncio`. OUT gets a JSON array a line: a test that starts, and what became of
it. With TESTs (Class.method) only those run; -Class.method leaves one out. The modules ask asyncio
for their loops in several ways; for `weft` each of them is answered with ours.
"""

from __future__ import annotations

import asyncio
import faulthandler
import importlib
import json
import os
import signal
import sys
import tempfile
import types
import unittest
from asyncio import base_events, sslproto, unix_events
from typing import Any, TextIO

from test import support

# A shell starts what runs in the background with Ctrl-C ignored, and Python then leaves it so; the
# tests of runners send it to themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

HANGS_AFTER_S = 60  # a test; the slowest takes 6 s on an idle machine, and CI's are seldom idle


def substitute() -> Any:
    """Answer with our loop wherever asyncio is asked for one. Returns the class, which counts.

    So with its SSLProtocol, which test_sslproto makes by itself."""
    from weft.loop import Loop
    from weft.loop._tls import SSLProtocol

    class CountedLoop(Loop):
        made = 0

        def __init__(self, selector: Any = None) -> None:
            if selector is not None:  # some tests choose one; our reactor has its own
                selector.close()
            CountedLoop.made += 1
            super().__init__()

    places: list[tuple[Any, str]] = [
        (asyncio, "BaseEventLoop"),
        (asyncio, "SelectorEventLoop"),
        (asyncio, "EventLoop"),
        (unix_events, "SelectorEventLoop"),
        (unix_events, "EventLoop"),
        (unix_events._UnixDefaultEventLoopPolicy, "_loop_factory"),  # type: ignore[attr-defined]
    ]
    for owner, name in places:
        if hasattr(owner, name):
            setattr(owner, name, CountedLoop)
    sslproto.SSLProtocol = SSLProtocol  # type: ignore[misc]
    return CountedLoop


class Stand(types.ModuleType):
    """`asyncio.base_events` as a test module sees it, with another BaseEventLoop."""

    def __init__(self, loop_class: type) -> None:
        super().__init__(base_events.__name__)
        self.__dict__["BaseEventLoop"] = loop_class

    def __getattr__(self, name: str) -> Any:
        return getattr(base_events, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(base_events, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(base_events, name)


class Result(unittest.TestResult):
    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self.out = out
        self.failed = False

    def tell(self, test: unittest.TestCase, outcome: str, text: str = "") -> None:
        name = test.id().removeprefix("test.test_asyncio.").partition(".")[2]
        print(json.dumps([name or test.id(), outcome, text]), file=self.out, flush=True)

    def startTest(self, test: unittest.TestCase) -> None:
        self.failed = False
        faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True)
        self.tell(test, "start")
        super().startTest(test)

    def fail(self, test: unittest.TestCase, err: Any) -> None:
        self.failed = True
        self.tell(test, "fail", self._exc_info_to_string(err, test))  # type: ignore[attr-defined]

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        self.fail(test, err)

    addFailure = addError

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None:
            self.fail(test, err)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self.failed = True
        self.tell(test, "fail", "unexpected success")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.tell(test, "skip", reason)

    def stopTest(self, test: unittest.TestCase) -> None:
        if not self.failed:
            self.tell(test, "end")
        super().stopTest(test)


def main() -> None:
    kind, module_name, out_path, *chosen = sys.argv[1:]
    out = open(out_path, "w")  # noqa: SIM115  to the end of the process
    loop_class = substitute() if kind == "weft" else None
    support.use_resources = ["cpu", "subprocess", "walltime"]  # but nothing that needs a network
    faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True)
    name = f"test.test_asyncio.{module_name}"
    module: Any = importlib.import_module(name)
    if loop_class is not None and module_name == "test_base_events":
        module.base_events = Stand(loop_class)
    for test in (test[1:] for test in chosen if test.startswith("-")):
        case, _, method = test.partition(".")
        setattr(getattr(module, case), method, None)  # shadows an inherited one too
    loader = unittest.defaultTestLoader
    only = [test for test in chosen if not test.startswith("-")]
    suite = loader.loadTestsFromNames(only, module) if only else loader.loadTestsFromModule(module)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        suite.run(Result(out))
        os.chdir("/")
    print(json.dumps(["", "loops", loop_class.made if loop_class else 0]), file=out, flush=True)


if __name__ == "__main__":
    main()
