"""Routes that Hypothesis makes up, on weft and on FastAPI: both answer every request alike.

A few examples as a test. `make fuzz` runs `python -m tests.test_generated SECONDS`, with new
examples until the time is over.
"""

import datetime as dt
import decimal
import inspect
import json
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote

import pydantic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .peer import Ask, Framework, answers

ROUTES = 6
REQUESTS = 4  # of each route

TYPES: list[Any] = [
    *(int, float, bool, str, uuid.UUID, dt.date, dt.datetime, dt.timedelta, decimal.Decimal),
    *(Literal["a", "b"], Literal[1, 2], int | None, str | None, int | str, bool | float),
]
LISTS: list[Any] = [list[int], list[str], set[int], tuple[float, ...], list[int] | None]
CONSTRAINTS: dict[Any, list[dict[str, Any]]] = {
    int: [{"ge": 0}, {"gt": 1, "le": 10}, {"multiple_of": 3}],
    float: [{"lt": 1.5}, {"ge": -1, "le": 1}],
    str: [{"min_length": 2}, {"max_length": 2}, {"pattern": "^[a-c]+$"}],
}
TEXTS = [
    *("", "0", "1", "-1", "+1", "3", "12", "1.5", "1e3", "-0", "007", "1_0", " 1", "nan", "inf"),
    *(
        "true",
        "False",
        "on",
        "no",
        "a",
        "b",
        "abc",
        "null",
        "None",
        "é",
        "2024-02-29",
        "2023-02-29",
    ),
    *("2024-01-01T00:00:00Z", "PT1H", "1 day", "12:30", "12345678-1234-5678-1234-567812345678"),
    *("9" * 25, "a,b", "[1]", "{}", "x" * 50),
]
VALUES = [*TEXTS, None, True, False, 0, 1, -7, 1.5, 2.0, 10**20, [], [1], ["a", 2], {}, {"a": 1}]


@dataclass
class Parameter:
    name: str
    source: str  # Path, Query, Header, Cookie, Body
    annotation: Any
    constraints: dict[str, Any]
    alias: str | None
    default: Any  # ... where it is required


@dataclass
class Function:
    """An endpoint or a dependency."""

    parameters: list[Parameter]
    needs: list[tuple["Function", bool]]  # and whether they are shared
    generator: bool
    is_async: bool

    def all_parameters(self) -> list[Parameter]:
        inner = [p for function, _ in self.needs for p in function.all_parameters()]
        return [*self.parameters, *inner]


@st.composite
def fields(draw: st.DrawFn) -> tuple[Any, Any]:
    annotation = draw(st.sampled_from([*TYPES, *LISTS, dict[str, int]]))
    options = draw(st.sampled_from([{}, *CONSTRAINTS.get(annotation, [])]))
    default = draw(st.sampled_from([..., None, 1, "a"]))
    return annotation, pydantic.Field(default, **options)


@st.composite
def models(draw: st.DrawFn, depth: int = 0) -> Any:
    names = draw(st.lists(st.sampled_from(["a", "b", "c_d", "e"]), min_size=1, unique=True))
    made: dict[str, Any] = {name: draw(fields()) for name in names}
    if depth < 2 and draw(st.booleans()):
        inner = draw(models(depth + 1))
        made["inner"] = draw(
            st.sampled_from([(inner, ...), (list[inner], ...), (inner | None, None)])
        )
    extra = draw(st.sampled_from(["ignore", "forbid", "allow"]))
    config = pydantic.ConfigDict(extra=extra)
    return pydantic.create_model(f"Model{depth}", __config__=config, **made)


@st.composite
def parameters(draw: st.DrawFn, name: str, source: str) -> Parameter:
    choices = TYPES if source in ("Path", "Cookie") else [*TYPES, *LISTS]
    annotation = draw(st.sampled_from(choices))
    if source == "Body" and draw(st.booleans()):
        annotation = draw(models())
    constraints = draw(st.sampled_from([{}, *CONSTRAINTS.get(annotation, [])]))
    alias = draw(st.sampled_from([None, f"{name}-alias"])) if source != "Path" else None
    default = ... if source == "Path" else draw(st.sampled_from([..., ..., None, 1, "a"]))
    return Parameter(name, source, annotation, constraints, alias, default)


@st.composite
def functions(draw: st.DrawFn, prefix: str, depth: int, pool: list[Function]) -> Function:
    sources = ["Query", "Header", "Cookie"] if depth else ["Query", "Header", "Cookie", "Body"]
    given = draw(st.lists(st.sampled_from(sources), max_size=4))
    made = [draw(parameters(f"{prefix}{i}", source)) for i, source in enumerate(given)]
    needs = []
    if depth < 3:
        for i in range(draw(st.integers(0, 2))):
            if pool and draw(st.booleans()):
                function = draw(st.sampled_from(pool))
            else:
                function = draw(functions(f"{prefix}d{i}", depth + 1, pool))
            needs.append((function, draw(st.booleans())))
    function = Function(made, needs, depth > 0 and draw(st.booleans()), draw(st.booleans()))
    if depth:
        pool.append(function)
    return function


@st.composite
def routes(draw: st.DrawFn) -> tuple[str, str, Function]:
    endpoint = draw(functions("p", 0, []))
    in_path = [draw(parameters(f"in_path{i}", "Path")) for i in range(draw(st.integers(0, 2)))]
    endpoint.parameters += in_path
    path = "".join(f"/{{{p.name}}}" for p in in_path)
    return draw(st.sampled_from(["POST", "PUT"])), path, endpoint


