"""The judge is FastAPI: the same signature and request give the same arguments, or errors."""

import dataclasses
import datetime as dt
import enum
import uuid
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional, Union
from urllib.parse import quote

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict

from tests.plan_probe import JSON, Call, assert_same


class Color(str, enum.Enum):  # noqa: UP042
    red = "red"
    blue = "blue's"


class Level(enum.IntEnum):
    low = 1
    high = 2


class Mixed(enum.Enum):
    name_ = "x"
    number = 2


class Lenient(enum.Enum):
    a = "a"

    @classmethod
    def _missing_(cls, value):
        return cls.a


class Book(pydantic.BaseModel):
    title: str
    pages: int = pydantic.Field(gt=0)
    tags: list[str] = []

    @pydantic.field_validator("title")
    @classmethod
    def no_shouting(cls, title):
        if title.isupper():
            raise ValueError("do not shout")
        return title


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Movie(TypedDict):
    name: str
    year: int


def queries(*values: str) -> list[Call]:
    """Query strings; what may not stand in a target is encoded."""
    return [Call(query=quote(value, safe="=&%+;:,/?'").encode()) for value in values]


def bodies(*values: bytes, headers=JSON) -> list[Call]:
    return [Call(body=value, headers=list(headers)) for value in values]


def headers(*pairs: list[tuple[bytes, bytes]]) -> list[Call]:
    return [Call(headers=list(pair)) for pair in pairs]


INTS = (
    "q=5",
    "q=+5",
    "q=-0",
    "q= 5",
    "q=5.0",
    "q=5.5",
    "q=1_000",
    "q=x",
    "q=",
    "q=%20",
    "",
    "q",
    "q=" + "9" * 40,
    "q=0x5",
    "q=5&q=6",
    "q=6&q=x",
    "a=1&q=5",
    "Q=5",
    "q=%35",
    "%71=5",
    "q=5;q=6",
    "q=%F0%9F%98%80",
    "q=%ff",
)
FLOATS = (
    "q=1.5",
    "q=1",
    "q=1e3",
    "q=inf",
    "q=nan",
    "q=-0.0",
    "q=x",
    "q=",
    "q=.5",
    "q=5.",
    "q=1_0.5",
    "q= 2 ",
)
BOOLS = (
    "q=1",
    "q=0",
    "q=true",
    "q=FALSE",
    "q=Yes",
    "q=off",
    "q=t",
    "q=2",
    "q=",
    "q= true",
    "q=maybe",
)
TEXTS = (
    "q=abc",
    "q=",
    "q=a+b",
    "q=a%2Bb",
    "q=%C3%A9",
    "q=%E2%82%AC",
    "q=%ff",
    "q=%f0%28",
    "q=%zz",
    "q=%",
    "q=a=b",
    "q=%00",
    "q=%F0%9F%98%80",
    "q=1&q=2",
    "",
    "&&q=x&",
    "q=%ED%A0%80",
)
UUIDS = (
    "q=12345678-1234-5678-1234-567812345678",
    "q=12345678123456781234567812345678",
    "q=x",
    "q=",
    "q={12345678-1234-5678-1234-567812345678}",
    "q=urn:uuid:12345678-1234-5678-1234-567812345678",
    "q=12345678-1234-5678-1234-56781234567g",
    "q=ffffffff-ffff-ffff-ffff-ffffffffffff",
)
DATES = (
    "q=2020-02-29",
    "q=2021-02-29",
    "q=x",
    "q=",
    "q=0",
    "q=86400",
    "q=2020-01-01T00:00:00",
    "q=2020-01-01T00:00:01",
    "q=20200101",
    "q=1.5",
)
TIMES = (
    "q=10:20",
    "q=10:20:30",
    "q=10:20:30.5",
    "q=10:20:30Z",
    "q=10:20:30%2B02:00",
    "q=25:00",
    "q=x",
    "q=3600",
)
DATETIMES = (
    "q=2020-01-01T10:20:30",
    "q=2020-01-01",
    "q=2020-01-01T10:20:30Z",
    "q=2020-01-01 10:20:30.123456-05:30",
    "q=1600000000",
    "q=1600000000000",
    "q=1600000000.5",
    "q=x",
    "q=2020-13-01T00:00:00",
    "q=",
)
DELTAS = ("q=P1DT2H", "q=1 day, 10:20:30", "q=10:20:30", "q=30", "q=30.5", "q=-PT5M", "q=x", "q=")
DECIMALS = ("q=1.50", "q=1e5", "q=x", "q=NaN", "q=inf", "q= 2 ", "q=1_0", "q=")


