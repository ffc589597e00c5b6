"""The OpenAPI 3.1 document of an App (https://spec.openapis.org/oas/v3.1.0), as FastAPI writes it.

First every route says what values it takes and gives; then all schemas are generated together; then
the routes are written down with them.
"""

from __future__ import annotations

import http
import inspect
import warnings
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypedDict, get_args, get_origin

from weft import json
from weft.datastructures import UploadFile
from weft.dependencies import Node, Tree
from weft.json import EncodeError
from weft.openapi.schemas import REF, Schema, SchemaError, Schemas, Value, merge
from weft.params import BodyMarker, FileMarker, FormMarker, HeaderMarker, Marker
from weft.responses import JSONResponse
from weft.routing import Route, place
from weft.security.base import SecurityBase
from weft.security.jwt import JWTBearer
from weft.shapes.nodes import Described
from weft.signature import Step, embeds, model_fields, model_of
from weft.signature.annotations import split

if TYPE_CHECKING:
    from weft.app import App

_PLACES = ("path", "query", "header", "cookie")
_WITH_BODY = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"}
_NO_CONTENT = {204, 205, 304}
_RANGES = {
    "1XX": "Information",
    "2XX": "Success",
    "3XX": "Redirection",
    "4XX": "Client Error",
    "5XX": "Server Error",
    "DEFAULT": "Default Response",
}
_FILE: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}
_EVENT: Schema = {
    "type": "object",
    "properties": {
        "data": {"type": "string"},
        "event": {"type": "string"},
        "id": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0},
    },
}
_ERRORS: dict[str, Schema] = {
    "ValidationError": {
        "title": "ValidationError",
        "type": "object",
        "properties": {
            "loc": {
                "title": "Location",
                "type": "array",
                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            },
            "msg": {"title": "Message", "type": "string"},
            "type": {"title": "Error Type", "type": "string"},
            "input": {"title": "Input"},
            "ctx": {"title": "Context", "type": "object"},
        },
        "required": ["loc", "msg", "type"],
    },
    "HTTPValidationError": {
        "title": "HTTPValidationError",
        "type": "object",
        "properties": {
            "detail": {
                "title": "Detail",
                "type": "array",
                "items": {"$ref": REF + "ValidationError"},
            }
        },
    },
}


def openapi(app: App) -> dict[str, Any]:
    """The OpenAPI document of an App's routes, as a dict that JSON can hold.

    `SchemaError` when a value's type has no JSON Schema.
    """
    operations = [_Operation(route) for route in app.routes if route.include_in_schema]
    hooks = [_Operation(route) for route in app.webhooks.routes if route.include_in_schema]
    schemas = Schemas(
        (value for operation in (*operations, *hooks) for value in operation.all_values()),
        separate=app.separate_input_output_schemas,
    )
    document: dict[str, Any] = {"openapi": app.openapi_version, "info": _info(app)}
    if app.servers:
        document["servers"] = app.servers
    written = _Writer(schemas, app.openapi_bson)
    paths = written.paths(operations)
    webhooks = written.paths(hooks)
    definitions = schemas.definitions
    written_ones = [one for operation in (*operations, *hooks) for one in operation.walk()]
    if written.has_errors:
        definitions |= _ERRORS
    components: dict[str, Any] = {}
    schemes = {
        name: _scheme(scheme)
        for operation in written_ones
        for name, (scheme, _) in operation.schemes.items()
    }
    if schemes:
        components["securitySchemes"] = schemes
    if definitions:
        components["schemas"] = dict(sorted(definitions.items()))
    document["paths"] = paths
    if webhooks:
        document["webhooks"] = webhooks
    if components:
        document["components"] = components
    if app.openapi_tags:
        document["tags"] = app.openapi_tags
    if app.openapi_external_docs:
        document["externalDocs"] = app.openapi_external_docs
    found: dict[str, Any] = _as_json(document, paths, webhooks)
    _drop_nulls(found)
    return found


def _as_json(document: dict[str, Any], *parts: dict[str, Any]) -> Any:
    """Its copy of what JSON has; `SchemaError` says which operation has something else."""
    try:
        return json.decode(json.encode(document))
    except EncodeError as exc:
        why: Exception = exc
    for part in parts:
        for path, operations in part.items():
            for method, operation in operations.items():
                try:
                    json.encode(operation)
                except EncodeError as exc:
                    raise SchemaError(f"what is said of {method.upper()} {path}: {exc}") from exc
    raise SchemaError(f"the OpenAPI document: {why}") from why


