"""What the pages of FastAPI's tutorial and advanced guide show, each as an app and requests to it.

An app is written with the names of either framework (`tests.peer.Framework`); test_pages.py serves
both and compares. The pages are those of FastAPI 0.165.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.peer import Ask, Framework

SHARED = "test_what_is_shared_and_what_is_called_again"
BEFORE = "test_dependencies_of_routes_routers_and_the_app_run_before_those_of_the_handler"
AFTER = "test_generators_go_on_after_the_handler_whatever_became_of_it"
ELSEWHERE = {
    "tutorial/dependencies": "test_dependencies.py::test_functions",
    "tutorial/dependencies/classes-as-dependencies": "test_dependencies.py::test_classes",
    "tutorial/dependencies/sub-dependencies": "test_dependencies.py::" + SHARED,
    "tutorial/dependencies/dependencies-in-path-operation-decorators": (
        "test_dependencies.py::" + BEFORE
    ),
    "tutorial/dependencies/global-dependencies": "test_dependencies.py::" + BEFORE,
    "tutorial/dependencies/dependencies-with-yield": "test_dependencies.py::" + AFTER,
    "tutorial/middleware": "test_dispatch.py::test_middleware_is_fastapis",
    "tutorial/cors": "test_middleware.py::test_cors_is_starlettes",
    "tutorial/server-sent-events": "test_yield.py::test_what_is_sent",
    "tutorial/static-files": (
        "test_staticfiles.py::test_static_files_are_served_as_starlette_serves_them"
    ),
    "tutorial/frontend": "test_frontend.py::test_a_frontend_is_fastapis",
    "tutorial/testing": "test_testing.py::test_exceptions_of_the_app_are_raised",
    "advanced/security/oauth2-scopes": ("test_security.py::test_scopes_page_of_the_advanced_guide"),
    "advanced/sub-applications": "test_mounts.py::test_apps_in_apps",
    "advanced/behind-a-proxy": "test_root_path.py::test_of_the_app_it_is_as_with_fastapi",
    "advanced/templates": "test_templating.py::test_pages_are_starlettes",
    "advanced/testing-dependencies": "test_dependencies.py::test_overrides_are_fastapis",
    "advanced/testing-events": "test_testing.py::test_without_with_there_is_no_lifespan",
}
"""Pages that have a file of their own."""

NOT_OURS = {
    "tutorial/debugging": "nothing of a framework",
    "advanced/advanced-python-types": "nothing of a framework",
    "advanced/websockets": "WebSocket is not there yet",
    "advanced/testing-websockets": "WebSocket is not there yet",
    "advanced/async-tests": "ASGI is not there yet",
    "advanced/wsgi": "WSGI is not there",
}


class Page(NamedTuple):
    make: Callable[[Framework], Any]
    asks: tuple[Ask, ...]


PAGES: dict[str, Page] = {}


def page(name: str, *asks: Ask) -> Callable[[Callable[[Framework], Any]], Any]:
    """Declares the decorated function as the app of a page."""

    def declare(make: Callable[[Framework], Any]) -> Callable[[Framework], Any]:
        assert name not in PAGES
        PAGES[name] = Page(make, asks)
        return make

    return declare


def form(target: str, body: str) -> Ask:
    fields = [("content-type", "application/x-www-form-urlencoded")]
    return Ask("POST", target, fields, body.encode())


def multipart(target: str, *parts: tuple[str, str, bytes]) -> Ask:
    """Of parts: what follows on `form-data` in Content-Disposition, a media type, the content."""
    body = b"".join(
        f"--X\r\ncontent-disposition: form-data; {what}\r\n".encode()
        + (f"content-type: {kind}\r\n" if kind else "").encode()
        + b"\r\n"
        + content
        + b"\r\n"
        for what, kind, content in parts
    )
    fields = [("content-type", "multipart/form-data; boundary=X")]
    return Ask("POST", target, fields, body + b"--X--\r\n")
