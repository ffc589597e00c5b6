"""Fixtures for every test: an App behind a real socket."""

from __future__ import annotations

import builtins
import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from openapi_spec_validator import validate

import weft.openapi
from tests.browser import browser, chromium  # noqa: F401 - fixtures for all
from weft import App
from weft.testing import TestClient

# A shell starts what runs in the background with Ctrl-C ignored, and Python then leaves it so; the
# tests send it, to themselves and to the processes they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest.register_assert_rewrite("tests.peer")

Serve = Callable[..., TestClient]


@pytest.fixture(autouse=True, scope="session")
def documents_are_valid() -> Iterator[None]:
    """Every OpenAPI document that a test makes is one by OpenAPI's own schema."""
    made, usual_import = weft.openapi.openapi, builtins.__import__

    def checked(app: App) -> dict[str, Any]:
        document = made(app)
        with pytest.MonkeyPatch.context() as patch:  # of tests that do without pydantic
            patch.setattr(builtins, "__import__", usual_import)
            validate(document)
        return document

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weft.openapi, "openapi", checked)
        yield


@pytest.fixture(autouse=True, scope="module")
def collector_sees_the_module_only() -> None:
    """The thousands of collections that tests ask for do not walk what earlier modules left."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(app)` is a client of it, with its lifespan run, closed at the end of the test."""
    with ExitStack() as stack:
        yield lambda app, **options: stack.enter_context(
            TestClient(app, wait_for_tasks=False, **options)
        )


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def server_errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[Any]]:
    """The exceptions that handlers raised and nothing answered, as the log has them."""
    return lambda: [r.exc_info[1] for r in caplog.records if r.name == "weft.error" and r.exc_info]
