"""Sessions in a signed cookie, which Starlette's SessionMiddleware reads and writes as well."""

from __future__ import annotations

import json
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


class SessionMiddleware(Middleware):
    """`request.session`, a dict of what JSON can hold, kept in a signed cookie (RFC 6265) by the
    client.

    Signed, not encrypted: the client can read it, but not change it. `max_age` is in seconds, None
    for as long as the browser runs. The arguments and the cookie are Starlette's. It is read when a
    handler asks for it, and sent when it was changed; one that was forged, damaged or is too old is
    empty. A mounted App's own are its own, in a cookie of another name; without, those of the App
    around it. It is signed by libcrypto: `ValueError` for an empty `secret_key`, and when the
    server starts, where weft was built without libcrypto.
    """

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
        flags = f"httponly; samesite={same_site}"
        if https_only:
            flags += "; secure"
        if domain is not None:
            flags += f"; domain={domain}"
        if partitioned:
            flags += "; partitioned"
        lasting = f"Max-Age={max_age}; " if max_age is not None else ""
        expired = "expires=Thu, 01 Jan 1970 00:00:00 GMT"
        texts = (
            session_cookie,
            f"{session_cookie}=",
            f"; path={path}; {lasting}{flags}",
            f"{session_cookie}=null; path={path}; {expired}; {flags}",
        )
        name, *cookie = (text.encode("latin-1") for text in texts)
        age = -1 if max_age is None else max_age
        self._config = (str(secret_key).encode(), name, age, *cookie, Session, json.dumps)

    def layer(self) -> tuple[str, tuple[object, ...]]:
        return "session", self._config