def _drop_nulls(value: Any) -> None:
    """`default: null` and the like say nothing; what an example holds stays."""
    if isinstance(value, dict):
        for key in [key for key, item in value.items() if item is None]:
            del value[key]
        for key, item in value.items():
            if key not in ("example", "examples"):
                _drop_nulls(item)
    elif isinstance(value, list):
        for item in value:
            _drop_nulls(item)


def _info(app: App) -> dict[str, Any]:
    info = {
        "title": app.title,
        "version": app.version,
        "summary": app.summary,
        "description": app.description,
        "termsOfService": app.terms_of_service,
        "contact": app.contact,
        "license": app.license_info,
    }
    return {name: value for name, value in info.items() if value}


class _Writer:
    """What writing every operation of a document takes."""

    def __init__(self, schemas: Schemas, bson: bool) -> None:
        self.schemas = schemas
        self.has_errors = False  # is it said of an operation what its 422 is?
        self._bson = bson
        self._ids: dict[str, Route] = {}

    def paths(self, operations: Iterable[_Operation]) -> dict[str, Any]:
        paths: dict[str, Any] = {}
        for operation in operations:
            path = paths.setdefault(operation.route.path_format, {})
            for method in operation.route.methods:
                path[method.lower()] = operation.written(method, self)
        return paths

    def operation_id(self, route: Route, method: str) -> str:
        """Its id, of which a document may have one only: a second one is warned of."""
        found = route.operation_id_of(method)
        other = self._ids.setdefault(found, route)
        if other is not route:
            warnings.warn(
                f"The operation id {found!r} is that of {_name_of(other)} and of {_name_of(route)}",
                stacklevel=2,
            )
        return found

    def content(self, media_type: str, media: dict[str, Any]) -> dict[str, Any]:
        """What is sent or taken as this; where the App says so, BSON beside JSON, for documents."""
        content = {media_type: media}
        if self._bson and media_type == "application/json" and self._is_document(media["schema"]):
            content["application/bson"] = deepcopy(media)
        return content

    def _is_document(self, schema: Schema) -> bool:
        """May it be an object, as all is in BSON at the top?"""
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(REF)
            return self._is_document(self.schemas.definitions.get(name, {}))
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return any(map(self._is_document, choices))
        return bool(schema.get("type", "object") == "object")


def _name_of(route: Route) -> str:
    return f"{'|'.join(route.methods)} {route.path}{place(route.endpoint)}"


# ---- one route ----


@dataclass(slots=True)
class _Parameter:
    place: str
    name: str
    required: bool
    value: Value
    documentation: Mapping[str, Any]


@dataclass(slots=True)
class _Body:
    media_type: str
    required: bool
    value: Value
    documentation: Mapping[str, Any]


