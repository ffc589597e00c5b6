"""What a route's model makes of what its endpoint returns, or of each item that it yields: judged,
filtered, written as JSON."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from weft import _core
from weft.exceptions import ResponseValidationError, SignatureError
from weft.json import EncodeError, decode
from weft.responses import JSONResponse
from weft.routing import UNSET, Route, endpoint_name, place
from weft.shapes.compiled import describe, output_of, reply_of
from weft.shapes.core_schema import reason

_NO_CONTENT = (204, 205, 304)
_OPTIONS = ("include", "exclude", "by_alias", "exclude_unset", "exclude_defaults", "exclude_none")

# Options that have to be so for a shape to write the reply.
_NATIVE = {"include": None, "exclude": None, "by_alias": True, "exclude_defaults": False}


_WRITTEN = {**_NATIVE, "exclude_unset": False, "exclude_none": False}


class ReplyModel(NamedTuple):
    """What `_core.Server.add_route` takes."""

    judge: Callable[[Any], Any]
    """gives JSON, or plain values for a response class; by a second argument, for BSON, a dict
    where it is one"""
    shape: tuple[_core.Shape, int] | None
    """writes the JSON where no judge is needed; None where none is written, or of chosen fields"""


def _written(model: Any, route: Route, options: dict[str, Any], where: str) -> ReplyModel | None:
    """Of what pydantic does not know (msgspec's Structs, attrs classes, what holds such): written
    by the type, which is what judges it. None where that cannot be either; `SignatureError` for
    options that only pydantic has."""
    try:
        describe(model)  # what it cannot read it cannot say in the document
        shape = output_of(model)
    except TypeError:
        return None
    asked = [f"response_model_{n}" for n, usual in _WRITTEN.items() if options[n] != usual]
    if asked:
        raise SignatureError(
            f"{where}, which pydantic does not know: {', '.join(asked)} is for its types"
        )
    as_json = route.yields or route.response_class in (None, JSONResponse)

    def through_shape(value: Any, bson: bool = False) -> Any:
        try:
            content = shape.encode_json(value)
        except EncodeError as exc:
            error = {"type": "type_error", "loc": ("response",), "msg": str(exc), "input": value}
            raise ResponseValidationError([error], body=value) from None
        plain = decode(content) if bson or not as_json else None
        return content if as_json and not isinstance(plain, dict) else plain

    return ReplyModel(through_shape, (shape, 1) if as_json else None)


def compile_model(route: Route) -> ReplyModel | None:
    """The model of a route's replies, or None.

    `SignatureError` for a type that neither pydantic nor a shape can judge.
    """
    model = route.item_model if route.yields else route.reply_model
    if model is None or (model is Any and route.response_model is UNSET):
        return None  # what is annotated with Any is encoded as what is not annotated
    endpoint = route.endpoint
    where = f"the reply of {endpoint_name(endpoint)}(){place(endpoint)} is {model!r}"
    if route.status_code in _NO_CONTENT:
        raise SignatureError(f"{where}, but with the status {route.status_code} none is sent")
    options = {name: getattr(route, f"response_model_{name}") for name in _OPTIONS}
    try:
        import pydantic
        import pydantic_core
        from pydantic.warnings import UnsupportedFieldAttributeWarning
    except ImportError:
        if route.response_model is model:
            raise SignatureError(f"{where}: install pydantic to have it judged") from None
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)
            adapter: Any = pydantic.TypeAdapter(model)
            adapter.rebuild()
    except NameError as exc:  # one that stands in quotes, and is nowhere
        raise SignatureError(f"{where}: {reason(exc)}") from exc
    except (pydantic.errors.PydanticUserError, pydantic_core.SchemaError) as exc:
        written = _written(model, route, options, where)
        if written is not None:
            return written
        raise SignatureError(
            f"{where}, which pydantic cannot judge; say response_model=None to send it as it is: "
            f"{reason(exc)}"
        ) from exc
    validate = adapter.validator.validate_python
    shape = None
    if route.yields or route.response_class in (None, JSONResponse):
        dump = adapter.serializer.to_json
        if all(options[name] == usual for name, usual in _NATIVE.items()):
            flags = [options[name] for name in ("by_alias", "exclude_unset", "exclude_none")]
            shape = reply_of(adapter), sum(bool(flag) << i for i, flag in enumerate(flags))
    else:
        dump, options = adapter.serializer.to_python, {**options, "mode": "json"}

    def through_model(value: Any, bson: bool = False) -> Any:
        try:
            value = validate(value, from_attributes=True)
        except pydantic_core.ValidationError as exc:
            errors = exc.errors(include_url=False)
            for error in errors:
                error["loc"] = ("response", *error["loc"])
            raise ResponseValidationError(errors, body=value) from None
        if bson:  # which has documents alone at the top
            plain = adapter.serializer.to_python(value, **options)
            if isinstance(plain, dict):
                return plain
        return dump(value, **options)

    return ReplyModel(through_model, shape)
