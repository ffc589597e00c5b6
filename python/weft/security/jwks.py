"""The public keys of a JWK Set (RFC 7517), as PEM."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from weft import json

__all__ = ["JWKSet", "keys_of"]

JWKSet = Mapping[str, Any] | str | bytes | os.PathLike[str]

# RFC 5480, RFC 8017 appendix A.1, RFC 8410: the identifiers, as DER has them.
_RSA = bytes.fromhex("06092a864886f70d010101 0500")
_EC = bytes.fromhex("06072a8648ce3d0201")
_CURVES = {
    "P-256": ("ES256", 32, bytes.fromhex("06082a8648ce3d030107")),
    "P-384": ("ES384", 48, bytes.fromhex("06052b81040022")),
    "P-521": ("ES512", 66, bytes.fromhex("06052b81040023")),
}
_ED25519 = bytes.fromhex("06032b6570")
_RSA_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


def keys_of(
    jwks: JWKSet, algorithms: Sequence[str]
) -> tuple[list[tuple[str | None, bytes]], tuple[str, ...]]:
    """The keys that are for signatures by one of `algorithms`, by id, and those of `algorithms` for
    which there is a key.

    What is of another kind is passed over (RFC 7517, section 5), as are keys without an id beside
    others. `ValueError` where none is left, or a key is none.
    """
    members = [key for key in _members(jwks) if key.get("use", "sig") == "sig"]
    found: dict[str | None, tuple[bytes, set[str]]] = {}
    for key in members:
        id = key.get("kid")
        wanted = _algorithms(key) & set(algorithms)
        if not wanted or (id is None and len(members) > 1) or id in found:
            continue
        if id is not None and not isinstance(id, str):
            raise ValueError("the id of a key is no text")
        found[id] = _key(key), wanted
    if not found:
        raise ValueError(f"the JWK Set has no key for {', '.join(algorithms)}")
    used = set().union(*(wanted for _, wanted in found.values()))
    keys = [(id, key) for id, (key, _) in found.items()]
    return keys, tuple(name for name in algorithms if name in used)


def _members(jwks: JWKSet) -> Iterator[Mapping[str, Any]]:
    document: Any = jwks
    if isinstance(jwks, os.PathLike):
        document = Path(jwks).read_bytes()
    if isinstance(document, str | bytes):
        try:
            document = json.decode(document)
        except ValueError as exc:
            raise ValueError(f"a JWK Set is JSON: {exc}") from exc
    keys = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list):
        raise ValueError('a JWK Set is an object with "keys"')
    yield from (key for key in keys if isinstance(key, Mapping))


def _algorithms(key: Mapping[str, Any]) -> set[str]:
    """What it may be used for: by its kind, and where it says so by its `alg`."""
    kind, curve = key.get("kty"), key.get("crv")
    known: set[str] = set()
    if kind == "RSA":
        known = _RSA_ALGORITHMS
    elif kind == "EC" and curve in _CURVES:
        known = {_CURVES[curve][0]}
    elif kind == "OKP" and curve == "Ed25519":
        known = {"EdDSA"}
    elif kind == "oct":
        known = {"HS256", "HS384", "HS512"}
    return known & {key["alg"]} if "alg" in key else known


def _key(key: Mapping[str, Any]) -> bytes:
    """A secret as it is, a public key in PEM."""
    if key["kty"] == "oct":
        return _bytes(key, "k")
    if key["kty"] == "RSA":
        numbers = b"".join(_tlv(2, _unsigned(_bytes(key, name))) for name in ("n", "e"))
        info = _tlv(0x30, _RSA) + _bits(_tlv(0x30, numbers))
    elif key["kty"] == "EC":
        _, size, curve = _CURVES[key["crv"]]
        point = b"\4" + _bytes(key, "x", size) + _bytes(key, "y", size)
        info = _tlv(0x30, _EC + curve) + _bits(point)
    else:
        info = _tlv(0x30, _ED25519) + _bits(_bytes(key, "x", 32))
    text = base64.encodebytes(_tlv(0x30, info))
    return b"-----BEGIN PUBLIC KEY-----\n" + text + b"-----END PUBLIC KEY-----\n"


def _bytes(key: Mapping[str, Any], name: str, size: int | None = None) -> bytes:
    value = key.get(name)
    try:
        if not isinstance(value, str):
            raise ValueError
        text = value.encode("ascii") + b"=" * (-len(value) % 4)
        found = base64.b64decode(text, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise ValueError(f"{name!r} of the key {key.get('kid')!r} is no base64url") from None
    if not found or size not in (None, len(found)):
        raise ValueError(f"{name!r} of the key {key.get('kid')!r} has not the length it should")
    return found


def _unsigned(number: bytes) -> bytes:
    """As DER has a number that is not negative."""
    number = number.lstrip(b"\0") or b"\0"
    return b"\0" + number if number[0] & 0x80 else number


def _tlv(tag: int, content: bytes) -> bytes:
    n = len(content)
    size = bytes([n]) if n < 0x80 else b""
    if not size:
        digits = n.to_bytes((n.bit_length() + 7) // 8, "big")
        size = bytes([0x80 | len(digits)]) + digits
    return bytes([tag]) + size + content


def _bits(content: bytes) -> bytes:
    return _tlv(3, b"\0" + content)