def scalar(annotation, **options):
    def make(P):
        def f(q: Annotated[annotation, P.Query(**options)]):
            return q

        return f

    return make


def plain(annotation, *default):
    def make(P):
        def f(q: annotation):
            return q

        f.__defaults__ = default
        return f

    return make


def from_body(annotation, *default, **options):
    def make(P):
        def f(data: Annotated[annotation, P.Body(**options)]):
            return data

        f.__defaults__ = default
        return f

    return make


# name: (make, path, calls)
CASES: dict[str, tuple[Any, str, list[Call]]] = {
    "int": (plain(int), "/", queries(*INTS)),
    "float": (plain(float), "/", queries(*FLOATS)),
    "bool": (plain(bool), "/", queries(*BOOLS)),
    "str": (plain(str), "/", queries(*TEXTS)),
    "bytes": (plain(bytes), "/", queries(*TEXTS)),
    "any": (plain(Any), "/", queries(*TEXTS)),
    "uuid": (plain(uuid.UUID), "/", queries(*UUIDS)),
    "date": (plain(dt.date), "/", queries(*DATES)),
    "time": (plain(dt.time), "/", queries(*TIMES)),
    "datetime": (plain(dt.datetime), "/", queries(*DATETIMES)),
    "timedelta": (plain(dt.timedelta), "/", queries(*DELTAS)),
    "decimal": (plain(Decimal), "/", queries(*DECIMALS)),
    "optional": (plain(int | None, None), "/", queries(*INTS)),
    "typing optional": (plain(Optional[str], "d"), "/", queries(*TEXTS)),  # noqa: UP045
    "typing union": (plain(Union[int, None], 1), "/", queries(*INTS)),  # noqa: UP007
    "default": (plain(int, 7), "/", queries("", "q=8", "q=x")),
    "str enum": (plain(Color), "/", queries("q=red", "q=blue's", "q=blue", "q=", "")),
    "int enum": (plain(Level), "/", queries("q=1", "q= 2", "q=2.0", "q=3", "q=x", "q=" + "9" * 30)),
    "mixed enum": (plain(Mixed), "/", queries("q=x", "q=2", "q=number")),
    "enum with _missing_": (plain(Lenient), "/", queries("q=a", "q=z")),
    "literal": (plain(Literal["a", "b'"]), "/", queries("q=a", "q=b'", "q=c", "")),
    "literal of ints": (plain(Literal[1, "2"]), "/", queries("q=1", "q=2", "q=3")),
    "optional literal": (plain(Literal["a"] | None, None), "/", queries("q=a", "q=b", "")),
    "int or str": (plain(int | str), "/", queries("q=5", "q=x", "q=", "")),
    "int or float": (plain(int | float), "/", queries("q=5", "q=5.5", "q=x", "q=5.0")),
    "float or int": (plain(float | int), "/", queries("q=5", "q=5.5", "q=x")),
    "bool or int or None": (plain(bool | int | None, None), "/", queries("q=1", "q=7", "q=x", "")),
    "uuid or date or decimal": (
        plain(uuid.UUID | dt.date | Decimal),
        "/",
        queries("q=2020-01-01", "q=5", "q=x", "q=12345678-1234-5678-1234-567812345678"),
    ),
    "date or datetime": (
        plain(dt.date | dt.datetime),
        "/",
        queries("q=2020-01-01", "q=2020-01-01T00:00:01", "q=x"),
    ),
    "datetime or date": (
        plain(dt.datetime | dt.date),
        "/",
        queries("q=2020-01-01", "q=2020-01-01T00:00:01", "q=5"),
    ),
    "time or timedelta": (
        plain(dt.time | dt.timedelta),
        "/",
        queries("q=10:20:30", "q=P1D", "q=5", "q=x"),
    ),
    "int or literal": (plain(int | Literal["1", "a"]), "/", queries("q=1", "q=2", "q=a", "q=x")),
    "enum or str": (plain(Color | str), "/", queries("q=red", "q=x")),
    "constrained union": (scalar(int | float, ge=2), "/", queries("q=1", "q=2.5", "q=x")),
    "ge le": (
        scalar(int, ge=1, le=10),
        "/",
        queries("q=0", "q=1", "q=10", "q=11", "q=" + "9" * 30, "q=-" + "9" * 30, "q=x", ""),
    ),
    "gt lt": (scalar(int, gt=1, lt=10), "/", queries("q=1", "q=2", "q=9", "q=10")),
    "big limits": (
        scalar(int, ge=10**20, lt=10**25),
        "/",
        queries("q=5", "q=" + "9" * 22, "q=" + "9" * 30),
    ),
    "multiple of": (
        scalar(int, multiple_of=3),
        "/",
        queries("q=3", "q=4", "q=-3", "q=0", "q=" + "9" * 30, "q=" + "9" * 29 + "1"),
    ),
    "whole float limit": (scalar(int, ge=2.0), "/", queries("q=1", "q=2")),
    "float limits": (
        scalar(float, gt=0, le=1.5),
        "/",
        queries("q=0", "q=0.1", "q=1.5", "q=1.6", "q=nan", "q=inf"),
    ),
    "tiny float limit": (scalar(float, ge=1e-7, lt=1e16), "/", queries("q=0", "q=1e17")),
    "float multiple": (
        scalar(float, multiple_of=0.1),
        "/",
        queries("q=0.3", "q=0.35", "q=-0.2", "q=nan"),
    ),
    "allow_inf_nan": (scalar(float, allow_inf_nan=False), "/", queries("q=inf", "q=1")),
    "lengths": (
        scalar(str, min_length=2, max_length=3),
        "/",
        queries("q=a", "q=ab", "q=abc", "q=abcd", "q=%C3%A9%C3%A9%C3%A9"),
    ),
    "length of one": (scalar(str, min_length=1, max_length=1), "/", queries("q=", "q=ab")),
    "pattern": (scalar(str, pattern="^a+$"), "/", queries("q=aa", "q=b", "q=aa%0A", "q=")),
    "pattern searches": (scalar(str, pattern=r"b[$x]"), "/", queries("q=abx", "q=ab$", "q=ab")),
    "optional with checks": (scalar(int | None, ge=2), "/", queries("q=1", "q=2", "")),
    "strict": (scalar(int, strict=True), "/", queries("q=1")),
    "decimal limits": (
        scalar(Decimal, ge=1, max_digits=3),
        "/",
        queries("q=0.5", "q=1.5", "q=1.2345"),
    ),
    "date limits": (
        scalar(dt.date, ge=dt.date(2020, 1, 1)),
        "/",
        queries("q=2019-12-31", "q=2020-01-01"),
    ),
    "list": (scalar(list[int]), "/", queries("q=1&q=2", "q=1", "q=x&q=2&q=y", "", "q=")),
    "list of str": (scalar(list[str]), "/", queries("q=a&b=1&q=%C3%A9", "q=", "")),
    "bare list": (scalar(list), "/", queries("q=1&q=2", "")),
    "set": (scalar(set[int]), "/", queries("q=1&q=1&q=2", "q=x&q=1")),
    "frozenset": (scalar(frozenset[str]), "/", queries("q=1&q=1&q=2")),
    "tuple": (scalar(tuple[int, ...]), "/", queries("q=1&q=2", "q=x")),
    "fixed tuple": (scalar(tuple[int, str]), "/", queries("q=1&q=2", "q=1", "q=x&q=y")),
    "sequence": (scalar(Sequence[int]), "/", queries("q=1&q=2", "q=x")),
    "deque": (scalar(deque[int]), "/", queries("q=1&q=2", "q=x")),
    "list lengths": (
        scalar(list[int], min_length=2, max_length=3),
        "/",
        queries("q=1", "q=1&q=2", "q=1&q=2&q=3&q=4", "q=x", "q=x&q=1&q=2&q=3", "q=x&q=y"),
    ),
    "set lengths": (scalar(set[int], min_length=2), "/", queries("q=1&q=1", "q=1&q=2")),
    "list of enums": (scalar(list[Color]), "/", queries("q=red&q=x")),
    "list of unions": (scalar(list[int | float]), "/", queries("q=1&q=1.5&q=x")),
    "list of constrained": (
        scalar(list[Annotated[int, pydantic.Field(ge=2)]]),
        "/",
        queries("q=1&q=2"),
    ),
    "optional list": (scalar(list[int] | None), "/", queries("q=1", "q=x", "")),
    "list or int": (scalar(list[int] | int), "/", queries("q=1", "q=x", "q=1&q=2")),
    "pydantic's own types": (plain(pydantic.HttpUrl), "/", queries("q=http://a/", "q=x", "")),
    "pydantic.Field": (plain(Annotated[int, pydantic.Field(ge=3)]), "/", queries("q=1", "q=3", "")),
    "pydantic.Field alias": (
        plain(Annotated[int, pydantic.Field(alias="z")]),
        "/",
        queries("q=1", "z=3"),
    ),
    "json in the query": (
        scalar(pydantic.Json[list[int]]),
        "/",
        queries("q=[1,2]", "q=x", 'q=["x"]', "q=1&q=[3]"),
    ),
    "new type": (plain(NewType("UserId", int)), "/", queries("q=1", "q=x")),
    "validator": (
        plain(Annotated[int, pydantic.AfterValidator(lambda v: v + 1)]),
        "/",
        queries("q=1", "q=x"),
    ),
}


