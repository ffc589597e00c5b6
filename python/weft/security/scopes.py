"""The OAuth2 scopes (RFC 6749, section 3.3) that a dependency is used with."""

from __future__ import annotations

from collections.abc import Sequence


class SecurityScopes:
    """Every scope that `Security(...)` asks for on the way from the route to this dependency:
    `scopes`, a list of str, and `scope_str`, the same with spaces between."""

    def __init__(self, scopes: Sequence[str] | None = None) -> None:
        self.scopes: list[str] = list(scopes or ())
        self.scope_str = " ".join(self.scopes)