class _Operation:
    """A route, and the values it takes and gives."""

    def __init__(self, route: Route) -> None:
        self.route = route
        tree = Tree.of(route)
        nodes = list(_each_once(tree))
        steps = [step for node in nodes for step in node.description.steps]
        self.schemes = _schemes(nodes)
        self.parameters = [p for place in _PLACES for p in _parameters(steps, place)]
        self.body = _body(route, [step for step in steps if step.source == "body"])
        self.may_be_invalid = bool(self.body) or any(
            step.source in _PLACES
            for node in nodes
            if not isinstance(node.call, JWTBearer)  # what it reads can be anything
            for step in node.description.steps
        )
        self.reply = _reply(route)
        self.item = _item(route)
        self.replies = {
            status: Value(model, "serialization", f"Response_{status}_{route.unique_id}")
            for status, reply in route.responses.items()
            if (model := route.resolved(reply.get("model"))) is not None
        }
        self.callbacks = [
            _Operation(callback) for callback in route.callbacks if callback.include_in_schema
        ]
        for value in self._values():
            value.where = _name_of(route)

    def walk(self) -> Iterable[_Operation]:
        """Itself, and its callbacks with theirs."""
        yield self
        for callback in self.callbacks:
            yield from callback.walk()

    def all_values(self) -> Iterable[Value]:
        for operation in self.walk():
            yield from operation._values()

    def _values(self) -> Iterable[Value]:
        if self.body is not None:
            yield self.body.value
        if self.reply is not None:
            yield self.reply
        if self.item is not None:
            yield self.item
        yield from self.replies.values()
        yield from (parameter.value for parameter in self.parameters)

    def written(self, method: str, writer: _Writer) -> dict[str, Any]:
        route = self.route
        operation: dict[str, Any] = {}
        if route.tags:
            operation["tags"] = list(route.tags)
        operation["summary"] = route.summary or route.name.replace("_", " ").title()
        description = route.description or inspect.cleandoc(route.endpoint.__doc__ or "")
        description = description.split("\f")[0].strip()
        if description:
            operation["description"] = description
        operation["operationId"] = writer.operation_id(route, method)
        if route.deprecated:
            operation["deprecated"] = True
        if self.schemes:
            operation["security"] = [{name: scopes} for name, (_, scopes) in self.schemes.items()]
        if self.parameters:
            operation["parameters"] = _write_parameters(self.parameters, writer.schemas)
        if self.body is not None and method in _WITH_BODY:
            operation["requestBody"] = _write_body(self.body, writer)
        if self.callbacks:
            operation["callbacks"] = {
                callback.route.name: writer.paths([callback]) for callback in self.callbacks
            }
        operation["responses"] = self._responses(writer)
        merge(operation, route.openapi_extra or {})
        return operation

    def _responses(self, writer: _Writer) -> dict[str, Any]:
        route, schemas = self.route, writer.schemas
        made_by = route.response_class or JSONResponse
        reply: dict[str, Any] = {"description": route.response_description}
        has_content = route.status_code is None or _has_content(route.status_code)
        if has_content and route.yields in ("lines", "events"):
            reply["content"] = self._items(schemas)
        elif has_content and made_by.media_type is not None:
            schema: Schema = {"type": "string"}
            if issubclass(made_by, JSONResponse):
                schema = schemas.of(self.reply) if self.reply is not None else {}
            media = {"schema": schema}
            as_is = route.response_class is not None  # its own, and never BSON
            reply["content"] = (
                {made_by.media_type: media} if as_is else writer.content(made_by.media_type, media)
            )
        responses = {str(route.default_status): reply}
        for status, more in route.responses.items():
            key = str(status).upper()
            written = responses.setdefault("default" if key == "DEFAULT" else key, {})
            added = {name: deepcopy(value) for name, value in more.items() if name != "model"}
            if status in self.replies:
                content = added.setdefault("content", {})
                media = content.setdefault(made_by.media_type or "application/json", {})
                merge(media.setdefault("schema", {}), schemas.of(self.replies[status]))
            title = added.get("description") or written.get("description") or _reason(key)
            merge(written, added)
            written["description"] = title
        if self.may_be_invalid and responses.keys().isdisjoint(("422", "4XX", "default")):
            writer.has_errors = True
            schema = {"$ref": REF + "HTTPValidationError"}
            responses["422"] = {
                "description": "Validation Error",
                "content": {"application/json": {"schema": schema}},
            }
        return responses

    def _items(self, schemas: Schemas) -> dict[str, Any]:
        """The content of a stream, by the schema of an item: OpenAPI 3.2's `itemSchema` (section
        4.14.4), as an extension, since a document of 3.1 has no such key."""
        schema = schemas.of(self.item) if self.item is not None else {}
        if self.route.yields == "lines":
            return {"application/jsonl": {"x-itemSchema": schema}}
        event = deepcopy(_EVENT)
        if self.item is not None:
            event["required"] = ["data"]
            event["properties"]["data"] |= {
                "contentMediaType": "application/json",
                "contentSchema": schema,
            }
        return {"text/event-stream": {"x-itemSchema": event}}


def _reason(status: str) -> str:
    try:
        return _RANGES.get(status) or http.HTTPStatus(int(status)).phrase
    except ValueError:
        return "Additional Response"


def _has_content(status: int) -> bool:
    return status >= 200 and status not in _NO_CONTENT


# ---- what it takes ----


def _each_once(tree: Tree) -> Iterable[Node]:
    """The endpoint, then what it depends on: once each, however often it is used."""
    seen = set()
    for node in tree.root.walk():
        key = tree.key(node)
        if key not in seen:
            seen.add(key)
            yield node


def _schemes(nodes: Iterable[Node]) -> dict[str, tuple[SecurityBase, list[str]]]:
    """The security schemes a request has to satisfy, by name, each with the scopes it needs."""
    found: dict[str, tuple[SecurityBase, list[str]]] = {}
    for node in nodes:
        scheme = inspect.unwrap(node.call)
        if isinstance(scheme, SecurityBase):
            _, scopes = found.setdefault(scheme.scheme_name, (scheme, []))
            scopes += [scope for scope in node.scopes if scope not in scopes]
    return found


