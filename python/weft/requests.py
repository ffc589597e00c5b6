"""The request as a handler that asks for it sees it."""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Mapping,
    MutableMapping,
)
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import SplitResult

from weft import _core
from weft.datastructures import URL, Address, FormData, Headers, QueryParams, State
from weft.exceptions import ClientDisconnect
from weft.json import DecodeError

if TYPE_CHECKING:
    from weft.app import App
    from weft.middleware.sessions import Session

__all__ = ["ClientDisconnect", "HTTPConnection", "Request", "parse_cookies"]

# RFC 3986 section 3.2, without userinfo. Anything else in a Host field is not repeated in a URL.
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::[0-9]*)?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_REQUEST = "weft.request"  # in a scope: a weak reference to the request that it is of

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class HTTPConnection(_core.Request):
    """A request's head, made into Python objects as they are asked for.

    A class of one's own is made of the scope of the request that is handled,
    `Own(request.scope, request.receive)`, and has all that this one has; `TypeError` for any other
    scope. What has been changed in `headers` there holds for its own `headers`, not for parameters.
    """

    app: App

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        scope = args[0] if args else kwargs.get("scope")
        other = scope
        if isinstance(scope, Mapping) and (found := scope.get(_REQUEST)) is not None:
            other = found()
        if not isinstance(other, HTTPConnection):
            raise TypeError(f"{cls.__name__} is made of the scope of a request, not of {scope!r}")
        return super().__new__(cls, other)

    def __init__(
        self, scope: Mapping[str, Any], receive: Receive | None = None, send: Any = None
    ) -> None:
        vars(self)["scope"] = scope
        if "state" in scope:
            vars(self)["state"] = scope["state"]
        if (headers := scope.get("headers", self.raw_headers)) is not self.raw_headers:
            vars(self)["headers"] = Headers(raw=headers)

    @cached_property
    def scope(self) -> dict[str, Any]:
        """What ASGI's scope has of a request, with Starlette's and FastAPI's keys, for code that
        looks there: a dict of its own, so that a change in it changes nothing else, other than in
        `headers` before they are looked at."""
        route = self._route
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": self.http_version,
            "method": self.method,
            "scheme": self.scheme,
            "path": self.path,
            "raw_path": self.raw_path,
            "query_string": self.query_string,
            "root_path": self.root_path,
            "headers": self.raw_headers,
            "client": self.client,
            "server": self.server,
            "app": self.app,
            "path_params": self.path_params,
            "state": self.state,
            _REQUEST: weakref.ref(self),
        }
        return scope if route is None else {**scope, "route": route, "endpoint": route.endpoint}

    def __getitem__(self, key: str) -> Any:
        return self.scope[key]

    def get(self, key: str, default: Any = None) -> Any:
        """That of `scope`, or `default`."""
        return self.scope.get(key, default)

    @cached_property
    def headers(self) -> Headers:
        """Its header fields, case-insensitive (RFC 9110, section 5)."""
        return Headers(raw=self.raw_headers)

    @cached_property
    def query_params(self) -> QueryParams:
        """The parameters of its query, percent-decoded."""
        return QueryParams(self.query_string)

    @cached_property
    def cookies(self) -> dict[str, str]:
        """Its cookies by name (RFC 6265), quotes around a value undone; of equal names the last."""
        cookies: dict[str, str] = {}
        for field in self.headers.getlist("cookie"):
            cookies.update(parse_cookies(field))
        return cookies

    @property
    def session(self) -> Session:
        """What the client's signed cookie holds; `AssertionError` without SessionMiddleware."""
        return cast("Session", self._session)

    @property
    def client(self) -> Address | None:
        """Who sent it; None over a unix socket."""
        peer = super().client
        return None if peer is None else Address(*peer)

    @cached_property
    def url(self) -> URL:
        """What was asked for, with scheme and host as the client, or a trusted proxy, has them."""
        return self._make_url(self.path, self.query_string.decode("latin-1"))

    @cached_property
    def base_url(self) -> URL:
        """Where the outermost application is: its root path on scheme and host, and a slash."""
        return self._make_url(self._outermost_root_path + "/", "")

    def _make_url(self, path: str, query: str) -> URL:
        # The path is decoded: what would end it, or be read as a slash, is encoded again.
        path = path.replace("?", "%3F").replace("#", "%23").replace("\\", "%5C")
        return URL(SplitResult(self.scheme, self._authority(), path, query, "").geturl())

    def _authority(self) -> str:
        host = self._forwarded_host or self.headers.get("host", "")
        if _HOST.fullmatch(host) or self.server is None:
            return host
        name, port = self.server
        if ":" in name:
            name = f"[{name}]"
        return name if port in (None, _DEFAULT_PORTS.get(self.scheme)) else f"{name}:{port}"

    def url_for(self, name: str, /, **path_params: Any) -> URL:
        """The absolute URL of the route called `name`.

        `LookupError` when there is none that takes exactly these parameters.
        """
        router: App = self._outermost_app
        return router.url_path_for(name, **path_params).make_absolute_url(self.base_url)

    @cached_property
    def state(self) -> State:
        """The request's own: a copy of what the lifespan yielded, and what handling it stores."""
        outer: App = self._outermost_app
        return State({**outer.lifespan_state, **self.app.lifespan_state})


