"""From a handler's signature to the steps of its plan, once, when the route is declared.

What comes from where follows FastAPI: names in the path pattern from the path; scalars from the
query string; dicts, lists, dataclasses and models from the body; what a marker says from there. A
step says where a value comes from, how it is converted, and which argument it fills; ``_core.Plan``
compiles them.

Conversions are native where this module can prove that the result and the errors are pydantic's;
any other annotation is handed over to pydantic, if it is installed.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, is_dataclass
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

from weft import _core
from weft.background import BackgroundTasks
from weft.datastructures import UploadFile
from weft.exceptions import SignatureError
from weft.params import (
    BodyMarker,
    Dependency,
    Depends,
    FileMarker,
    FormMarker,
    HeaderMarker,
    Marker,
    PathMarker,
    Security,
)
from weft.routing import convertor_type, is_async_callable
from weft.security.scopes import SecurityScopes
from weft.shapes.annotations import is_pydantic
from weft.shapes.compiled import describe as describe_shape
from weft.shapes.nodes import runs_code
from weft.shapes.pydantic import adapter_of
from weft.shapes.pydantic import describe as describe_judged

__all__ = ["Check", "Conversion", "Step", "compile_plan", "describe"]

_SEQUENCES = (Sequence, list, tuple, set, frozenset, deque)
_UNIONS = (Union, types.UnionType)
_FROM_REQUEST = ("path", "query", "header", "cookie", "body")
_MADE = ("request", "response", "background", "value", "dependency")
_ORDER = (*_FROM_REQUEST, *_MADE)

# Types a plan reads from text itself. By name, so that none of their modules is imported here.
_SCALARS = {
    ("builtins", "int"): "int",
    ("builtins", "float"): "float",
    ("builtins", "bool"): "bool",
    ("builtins", "bytes"): "bytes",
    ("uuid", "UUID"): "uuid",
    ("datetime", "date"): "date",
    ("datetime", "time"): "time",
    ("datetime", "datetime"): "datetime",
    ("datetime", "timedelta"): "timedelta",
    ("decimal", "Decimal"): "decimal",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One constraint, and the error of a value that breaks it."""

    op: str
    limit: Any
    type: str
    message: str
    context: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a value is made of text (or, in a body, of what the JSON held)."""

    kind: str
    # lookup: dict of text or int to value; list: its type; handed: (validate, error class)
    data: Any = None
    items: tuple[Conversion, ...] = ()  # union: its choices; list: its item
    checks: tuple[Check, ...] = ()
    error: tuple[str, str, dict[str, Any] | None] | None = None  # type, message, ctx
    label: str = ""  # in the loc of a union's errors

    def __str__(self) -> str:
        text = self.label or self.kind
        if self.kind == "union":
            text = " | ".join(map(str, self.items))
        elif self.kind == "list":
            text = f"{self.data.__name__}[{self.items[0]}]"
        checks = ", ".join(f"{check.op}={check.limit!r}" for check in self.checks)
        return f"{text}({checks})" if checks else text


@dataclass(frozen=True, slots=True)
class ParameterModel:
    """A class whose fields are the query parameters, header fields or cookies."""

    # of each field: (its key for the class, its key in the request) in order of preference; many?
    fields: tuple[tuple[tuple[tuple[str, str], ...], bool], ...]
    own_names: frozenset[str]  # keys in the request, of all fields
    renames: dict[str, str]  # name of a field: the key in the request that is made from it
    optional: bool  # None, or another default, where nothing of it came
    extras_count: bool  # keys of no field are something of it


@dataclass(frozen=True, slots=True)
class Step:
    """Where a value comes from, how it is converted, which argument it fills."""

    name: str
    source: str
    conversion: Conversion
    names: tuple[str, ...]  # in the request, best first; one of them is in the loc of an error
    keys: tuple[bytes, ...]  # the same as they are on the wire
    index: int = 0  # of the path parameter in the pattern, or of the dependency's value
    many: bool = False  # every occurrence, not one
    keyword: bool = False  # passed by keyword
    # required: missing is an error; value: as it is; copy: deep-copied each time; factory: called
    default_kind: str = "required"
    default: Any = None
    validate_default: bool = False
    annotation: Any = Any
    marker: Marker | None = None
    model: ParameterModel | None = None
    depends: Dependency | None = None
    # where the body is a form:
    raw: bool = False  # of a file its bytes
    # of a model each field's names, whether it takes all values of them, and raw
    form_fields: tuple[tuple[tuple[str, ...], bool, bool], ...] | None = None
    form_optional: bool = False  # a model that may be left out

    @property
    def native(self) -> bool:
        return self.conversion.kind != "handed"

    def __str__(self) -> str:
        if self.depends is not None:
            return f"{self.name} <- {self.depends}"
        if self.source in _MADE:
            return f"{self.name} <- {self.source}"
        default = {"required": "", "factory": " = <factory>"}.get(
            self.default_kind, f" = {self.default!r}"
        )
        place = self.source + "".join(f" {name}" for name in self.names)
        return f"{self.name} <- {place}: {self.conversion}{default}"


@dataclass(frozen=True, slots=True)
class Description:
    """All of a handler's steps, in the order they run."""

    endpoint: Callable[..., Any]
    steps: tuple[Step, ...]
    positional: tuple[str, ...]  # arguments in order
    keywords: tuple[str, ...]
    embed: bool  # each body step reads one key of the body
    body_mode: str  # buffer, stream or ignore
    is_coroutine: bool

    def compile(self, uses: tuple[Any, ...] = ()) -> _core.Plan:
        return _core.Plan(
            self.endpoint,
            self.steps,
            self.positional,
            self.keywords,
            self.embed,
            self.body_mode,
            self.is_coroutine,
            uses,
        )


