"""Unions of tagged Structs with array_like: msgspec is the judge."""

from typing import Any, Union

import msgspec
import pytest

from weft import bson, json, shape

S = msgspec.Struct


class Add(S, tag="add", array_like=True):
    x: int = 0
    y: float = 0.5


class Say(S, tag="say", array_like=True, forbid_unknown_fields=True):
    text: str


class Both(S, tag="both", array_like=True):
    steps: list[Union[Add, Say, "Both"]]
    name: str | None = None


class One(S, tag=1, array_like=True):
    a: int


class Two(S, tag=-2, array_like=True):
    a: str


class Named(S, tag="named"):
    a: int


class Other(S, tag="other", tag_field="kind", array_like=True):
    a: int = 0


class Untagged(S, array_like=True):
    a: int = 0


WORDS = Add | Say | Both
NUMBERS = One | Two | int | dict[str, int] | None

DOCUMENTS = [
    b'["add"]',
    b'["add",1]',
    b'["add",1,2.5,"more",{}]',
    b'["say","x"]',
    b' [ "say" , "x" ] ',
    b'["s\\u0061y","x"]',
    b'["both",[["add"],["say","a"],["both",[],"n"]]]',
    b"[1,5]",
    b'[-2,"x"]',
    b"null",
    b"7",
    b'{"a":1}',
    b"[]",
    b'["say"]',
    b'["say","x",1]',
    b'["none"]',
    b"[3]",
    b'["1",5]',
    b"[1.0,5]",
    b"[123456789012345678901234567890]",
    b'[["add"]]',
    b"[null]",
    b"[true]",
    b'["add","x"]',
    b'["both",[["say",1]]]',
    b'{"type":"add"}',
    b'"add"',
    b"[",
    b"[,]",
    b'["add"',
    b'["add",]',
    b'["add"}',
    b'["ad',
    b'["\xff"]',
    b"[-]",
]


def outcome(call: Any, data: Any, error: type[Exception]) -> Any:
    try:
        return True, call(data)
    except (error, UnicodeDecodeError):  # msgspec raises the latter for a tag
        return False, None


@pytest.mark.parametrize("annotation", [WORDS, NUMBERS, list[WORDS], dict[str, WORDS]])
@pytest.mark.parametrize("strict", [True, False])
def test_the_values_and_the_bytes_are_msgspecs(annotation: Any, strict: bool) -> None:
    theirs = msgspec.json.Decoder(annotation, strict=strict)
    for document in DOCUMENTS:
        for data in (document, b"[%s,%s]" % (document, document), b'{"k":%s}' % document):
            expected = outcome(theirs.decode, data, msgspec.DecodeError)
            ours = outcome(
                lambda d: json.decode(d, type=annotation, strict=strict), data, json.DecodeError
            )
            assert ours == expected, data
            if expected[0]:
                assert json.encode(ours[1], type=annotation) == msgspec.json.encode(expected[1])


@pytest.mark.parametrize("items", [10, 300, 1000, 100_000])
def test_a_field_of_many_items_is_not_lost_when_the_stack_of_values_moves(items: int) -> None:
    class Lists(S, array_like=True):
        first: list[int]
        second: list[int]

    value = Lists(list(range(items)), list(range(2 * items)))
    data = msgspec.json.encode(value)
    assert json.decode(data, type=Lists) == value
    raw = bson.encode({"of": value}, type=dict[str, Lists])
    assert bson.decode(raw, type=dict[str, Lists]) == {"of": value}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[]", "the field that tells the type is missing"),
        (b'["none"]', "no tag of Add | Say | Both at [0]"),
        (b"[1]", "no tag of Add | Say | Both at [0]"),
        (b'{"type":"add"}', "expected Add | Say | Both, got object"),
        (b'["add","x"]', "expected int, got str at [0]"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, message: str) -> None:
    with pytest.raises(json.DecodeError) as caught:
        json.decode(data, type=WORDS)
    assert caught.value.msg == message


@pytest.mark.parametrize("annotation", [Add | Other, Add | Untagged, Add | Say | list[int]])
def test_what_cannot_be_told_apart_is_a_type_error(annotation: Any) -> None:
    with pytest.raises(TypeError):
        msgspec.json.Decoder(annotation)
    with pytest.raises(TypeError):
        shape(annotation)


def test_objects_and_arrays_are_told_apart_by_what_they_are() -> None:
    """msgspec refuses such a union."""
    annotation = Add | Say | Named | Other
    with pytest.raises(TypeError, match="has its tag in"):
        shape(annotation)
    annotation = Add | Say | Named
    for value in (Add(1), Say("x"), Named(3)):
        assert json.decode(json.encode(value, type=annotation), type=annotation) == value


@pytest.mark.parametrize(
    "value",
    [Add(), Add(3, 1.5), Say("x"), Both([Add(), Both([Say("a")], "n")]), One(1), Two("x"), None, 7],
)
def test_bson_round_trip(value: Any) -> None:
    class Document(S):
        a: WORDS | int | None = None
        b: NUMBERS = None

    document = Document(b=value) if isinstance(value, One | Two) else Document(a=value)
    raw = bson.encode(document, type=Document)
    assert bson.decode(raw, type=Document) == document
    plain = bson.decode(raw)
    assert plain == msgspec.to_builtins(document)
    assert bson.to_json(raw, type=Document) == json.encode(document, type=Document)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "the field that tells the type is missing"),
        (["none"], r"no tag of Add \| Say \| Both.*a\[0\]"),
        ([1], r"no tag of Add \| Say \| Both.*a\[0\]"),
        ({"type": "add"}, "expected Add .* got BSON's document"),
        (["say"], "missing required field 'text'"),
        (["say", "x", 1], "array of another length"),
    ],
)
def test_bson_that_is_wrong(value: Any, message: str) -> None:
    class Document(S):
        a: WORDS

    raw = bson.encode({"a": value})
    for call in (bson.decode, bson.to_json):
        with pytest.raises(bson.DecodeError, match=message):
            call(raw, type=Document)


def test_json_schema() -> None:
    ours = shape(WORDS).json_schema()
    theirs = msgspec.json.schema(WORDS)
    assert ours["anyOf"] == theirs["anyOf"]
    assert "discriminator" not in ours
    assert [item["const"] for item in (d["prefixItems"][0] for d in ours["$defs"].values())] == [
        "add",
        "say",
        "both",
    ]
    for name, definition in theirs["$defs"].items():
        assert ours["$defs"][name]["minItems"] == definition["minItems"]