def case(path, *calls):
    def add(make):
        CASES[make.__name__] = (make, path, list(calls))
        return make

    return add


@case(
    "/items/{item_id}",
    Call(params=("5",), query=b"q=x"),
    Call(params=("x",)),
    Call(params=("x",), query=b"limit=y"),
    Call(params=("5",), query=b"limit=101"),
    Call(params=("%C3%A9",)),
)
def path_and_query(P):
    def f(item_id: int, q: str | None = None, *, limit: Annotated[int, P.Query(le=100)] = 10):
        return item_id, q, limit

    return f


@case("/{a}/{b}", Call(params=("1", "2")), Call(params=("x", "y")), Call(params=("1", "y")))
def path_markers(P):
    def f(b: Annotated[int, P.Path(ge=2)], first: Annotated[int, P.Path(alias="a")]):
        return b, first

    return f


@case("/files/{rest:path}", Call(params=("a/b",)), Call(params=("",)))
def path_convertor(P):
    def f(rest: str):
        return rest

    return f


@case("/", *queries("item-query=1", "q=1", ""))
def alias(P):
    def f(q: Annotated[int, P.Query(alias="item-query")]):
        return q

    return f


@case("/", *queries("v=1", "a=1", "q=1"))
def validation_alias(P):
    def f(q: Annotated[int, P.Query(alias="a", validation_alias="v")]):
        return q

    return f