def compile_plan(
    endpoint: Callable[..., Any],
    path: str = "",
    *,
    request_class: type | None = None,
    response_class: type | None = None,
) -> _core.Plan:
    """The plan of ``endpoint`` on a route with this path pattern; it can have no dependencies."""
    d = describe(endpoint, path, request_class=request_class, response_class=response_class)
    if any(step.depends for step in d.steps):
        raise SignatureError(f"{endpoint!r} has dependencies: weft.dependencies compiles them")
    return d.compile()


def describe(
    endpoint: Callable[..., Any],
    path: str = "",
    *,
    request_class: type | None = None,
    response_class: type | None = None,
) -> Description:
    """The steps of a handler. Parameters annotated with ``request_class`` or ``response_class`` get
    those objects."""
    path_names = re.findall(r"{([^{}:]*)(?::[^{}]*)?}", path)
    convertors = dict(re.findall(r"{([^{}:]*):([^{}]*)}", path))
    steps: list[Step] = []
    positional: list[str] = []
    keywords: list[str] = []
    for parameter in _parameters(endpoint):
        where = _where(endpoint, parameter.name)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise SignatureError(f"{where}: *args and **kwargs cannot come from a request")
        keyword = parameter.kind is parameter.KEYWORD_ONLY
        (keywords if keyword else positional).append(parameter.name)
        try:
            step = _step(parameter, path_names, convertors, request_class, response_class)
        except (TypeError, ValueError) as exc:
            raise SignatureError(f"{where}: {exc}") from exc
        steps.append(step)
    steps.sort(key=lambda step: _ORDER.index(step.source))  # stable: then by position
    return Description(
        endpoint,
        tuple(steps),
        tuple(positional),
        tuple(keywords),
        embeds(steps),
        body_mode(steps),
        is_async_callable(endpoint),
    )


def embeds(steps: Sequence[Step]) -> bool:
    """Does each of these steps read one key of the body? Steps of one name count as one."""
    body = [step for step in steps if step.source == "body"]
    return len({step.name for step in body}) > 1 or any(
        isinstance(step.marker, BodyMarker) and step.marker.embed for step in body
    )


def body_mode(steps: Sequence[Step]) -> str:
    """What becomes of the body, with these steps of a handler and its dependencies."""
    sources = {step.source for step in steps}
    if any(isinstance(step.marker, FormMarker) for step in steps):
        return "form"
    return "buffer" if "body" in sources else "stream" if "request" in sources else "ignore"


def _where(endpoint: Any, name: str) -> str:
    function = inspect.unwrap(endpoint)
    while isinstance(function, partial):
        function = function.func
    code = getattr(function, "__code__", None)
    at = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
    title = getattr(function, "__qualname__", None) or repr(function)
    return f"parameter {name!r} of {title}(){at}"


