"""Path patterns: the parameters they have, and paths made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

EXPRESSION = re.compile(r"\{\$[^{}]*\}")  # OpenAPI's, in the paths of callbacks
ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*/*")
PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::([A-Za-z_][A-Za-z0-9_]*))?\}")


def without_convertors(pattern: str) -> str:
    """The pattern as OpenAPI writes it."""
    return PARAMETER.sub(r"{\1}", pattern)


def parameters(pattern: str) -> dict[str, type]:
    """Its parameters in order, and what each is in `Request.path_params`."""
    return {name: convertor_type(kind) for name, kind in PARAMETER.findall(pattern)}


def convertor_type(kind: str) -> type:
    """What `{name:kind}` makes of the text it matches."""
    if kind == "uuid":
        from uuid import UUID  # not for programs that have no such path

        return UUID
    return {"int": int, "float": float}.get(kind, str)


def fill(pattern: str, values: Mapping[str, Any]) -> str:
    """The pattern with its parameters filled in; `ValueError` when one has no place in it."""
    return PARAMETER.sub(lambda m: _text(m[1], m[2] or "str", values[m[1]]), pattern)


def _text(name: str, kind: str, value: Any) -> str:
    text = str(value)
    if kind == "str" and (not text or "/" in text):
        raise ValueError(f"path parameter {name!r} must not be empty or have a slash: {text!r}")
    if kind in ("int", "float") and text.startswith("-"):
        raise ValueError(f"path parameter {name!r} must not be negative: {text}")
    return text


def normalized_root(root_path: str) -> str:
    """Without slashes at its end; `ValueError` for what is none or would have to be encoded."""
    if not ROOT_PATH.fullmatch(root_path):
        raise ValueError(
            f"bad root_path {root_path!r}: it begins with a slash, as in '/api/v1', and has "
            "nothing that is percent-encoded in a URL"
        )
    return root_path.rstrip("/")


def check_path(path: object) -> None:
    """`ValueError` for braces that are no parameter's; `TypeError` for what is no path at all."""
    if not isinstance(path, str):
        what = repr(path)
        if callable(path):
            what = f"the endpoint {getattr(path, '__name__', type(path).__name__)}"
        raise TypeError(
            f"a route is declared with its path first, as in @app.get('/items'), not with {what}"
        )
    if (brace := re.search("[{}]", EXPRESSION.sub("", PARAMETER.sub("", path)))) is not None:
        raise ValueError(
            f"bad path {path!r}: {brace[0]!r} is no part of a parameter, which is written {{name}} "
            "or {name:convertor}"
        )
