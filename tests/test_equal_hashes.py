"""Numbers that were chosen to share a hash, as keys and items of all that is read from a peer.

Python salts the hashes of text, not those of numbers: multiples of 2**61 - 1 all hash to 0, and a
dict or set of n of them takes time by n * n. All of these would pass without the limit."""

from __future__ import annotations

import datetime as dt
import json as stdlib
import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
import pydantic
import pytest

from tests.test_encode_leaks import assert_no_leak, swallow
from weft import App, Body, Form, Query, bson, json
from weft._core import _alloc_fail_from
from weft.testing import TestClient

MODULUS = 2**61 - 1
MOST = 64  # WF_HASHES_UNCOUNTED + WF_HASHES_EQUAL_MAX: as many may be of one hash
TOO_MANY = "too many equal hashes in "


def multiples(n: int = 300) -> list[int]:
    found = [i * MODULUS for i in range(1, n + 1)]
    assert {hash(i) for i in found} == {0}
    return found


class Keyed(msgspec.Struct):
    m: dict[int, int]


class Plain(pydantic.BaseModel):
    wrong: int = 0
    m: dict[int, int] = {}
    s: set[int] = set()
    u: frozenset[UUID] = frozenset()
    d: set[Decimal] = set()
    t: set[tuple[int, str]] = set()


def as_keys(values: list[Any]) -> dict[str, int]:
    return {str(v): 1 for v in values}


SETS: list[tuple[Any, list[Any]]] = [
    (set[int], multiples()),
    (set[int], [-i for i in multiples()]),
    (set[int], [i + 7 for i in multiples()]),
    (frozenset[int], multiples()),
    (set[Decimal], [f"{i}.0" for i in multiples()]),
    (set[Decimal], [f"{Fraction(10 * MODULUS * i + 1, 10).numerator}e-1" for i in range(1, 300)]),
    (frozenset[UUID], [str(UUID(int=i)) for i in multiples()]),
    (set[tuple[int, ...]], [[3, i] for i in multiples()]),
    (set[frozenset[int]], [[i] for i in multiples()]),
]


@pytest.mark.parametrize(("annotation", "items"), SETS)
def test_items_of_one_hash(annotation: Any, items: list[Any]) -> None:
    with pytest.raises(json.DecodeError, match=TOO_MANY) as caught:
        json.decode(stdlib.dumps({"a": [0, items]}), type=dict[str, tuple[int, annotation]])
    assert caught.value.path == '["a"][1]'


@pytest.mark.parametrize(
    ("key", "keys"),
    [
        (int, multiples()),
        (int, [-i for i in multiples()]),
        (Decimal, [f"{i}.0" for i in multiples()]),
        (UUID, [UUID(int=i) for i in multiples()]),
    ],
)
def test_keys_of_one_hash(key: Any, keys: list[Any]) -> None:
    data = {"a": [as_keys(keys)]}
    annotation = dict[str, list[dict[key, int]]]
    with pytest.raises(json.DecodeError, match=TOO_MANY) as caught:
        json.decode(stdlib.dumps(data), type=annotation)
    assert caught.value.path == '["a"][0]'
    with pytest.raises(bson.DecodeError, match=TOO_MANY) as from_bson:
        bson.decode(bson.encode(data), type=annotation)
    assert from_bson.value.path.startswith('["a"][0]["')


def test_structs_say_where() -> None:
    with pytest.raises(json.DecodeError, match=r"dict\[int, int\] at \[0\].m: line 1 column "):
        json.decode(stdlib.dumps([{"m": as_keys(multiples())}]), type=list[Keyed])
    with pytest.raises(json.DecodeError, match=TOO_MANY):
        json.decode(stdlib.dumps(multiples()), type=set[int] | None, strict=False)
    raw = bson.encode({"s": [Decimal(i) for i in multiples()]}, type=dict[str, list[Decimal]])
    with pytest.raises(bson.DecodeError, match=TOO_MANY) as caught:
        bson.decode(raw, type=dict[str, set[Decimal]])
    assert caught.value.path == '["s"]'


