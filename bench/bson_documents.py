"""The documents BSON is measured with."""

from __future__ import annotations

import datetime
import random
from typing import Any

import bson

__all__ = ["documents"]

WORDS = [
    "".join(random.Random(n).choice("abcdefghijklmnopqrstuvwxyz") for _ in range(n % 11 + 3))
    for n in range(100)
]
START = datetime.datetime(2024, 1, 1)


def account() -> dict[str, Any]:
    return {
        "id": 12345,
        "name": "A fairly ordinary name",
        "email": "someone@example.com",
        "active": True,
        "balance": 1234.56,
        "tags": ["red", "green", "blue"],
        "address": {"city": "Springfield", "zip": "12345"},
        "parent": None,
    }


def item(i: int) -> dict[str, Any]:
    return {"id": i, "name": f"item {i}", "price": i * 1.25, "in_stock": i % 3 != 0}


def record(rng: random.Random, i: int) -> dict[str, Any]:
    return {
        "_id": bson.ObjectId(rng.randbytes(12)),
        "created": START + datetime.timedelta(seconds=i),
        "name": " ".join(rng.sample(WORDS, 3)),
        "email": f"{rng.choice(WORDS)}@example.com",
        "active": rng.random() < 0.5,
        "score": rng.random() * 100,
        "views": bson.Int64(rng.getrandbits(40)),
        "tags": rng.sample(WORDS, 4),
        "address": {"street": " ".join(rng.sample(WORDS, 2)), "zip": rng.randrange(99999)},
        "parent": None,
    }


def event(rng: random.Random, i: int) -> dict[str, Any]:
    """Mostly ids and times, as logs and references have them."""
    return {
        "_id": bson.ObjectId(rng.randbytes(12)),
        "user": bson.ObjectId(rng.randbytes(12)),
        "seen": [bson.ObjectId(rng.randbytes(12)) for _ in range(8)],
        "at": START + datetime.timedelta(milliseconds=rng.getrandbits(30)),
        "until": START + datetime.timedelta(milliseconds=rng.getrandbits(30)),
    }


def tree(depth: int) -> dict[str, Any]:
    if depth == 0:
        return {"leaf": True}
    return {"left": tree(depth - 1), "right": [tree(depth - 1)], "depth": depth}


def deep(levels: int) -> dict[str, Any]:
    document: dict[str, Any] = {"end": 1}
    for _ in range(levels):
        document = {"next": document}
    return document


def documents() -> dict[str, dict[str, Any]]:
    rng = random.Random(7)
    return {
        "message": {"message": "Hello, World!"},
        "account": account(),
        "record": record(rng, 1),
        "rows": {"rows": [item(i) for i in range(70)]},
        "records": {"records": [record(rng, i) for i in range(4000)]},
        "ids and dates": {"events": [event(rng, i) for i in range(100)]},
        "floats": {"a": [rng.uniform(-1000, 1000) for _ in range(10_000)]},
        "ints": {"a": [rng.randrange(-(10**9), 10**9) for _ in range(10_000)]},
        "int64s": {"a": [bson.Int64(rng.getrandbits(62)) for _ in range(2000)]},
        "tree": tree(7),
        "90 deep": deep(90),
        "many keys": {f"field_{i}": i for i in range(2000)},
        "short strings": {"a": [rng.choice(WORDS) for _ in range(5000)]},
        "long strings": {
            f"text {i}": "The quick brown fox jumps over the lazy dog. " * 200 for i in range(20)
        },
        "Cyrillic and kana": {"a": ["Грамматика и 漢字、かな交じり文。" * 40 for _ in range(50)]},
        "Latin-1": {"a": ["Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich"] * 200},
        "decimals": {"a": [bson.Decimal128(f"{i * 7}.{i % 100:02}") for i in range(500)]},
        "binary": {
            "small": [rng.randbytes(32) for _ in range(500)],
            "large": rng.randbytes(50_000),
        },
        "timestamps and UUIDs": {
            "t": [bson.Timestamp(i, 1) for i in range(200)],
            "u": [bson.Binary(rng.randbytes(16), 4) for _ in range(200)],
        },
        "nulls and bools": {"a": [(None, True, False)[i % 3] for i in range(3000)]},
    }
