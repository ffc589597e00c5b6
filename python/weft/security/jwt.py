"""JSON Web Tokens (RFC 7519) sent as bearer tokens (RFC 6750), verified in C with libcrypto."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from weft import _core
from weft.exceptions import HTTPException
from weft.params import Header
from weft.security import models
from weft.security.base import SecurityBase
from weft.security.jwks import JWKSet, keys_of

Key = str | bytes


class InvalidTokenError(Exception):
    """Why a token is not good, in a sentence that may be told to whoever sent it."""


class JWTBearer(SecurityBase):
    """The claims of a token that is sent as `authorization: Bearer ...`, as a dict (RFC 7519;
    RFC 7515 for its signature, RFC 6750 for the field).

    `algorithms` are those that tokens may be signed with (RFC 7518, RFC 8037): HS256, HS384 and
    HS512, for which `key` is the secret, of as many bytes as the hash has; or any of RS256, RS384,
    RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA, for which it is the public key in
    PEM. Several keys are given by the id that tokens name (`kid`). In place of `key`, `jwks` is a
    JWK Set (RFC 7517): as a dict, as its JSON, or the path of a file with it; `reload()` takes
    other keys.

    A token is good when its signature is, when it has the claims of `required`, when it has not
    expired (`exp`) and is not of the future (`nbf`, `iat`), give or take `leeway` seconds, when one
    of its audiences (`aud`) is one of `audience`, or both have none, and when its `iss` is one of
    `issuer`, where that is given. One that is not is answered with 401 and the reason; a request
    without a token is too, or with `auto_error=False` the claims are None.

    `ValueError` for keys and algorithms that do not fit together, or where weft was built without
    libcrypto; `TypeError` for both of `key` and `jwks`, or neither.
    """

    model: models.HTTPBearer

    def __init__(
        self,
        *,
        key: Key | Mapping[str, Key] | None = None,
        jwks: JWKSet | None = None,
        algorithms: Sequence[str],
        audience: str | Sequence[str] | None = None,
        issuer: str | Sequence[str] | None = None,
        required: Sequence[str] = ("exp",),
        leeway: float = 0.0,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        for name, value in (("algorithms", algorithms), ("required", required)):
            if isinstance(value, str):
                raise TypeError(f"{name} must be a list of names, not the string {value!r}")
        if not 0 <= leeway < float("inf"):
            raise ValueError(f"leeway is in seconds, not {leeway!r}")
        kinds = {name.startswith("HS") for name in algorithms}
        if len(kinds) > 1:
            raise ValueError("one key cannot be a secret and public: HS* stands alone")
        if (key is None) == (jwks is None):
            raise TypeError("tokens are verified by a key, or by the keys of jwks")
        self._jwks = jwks
        self._algorithms = tuple(algorithms)
        self._claims = (_names(audience), _names(issuer), tuple(required), float(leeway))
        if key is None:
            self.reload()
        else:
            keys = key.items() if isinstance(key, Mapping) else [(None, key)]
            self._verifier = self._verify_with(
                [(id, _bytes(value, secret=True in kinds)) for id, value in keys],
                self._algorithms,
            )
        model = models.HTTPBearer(bearerFormat="JWT", description=description)
        self.describe_as(model, scheme_name, auto_error)

    def _verify_with(
        self, keys: list[tuple[str | None, bytes]], algorithms: tuple[str, ...]
    ) -> _core.TokenVerifier:
        return _core.TokenVerifier(keys, algorithms, *self._claims, InvalidTokenError)

    def reload(self, jwks: JWKSet | None = None) -> None:
        """Takes the keys of another JWK Set, or without one reads the file again, from the next
        token on. `ValueError`, or `OSError` of the file, for a bad one: the keys stay as they are.
        """
        jwks = self._jwks if jwks is None else jwks
        if jwks is None:
            raise TypeError("this JWTBearer was made with a key: give a JWK Set")
        keys, algorithms = keys_of(jwks, self._algorithms)
        self._verifier = self._verify_with(keys, algorithms)
        self._jwks = jwks

    def verify(self, token: Key) -> dict[str, Any]:
        """The claims of a token that came in another way. `InvalidTokenError` for a bad one."""
        return self._verifier.verify(token)

    def __call__(
        self, authorization: Annotated[str | None, Header(include_in_schema=False)] = None
    ) -> dict[str, Any] | None:
        try:
            claims = self._verifier.bearer(authorization)
        except InvalidTokenError as exc:
            challenge = f'Bearer error="invalid_token", error_description="{exc}"'
            raise HTTPException(
                401, f"Invalid token: {exc}", {"WWW-Authenticate": challenge}
            ) from exc
        if claims is None:
            self.refuse()
        return claims


def _bytes(key: Key, *, secret: bool) -> bytes:
    found = key.encode() if isinstance(key, str) else bytes(key)
    if secret and found.lstrip().startswith((b"-----BEGIN ", b"ssh-")):
        raise ValueError("the secret of HS* is a public key: whoever knows that could sign tokens")
    return found


def _names(names: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return (names,) if isinstance(names, str) else None if names is None else tuple(names)
