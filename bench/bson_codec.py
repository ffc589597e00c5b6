"""BSON: weft beside PyMongo's C, in nanoseconds; and from there to JSON.

    python -m bench.bson_codec [--rounds N] [--out FILE.md] [word of a title ...]

One process, process CPU time, the codecs interleaved, the best of several rounds. Bytes and objects
are checked to be the same first, and the JSON to say the same.

To JSON, the peers do as little as gives a usable answer: ids as their digits, dates as orjson has
them itself (json: isoformat), bytes as base64; weft writes relaxed Extended JSON, which is longer.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import json
import platform
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import bson
import orjson
import pymongo

import weft.bson
from bench.bson_documents import documents
from bench.json_codec import best_ns

Times = dict[str, float]


def plain(value: Any) -> Any:
    """What json and orjson are given for the types that are not JSON's."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, bson.Timestamp):
        return [value.time, value.inc]
    return str(value)


def with_json(data: bytes) -> bytes:
    return json.dumps(
        bson.decode(data), default=plain, ensure_ascii=False, separators=(",", ":")
    ).encode()


def with_orjson(data: bytes) -> bytes:
    return orjson.dumps(bson.decode(data), default=plain)


def unextended(value: dict[str, Any]) -> Any:
    """Extended JSON's objects as `plain` has them."""
    match value:
        case {"$oid": str(digits)}:
            return digits
        case {"$date": str(text)}:
            return datetime.datetime.fromisoformat(text).replace(tzinfo=None).isoformat()
        case {"$numberDecimal": str(text)}:
            return text
        case {"$binary": {"base64": str(text)}}:
            return text
        case {"$timestamp": {"t": int(seconds), "i": int(increment)}}:
            return [seconds, increment]
    return value


def check(title: str, document: dict[str, Any], data: bytes) -> None:
    said = json.loads(weft.bson.to_json(data), object_hook=unextended)
    right = {
        "encode": weft.bson.encode(document) == data,
        "decode": repr(weft.bson.decode(data)) == repr(bson.decode(data)),
        "to_json": said == json.loads(with_json(data)),
        "orjson": json.loads(with_orjson(data)) == json.loads(with_json(data)),
    }
    for what, is_right in right.items():
        if not is_right:
            raise SystemExit(f"{title}: {what} differs")


def measure(document: dict[str, Any], data: bytes, rounds: int) -> dict[str, Times]:
    calls: dict[str, dict[str, Callable[[], Any]]] = {
        "encode": {
            "weft": partial(weft.bson.encode, document),
            "PyMongo": partial(bson.encode, document),
        },
        "decode": {"weft": partial(weft.bson.decode, data), "PyMongo": partial(bson.decode, data)},
        "to JSON": {
            "weft": partial(weft.bson.to_json, data),
            "PyMongo, json": partial(with_json, data),
            "PyMongo, orjson": partial(with_orjson, data),
        },
    }
    return {verb: best_ns(by_codec, rounds) for verb, by_codec in calls.items()}


def ratios(times: Times) -> list[float]:
    return [times[peer] / times["weft"] for peer in times if peer != "weft"]


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def table(measured: dict[str, dict[str, Times]], verb: str) -> list[str]:
    rows = {title: by_verb[verb] for title, by_verb in measured.items()}
    codecs = list(next(iter(rows.values())))
    head = ["document", *(f"{c}, µs" for c in codecs), *(f"{c} / weft" for c in codecs[1:])]
    lines = ["", f"## {verb[0].upper()}{verb[1:]}", "", row(head)]
    lines.append(row(["---", *["---:"] * (len(head) - 1)]))
    for title, times in rows.items():
        us = [f"{times[c] / 1000:,.2f}" for c in codecs]
        lines.append(row([title, *us, *(f"{r:.2f}" for r in ratios(times))]))
    columns = zip(*(ratios(times) for times in rows.values()), strict=True)
    means = [f"**{prod(column) ** (1 / len(column)):.2f}**" for column in columns]
    lines.append(row(["geometric mean", *[""] * len(codecs), *means]))
    return lines


def report(measured: dict[str, dict[str, Times]]) -> str:
    lines = [
        "# BSON",
        "",
        f"`make bench-codec`: process CPU time of one call, the best of interleaved rounds; "
        f"PyMongo {pymongo.version} with its C, orjson {orjson.__version__}, CPython "
        f"{platform.python_version()}. Above 1, weft is faster.",
        "",
        "To JSON, weft writes Extended JSON, the others ids and dates as plain text: that is less.",
    ]
    for verb in ("encode", "decode", "to JSON"):
        lines += table(measured, verb)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, help="a Markdown file to write the tables to as well")
    parser.add_argument("words", nargs="*", help="only documents whose title has one of these")
    args = parser.parse_args()
    if not bson.has_c():
        raise SystemExit("PyMongo has been installed without its C")
    measured = {}
    for name, document in documents().items():
        data = bson.encode(document)
        title = f"{name}, {len(data):,} B"
        if args.words and not any(word in title for word in args.words):
            continue
        check(title, document, data)
        measured[title] = measure(document, data, args.rounds)
        for verb, times in measured[title].items():
            ns = " ".join(f"{t:12,.0f}" for t in times.values())
            said = " ".join(f"{r:.2f}" for r in ratios(times))
            print(f"{title:32} {verb:8} {ns}   {said}", flush=True)
    text = report(measured)
    print("\n" + "\n".join(line for line in text.splitlines() if "mean" in line))
    if args.out:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
