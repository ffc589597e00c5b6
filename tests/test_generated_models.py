"""Parameter models that Hypothesis makes up, of query, headers, cookies and forms, on weft and on
FastAPI: both answer every request alike.

A few examples as a test. `python -m tests.test_generated_models SECONDS` looks for more.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import pydantic
from hypothesis import given, settings
from hypothesis import strategies as st

from .peer import Ask, Framework, answers
from .test_generated import CONSTRAINTS, LISTS, OPTIONS, TEXTS, TYPES

ROUTES = 6
REQUESTS = 5  # of each route
SOURCES = ["Query", "Header", "Cookie", "Form"]


def twice(value: Any) -> Any:
    if value in (0, "", 3):
        raise ValueError("nothing to double")
    return value * 2


def no_zero(value: Any) -> Any:
    if value == "0":
        raise ValueError("zero")
    return value


VALIDATED: list[Any] = [
    Annotated[int, pydantic.AfterValidator(twice)],
    Annotated[list[int], pydantic.AfterValidator(twice)],
    Annotated[str, pydantic.BeforeValidator(no_zero)],
    Annotated[int | None, pydantic.AfterValidator(lambda value: value)],
]
STRICT: list[Any] = [
    Annotated[int, pydantic.Field(strict=True)],
    Annotated[bool, pydantic.Field(strict=True)],
    Annotated[float, pydantic.Field(allow_inf_nan=False)],
]
OTHERS = [Any, bytes, pydantic.IPvAnyAddress, pydantic.Json[int], None, pydantic.SecretStr]
SINGLE = [*TYPES, *STRICT, *VALIDATED[2:], VALIDATED[0], *OTHERS]
FIELDS = [*SINGLE, *TYPES, *LISTS, *LISTS, VALIDATED[1]]


class Ordered(pydantic.BaseModel):
    @pydantic.model_validator(mode="after")
    def check(self) -> "Ordered":
        if getattr(self, "a", 1) in (0, "", "1"):
            raise ValueError("a is not enough")
        return self


@dataclass
class Route:
    source: str
    model: Any
    annotation: Any
    optional: bool
    convert: bool  # of headers


@st.composite
def parameter_models(draw: st.DrawFn, fields: list[Any]) -> Any:
    made: dict[str, Any] = {}
    for name in draw(
        st.lists(st.sampled_from(["a", "b_c", "d", "e_f_g"]), min_size=1, unique=True)
    ):
        annotation = draw(st.sampled_from(fields))
        options = dict(draw(st.sampled_from([{}, *CONSTRAINTS.get(annotation, [])])))
        alias = draw(st.sampled_from([None, None, None, f"{name}-x", f"X_{name}"]))
        if alias is not None and draw(st.booleans()):
            options["validation_alias"] = pydantic.AliasChoices(alias, f"{name}2")
        elif alias is not None:
            options["alias"] = alias
        default = draw(st.sampled_from([..., ..., None, 1, "a"]))
        if default is None and draw(st.booleans()):
            options["default_factory"] = list
        else:
            options["default"] = default
        made[name] = (annotation, pydantic.Field(**options))
    config = pydantic.ConfigDict(
        extra=draw(st.sampled_from(["ignore", "ignore", "forbid", "allow"])),
        populate_by_name=draw(st.booleans()),
    )
    if draw(st.sampled_from([False, False, True])):
        base = type("Base", (Ordered,), {"model_config": config})
        return pydantic.create_model("Model", __base__=base, **made)
    return pydantic.create_model("Model", __config__=config, **made)


@st.composite
def routes(draw: st.DrawFn) -> Route:
    source = draw(st.sampled_from(SOURCES))
    # a cookie is one value: FastAPI takes an empty one for none where the field is a list
    fields = SINGLE if source == "Cookie" else FIELDS
    model = draw(parameter_models(fields))
    optional = draw(st.sampled_from([False, False, True]))
    annotation = model | None if optional else model
    return Route(source, model, annotation, optional, draw(st.booleans()))


def keys_of(model: Any) -> list[str]:
    found = ["other"]
    for name, field in model.model_fields.items():
        choices = getattr(field.validation_alias, "choices", [field.alias or name])
        found += [*choices, *choices, *choices, name, name.replace("_", "-")]
    return found


@st.composite
def requests(draw: st.DrawFn, path: str, route: Route) -> Ask:
    keys = st.sampled_from(keys_of(route.model))
    pairs = draw(st.lists(st.tuples(keys, st.sampled_from(TEXTS)), max_size=6))
    if route.source in ("Query", "Form"):
        text = "&".join(f"{quote(key)}={quote(value)}" for key, value in pairs)
        if route.source == "Query":
            return Ask("GET", f"{path}?{text}")
        form = [("content-type", "application/x-www-form-urlencoded")]
        return Ask("POST", path, form, text.encode())
    plain = [(k, v) for k, v in pairs if v == v.strip() and not set(v) & set(',{["')]
    if route.source == "Header":
        return Ask("GET", path, plain)
    return Ask("GET", path, [("cookie", "; ".join(f"{k}={v}" for k, v in plain))] if plain else [])


def make_app(made: list[Route]) -> Callable[[Framework], Any]:
    def make(fw: Framework) -> Any:
        app = fw.App()
        for i, route in enumerate(made):
            options = {} if route.source != "Header" else {"convert_underscores": route.convert}
            marker = getattr(fw, route.source)(**options)
            declare(app, f"/r{i}", route, Annotated[route.annotation, marker])
        return app

    return make


def declare(app: Any, path: str, route: Route, annotation: Any) -> None:
    method = app.post if route.source == "Form" else app.get
    if route.optional:

        @method(path)
        async def read_optional(found: annotation = None) -> Any:
            return described(found)

    else:

        @method(path)
        async def read(found: annotation) -> Any:
            return described(found)


def described(found: Any) -> Any:
    if found is None:
        return None
    values = {name: [type(v).__name__, repr(v)] for name, v in found.__dict__.items()}
    return [values, sorted(found.model_fields_set), repr(found.model_extra)]


Example = tuple[list[Route], list[Ask]]


@st.composite
def examples(draw: st.DrawFn) -> Example:
    made = [draw(routes()) for _ in range(ROUTES)]
    asks = [
        draw(requests(f"/r{i}", route)) for i, route in enumerate(made) for _ in range(REQUESTS)
    ]
    return made, asks


def without_hosts(answer: Any) -> Any:
    """Its JSON, without what only depends on the connection: the port in `host`."""
    content = json.loads(answer.body)
    if answer.status == 422:
        for error in content["detail"]:
            if isinstance(error["input"], dict):
                error["input"].pop("host", None)
            if error["loc"][-1] == "host":
                error["input"] = None
    return content if not isinstance(content, list) else [*content[:2], hosts.sub("", content[2])]


hosts = re.compile(r"'host': '[^']*'")


def check(example: Example) -> None:
    made, asks = example
    got, expected, _, _ = answers(make_app(made), asks)
    for request, ours, theirs in zip(asks, got, expected, strict=True):
        what = (made[int(request.target.split("?")[0][2:])], request, ours.body, theirs.body)
        assert ours.status == theirs.status, what
        assert without_hosts(ours) == without_hosts(theirs), what


@settings(max_examples=10, derandomize=True, **OPTIONS)
@given(examples())
def test_generated_models(example: Example) -> None:
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
