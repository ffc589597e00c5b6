"""Sessions in a signed cookie, which Starlette's SessionMiddleware reads and writes as well."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Literal

from weft.middleware.layers import Middleware

__all__ = ["Session", "SessionMiddleware"]


class Session(dict[str, Any]):
    """What a client's cookie holds. It is sent again when it was changed: of a list or a dict in
    it that is changed in place, `mark_modified()` tells."""

    modified: bool = False

    def mark_modified(self) -> None:
        """Has it written again though no key was set: for a value that was changed in place."""
        self.modified = True

    def __setitem__(self, key: str, value: Any) -> None:
        self.modified = True
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self.modified = True
        super().__delitem__(key)

    def clear(self) -> None:
        self.modified = True
        super().clear()

    def pop(self, key: str, *default: Any) -> Any:
        self.modified = self.modified or key in self
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        item = super().popitem()
        self.modified = True
        return item

    def setdefault(self, key: str, default: Any = None) -> Any:
        self.modified = self.modified or key not in self
        return super().setdefault(key, default)

    def update(self, *args: Any, **kwargs: Any) -> None:
        self.modified = True
        super().update(*args, **kwargs)

    def __ior__(self, other: Any, /) -> Session:  # type: ignore[override, misc]
        self.modified = True
        return super().__ior__(other)


class Signer:
    """Signs text together with the time: `text.time.signature`, as itsdangerous' TimestampSigner
    does by default (HMAC-SHA1, the key derived once)."""

    def __init__(self, secret_key: str) -> None:
        derived = hashlib.sha1(b"itsdangerous.Signersigner" + secret_key.encode()).digest()
        self._hmac = hmac.new(derived, digestmod=hashlib.sha1)

    def _signature(self, value: bytes) -> bytes:
        mac = self._hmac.copy()
        mac.update(value)
        return mac.digest()

    def sign(self, text: bytes) -> bytes:
        """The text with its time and signature."""
        now = int(time.time())
        stamp = _encode(now.to_bytes((now.bit_length() + 7) // 8, "big"))
        value = text + b"." + stamp
        return value + b"." + _encode(self._signature(value))

    def unsign(self, signed: bytes, max_age: int | None) -> bytes | None:
        """The text; None where it was not signed with this key, or longer ago than `max_age`
        seconds, or in the future."""
        value, _, signature = signed.rpartition(b".")
        text, _, stamp = value.rpartition(b".")
        try:
            if not hmac.compare_digest(_decode(signature), self._signature(value)):
                return None
            age = int(time.time()) - int.from_bytes(_decode(stamp), "big")
        except ValueError:  # no base64
            return None
        return text if max_age is None or 0 <= age <= max_age else None


def _encode(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return urlsafe_b64decode(text + b"=" * (-len(text) % 4))


class SessionMiddleware(Middleware):
    """`request.session`, a dict of what JSON can hold, kept in a signed cookie (RFC 6265) by the
    client.

    Signed, not encrypted: the client can read it, but not change it. `max_age` is in seconds, None
    for as long as the browser runs. The arguments and the cookie are Starlette's. It is read when a
    handler asks for it, and sent when it was changed; one that was forged, damaged or is too old is
    empty. `ValueError` for an empty `secret_key`.
    """

    of_server = True

    def __init__(
        self,
        secret_key: str,
        session_cookie: str = "session",
        max_age: int | None = 14 * 24 * 60 * 60,
        path: str = "/",
        same_site: Literal["lax", "strict", "none"] = "lax",
        https_only: bool = False,
        domain: str | None = None,
        partitioned: bool = False,
    ) -> None:
        if not str(secret_key):
            raise ValueError("a session without a secret key could be written by anyone")
        self._signer = Signer(str(secret_key))
        self.session_cookie = session_cookie
        self.max_age = max_age
        self._start = f"{session_cookie}="
        flags = f"httponly; samesite={same_site}"
        if https_only:
            flags += "; secure"
        if domain is not None:
            flags += f"; domain={domain}"
        if partitioned:
            flags += "; partitioned"
        lasting = f"Max-Age={max_age}; " if max_age is not None else ""
        self._end = f"; path={path}; {lasting}{flags}"
        self._over = (
            f"{session_cookie}=null; path={path}; expires=Thu, 01 Jan 1970 00:00:00 GMT; {flags}"
        ).encode("latin-1")

    def layer(self) -> tuple[str, tuple[object, ...]]:
        return "session", (self.open, self.save)

    def open(self, cookies: dict[str, str]) -> tuple[Session, bool]:
        """The session of these cookies, and whether one of them was it."""
        signed = cookies.get(self.session_cookie)
        if signed is None:
            return Session(), False
        text = self._signer.unsign(signed.encode("utf-8"), self.max_age)
        if text is None:
            return Session(), False
        try:
            return Session(json.loads(b64decode(text))), True
        except (ValueError, TypeError):  # whoever has the key signed something else with it
            return Session(), False

    def save(self, session: Session, was_there: bool) -> bytes | None:
        """What Set-Cookie is to say; None for nothing. `TypeError` for what JSON cannot hold."""
        if not session.modified:
            return None
        if session:
            data = self._signer.sign(b64encode(json.dumps(session).encode("utf-8")))
            return (self._start + data.decode("ascii") + self._end).encode("latin-1")
        return self._over if was_there else None