@case(
    "/",
    *queries(
        "one=1", "two=2", "two=2&one=1", "one=1&two=x", "two=x", "", "two=1&two=2&one=3&one=4"
    ),
)
def alias_choices(P):
    def f(q: Annotated[int, P.Query(validation_alias=pydantic.AliasChoices("one", "two"))]):
        return q

    return f


@case("/", *queries("q=1&q=2", "q=x"))
def same_alias_twice(P):
    def f(a: Annotated[int, P.Query(alias="q")], b: Annotated[list[int], P.Query(alias="q")]):
        return a, b

    return f


@case("/", *queries("", "a=1", "b=2"))
def defaults(P):
    def f(
        a: Annotated[list[int], P.Query(default_factory=lambda: [1])],
        b: list[int] = P.Query([2]),
        c: int = P.Query(3, ge=5),
        d: Any = P.Query(default_factory=dict),
    ):
        return a, b, c, d

    return f


@case("/", *queries("", "q=9", "q=x"))
def validate_default(P):
    def f(q: Annotated[int, P.Query(validate_default=True, ge=5)] = 3):
        return q

    return f


@case("/", *queries("", "a=x&b=y"))
def several_errors(P):
    def f(
        body: dict, b: float, h: Annotated[int, P.Header()], a: int, c: Annotated[str, P.Cookie()]
    ):
        return body, b, h, a, c

    return f


