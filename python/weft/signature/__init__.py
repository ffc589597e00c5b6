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
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from weft import _core
from weft.exceptions import SignatureError
from weft.params import BodyMarker, FormMarker
from weft.routing import is_async_callable, place, unpartial
from weft.signature.conversions import judge
from weft.signature.models import model_fields, model_of
from weft.signature.parameter import step_of
from weft.signature.steps import MADE, Check, Conversion, Description, Step

__all__ = [
    "Check",
    "Conversion",
    "Description",
    "Step",
    "body_mode",
    "compile_plan",
    "describe",
    "embeds",
    "judge",
    "model_fields",
    "model_of",
]

_FROM_REQUEST = ("path", "query", "header", "cookie", "body")
_ORDER = (*_FROM_REQUEST, *MADE)


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
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            where = _where(endpoint, parameter.name)
            raise SignatureError(f"{where}: *args and **kwargs cannot come from a request")
        keyword = parameter.kind is parameter.KEYWORD_ONLY
        (keywords if keyword else positional).append(parameter.name)
        try:
            step = step_of(parameter, path_names, convertors, request_class, response_class)
        except (TypeError, ValueError) as exc:
            where = _where(endpoint, parameter.name)
            raise SignatureError(f"{where}: {exc}{_advice(exc, parameter)}") from exc
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
    function = unpartial(inspect.unwrap(endpoint))
    title = getattr(function, "__qualname__", None) or repr(function)
    return f"parameter {name!r} of {title}(){place(function)}"


def _advice(exc: Exception, parameter: inspect.Parameter) -> str:
    """For a class that nobody can read from a request."""
    if getattr(exc.__cause__, "code", None) != "schema-for-unknown-type":
        return ""
    name = inspect.formatannotation(parameter.annotation)
    return (
        ". What a request holds is read into scalars, dataclasses, pydantic models and containers "
        f"of them; what a function makes of it is Annotated[{name}, Depends(function)]."
    )


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
                raise SignatureError(
                    f"{_where(endpoint, parameter.name)}: {exc}. What it is annotated with has to "
                    "be there at run time too, and not be imported under TYPE_CHECKING only."
                ) from exc
            parameter = parameter.replace(annotation=annotation)
        yield parameter
