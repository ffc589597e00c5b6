"""BSON in nanoseconds: weft against PyMongo's C, and to JSON against PyMongo with json and orjson.

    python -m bench.bson_codec [--rounds N] [--markdown] [name ...]

One process, process CPU time, the codecs interleaved, the best of several rounds. Both must give
the same bytes and equal objects first.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import bson

import weft.bson
from bench.json_codec import best_ns

try:
    import orjson
except ImportError:
    orjson = None


def documents() -> dict[str, Any]:
    rng = random.Random(7)
    words = [
        "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(n))
        for n in (3, 5, 8, 13) * 25
    ]

    def row(i: int) -> dict[str, Any]:
        return {"id": i, "name": f"item {i}", "price": i * 1.25, "in_stock": i % 3 != 0}

    def record(i: int) -> dict[str, Any]:
        return {
            "_id": bson.ObjectId(rng.randbytes(12)),
            "created": datetime.datetime(2024, 1, 1) + datetime.timedelta(seconds=i),
            "name": " ".join(rng.sample(words, 3)),
            "email": f"{rng.choice(words)}@example.com",
            "active": rng.random() < 0.5,
            "score": rng.random() * 100,
            "views": bson.Int64(rng.getrandbits(40)),
            "tags": rng.sample(words, 4),
            "address": {"street": " ".join(rng.sample(words, 2)), "zip": rng.randrange(99999)},
            "parent": None,
        }

    return {
        "27 B message": {"message": "Hello, World!"},
        "204 B object": {
            "id": 12345,
            "name": "A fairly ordinary name",
            "email": "someone@example.com",
            "active": True,
            "balance": 1234.56,
            "tags": ["red", "green", "blue"],
            "address": {"city": "Springfield", "zip": "12345"},
            "parent": None,
        },
        "one record": record(1),
        "4 KB of rows": {"rows": [row(i) for i in range(65)]},
        "1.2 MB of records": {"records": [record(i) for i in range(4000)]},
        "10,000 floats": {"a": [rng.uniform(-1000, 1000) for _ in range(10_000)]},
        "10,000 ints": {"a": [rng.randrange(-(10**9), 10**9) for _ in range(10_000)]},
        "non-ASCII text": {"a": "Грамматика и 漢字、かな交じり文。" * 4000},
    }


def plain(value: Any) -> Any:
    """What json and orjson are given for the types that are not JSON's."""
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("names", nargs="*", help="only documents whose name contains one of these")
    args = parser.parse_args()
    bar = " | " if args.markdown else " "
    columns = ["weft", "pymongo", "ratio"]
    print(bar.join(["document".ljust(28), *(c.rjust(12) for c in columns)]))
    if args.markdown:
        print(bar.join(["---"] * (len(columns) + 1)))
    for title, document in documents().items():
        if args.names and not any(n in title for n in args.names):
            continue
        data = bson.encode(document)
        assert weft.bson.encode(document) == data
        assert weft.bson.decode(data) == bson.decode(data)
        assert len(json.loads(weft.bson.to_json(data))) == len(document)
        rows: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "encode": (partial(weft.bson.encode, document), partial(bson.encode, document)),
            "decode": (partial(weft.bson.decode, data), partial(bson.decode, data)),
            "to JSON (json)": (
                partial(weft.bson.to_json, data),
                lambda d=data: json.dumps(bson.decode(d), default=plain).encode(),
            ),
        }
        if orjson is not None:
            rows["to JSON (orjson)"] = (
                partial(weft.bson.to_json, data),
                lambda d=data: orjson.dumps(
                    bson.decode(d), default=plain, option=orjson.OPT_PASSTHROUGH_SUBCLASS
                ),
            )
        for verb, (ours, theirs) in rows.items():
            ns = best_ns({"weft": ours, "pymongo": theirs}, args.rounds)
            ratio = f"{ns['pymongo'] / ns['weft']:.2f}"
            cells = [f"{ns['weft']:,.0f}", f"{ns['pymongo']:,.0f}", ratio]
            print(
                bar.join([f"{title}, {verb}".ljust(28), *(c.rjust(12) for c in cells)]), flush=True
            )


if __name__ == "__main__":
    main()