class Request(HTTPConnection):
    """One request: its head and its body.

    Take it as a parameter: `async def handler(request: Request)`. `body()`, `json()` and `stream()`
    raise `ClientDisconnect` when the client leaves before its end, `HTTPException` (413) when it is
    too large.
    """

    _body: bytes  # once it has been read; others may set it
    _json: tuple[Any] | None = None
    _form: FormData | None = None
    _streamed = False
    _waiting = False
    _receive: Receive | None = None  # of somebody's own, to be asked in place of the connection
    _send: Any = None  # there is none, but others pass it on
    _of: Request | None = None  # the one whose scope it was made of, which reads the body for both

    def __init__(
        self, scope: Mapping[str, Any], receive: Receive | None = None, send: Any = None
    ) -> None:
        super().__init__(scope, receive, send)
        if receive is None or getattr(receive, "__func__", None) is Request._messages:
            self._of = scope[_REQUEST]()
        else:
            self._receive = receive

    @property
    def receive(self) -> Receive:
        """What gives its body as messages of ASGI (`http.request`), for a Request made of its
        scope."""
        return self._receive or self._messages

    async def _messages(self) -> MutableMapping[str, Any]:
        chunk = await self._chunk()
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body chunk by chunk as it arrives, then `b""`; `RuntimeError` once that is read."""
        if hasattr(self, "_body"):
            yield self._body
            yield b""
            return
        if self._streamed:
            raise RuntimeError("the request's body has been read as a stream already")
        if self._of is not None:
            async for chunk in self._of.stream():
                yield chunk
            return
        chunks = self._chunks() if self._receive is None else _chunks_of(self._receive)
        async for chunk in chunks:
            yield chunk
        self._streamed = True
        yield b""

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        while chunk := await self._chunk():
            yield chunk

    async def _chunk(self) -> bytes:
        if self._waiting:
            raise RuntimeError("another task is reading the request's body")  # each would get half
        while not isinstance(chunk := self._next_chunk(), bytes):
            self._waiting = True
            try:
                await chunk
            finally:
                self._waiting = False
        return chunk

    async def body(self) -> bytes:
        """The whole body; read once, then kept."""
        if not hasattr(self, "_body"):
            if self._of is not None and type(self).stream is Request.stream:
                self._body = await self._of.body()
            else:
                self._body = b"".join([chunk async for chunk in self.stream()])
        return self._body

    async def json(self) -> Any:
        """The body decoded as JSON, and as `json.loads` takes it: NaN and Infinity too.

        `json.JSONDecodeError`, a `ValueError`, when it is none.
        """
        if self._json is None:
            body = await self.body()
            try:
                self._json = (_core._json_loads(body),)
            except DecodeError as exc:
                raise _stdlib_error(exc, body) from None
        return self._json[0]

    def form(
        self,
        *,
        max_files: float = 1000,
        max_fields: float = 1000,
        max_part_size: int = 1024 * 1024,
    ) -> FormRead:
        """The submitted form, read as it arrives: `await request.form()`, or `async with
        request.form() as form`, which closes its files. Multipart is RFC 7578's.

        Empty where the content type is none of a form's. `HTTPException` (400) when it is
        malformed, or has more files, more fields, or a longer field in bytes than these.
        """
        return FormRead(self._read_form(max_files, max_fields, max_part_size))

    async def _read_form(self, max_files: float, max_fields: float, max_part_size: int) -> FormData:
        if self._of is not None and type(self).stream is Request.stream:
            return await self._of._read_form(max_files, max_fields, max_part_size)
        if self._form is None:
            items = self._form_items()  # the route's parameters have had it read
            if items is None:
                content_type = self.headers.get("content-type", "").encode("latin-1")
                parser = _core.FormParser(
                    content_type, _limit(max_files), _limit(max_fields), _limit(max_part_size)
                )
                async for chunk in self.stream():
                    parser.feed(chunk)
                items = parser.finish()
            self._form = FormData(items)
        return self._form

    async def close(self) -> None:
        """Closes the files of the form, if it was read."""
        if self._form is not None:
            await self._form.close()

    async def is_disconnected(self) -> bool:
        """Has the client left?"""
        if not self._gone():
            await asyncio.sleep(0)  # a handler that only asks must let the loop find out
        return self._gone()

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"


class FormRead:
    """A form on its way: to be awaited, or to be entered by `async with`."""

    def __init__(self, reading: Coroutine[Any, Any, FormData]) -> None:
        self._reading = reading
        self._form: FormData | None = None

    def __await__(self) -> Generator[Any, None, FormData]:
        return self._reading.__await__()

    async def __aenter__(self) -> FormData:
        self._form = await self._reading
        return self._form

    async def __aexit__(self, *exc_info: object) -> None:
        if self._form is not None:
            await self._form.close()


async def _chunks_of(receive: Receive) -> AsyncGenerator[bytes, None]:
    """The body as the messages of somebody's own have it."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if message.get("body"):
            yield message["body"]
        more = message.get("more_body", False)