@st.composite
def requests(draw: st.DrawFn, method: str, path: str, endpoint: Function) -> Ask:
    query: list[str] = []
    headers: list[tuple[str, str]] = []
    cookies: list[str] = []
    body: Any = {}
    for p in endpoint.all_parameters():
        if p.source == "Path":
            text = draw(st.sampled_from([t for t in TEXTS if t]))
            path = path.replace(f"{{{p.name}}}", quote(text, safe=""))
            continue
        name = p.alias or p.name
        if p.source == "Body":
            body[name] = draw(bodies(p.annotation))
            continue
        for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
            text = draw(st.sampled_from(TEXTS))
            if p.source == "Query":
                query.append(f"{quote(name)}={quote(text)}")
            elif text.isascii() and text == text.strip():
                if p.source == "Header":
                    headers.append((name if p.alias else name.replace("_", "-"), text))
                elif "," not in text and "{" not in text and "[" not in text:
                    cookies.append(f"{name}={text}")
    if cookies:
        headers.append(("cookie", "; ".join(cookies)))
    of_body = [p for p in endpoint.all_parameters() if p.source == "Body"]
    if len(of_body) == 1:
        body = body[of_body[0].alias or of_body[0].name]
    if draw(st.sampled_from([False] * 9 + [True])):
        body = draw(st.sampled_from(VALUES))
    target = path + ("?" + "&".join(query) if query else "")
    if not of_body:
        return Ask(method, target, headers)
    return Ask.json(method, target, body, *headers)


@st.composite
def bodies(draw: st.DrawFn, annotation: Any) -> Any:
    if not hasattr(annotation, "model_fields") or draw(st.sampled_from([False] * 5 + [True])):
        return draw(st.sampled_from(VALUES))
    made = {}
    for name in annotation.model_fields:
        if draw(st.sampled_from([True] * 5 + [False])):
            made[name] = draw(st.sampled_from(VALUES))
    if "inner" in made:
        inner = annotation.model_fields["inner"].annotation
        models = [m for m in (inner, *getattr(inner, "__args__", ())) if hasattr(m, "model_fields")]
        value = draw(bodies(models[0]))
        made["inner"] = value if models[0] is inner or draw(st.booleans()) else [value]
    return made


# ---- the same for either ----


def signature(function: Function, fw: Framework, made: dict[int, Any]) -> inspect.Signature:
    found = []
    for p in function.parameters:
        options = dict(p.constraints)
        if p.alias is not None:
            options["alias"] = p.alias
        default = inspect.Parameter.empty if p.default is ... else p.default
        annotation = Annotated[p.annotation, getattr(fw, p.source)(**options)]
        found.append(
            inspect.Parameter(
                p.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
            )
        )
    for i, (needed, shared) in enumerate(function.needs):
        depends = fw.Depends(dependency(needed, fw, made), use_cache=shared)
        found.append(
            inspect.Parameter(
                f"needs{i}", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[Any, depends]
            )
        )
    return inspect.Signature(found)


def described(values: dict[str, Any]) -> dict[str, Any]:
    """pydantic has a class of its own for time zones."""
    return {
        name: [type(value).__name__, repr(value).replace("TzInfo(0)", "datetime.timezone.utc")]
        for name, value in sorted(values.items())
    }


def dependency(function: Function, fw: Framework, made: dict[int, Any]) -> Any:
    if id(function) not in made:
        call: Callable[..., Any]
        if function.generator and function.is_async:

            async def async_items(**values: Any) -> Any:
                yield described(values)

            call = async_items
        elif function.generator:

            def items(**values: Any) -> Any:
                yield described(values)

            call = items
        elif function.is_async:

            async def async_value(**values: Any) -> Any:
                return described(values)

            call = async_value
        else:

            def value(**values: Any) -> Any:
                return described(values)

            call = value
        call.__signature__ = signature(function, fw, made)  # type: ignore[attr-defined]
        made[id(function)] = call
    return made[id(function)]


Example = tuple[list[tuple[str, str, Function]], list[Ask]]


@st.composite
def examples(draw: st.DrawFn) -> Example:
    made = [draw(routes()) for _ in range(ROUTES)]
    asks = []
    for i, (method, path, endpoint) in enumerate(made):
        asks += [draw(requests(method, f"/r{i}{path}", endpoint)) for _ in range(REQUESTS)]
    return made, asks


def check(example: Example) -> None:
    made, asks = example

    def make(fw: Framework) -> Any:
        app = fw.App()
        calls: dict[int, Any] = {}
        for i, (method, path, endpoint) in enumerate(made):
            app.api_route(f"/r{i}{path}", methods=[method])(dependency(endpoint, fw, calls))
        return app

    got, expected, _, _ = answers(make, asks)
    for request, ours, theirs in zip(asks, got, expected, strict=True):
        what = (request, ours.body, theirs.body)
        assert ours.status == theirs.status, what
        assert json.loads(ours.body) == json.loads(theirs.body), what


OPTIONS: Any = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "database": None,
}


@settings(max_examples=8, derandomize=True, **OPTIONS)
@given(examples())
def test_generated_routes(example: Example) -> None:
    check(example)


def main(seconds: float) -> None:
    """New examples until the time is over; what differs is made small, and raised."""
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        settings(max_examples=25, **OPTIONS)(given(examples())(check))()
        count += 25
    print(f"{count} examples, all alike")


if __name__ == "__main__":
    main(float(sys.argv[1]))