def _parameters(endpoint: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    try:
        yield from inspect.signature(endpoint, eval_str=True).parameters.values()
        return
    except NameError:
        pass
    # Something is imported for type checkers only. That is fine in the return annotation, so ask
    # again parameter by parameter and complain about the one that cannot be resolved.
    scope = getattr(inspect.unwrap(endpoint), "__globals__", {})
    for parameter in inspect.signature(endpoint).parameters.values():
        if isinstance(parameter.annotation, str):
            try:
                annotation = eval(parameter.annotation, scope)
            except NameError as exc:
                raise SignatureError(f"{_where(endpoint, parameter.name)}: {exc}") from exc
            parameter = parameter.replace(annotation=annotation)
        yield parameter


# ---- one parameter ----


def _step(
    parameter: inspect.Parameter,
    path_names: list[str],
    convertors: Mapping[str, str],
    request_class: type | None,
    response_class: type | None,
) -> Step:
    name = parameter.name
    keyword = parameter.kind is parameter.KEYWORD_ONLY
    annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
    default = ... if parameter.default is parameter.empty else parameter.default
    base, metadata = _split(annotation)
    depends = _depends(base, metadata, default)
    if depends is not None:
        return Step(name, "dependency", Conversion("any"), (), (), keyword=keyword, depends=depends)
    marker = _marker(metadata, default)
    if marker is None and _is_upload(base):
        marker = FileMarker(..., {})
    if isinstance(default, Marker):
        default = default.default
    elif marker is not None and marker.default is not ...:
        raise TypeError(
            f"{marker.name}() in Annotated cannot have a default value: write `{name}: ... = value`"
        )

    injected = _injected(base, request_class, response_class)
    if injected is not None:
        if marker is not None:
            raise TypeError(f"{marker.name}() cannot be used with {base.__name__}")
        kind = "factory" if injected == "value" else "required"
        return Step(
            name,
            injected,
            Conversion("any"),
            (),
            (),
            keyword=keyword,
            default_kind=kind,
            default=base,
        )

    source = _source(name, base, marker, path_names)
    if source in ("query", "header", "cookie") and (model := model_of(base)) is not None:
        kind, value = _default(default, marker, metadata, source)
        return Step(
            name,
            source,
            _handed_over(base, metadata, marker),
            (name,),
            (name.encode(),),
            keyword=keyword,
            default_kind=kind,
            default=value,
            annotation=annotation,
            marker=marker,
            model=_parameter_model(base, model, source, marker),
        )
    names, keys, index = _names(name, source, marker, metadata, path_names)
    if source == "path" and annotation is Any and names[0] in convertors:
        base = annotation = convertor_type(convertors[names[0]])
    if source != "path" and marker is not None and default is not ... and marker.default_factory:
        raise TypeError("there is a default and a default_factory")
    conversion = _conversion(base, metadata, marker, source)
    kind, value = _default(default, marker, metadata, source)
    return Step(
        name,
        source,
        conversion,
        names,
        keys,
        index=index,
        many=source in ("query", "header", "body")
        and _is_sequence(base)
        and not _is_json(metadata),
        keyword=keyword,
        default_kind=kind,
        default=value,
        validate_default=marker is not None and marker.validate_default and kind != "required",
        annotation=annotation,
        marker=marker,
        raw=isinstance(marker, FileMarker) and _holds(base, bytes),
        form_fields=_form_fields(base, marker, metadata),
        form_optional=type(None) in get_args(base),
    )


def _split(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """Annotated[T, ...] to T and the rest; names of types to what they name."""
    alias_type = getattr(sys.modules["typing"], "TypeAliasType", None)
    while True:
        if alias_type is not None and isinstance(annotation, alias_type):
            annotation = annotation.__value__
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        else:
            break
    if get_origin(annotation) is Annotated:
        base, *metadata = get_args(annotation)
        inner, more = _split(base)
        return inner, (*more, *metadata)
    return annotation, ()


def _injected(base: Any, request_class: type | None, response_class: type | None) -> str | None:
    """The source of what is not in the request, by its class."""
    if not isinstance(base, type):
        return None
    if request_class is not None and (
        # A class that Request inherits from, HTTPConnection, can be asked for too.
        issubclass(base, request_class) or base in request_class.__mro__[1:-1]
    ):
        return "request"
    if response_class is not None and issubclass(base, response_class):
        return "response"
    if issubclass(base, BackgroundTasks):
        return "background"
    return "value" if issubclass(base, SecurityScopes) else None


def _depends(base: Any, metadata: tuple[Any, ...], default: Any) -> Dependency | None:
    found = [item for item in metadata if isinstance(item, (Marker, Dependency))][-1:]
    for item in (*metadata, default):
        if item in (Depends, Security):
            raise TypeError(f"{item.__name__} must be called: {item.__name__}()")
    if isinstance(default, Dependency):
        if found:
            raise TypeError("there is a marker in Annotated and Depends() as the default value")
        found = [default]
    if not found or not isinstance(found[0], Dependency):
        return None
    depends = found[0]
    if depends.dependency is None:  # the class itself
        if not callable(base) or base is Any:
            raise TypeError("Depends() without a dependency needs a class as the annotation")
        depends = copy(depends)
        depends.dependency = base
    return depends


def _marker(metadata: tuple[Any, ...], default: Any) -> Marker | None:
    for item in (*metadata, default):
        if isinstance(item, type) and issubclass(item, Marker):
            raise TypeError(f"{item.source.capitalize()} must be called: {item.__name__}()")
    found = [item for item in metadata if isinstance(item, Marker)]
    if isinstance(default, Marker):
        if found:
            raise TypeError("there is a marker in Annotated and another as the default value")
        return default
    return found[-1] if found else None


def _source(name: str, base: Any, marker: Marker | None, path_names: list[str]) -> str:
    if marker is not None and name not in path_names:
        source = marker.source
    elif name in path_names:
        if marker is not None and not isinstance(marker, PathMarker):
            raise TypeError(f"{marker.name}() cannot be used for a parameter of the path")
        source = "path"
    else:
        source = "body" if _is_complex(base) else "query"
    if source == "path" and _is_complex(base):
        raise TypeError(f"a path parameter cannot be {_type_name(base)}")
    scalar = not _is_complex(base) or _is_scalar_sequence(base) or model_of(base) is not None
    if source in ("query", "header", "cookie") and not scalar:
        raise TypeError(f"a {source} parameter cannot be {_type_name(base)}: use Body()")
    return source


def _names(
    name: str,
    source: str,
    marker: Marker | None,
    metadata: tuple[Any, ...],
    path_names: list[str],
) -> tuple[tuple[str, ...], tuple[bytes, ...], int]:
    alias = marker.alias if marker is not None else None
    validation_alias = marker.validation_alias if marker is not None else None
    if marker is None:  # pydantic.Field(alias=...) beside no marker of ours
        for item in metadata:
            alias = getattr(item, "alias", None) or alias
            validation_alias = getattr(item, "validation_alias", None) or validation_alias
    if alias is None:
        convert = isinstance(marker, HeaderMarker) and marker.convert_underscores
        alias = name.replace("_", "-") if convert else name
    names: tuple[str, ...] = (alias,)
    if isinstance(validation_alias, str):
        names = (validation_alias,)
    elif validation_alias is not None:  # pydantic.AliasChoices, by its looks
        choices = getattr(validation_alias, "choices", None)
        if not choices or not all(isinstance(choice, str) for choice in choices):
            raise TypeError(f"validation_alias cannot be {validation_alias!r}: use names")
        names = tuple(choices)
    index = 0
    if source == "path":
        missing = names[0]
        names = tuple(n for n in names if n in path_names)[:1]
        if not names:
            raise TypeError(f"there is no {{{missing}}} in the path of the route")
        index = path_names.index(names[0])
    if source in ("header", "cookie"):
        keys = tuple(n.lower() if source == "header" else n for n in names)
        return names, tuple(key.encode("latin-1", "replace") for key in keys), index
    return names, tuple(n.encode() for n in names), index


def _default(
    default: Any, marker: Marker | None, metadata: tuple[Any, ...], source: str
) -> tuple[str, Any]:
    if source == "path":
        return "required", None
    factory = marker.default_factory if marker is not None else None
    for item in metadata:  # pydantic.Field(default_factory=...)
        factory = factory or getattr(item, "default_factory", None)
    if factory is not None:
        return "factory", factory
    if default is ...:
        return "required", None
    if type(default).__module__ == "pydantic.fields":
        raise TypeError("pydantic.Field() as the default says no source: use Query() or the like")
    # What copying gives back unchanged needs no copy.
    return ("value" if deepcopy(default) is default else "copy"), default


# ---- annotations ----


def _subclass(annotation: Any, classes: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, classes)


def _is_model(annotation: Any) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and _subclass(annotation, pydantic.BaseModel)


def _is_complex(annotation: Any) -> bool:
    """Does it come from the body where nothing else is said?"""
    origin = get_origin(annotation)
    if origin in _UNIONS:
        return any(map(_is_complex, get_args(annotation)))
    if origin is Annotated:
        return _is_complex(get_args(annotation)[0])
    return (
        _is_model(annotation)
        or _subclass(annotation, Mapping)
        or _subclass(origin, Mapping)
        or _is_sequence(annotation)
        or is_dataclass(annotation)
        or hasattr(annotation, "__struct_fields__")
        or hasattr(annotation, "__attrs_attrs__")
        or hasattr(origin, "__pydantic_core_schema__")
        or hasattr(origin, "__get_pydantic_core_schema__")
    )


def _holds(annotation: Any, cls: type | tuple[type, ...]) -> bool:
    """Is it that class, optional or in a sequence?"""
    if get_origin(annotation) in _UNIONS or _is_sequence(annotation):
        return any(_holds(arg, cls) for arg in get_args(annotation) if arg is not ...)
    return _subclass(_split(annotation)[0], cls)


def _is_upload(annotation: Any) -> bool:
    return _holds(annotation, UploadFile)


def _form_fields(
    annotation: Any, marker: Marker | None, metadata: tuple[Any, ...]
) -> tuple[tuple[tuple[str, ...], bool, bool], ...] | None:
    """The fields of a form's model; None for what is none, or is one field of a form itself."""
    if not isinstance(marker, FormMarker) or marker.embed or _is_json(metadata):
        return None
    if get_origin(annotation) in _UNIONS:
        models = [arg for arg in get_args(annotation) if arg is not type(None)]
        if not all(map(_is_model, models)):
            return None
        annotation = models[0] if len(models) == 1 else None
        if annotation is None:
            return ()  # each judges what was sent by itself
    if not _is_model(annotation):
        return None
    fields = []
    for name, field in annotation.model_fields.items():
        alias = field.validation_alias or field.alias or name
        names = tuple(n for n in getattr(alias, "choices", (alias,)) if isinstance(n, str))
        if name not in names and annotation.model_config.get("populate_by_name"):
            names += (name,)
        many = _is_sequence(field.annotation) and not _is_json(tuple(field.metadata))
        raw = any(isinstance(item, FileMarker) for item in (*field.metadata, field)) and _holds(
            field.annotation, bytes
        )
        fields.append((names, many, raw))
    return tuple(fields)


def _is_sequence(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in _UNIONS:
        return any(map(_is_sequence, get_args(annotation)))
    if origin is Annotated:
        return _is_sequence(get_args(annotation)[0])
    if _subclass(annotation, (str, bytes)):
        return False
    return _subclass(annotation, _SEQUENCES) or _subclass(origin, _SEQUENCES)


def _is_json(metadata: tuple[Any, ...]) -> bool:
    """pydantic.Json: one text that holds all of it."""
    return any(getattr(type(i), "__qualname__", "") == "Json" for i in metadata)


def _is_scalar_sequence(annotation: Any) -> bool:
    if get_origin(annotation) in _UNIONS:
        choices = get_args(annotation)
        return any(map(_is_scalar_sequence, choices)) and all(
            _is_scalar_sequence(choice) or not _is_complex(choice) for choice in choices
        )
    return _is_sequence(annotation) and not any(
        _is_complex(arg) for arg in get_args(annotation) if arg is not ...
    )


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


# ---- conversions ----


def _conversion(
    annotation: Any, metadata: tuple[Any, ...], marker: Marker | None, source: str
) -> Conversion:
    constraints = _constraints(metadata, marker)
    conversion = None
    if constraints is not None and not (marker is not None and marker.validate_default):
        if isinstance(marker, FormMarker):
            conversion = _native_form(annotation, constraints, marker)
        elif source == "body":
            conversion = _native_body(annotation, constraints)
        elif source in ("query", "header") and _is_sequence(annotation):
            conversion = _native_list(annotation, constraints)
        else:
            conversion = _native(annotation, constraints)
    if conversion is None and source == "body" and not isinstance(marker, FormMarker):
        conversion = _shaped(annotation, metadata, marker)
    return conversion or _handed_over(annotation, metadata, marker)


def _constraints(metadata: tuple[Any, ...], marker: Marker | None) -> dict[str, Any] | None:
    """All the constraints of a parameter, or None where some are only pydantic's."""
    constraints: dict[str, Any] = {}
    for item in metadata:
        if isinstance(item, (Marker, str)) or type(item).__name__ == "Doc":
            continue
        if type(item).__module__ != "annotated_types":
            return None
        match type(item).__name__:
            case "Gt" | "Ge" | "Lt" | "Le" | "MultipleOf":
                constraints[next(iter(item.__slots__))] = getattr(item, item.__slots__[0])
            case "MinLen" | "MaxLen":
                key = "min_length" if type(item).__name__ == "MinLen" else "max_length"
                constraints[key] = getattr(item, key)
            case _:
                return None
    if marker is not None:
        if marker.pydantic_options:
            return None
        constraints |= marker.constraints
    return constraints


def _native(annotation: Any, constraints: Mapping[str, Any]) -> Conversion | None:
    """A scalar read from text, or None where only pydantic knows how."""
    annotation, metadata = _split(annotation)
    if metadata:
        inner = _constraints(metadata, None)
        if inner is None:
            return None
        constraints = {**inner, **constraints}
    origin = get_origin(annotation)
    if origin in _UNIONS:
        choices = [arg for arg in get_args(annotation) if arg is not type(None)]
        if len(choices) == 1:
            return _native(choices[0], constraints)
        return None if constraints else _union(choices)
    if annotation is str:
        return _with_checks(Conversion("str", label="str"), constraints, _text_check)
    if annotation is Any or annotation is object:
        return None if constraints else Conversion("any", label="any")
    if origin is Literal:
        return None if constraints else _literal(get_args(annotation))
    if _subclass(annotation, Enum):
        return None if constraints else _enum(annotation)
    key = (getattr(annotation, "__module__", ""), getattr(annotation, "__qualname__", ""))
    kind = _SCALARS.get(key) if isinstance(annotation, type) else None
    if kind is None:
        return None
    conversion = Conversion(kind, data=annotation, label=kind)
    for op in constraints:
        if op in _LENGTHS and kind != "bytes":
            raise TypeError(f"{op} says nothing about {kind}")
    if kind in ("int", "float"):
        return _with_checks(conversion, constraints, _int_check if kind == "int" else _float_check)
    return None if constraints else conversion


def _union(choices: list[Any]) -> Conversion | None:
    # pydantic's smart mode prefers what the text is without conversion: itself, where str is a
    # choice. Else each of these is a conversion, none better than another: the first that succeeds.
    if any(choice is str for choice in choices) and all(map(_plain, choices)):
        return Conversion("str", label="str")
    if not all(map(_plain, choices)):
        return None
    items = tuple(conversion for choice in choices if (conversion := _native(choice, {})))
    return Conversion("union", items=items) if len(items) == len(choices) else None


def _plain(annotation: Any) -> bool:
    key = (getattr(annotation, "__module__", ""), getattr(annotation, "__qualname__", ""))
    return annotation is str or (isinstance(annotation, type) and key in _SCALARS)


def _expected(kind: str, values: Sequence[Any]) -> tuple[str, str, dict[str, Any]]:
    *most, last = map(repr, values)
    text = f"{', '.join(most)} or {last}" if most else last
    return kind, f"Input should be {text}", {"expected": text}


def _literal(values: tuple[Any, ...]) -> Conversion | None:
    if not all(type(value) is str for value in values):
        return None
    return Conversion(
        "lookup",
        data={value: value for value in values},
        error=_expected("literal_error", values),
        label=f"literal[{','.join(map(repr, values))}]",
    )


def _enum(cls: type[Enum]) -> Conversion | None:
    if cls._missing_.__func__ is not Enum._missing_.__func__ or not len(cls):  # type: ignore[attr-defined]
        return None
    values = [member.value for member in cls]
    error = _expected("enum", values)
    if issubclass(cls, int):
        members = {int(value): member for value, member in zip(values, cls, strict=True)}
        return Conversion("lookup_int", data=members, error=error, label=cls.__name__)
    if issubclass(cls, float):
        return None
    named = {str(m.value): m for m in cls if isinstance(m.value, str)}
    return Conversion("lookup", data=named, error=error, label=cls.__name__)


def _native_list(annotation: Any, constraints: Mapping[str, Any]) -> Conversion | None:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in _UNIONS:
        choices = [arg for arg in args if arg is not type(None)]
        return _native_list(choices[0], constraints) if len(choices) == 1 else None
    container = origin or annotation
    if container is tuple and args:
        if len(args) != 2 or args[1] is not ...:
            return None
    elif container not in (list, set, frozenset, tuple):
        return None
    item = _native(args[0] if args else Any, {})
    if item is None or (constraints and container is not list):
        return None
    return _with_checks(
        Conversion("list", data=container, items=(item,)), constraints, _items_check
    )


def _native_form(
    annotation: Any, constraints: Mapping[str, Any], marker: FormMarker
) -> Conversion | None:
    optional = [arg for arg in get_args(annotation) if arg is not type(None)]
    if get_origin(annotation) in _UNIONS and len(optional) == 1:
        annotation = optional[0]
    if constraints and _holds(annotation, (UploadFile, bytes)):
        return None
    item = get_args(annotation)[0] if get_origin(annotation) is list else annotation
    found = None
    if item is UploadFile:
        found = Conversion("upload", label="UploadFile")
    elif item is bytes and isinstance(marker, FileMarker):
        found = Conversion("raw", label="bytes")
    if found is not None:
        return found if item is annotation else Conversion("list", data=list, items=(found,))
    if _is_sequence(annotation):
        return _native_list(annotation, constraints)
    return _native(annotation, constraints)


def _native_body(annotation: Any, constraints: Mapping[str, Any]) -> Conversion | None:
    """What needs no more than a look at what the JSON held."""
    if constraints:
        return None
    if annotation is Any or annotation is object:
        return Conversion("any", label="any")
    if annotation is bytes:
        return Conversion("raw", label="bytes")
    if annotation is dict or annotation == dict[str, Any]:
        error = ("dict_type", "Input should be a valid dictionary", None)
        return Conversion("object", error=error, label="dict")
    if annotation is list or annotation == list[Any]:
        return Conversion(
            "array", error=("list_type", "Input should be a valid list", None), label="list"
        )
    return None


# ---- parameter models ----


def model_of(annotation: Any) -> Any:
    """The class of a parameter model, or None: a pydantic model or a dataclass, None beside it."""
    annotation, _ = _split(annotation)
    if get_origin(annotation) in _UNIONS:
        choices = [arg for arg in get_args(annotation) if arg is not type(None)]
        annotation = choices[0] if len(choices) == 1 else None
    return annotation if _is_model(annotation) or _is_dataclass(annotation) else None


def _is_dataclass(annotation: Any) -> bool:
    return isinstance(annotation, type) and is_dataclass(annotation)


def _parameter_model(
    annotation: Any, model: Any, source: str, marker: Marker | None
) -> ParameterModel:
    convert = source == "header" and isinstance(marker, HeaderMarker) and marker.convert_underscores
    config = dict(getattr(model, "model_config", None) or {})
    found = []
    renames = {}
    for name, field in model_fields(model):
        pairs = _field_keys(name, field, config, convert, source)
        found.append((pairs, _is_sequence(_split(field.annotation)[0])))
        if convert and "_" in name and name in (own for own, _ in pairs):
            renames[name] = name.replace("_", "-")
    return ParameterModel(
        fields=tuple(found),
        own_names=frozenset(key for pairs, _ in found for _, key in pairs),
        renames=renames if config.get("loc_by_alias", True) else {},
        optional=annotation is not model,
        extras_count=config.get("extra") in ("allow", "forbid"),
    )


def model_fields(model: Any) -> Iterator[tuple[str, Any]]:
    """Name, and what pydantic makes of the annotation and the default."""
    fields: Mapping[str, Any] | None = getattr(model, "model_fields", None)
    if fields is None:
        import pydantic.dataclasses

        fields = pydantic.dataclasses.dataclass(model).__pydantic_fields__
    yield from fields.items()


def _field_keys(
    name: str, field: Any, config: Mapping[str, Any], convert: bool, source: str
) -> tuple[tuple[str, str], ...]:
    """(key for the model, key in the request): aliases first, the name where it is allowed."""

    def key(alias: str) -> str:
        made = alias.replace("_", "-") if convert and alias == name else alias
        return made.lower() if source == "header" else made

    alias = field.validation_alias
    choices = getattr(alias, "choices", None)
    if choices and all(isinstance(choice, str) for choice in choices):
        # choices are meant literally, underscores and all
        pairs = [(choice, choice.lower() if source == "header" else choice) for choice in choices]
    else:
        alias = alias if isinstance(alias, str) else field.alias or name
        pairs = [(alias, key(alias))]
    by_name = (name, key(name))
    if config.get("validate_by_alias") is False:
        return (by_name,)
    if config.get("validate_by_name", config.get("populate_by_name", False)):
        pairs += [] if name in (alias for alias, _ in pairs) else [by_name]
    return tuple(pairs)


# ---- constraints ----

# The order in which pydantic checks them: only the first that fails is reported.
_BOUNDS = {
    "multiple_of": ("multiple_of", "Input should be a multiple of {}"),
    "le": ("less_than_equal", "Input should be less than or equal to {}"),
    "lt": ("less_than", "Input should be less than {}"),
    "ge": ("greater_than_equal", "Input should be greater than or equal to {}"),
    "gt": ("greater_than", "Input should be greater than {}"),
}
_LENGTHS = ("min_length", "max_length", "pattern")


def _with_checks(
    conversion: Conversion,
    constraints: Mapping[str, Any],
    make: Callable[[str, Any], Check | None],
) -> Conversion | None:
    order = [*_BOUNDS, *_LENGTHS]
    checks = [make(op, constraints[op]) for op in sorted(constraints, key=order.index)]
    if any(check is None for check in checks):
        return None
    return Conversion(
        conversion.kind,
        conversion.data,
        conversion.items,
        tuple(check for check in checks if check is not None),
        conversion.error,
        conversion.label,
    )


def _int_check(op: str, limit: Any) -> Check | None:
    if op not in _BOUNDS or type(limit) not in (int, float) or limit != limit // 1:
        return None
    return _bound(op, int(limit), str(int(limit)))


def _float_check(op: str, limit: Any) -> Check | None:
    if op not in _BOUNDS or type(limit) not in (int, float):
        return None
    limit = float(limit)
    text = repr(limit).removesuffix(".0")
    if "e" in text:  # pydantic never writes an exponent
        from decimal import Decimal

        text = format(Decimal(text), "f")
    return _bound(op, limit, text)


def _bound(op: str, limit: Any, text: str) -> Check | None:
    if op == "multiple_of" and limit == 0:
        return None
    error, message = _BOUNDS[op]
    return Check(op, limit, error, message.format(text), {op: limit})


def _text_check(op: str, limit: Any) -> Check | None:
    if op == "pattern":
        if not isinstance(limit, str):
            return None
        message = f"String should match pattern '{limit}'"
        return Check(
            op, _pattern(limit).search, "string_pattern_mismatch", message, {"pattern": limit}
        )
    if op not in _LENGTHS or type(limit) is not int:
        return None
    how = ("at least", "string_too_short") if op == "min_length" else ("at most", "string_too_long")
    message = f"String should have {how[0]} {limit} character{'' if limit == 1 else 's'}"
    return Check(op, limit, how[1], message, {op: limit})


def _pattern(pattern: str) -> re.Pattern[str]:
    """By Python's re, searching; `$` is the very end only, as in pydantic's own engine."""
    try:
        if not re.search(r"\(\?[a-z]*m", pattern):
            pattern = re.sub(
                r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$",
                lambda m: r"\Z" if m[0] == "$" else m[0],
                pattern,
                flags=re.DOTALL,
            )
        return re.compile(pattern)
    except re.error as exc:
        raise ValueError(f"pattern {pattern!r}: {exc}") from exc


def _items_check(op: str, limit: Any) -> Check | None:
    if op not in ("min_length", "max_length") or type(limit) is not int:
        return None
    how = ("at least", "too_short") if op == "min_length" else ("at most", "too_long")
    message = f"List should have {how[0]} {limit} item{'' if limit == 1 else 's'} after validation"
    return Check(op, limit, how[1], message + ", not ", {"field_type": "List", op: limit})


# ---- handing over ----


def _handed_over(annotation: Any, metadata: tuple[Any, ...], marker: Marker | None) -> Conversion:
    adapter, error_class = _adapter(annotation, metadata, marker)
    return Conversion(
        "handed",
        data=(adapter.validator.validate_python, error_class),
        label=f"pydantic {_type_name(annotation)}",
    )


def _adapter(annotation: Any, metadata: tuple[Any, ...], marker: Marker | None) -> tuple[Any, Any]:
    """pydantic's TypeAdapter and ValidationError."""
    name = _type_name(annotation)
    try:
        import pydantic
        import pydantic_core
    except ImportError:
        raise TypeError(
            f"reading {name} is pydantic's part, which is not installed: pip install pydantic. By "
            "itself weft reads text as str, bytes, bool, numbers, dates, times, UUID, Decimal, "
            "Enum, Literal and lists of them, and bodies as bytes, dict, list, Any, and as what "
            "weft.shape() reads: dataclasses, TypedDict, msgspec Structs, attrs and the like"
        ) from None
    extra: list[Any] = []
    for item in metadata if marker in metadata else (*metadata, marker):
        if isinstance(item, Marker):
            options = item.constraints | item.pydantic_options
            item = pydantic.Field(**options) if options else None
        if item is not None:
            extra.append(item)
    if extra:
        annotation = Annotated[(annotation, *extra)]
    return adapter_of(annotation, name), pydantic_core.ValidationError


def _shaped(annotation: Any, metadata: tuple[Any, ...], marker: Marker | None) -> Conversion | None:
    """A body that is read straight into what it is to be. pydantic is the judge where it is
    installed and can read the type. None where all of it is pydantic's."""
    name = _type_name(annotation)
    try:
        adapter, error_class = _adapter(annotation, metadata, marker)
    except TypeError as refusal:
        if is_pydantic(annotation) or (marker is not None and marker.constraints):
            raise
        extra = tuple(item for item in metadata if not isinstance(item, Marker))
        try:
            node = describe_shape(Annotated[(annotation, *extra)] if extra else annotation)
        except TypeError as exc:
            raise TypeError(f"{refusal}; and weft.shape(): {exc}") from exc
        runs = runs_code(node)
        data = (_core.Shape(node), None, None, not runs, runs)
        return Conversion("shape", data=data, label=name)
    validate = adapter.validator.validate_python
    node = describe_judged(adapter, validate, name)
    if node.kind == "handed":
        return None
    data = (_core.Shape(node), validate, error_class, True, runs_code(node))
    return Conversion("shape", data=data, label=name)


def judge(step: Step, value: Any) -> tuple[Any, Exception | None]:
    """What pydantic makes of a value that the step's own conversion cannot take, or its error."""
    _, metadata = _split(step.annotation)
    validate, error_class = _handed_over(step.annotation, metadata, step.marker).data
    try:
        return validate(value), None
    except error_class as exc:
        return None, exc
