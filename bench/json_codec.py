"""JSON in nanoseconds: weft against orjson, msgspec and the standard library.

    python bench/json_codec.py [--rounds N] [--markdown] [name ...]

One process, process CPU time, the codecs interleaved, the best of several rounds. What each decodes
and encodes is checked against the standard library first. orjson and msgspec are optional. Both
keep the UTF-8 of a str that is not ASCII in the str itself, and weft uses what it finds there: the
row of non-ASCII text shows all three with it (weft alone: --without orjson --without msgspec).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import weft.json


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
            "id": i,
            "uid": f"{rng.getrandbits(128):032x}",
            "name": " ".join(rng.sample(words, 3)),
            "email": f"{rng.choice(words)}@example.com",
            "active": rng.random() < 0.5,
            "score": rng.random() * 100,
            "tags": rng.sample(words, 4),
            "address": {"street": " ".join(rng.sample(words, 2)), "zip": rng.randrange(99999)},
            "parent": None,
        }

    return {
        "27 B message": {"message": "Hello, World!"},
        "176 B object": {
            "id": 12345,
            "name": "A fairly ordinary name",
            "email": "someone@example.com",
            "active": True,
            "balance": 1234.56,
            "tags": ["red", "green", "blue"],
            "address": {"city": "Springfield", "zip": "12345"},
            "parent": None,
        },
        "4 KB of rows": [row(i) for i in range(65)],
        "1.2 MB of records": [record(i) for i in range(4000)],
        "10,000 floats": [rng.uniform(-1000, 1000) for _ in range(10_000)],
        "10,000 ints": [rng.randrange(-(10**9), 10**9) for _ in range(10_000)],
        "non-ASCII text": "Грамматика и 漢字、かな交じり文。" * 4000,
        "ASCII text": "The quick brown fox jumps over the lazy dog. " * 10_000,
        "text with escapes": 'She said: "no",\n\tand left.\\ ' * 2000,
        "nested lists": eval("[" * 60 + "]" * 60),
    }


def codecs() -> dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]]:
    def stdlib(obj: Any) -> bytes:
        return json.dumps(obj, ensure_ascii=False, separators=(",", ":")).encode()

    found: dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]] = {
        "weft": (weft.json.encode, weft.json.decode),
        "json": (stdlib, json.loads),
    }
    try:
        import orjson

        found["orjson"] = (orjson.dumps, orjson.loads)
    except ImportError:
        print("orjson is not installed", file=sys.stderr)
    try:
        import msgspec.json

        found["msgspec"] = (msgspec.json.Encoder().encode, msgspec.json.Decoder().decode)
    except ImportError:
        print("msgspec is not installed", file=sys.stderr)
    return found


def best_ns(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The lowest CPU time of one call of each, over interleaved rounds of about 10 ms."""
    best = dict.fromkeys(calls, float("inf"))
    loops: dict[str, int] = {}
    for name, call in calls.items():
        start = time.perf_counter_ns()
        call()
        call()
        loops[name] = max(1, 10_000_000 // max(1, (time.perf_counter_ns() - start) // 2))
        loops[name] = min(loops[name], 20_000)
    for _ in range(rounds):
        for name, call in calls.items():
            times = range(loops[name])
            start = time.process_time_ns()
            for _ in times:
                call()
            best[name] = min(best[name], (time.process_time_ns() - start) / loops[name])
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--without", action="append", default=[], metavar="CODEC")
    parser.add_argument("names", nargs="*", help="only documents whose name contains one of these")
    args = parser.parse_args()
    found = {name: codec for name, codec in codecs().items() if name not in args.without}
    columns = list(found)
    bar = " | " if args.markdown else " "
    print(bar.join(["document".ljust(24), *(c.rjust(10) for c in columns), "orjson/weft"]))
    if args.markdown:
        print(bar.join(["---"] * (len(columns) + 2)))
    for title, obj in documents().items():
        if args.names and not any(n in title for n in args.names):
            continue
        data = found["json"][0](obj)
        for name, (encode, decode) in found.items():
            assert json.loads(encode(obj)) == obj, name
            assert decode(data) == obj, name
        for verb in ("encode", "decode"):
            calls: dict[str, Callable[[], Any]] = {}
            for name, (encode, decode) in found.items():
                calls[name] = partial(encode, obj) if verb == "encode" else partial(decode, data)
            ns = best_ns(calls, args.rounds)
            ratio = f"{ns['orjson'] / ns['weft']:.2f}" if "orjson" in ns else ""
            cells = [f"{ns[c]:,.0f}".rjust(10) for c in columns]
            print(bar.join([f"{title}, {verb}".ljust(24), *cells, ratio.rjust(11)]), flush=True)


if __name__ == "__main__":
    main()
