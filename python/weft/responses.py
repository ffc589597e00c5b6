"""Replies a handler can return. The core sends what they hold: status, header fields, body."""

from __future__ import annotations

import functools
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
)
from contextlib import aclosing
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from weft import _core
from weft._stream import as_async
from weft.datastructures import URL, MutableHeaders
from weft.json import encode

_FILE_CHUNK = 64 * 1024  # for middleware that reads a file's content
Content = str | bytes | bytearray | memoryview
SameSite = Literal["lax", "strict", "none"]
Background = Callable[[], Awaitable[None]]


class Response(_core.Response):
    """A reply of bytes or text.

    `content` is a str, sent in `charset`, something like bytes, or None for nothing; `TypeError`
    for anything else. Names and values of `headers` are ISO 8859-1 (`UnicodeEncodeError`, a
    `ValueError`, for others). `content-length`, `date` and `server` are the server's to add.
    `background` is awaited once the reply is on its way. To HEAD it goes out without its body (RFC
    9110, section 9.3.2).
    """

    media_type: str | None = None
    charset = "utf-8"

    def __init__(
        self,
        content: Any = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
    ) -> None:
        self.status_code = status_code
        if media_type is not None:
            self.media_type = media_type
        self.background = background
        self.body = self.render(content)
        self.init_headers(headers)

    def render(self, content: Any) -> bytes | bytearray | memoryview:
        """The body of `content`; a subclass overrides it to reply with other things than text."""
        if content is None:
            return b""
        if isinstance(content, str):
            return content.encode(self.charset)
        if isinstance(content, bytes | bytearray | memoryview):
            return content
        raise TypeError(
            f"{type(self).__name__} takes str or bytes, not {type(content).__name__}; "
            "return the value itself, or a JSONResponse, to send JSON"
        )

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Sets `raw_headers` of these fields and the media type; what a subclass without
        `super().__init__` calls."""
        raw: list[tuple[bytes, bytes]] = []
        media_type = self.media_type
        if headers is not None:
            raw = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
            if any(name == b"content-type" for name, _ in raw):
                media_type = None
        if media_type is not None:
            raw.append(_content_type_field(media_type, self.charset))
        self.raw_headers = raw

    @property
    def headers(self) -> MutableHeaders:
        """The reply's header fields; a change here changes the reply."""
        return MutableHeaders(raw=self.raw_headers)

    @property
    def body_iterator(self) -> AsyncIterator[bytes]:
        """Its content in chunks, whatever kind of reply it is, for middleware to read; what is set
        here, an iterable as StreamingResponse takes, is sent in its place."""
        return self._chunks(self._body_iterator)

    @body_iterator.setter
    def body_iterator(self, content: AsyncIterable[Content] | Iterable[Content]) -> None:
        self._body_iterator = content

    async def _chunks(self, content: Any) -> AsyncGenerator[bytes, None]:
        if content is None:
            yield bytes(self.body)
            return
        async with aclosing(as_async(content)) as chunks:
            async for chunk in chunks:
                yield chunk.encode(self.charset) if isinstance(chunk, str) else bytes(chunk)

    def set_cookie(
        self,
        key: str,
        value: str = "",
        max_age: int | None = None,
        expires: datetime | str | int | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: SameSite | None = "lax",
        partitioned: bool = False,
    ) -> None:
        """Adds a `set-cookie` field (RFC 6265).

        `max_age` is in seconds; `expires` a time, its text, or seconds from now. Raises
        `ValueError` for a name that no cookie can have, a `samesite` there is none of, or
        `partitioned` before Python 3.14.
        """
        from email.utils import format_datetime
        from http.cookies import CookieError, SimpleCookie

        if samesite is not None and samesite.lower() not in ("lax", "strict", "none"):
            raise ValueError(f"samesite must be 'lax', 'strict' or 'none', not {samesite!r}")
        cookie: SimpleCookie = SimpleCookie()
        try:
            cookie[key] = value
        except CookieError as exc:
            raise ValueError(str(exc)) from None
        morsel = cookie[key]
        if isinstance(expires, datetime):
            expires = format_datetime(expires, usegmt=True)
        given: dict[str, Any] = {
            "max-age": max_age,
            "expires": expires,
            "path": path,
            "domain": domain,
        }
        morsel.update({name: value for name, value in given.items() if value is not None})
        morsel["samesite"] = samesite or ""
        morsel["secure"] = secure
        morsel["httponly"] = httponly
        if partitioned:
            try:
                morsel["partitioned"] = True
            except CookieError:
                raise ValueError("partitioned cookies need Python 3.14 or later") from None
        self.raw_headers.append((b"set-cookie", morsel.OutputString().encode("latin-1")))

    def delete_cookie(
        self,
        key: str,
        path: str = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: SameSite | None = "lax",
        partitioned: bool = False,
    ) -> None:
        """Asks the client to forget a cookie; the other arguments are those it was set with.

        What is sent is a cookie that has expired (RFC 6265, section 3.1)."""
        self.set_cookie(
            key,
            max_age=0,
            expires=0,
            path=path,
            domain=domain,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
            partitioned=partitioned,
        )