def test_how_many_there_may_be() -> None:
    for groups in (1, 100):
        most = [i + group for i in multiples(MOST // groups or 20) for group in range(groups)]
        assert json.decode(stdlib.dumps(most), type=set[int]) == set(most)
    more = multiples(MOST + 1)
    with pytest.raises(json.DecodeError, match=TOO_MANY):
        json.decode(stdlib.dumps(more), type=set[int])
    with pytest.raises(json.DecodeError, match=TOO_MANY):  # behind many that are well
        json.decode(stdlib.dumps([*range(5000), *more]), type=set[int])
    with pytest.raises(json.DecodeError, match=TOO_MANY):
        json.decode(stdlib.dumps([*(i << 70 for i in range(1, 5000)), *more]), type=set[int])


def test_keys_that_came_before_do_not_count() -> None:
    few = multiples(MOST)
    text = "{" + ",".join(f'"{i}":{n}' for n in range(20) for i in few) + "}"
    assert json.decode(text, type=dict[int, int]) == dict.fromkeys(few, 19)
    assert json.decode(stdlib.dumps(few * 20), type=frozenset[int]) == set(few)
    model = stdlib.dumps({"wrong": "7", "s": few * 20, "m": as_keys(few)})
    assert json.decode(model, type=Plain).m == dict.fromkeys(few, 1)


FAIR: list[list[int]] = [
    list(range(20_000)),
    [-i for i in range(20_000)],
    *([i << shift for i in range(5_000)] for shift in (3, 16, 32, 47, 60, 61, 62, 64, 122, 128)),
    *([i * step for i in range(5_000)] for step in (1000, 10**12, 10**18, 10**30, 2**61, 3**40)),
    [random.Random(1).getrandbits(64) for _ in range(10_000)],
    [random.Random(2).getrandbits(128) for _ in range(10_000)],
]


@pytest.mark.parametrize("numbers", FAIR, ids=range(len(FAIR)))
def test_numbers_that_nobody_has_chosen(numbers: list[int]) -> None:
    assert json.decode(stdlib.dumps(numbers), type=set[int]) == set(numbers)
    keys = as_keys(numbers)
    assert json.decode(stdlib.dumps(keys), type=dict[int, int]) == dict.fromkeys(numbers, 1)
    assert json.decode(stdlib.dumps({"m": keys}), type=Plain).m == dict.fromkeys(numbers, 1)
    positive = [abs(i) % 2**128 for i in numbers]
    uuids = [UUID(int=i) for i in positive]
    assert json.decode(stdlib.dumps([str(u) for u in uuids]), type=set[UUID]) == set(uuids)
    cents = [Decimal(i) / 100 for i in numbers]
    assert json.decode(stdlib.dumps([str(d) for d in cents]), type=set[Decimal]) == set(cents)


def test_other_keys_that_nobody_has_chosen() -> None:
    floats = [i / 7 for i in range(5000)] + [2.0**i for i in range(-1000, 1000)]
    assert json.decode(stdlib.dumps(floats), type=set[float]) == set(floats)
    pairs = [(i, j) for i in range(70) for j in range(70)]
    assert json.decode(stdlib.dumps(pairs), type=set[tuple[int, int]]) == set(pairs)
    days = [dt.date(2000, 1, 1) + dt.timedelta(i) for i in range(3000)]
    text = stdlib.dumps({str(d): 1 for d in days})
    assert json.decode(text, type=dict[dt.date, int]) == dict.fromkeys(days, 1)


# ---- pydantic ----

NUMBERS: list[tuple[str, Any]] = [
    ("m", as_keys(multiples())),
    ("m", {f" +{i} ": 1 for i in multiples()}),
    ("s", multiples()),
    ("s", [f"{i}.0" for i in multiples()]),
    ("u", [str(UUID(int=i)) for i in multiples()]),
    ("u", [f"urn:uuid:{UUID(int=i)}" for i in multiples()]),
    ("u", [f"{{{UUID(int=i)}}}".upper() for i in multiples()]),
    ("d", [f"{i}E0" for i in multiples()]),
    ("t", [[i, "x"] for i in multiples()]),
]


@pytest.mark.parametrize("wrong", [0, "x"])
@pytest.mark.parametrize(("field", "value"), NUMBERS)
def test_pydantic_is_not_asked(field: str, value: Any, wrong: Any) -> None:
    """Where all else is valid or where it is not: pydantic fills dicts and sets all the same."""
    data = {"wrong": wrong, field: value}
    with pytest.raises(json.DecodeError, match=TOO_MANY):
        json.decode(stdlib.dumps(data), type=Plain)
    with pytest.raises(json.DecodeError, match=TOO_MANY):
        json.decode(stdlib.dumps({"a": [data]}), type=dict[str, list[Plain]])
    if not isinstance(value, list) or isinstance(value[0], str):  # integers of BSON are of 64 bits
        with pytest.raises(bson.DecodeError, match=TOO_MANY):
            bson.decode(bson.encode(data), type=Plain)


called: list[Any] = []


def note(value: Any) -> Any:
    called.append(value)
    return value


class Before(pydantic.BaseModel):
    a: Annotated[set[int], pydantic.BeforeValidator(note)]


def test_no_validator_is_called_before() -> None:
    called.clear()
    assert json.decode(stdlib.dumps({"a": multiples(3)}), type=Before).a == set(multiples(3))
    assert called == [multiples(3)]
    with pytest.raises(json.DecodeError, match=TOO_MANY):
        json.decode(stdlib.dumps({"a": multiples()}), type=Before)
    assert called == [multiples(3)]


def test_objects_that_pydantic_judges_as_before() -> None:
    rows = [
        {"id": str(2**64 + i), "at": "2024-01-01T00:00:00Z", "n": 1e300, "tags": ["1-2" * 9] * 3}
        for i in range(200)
    ]
    with pytest.raises(pydantic.ValidationError) as caught:
        json.decode(stdlib.dumps({"wrong": "x", "s": [rows]}), type=Plain)
    assert [e["loc"] for e in caught.value.errors()] == [("wrong",), ("s", 0)]


# ---- requests ----


class Search(pydantic.BaseModel):
    n: set[int] = set()


def make() -> App:
    app = App()

    @app.post("/struct")
    async def struct(body: Keyed) -> int:
        return len(body.m)

    @app.post("/model")
    async def model(body: Plain) -> int:
        return len(body.m)

    @app.post("/items")
    async def items(body: set[int]) -> int:
        return len(body)

    @app.post("/embedded")
    async def embedded(body: Annotated[Plain, Body(embed=True)]) -> int:
        return len(body.m)

    @app.post("/form")
    async def form(n: Annotated[set[int], Form()]) -> int:
        return len(n)

    @app.post("/form-model")
    async def form_model(n: Annotated[Search, Form()]) -> int:
        return len(n.n)

    @app.get("/query")
    async def query(n: Annotated[frozenset[int], Query()]) -> int:
        return len(n)

    @app.get("/query-model")
    async def query_model(n: Annotated[Search, Query()]) -> int:
        return len(n.n)

    @app.get("/decimals")
    async def decimals(n: Annotated[set[Decimal], Query()]) -> int:
        return len(n)

    return app


@pytest.mark.parametrize("n", [MOST, MOST + 50])
def test_requests(n: int) -> None:
    numbers = multiples(n)
    m = {"m": as_keys(numbers)}
    pairs = urlencode([("n", i) for i in numbers])
    many: dict[str, Any] = {
        "content": pairs,
        "headers": {"content-type": "application/x-www-form-urlencoded"},
    }
    as_bson: dict[str, Any] = {
        "content": bson.encode(m),
        "headers": {"content-type": "application/bson"},
    }
    with TestClient(make()) as client:
        replies = {
            "struct": client.post("/struct", json=m),
            "struct of BSON": client.post("/struct", **as_bson),
            "model": client.post("/model", json=m),
            "model of BSON": client.post("/model", **as_bson),
            "model, in other ways invalid": client.post("/model", json={"wrong": "x", **m}),
            "items": client.post("/items", json=numbers),
            "embedded": client.post("/embedded", json={"body": m}),
            "form": client.post("/form", **many),
            "form's model": client.post("/form-model", **many),
            "query": client.get(f"/query?{pairs}"),
            "query's model": client.get(f"/query-model?{pairs}"),
            "decimals": client.get(f"/decimals?{pairs}"),
        }
        for name, reply in replies.items():
            if n <= MOST:
                invalid = name == "model, in other ways invalid"
                assert reply.status_code == (422 if invalid else 200), name
                assert invalid or reply.json() == n, name
            else:
                assert reply.status_code == 400, (name, reply.text)
                assert reply.json()["detail"].startswith(TOO_MANY), name


# ---- memory ----


def fails_and_recovers(call: Callable[[], Any], expected: Any) -> int:
    """How many times memory may be refused before it is enough."""
    for nth in range(1, 100):
        _alloc_fail_from(nth)
        try:
            value = call()
        except MemoryError:
            continue
        finally:
            _alloc_fail_from(0)
        assert value == expected
        return nth - 1
    raise AssertionError("it never had enough")


def test_memory_that_is_not_there_for_counts() -> None:
    large = [i << 64 for i in range(1, 400)]
    for data, annotation, expected in [
        (stdlib.dumps(as_keys(large)), dict[int, int], dict.fromkeys(large, 1)),
        (stdlib.dumps(large), set[int], set(large)),
    ]:
        decode = json.Decoder(annotation).decode
        # for 256 counts, then for 1024
        assert fails_and_recovers(lambda d=data, f=decode: f(d), expected) >= 2  # type: ignore[misc]
    model = json.Decoder(Plain).decode
    data = stdlib.dumps({"wrong": "7", "s": [str(i) for i in large]})
    assert fails_and_recovers(lambda: model(data).s, set(large)) >= 1


def test_nothing_is_left_behind() -> None:
    cases: list[tuple[Any, str]] = [(a, stdlib.dumps(items)) for a, items in SETS]
    cases += [(Plain, stdlib.dumps({"wrong": "x", f: v})) for f, v in NUMBERS]
    cases += [(dict[int, int], stdlib.dumps(as_keys(multiples())))]
    cases += [(dict[int, int], stdlib.dumps(as_keys([i << 64 for i in range(100)])))]
    calls = [(json.Decoder(annotation).decode, text) for annotation, text in cases]

    def run() -> None:
        for decode, text in calls:
            swallow(decode, text)

    assert_no_leak(run)