@case(
    "/",
    *headers(
        [(b"user-agent", b"x")],
        [],
        [(b"User-Agent", b"caf\xe9")],
        [(b"user-agent", b"1"), (b"user-agent", b"2")],
    ),
)
def header(P):
    def f(user_agent: Annotated[str, P.Header()]):
        return user_agent

    return f


@case(
    "/",
    *headers(
        [(b"x-token", b"a")],
        [(b"x_token", b"b")],
        [(b"x-tokens", b"1"), (b"x-tokens", b"x")],
        [(b"strange-header", b"1"), (b"x-items", b"1"), (b"x-items", b"y")],
    ),
)
def header_options(P):
    def f(
        x_token: Annotated[str, P.Header(convert_underscores=False)] = "none",
        strange: Annotated[int, P.Header(alias="Strange-Header", ge=2)] = 5,
        x_items: Annotated[list[int], P.Header()] = [],  # noqa: B006
        x_tokens: Annotated[list[str] | None, P.Header()] = None,
    ):
        return x_token, strange, x_items, x_tokens

    return f


@case("/", *headers([(b"accept", b"a"), (b"content-type", b"b"), (b"authorization", b"c d")], []))
def known_headers(P):
    def f(
        accept: Annotated[str | None, P.Header()] = None,
        content_type: str = P.Header("none"),
        authorization: str = P.Header(),
    ):
        return accept, content_type, authorization

    return f


@case(
    "/",
    *headers(
        [(b"cookie", b"sid=1; n=5")],
        [(b"cookie", b"n=x")],
        [],
        [(b"cookie", b'sid="a\\"b\\054"; n=1')],
        [(b"cookie", b"n=1; n=2;sid=a=b")],
        [(b"cookie", b"sid=1"), (b"cookie", b"n=2")],
        [(b"cookie", b"sid; n = 4 ;; =x")],
        [(b"cookie", b"sid=\xe9;n=3")],
    ),
)
def cookies(P):
    def f(
        sid: Annotated[str | None, P.Cookie()] = None,
        number: Annotated[int, P.Cookie(alias="n")] = 0,
    ):
        return sid, number

    return f


@case("/", *headers([(b"cookie", b"tags=a")], []))
def cookie_list(P):
    def f(tags: Annotated[list[str], P.Cookie()]):
        return tags

    return f


BODIES = [
    *bodies(
        b'{"a": 1}',
        b"[1, 2]",
        b"null",
        b'"text"',
        b"1.5",
        b"true",
        b"",
        b"{",
        b'{"a": }',
        b"\xff",
        b'{"a" 1}',
        b"[1,]",
        b'"\xc3\xa9" x',
        b"nul",
        b'{"title": "T", "pages": 1}',
        b'{"title": "t", "pages": 0}',
        b'{"title": "t"}',
        b'{"x": "5"}',
        b'{"x": "y"}',
        b'{"name": "n", "year": "1999"}',
        b'{"data": {"x": 1}}',
    ),
    *bodies(b'{"a": 1}', headers=[]),
    *bodies(b'{"a": 1}', headers=[(b"content-type", b"text/plain")]),
    *bodies(b'{"x": 1}', b"{", headers=[(b"content-type", b"application/json; charset=utf-8")]),
    *bodies(b'{"x": 1}', headers=[(b"content-type", b"Application/Geo+JSON ;x")]),
    *bodies(b'{"x": 1}', headers=[(b"content-type", b"application/json/x")]),
    *bodies(b'{"x": 1}', headers=[(b"content-type", b"application/jsonx")]),
    *bodies(b"\xff\xfe", headers=[(b"content-type", b"application/octet-stream")]),
]