def _scheme(scheme: SecurityBase) -> Any:
    """Its Security Scheme Object; a scheme of the application's own may bring a dict."""
    model = scheme.model
    return model.as_dict() if hasattr(model, "as_dict") else model


def _parameters(steps: Sequence[Step], place: str) -> Iterable[_Parameter]:
    for step in steps:
        documentation = _documentation(step)
        if step.source != place or documentation.get("include_in_schema") is False:
            continue
        if step.model is not None:
            yield from _of_model(step, place)
            continue
        name = step.names[0]
        required = step.default_kind == "required"
        yield _Parameter(place, name, required, _value(step, name), documentation)


def _of_model(step: Step, place: str) -> Iterable[_Parameter]:
    """The fields of a parameter model, each a parameter."""
    assert step.model is not None
    converts = isinstance(step.marker, HeaderMarker) and step.marker.convert_underscores
    fields = model_fields(model_of(step.annotation))
    for (name, info), (pairs, _) in zip(fields, step.model.fields, strict=True):
        alias = pairs[0][0]
        shown = alias.replace("_", "-") if converts and alias == name else alias
        required = info.is_required() and not (
            step.model.optional and step.default_kind != "required"
        )
        options = {"title": info.title} if info.title else {}
        value = Value(info.annotation, "validation", alias, options, (info,))
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        documentation = {"description": info.description, "deprecated": info.deprecated, **extra}
        yield _Parameter(place, shown, required, value, documentation)


def _documentation(step: Step) -> dict[str, Any]:
    """What is said of it by its marker and by a `pydantic.Field` in its annotation: of two in one
    annotation the last counts, and a marker that is the default value is all that does."""
    _, metadata = split(step.annotation)
    if step.marker is not None and step.marker not in metadata:
        return step.marker.documentation
    found: dict[str, Any] = {}
    for item in metadata:
        if step.marker is not None and item is step.marker:
            found |= step.marker.documentation
        elif type(item).__module__ == "pydantic.fields":
            said = {name: getattr(item, name) for name in ("title", "description", "deprecated")}
            found |= {name: value for name, value in said.items() if value is not None}
    return found


def _value(step: Step, name: str) -> Value:
    options = _options(step.marker, _documentation(step))
    if step.default_kind in ("value", "copy"):
        options["default"] = step.default
    elif step.default_kind == "factory":
        options["default_factory"] = step.default
    return Value(step.annotation, "validation", name, options)


def _options(marker: Marker | None, documentation: Mapping[str, Any]) -> dict[str, Any]:
    """What pydantic.Field takes of a marker, and of what is said of the parameter."""
    options = {**marker.constraints, **marker.pydantic_options} if marker is not None else {}
    options |= documentation
    for name in ("openapi_examples", "include_in_schema", "example"):
        options.pop(name, None)
    return options


def _write_parameters(parameters: Iterable[_Parameter], schemas: Schemas) -> list[dict[str, Any]]:
    """Of a parameter that is there twice, the one that is required counts."""
    found: dict[tuple[str, str], tuple[bool, dict[str, Any]]] = {}
    for parameter in parameters:
        key = (parameter.place, parameter.name)
        if key in found and found[key][0] and not parameter.required:
            continue
        written: dict[str, Any] = {
            "name": parameter.name,
            "in": parameter.place,
            "required": parameter.required,
            "schema": schemas.of(parameter.value),
        }
        if parameter.documentation.get("description"):
            written["description"] = parameter.documentation["description"]
        _add_examples(written, parameter.documentation)
        if parameter.documentation.get("deprecated"):
            written["deprecated"] = True
        found[key] = (parameter.required, written)
    return [written for _, written in found.values()]


def _add_examples(written: dict[str, Any], documentation: Mapping[str, Any]) -> None:
    if documentation.get("openapi_examples"):
        written["examples"] = documentation["openapi_examples"]
    elif "example" in documentation:
        written["example"] = documentation["example"]


