"""What the native core has, room by room. Import these from weft's modules, not from here."""

import asyncio
import concurrent.futures
import os
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from typing import Any, Literal, Self, final

from typing_extensions import Buffer, disjoint_base

# ---- py/json ----

class EncodeError(TypeError, ValueError): ...

class DecodeError(ValueError):
    msg: str
    doc: Buffer | str | None
    pos: int
    lineno: int
    colno: int

def json_encode(obj: Any, /, *, default: Callable[[Any], Any] | None = None) -> bytes: ...
def json_decode(data: Buffer | str, /) -> Any: ...
def _json_loads(data: Buffer | str, /) -> Any: ...
def _alloc_fail_from(nth: int, /) -> None: ...

# ---- py/http ----

@disjoint_base
class Request:
    @property
    def method(self) -> str: ...
    @property
    def http_version(self) -> str: ...
    @property
    def scheme(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def raw_path(self) -> bytes: ...
    @property
    def query_string(self) -> bytes: ...
    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]: ...
    @property
    def path_params(self) -> dict[str, Any]: ...
    @property
    def client(self) -> tuple[str, int] | None: ...
    @property
    def server(self) -> tuple[str, int | None] | None: ...
    @property
    def app(self) -> Any: ...
    def _next_chunk(self) -> bytes | asyncio.Future[None]: ...
    def _gone(self) -> bool: ...

@disjoint_base
class Response:
    status_code: int
    body: Buffer
    raw_headers: list[tuple[bytes, bytes]]
    background: Callable[[], Awaitable[None]] | None

class StreamingResponse(Response):
    body_iterator: AsyncIterable[str | Buffer] | Iterable[str | Buffer]

@final
class ReplyWriter:
    @property
    def wanted(self) -> bool: ...
    @property
    def submit(self) -> Callable[..., concurrent.futures.Future[Any]]: ...
    def write(self, chunk: str | Buffer, /) -> asyncio.Future[None] | None: ...
    def end(self) -> None: ...

@final
class Job:
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

@final
class Server:
    def __new__(
        cls,
        loop: asyncio.AbstractEventLoop,
        app: Any,
        request_class: type[Request],
        *,
        response_class: type[Response] | None = None,
        config: Mapping[str, int] | None = None,
        server_name: bytes | None = None,
        access_log_fd: int = -1,
        on_error: Callable[[BaseException], object] | None = None,
        unrouted: bool = False,
    ) -> Server: ...
    @property
    def addresses(self) -> list[str]: ...
    @property
    def open_connections(self) -> int: ...
    @property
    def running(self) -> int: ...
    def add_route(
        self,
        path: str,
        methods: Sequence[str],
        plan: Any,
        *,
        kind: Literal["async", "thread", "inline"] = "async",
        status_code: int = 200,
        response_class: type[Response] | None = None,
        text_type: bytes | None = None,
        body_max: int | None = None,
        cancel: bool = True,
        name: str = "",
        param_names: tuple[str, ...] = (),
    ) -> None: ...
    def set_exception_handlers(
        self,
        by_class: dict[type[Exception], Callable[[Any, Any], Any]],
        by_status: dict[int, Callable[[Any, Any], Any]],
        /,
    ) -> None: ...
    def listen(self, host: str, port: int, reuse_port: bool = False, /) -> None: ...
    def listen_unix(self, path: str | bytes | os.PathLike[str], /) -> None: ...
    def listen_fd(self, fd: int, /) -> None: ...
    def start(self) -> None: ...
    def drain(self) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...
    def counters(self) -> dict[str, int]: ...

# ---- py/plan ----

@final
class Plan:
    def __new__(
        cls,
        endpoint: Callable[..., Any],
        steps: tuple[Any, ...],
        positional: tuple[str, ...],
        keywords: tuple[str, ...],
        embed: bool,
        body_mode: str,
        is_coroutine: bool,
    ) -> Self: ...
    @property
    def endpoint(self) -> Callable[..., Any]: ...
    @property
    def steps(self) -> tuple[Any, ...]: ...  # of weft.signature.Step
    @property
    def param_names(self) -> tuple[str, ...]: ...
    @property
    def is_coroutine(self) -> bool: ...
    @property
    def body_mode(self) -> str: ...

def _plan_test(
    plan: Plan,
    method: str,
    target: bytes,
    headers: list[tuple[bytes, bytes]],
    body: Buffer,
    path_params: tuple[str, ...],
    bind: bool = False,
    repeat: int = 1,
) -> tuple[int, Any, Any]: ...