@functools.lru_cache(maxsize=256)
def _content_type_field(media_type: str, charset: str) -> tuple[bytes, bytes]:
    if media_type.startswith("text/") and "charset=" not in media_type.lower():
        media_type = f"{media_type}; charset={charset}"
    return b"content-type", media_type.encode("latin-1")


class HTMLResponse(Response):
    """Text that a browser shows: `text/html`, in UTF-8."""

    media_type = "text/html"


class PlainTextResponse(Response):
    """Text as it is: `text/plain`, in UTF-8."""

    media_type = "text/plain"


class JSONResponse(Response):
    """A reply in JSON (RFC 8259), for when its status, header fields or cookies matter too.

    Raises `TypeError` or `ValueError` when `content` has no JSON form.
    """

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The JSON of `content`, as `weft.json.encode` writes it."""
        return encode(content)


class RedirectResponse(Response):
    """Sends the client to another URL: 307 keeps the method, 303 turns it into GET (RFC 9110,
    section 15.4). What a URL cannot have is percent-encoded in its `location`."""

    def __init__(
        self,
        url: str | URL,
        status_code: int = 307,
        headers: Mapping[str, str] | None = None,
        background: Background | None = None,
    ) -> None:
        super().__init__(b"", status_code, headers, background=background)
        self.headers["location"] = quote(str(url), safe=":/%#?=@[]!$&'()*+,;")


class StreamingResponse(Response, _core.StreamingResponse):
    """A reply sent as it is made, chunk by chunk, no faster than the client reads it.

    `content` is an iterable of str or bytes: an async one is pulled on the loop, a plain one in a
    thread. When the client leaves, the iterator is closed. `TypeError` for what is no iterable.
    """

    def __init__(
        self,
        content: AsyncIterable[Content] | Iterable[Content],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
    ) -> None:
        if not isinstance(content, AsyncIterable | Iterable):
            raise TypeError(
                f"StreamingResponse takes a plain or async iterable, not {type(content).__name__}"
            )
        self.body_iterator = content
        self.status_code = status_code
        if media_type is not None:
            self.media_type = media_type
        self.background = background
        self.init_headers(headers)


class EventSourceResponse(StreamingResponse):
    """Server-sent events (section 9.2 of the HTML standard), as `text/event-stream`.

    As `response_class` of an endpoint that yields it makes an event of each item (`weft.sse`);
    returned by one, it sends chunks that are events already.
    """

    media_type = "text/event-stream"


class FileResponse(Response, _core.FileResponse):
    """A file, sent by the kernel; `Range` requests get their part of it (RFC 9110, section 14).

    It has `etag` and `last-modified`, and conditional requests are answered by them (RFC 9110,
    section 13). `filename` is what a client is told to save it as (`content-disposition`, RFC 6266;
    in the form of RFC 8187 where it has to be). The media type is guessed from the name where none
    is given. `RuntimeError`, in the log and a 500 to the client, where there is no such file when
    the reply is made; `ValueError` at once for a path with a NUL.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
        filename: str | None = None,
        stat_result: os.stat_result | None = None,
        content_disposition_type: str = "attachment",
    ) -> None:
        self.path = path
        self.filename = filename
        self.status_code = status_code
        self.file = os.fsencode(path)
        if b"\0" in self.file:
            raise ValueError("a path has no NUL")
        self.media_type = media_type or guess_media_type(filename or path)
        self.background = background
        self.init_headers(headers)
        self.headers.setdefault("accept-ranges", "bytes")
        if filename is not None:
            quoted = quote(filename)
            named = f'filename="{filename}"'
            if quoted != filename:
                named = f"filename*=utf-8''{quoted}"
            self.headers.setdefault("content-disposition", f"{content_disposition_type}; {named}")

    def _chunks(self, content: Any) -> AsyncGenerator[bytes, None]:
        return super()._chunks(_read(self.file) if content is None else content)


def copied(response: Response) -> Response:
    """Another that is sent as this one is, for middleware to change."""
    copy = type(response).__new__(type(response))
    for cls in type(response).__mro__:
        for name in (*_HELD.get(cls, ()), *getattr(cls, "__slots__", ())):
            if hasattr(response, name):
                setattr(copy, name, getattr(response, name))
    copy.__dict__.update(response.__dict__)
    if isinstance(response.raw_headers, list):
        copy.raw_headers = list(response.raw_headers)
    return copy


_HELD: Mapping[type, tuple[str, ...]] = {
    _core.Response: ("status_code", "body", "raw_headers", "background", "_body_iterator"),
    _core.FileResponse: ("file",),
}


def _read(path: bytes) -> Generator[bytes, None, None]:
    with open(path, "rb") as file:
        while chunk := file.read(_FILE_CHUNK):
            yield chunk


def content_type_of(media_type: str) -> bytes:
    """As it stands in the header field."""
    return _content_type_field(media_type, Response.charset)[1]


def guess_media_type(path: str | os.PathLike[str]) -> str:
    """By the end of a file's name."""
    from mimetypes import guess_type  # not for programs that send no file

    return guess_type(path)[0] or "application/octet-stream"