def _body(route: Route, steps: Sequence[Step]) -> _Body | None:
    steps = list({step.name: step for step in steps}.values())
    if not steps:
        return None
    markers = [step.marker for step in steps if isinstance(step.marker, BodyMarker)]
    media_type = _media_type(markers)
    if not _is_embedded(steps):
        step = steps[0]
        documentation = _documentation(step)
        required = step.default_kind == "required"
        return _Body(media_type, required, _value(step, step.names[0]), documentation)
    name = "Body_" + route.unique_id
    required = any(step.default_kind == "required" for step in steps)
    try:
        import pydantic
    except ImportError:
        return _Body(media_type, required, Value(_dict_of(name, steps), "validation", "body"), {})
    groups = [step for step in steps if step.form_fields is not None]
    fields: dict[str, Any] = {}
    for step in steps:
        value = _value(step, step.names[0])
        options = {"alias": step.names[0], **value.options}
        if step in groups and step.form_optional:
            options.setdefault("title", step.name.replace("_", " ").title())
        fields[step.name] = (value.annotation, pydantic.Field(**options))
    config = pydantic.ConfigDict(json_schema_extra=partial(_flatten, groups)) if groups else None
    try:
        model = pydantic.create_model(name, __config__=config, **fields)
    except pydantic.errors.PydanticUserError:  # it does not know one of them
        model = _dict_of(name, steps)
    options = {} if required else {"default": None}
    return _Body(media_type, required, Value(model, "validation", "body", options), {})


def _dict_of(name: str, steps: Sequence[Step]) -> Any:
    """A TypedDict with a key for each, for weft's own shapes."""
    keys: dict[str, Any] = {}
    for step in steps:
        value = _value(step, step.names[0])
        annotation = value.annotation
        if annotation is UploadFile:
            annotation = Annotated[Any, Described({"json_schema_extra": _FILE})]
        elif annotation == list[UploadFile]:
            annotation = list[Annotated[Any, Described({"json_schema_extra": _FILE})]]
        annotation = Annotated[annotation, Described(value.options)]
        required = step.default_kind == "required"
        keys[step.names[0]] = annotation if required else NotRequired[annotation]
    return TypedDict(name, keys)  # type: ignore[operator]


def _flatten(groups: Sequence[Step], schema: Schema) -> None:
    """A form's models have no key of their own: their fields stand beside the other ones."""
    properties, required = schema["properties"], schema.get("required", [])
    conditions = []
    for step in groups:
        name = step.names[0]
        fields = properties.pop(name)
        fields.pop("default", None)
        if name in required:
            required.remove(name)
        if step.form_optional:
            fields["anyOf"] = [one for one in fields["anyOf"] if one.get("type") != "null"]
            absent = _absent(step)
            if step.default_kind == "required":
                conditions.append({"not": absent})
            else:
                fields = {"anyOf": [absent, fields]}
        conditions.append(fields)
    for name in ("properties", "required"):
        if not schema.get(name):
            schema.pop(name, None)
    schema["allOf"] = conditions


def _absent(step: Step) -> Schema:
    """Of a form that has nothing of a model."""
    annotation = step.annotation
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    models = [m for m in (annotation, *get_args(annotation)) if hasattr(m, "model_config")]
    if any(model.model_config.get("extra") in ("allow", "forbid") for model in models):
        return {"maxProperties": 0}
    names = sorted({name for field_names, _, _ in step.form_fields or () for name in field_names})
    return {"not": {"anyOf": [{"required": [name]} for name in names]}} if names else {}


def _is_embedded(steps: Sequence[Step]) -> bool:
    """Is each of the steps one key of the body? A field of a form always is, a form's model not."""
    if embeds(steps):
        return True
    return isinstance(steps[0].marker, FormMarker) and steps[0].form_fields is None


def _media_type(markers: Sequence[BodyMarker]) -> str:
    """Of the body: a form's where there is a field of one, multipart where one is a file."""
    for kind in (FileMarker, FormMarker):
        if any(isinstance(marker, kind) for marker in markers):
            kinds = {marker.media_type for marker in markers if isinstance(marker, kind)}
            return "multipart/form-data" if kind is FileMarker or len(kinds) > 1 else kinds.pop()
    kinds = {marker.media_type for marker in markers}
    return kinds.pop() if len(kinds) == 1 else "application/json"


def _write_body(body: _Body, writer: _Writer) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": writer.schemas.of(body.value)}
    _add_examples(media, body.documentation)
    written: dict[str, Any] = {"required": True} if body.required else {}
    return {**written, "content": writer.content(body.media_type, media)}


# ---- what it gives ----


def _reply(route: Route) -> Value | None:
    """The model of its replies."""
    model = route.reply_model
    return None if model is None else Value(model, "serialization", "Response_" + route.unique_id)


def _item(route: Route) -> Value | None:
    """The model of what it yields."""
    model = route.item_model
    return None if model is None else Value(model, "serialization", "StreamItem_" + route.unique_id)