for name, make in {
    "body dict": from_body(dict),
    "body dict[str, Any]": from_body(dict[str, Any]),
    "body dict[str, int]": from_body(dict[str, int]),
    "body list": from_body(list),
    "body list[int]": from_body(list[int]),
    "body any": from_body(Any),
    "body any default": from_body(Any, None),
    "body bytes": from_body(bytes),
    "body str": from_body(str),
    "body int": from_body(int, ge=2),
    "body optional dict": from_body(dict | None, None),
    "body embedded": from_body(dict, embed=True),
    "body embedded default": from_body(dict, {}, embed=True),
    "body model": from_body(Book),
    "body dataclass": from_body(Point),
    "body typed dict": from_body(Movie),
    "body list of models": from_body(list[Book]),
    "body model or none": from_body(Book | None, None),
    "body model or dict": from_body(Book | dict),
    "body embedded model": from_body(Point, embed=True),
    "plain dict": plain(dict),
    "plain list": plain(list[str]),
    "plain model": plain(Book),
    "plain dataclass": plain(Point),
    "plain model default": plain(Book | None, None),
}.items():
    CASES[name] = (make, "/", BODIES)


SEVERAL = (
    b'{"book": {"title": "t", "pages": 3}, "n": 4}',
    b'{"book": {"title": "T"}, "n": "x"}',
    b"{}",
    b"[]",
    b"",
    b"null",
    b"{",
    b'{"n": 1}',
    b'{"book": null, "n": null}',
)


@case(
    "/{item_id}",
    *(Call(params=("1",), body=body, headers=JSON) for body in SEVERAL),
    Call(params=("x",), query=b"q=y", body=b"{", headers=JSON),
    Call(params=("x",), query=b"q=y", body=b"{}", headers=JSON),
    Call(params=("1",), body=b"{}"),
)
def several_bodies(P):
    def f(
        item_id: int,
        book: Book,
        n: Annotated[int, P.Body(gt=1)],
        q: int = 0,
        other: dict | None = None,
    ):
        return item_id, book, n, q, other

    return f


@case("/{i:int}/{f:float}/{u:uuid}", Call(params=("5", "1.5", str(uuid.UUID(int=9)))))
def untyped_convertors(P):
    def f(i, f, u):
        return i, f, u

    return f


@case("/{i:int}/{u:uuid}", Call(params=("5", str(uuid.UUID(int=9)))))
def typed_convertors(P):
    def f(i: int, u: uuid.UUID):
        return i, u

    return f


@pytest.mark.parametrize("name", CASES)
def test_same_as_fastapi(name):
    make, path, calls = CASES[name]
    assert_same(make, path, calls)


# ---- any request at all ----


def wide(P):
    def f(
        a: int = 0,
        b: Annotated[list[int], P.Query(max_length=2)] = (),
        c: bool | None = None,
        d: str = "d",
        e: Annotated[float | None, P.Query(alias="e-e", lt=5)] = None,
        g: Color | None = None,
        x_h: Annotated[int | None, P.Header(ge=0)] = None,
        k: Annotated[str | None, P.Cookie(max_length=3)] = None,
    ):
        return a, b, c, d, e, g, x_h, k

    return f


NAMES = st.sampled_from(["a", "b", "c", "d", "e-e", "g", "%61", "e%2De", "x", "", "A"])
VALUES = st.one_of(
    st.sampled_from(["1", "true", "red", "4.9", "%31", "1+", "+1", "-1", "%", "%C3", "%E9%80%80"]),
    st.text("019.-+eE_%aFz ", max_size=6).map(lambda s: s.replace(" ", "%20")),
)
PAIRS = st.lists(st.one_of(st.tuples(NAMES, VALUES).map("=".join), NAMES), max_size=8)
COOKIES = st.text('k=;"\\ 01,abc', max_size=15).map(str.encode)
REQUESTS = st.builds(
    lambda pairs, number, cookie: Call(
        query="&".join(pairs).encode(),
        headers=[
            *([(b"x-h", number.encode())] if number is not None else []),
            *([(b"cookie", cookie.strip())] if cookie is not None else []),
        ],
    ),
    PAIRS,
    st.none() | st.text("0123-x", min_size=1, max_size=4),
    st.none() | COOKIES,
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(REQUESTS, min_size=10, max_size=30))
def test_any_request_is_read_as_by_fastapi(calls):
    assert_same(wide, "/", calls)