def _limit(value: float) -> int:
    return (1 << 64) - 1 if value == float("inf") else int(value)


def _stdlib_error(exc: DecodeError, body: bytes) -> Exception:
    """The error that those who read JSON from Starlette's Request look out for."""
    import json

    before, doc = (part.decode("utf-8", "replace") for part in (body[: exc.pos], body))
    return json.JSONDecodeError(exc.msg, doc, len(before))


def parse_cookies(field: str) -> dict[str, str]:
    """The cookies of one `cookie` field (RFC 6265, section 4.2), read as leniently as browsers
    write them: of equal names the last one counts."""
    cookies: dict[str, str] = {}
    for pair in field.split(";"):
        name, equals, value = pair.partition("=")
        if not equals:
            name, value = "", name  # a lone token is a value without a name
        name, value = name.strip(), value.strip()
        if name or value:
            cookies[name] = _unquote(value)
    return cookies


_ESCAPE = re.compile(r"\\([0-3][0-7][0-7]|.)", re.DOTALL)


def _unquote(value: str) -> str:
    """Undoes what `http.cookies`, and so `set_cookie`, does to a value that needs quotes."""
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return _ESCAPE.sub(
        lambda m: chr(int(m[1], 8)) if len(m[1]) == 3 else m[1],
        value[1:-1],
    )
