"""JSON decoded into types and encoded from them, in nanoseconds: weft against msgspec and pydantic.

    python -m bench.json_typed [--rounds N] [--only encode] [--out FILE.md]

Structs and dataclasses beside msgspec's Decoder and Encoder, pydantic's models beside
model_validate_json and model_dump_json. One process, process CPU time, interleaved, the best of
several rounds; what they give is compared.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypedDict

import msgspec
import pydantic

import weft.json
from bench.json_codec import best_ns

FIELDS: dict[str, list[tuple[str, Any]]] = {
    "Message": [("message", str)],
    "Row": [("id", int), ("name", str), ("price", float), ("in_stock", bool)],
    "Address": [("street", str), ("zip", int)],
}
RECORD: list[tuple[str, Any]] = [
    ("id", int),
    ("uid", str),
    ("name", str),
    ("email", str),
    ("active", bool),
    ("score", float),
    ("tags", list[str]),
]


def families() -> dict[str, Callable[[str, list[tuple[str, Any]]], Any]]:
    def model(name: str, fields: list[tuple[str, Any]]) -> Any:
        return pydantic.create_model(name, **{n: (t, ...) for n, t in fields})  # type: ignore[call-overload]

    return {
        "Struct": lambda name, fields: msgspec.defstruct(name, fields),
        "dataclass": lambda name, fields: dataclasses.make_dataclass(name, fields),
        "slots": lambda name, fields: dataclasses.make_dataclass(name, fields, slots=True),
        "TypedDict": lambda name, fields: TypedDict(name, dict(fields)),  # type: ignore[operator]
        "model": model,
    }


def documents() -> Iterator[tuple[str, Callable[[Any], Any], bytes]]:
    rng = random.Random(7)
    words = [
        "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(n))
        for n in (3, 5, 8, 13) * 25
    ]

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

    def row(i: int) -> dict[str, Any]:
        return {"id": i, "name": f"item {i}", "price": i * 1.25, "in_stock": i % 3 != 0}

    def data(value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":")).encode()

    yield "27 B message", lambda t: t.Message, data({"message": "Hello, World!"})
    yield "one row", lambda t: t.Row, data(row(1))
    yield "4 KB of rows", lambda t: list[t.Row], data([row(i) for i in range(65)])
    yield "one record", lambda t: t.Record, data(record(1))
    yield "1.2 MB of records", lambda t: list[t.Record], data([record(i) for i in range(4000)])
    yield (
        "rows, indented",
        lambda t: list[t.Row],
        json.dumps([row(i) for i in range(65)], indent=2).encode(),
    )
    shuffled = [dict(sorted(row(i).items(), key=lambda _: rng.random())) for i in range(65)]
    yield "rows, keys in any order", lambda t: list[t.Row], data(shuffled)


Call = Callable[[Any], Any]


def decoders(family: str, annotation: Any) -> tuple[Call, Call]:
    ours = weft.json.Decoder(annotation).decode
    if family == "model":
        return ours, pydantic.TypeAdapter(annotation).validate_json
    return ours, msgspec.json.Decoder(annotation).decode


def encoders(family: str, annotation: Any) -> tuple[Call, Call]:
    ours = weft.json.Encoder(annotation).encode
    if family == "model":
        return ours, pydantic.TypeAdapter(annotation).serializer.to_json
    return ours, msgspec.json.Encoder().encode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--only", choices=["decode", "encode"], help="one way")
    parser.add_argument("--out", type=Path, help="a Markdown file to write the table to as well")
    args = parser.parse_args()
    lines = [
        "| document | type | way | weft | peer | peer / weft |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    means = []
    logs: dict[tuple[str, str], list[float]] = {}
    for family, make in families().items():
        types = {name: make(name, fields) for name, fields in FIELDS.items()}
        record = [*RECORD, ("address", types["Address"]), ("parent", int | None)]
        types["Record"] = make("Record", record)
        for title, pick, data in documents():
            annotation = pick(SimpleNamespace(**types))
            for way, codecs in (("decode", decoders), ("encode", encoders)):
                if args.only not in (None, way) or (way == "encode" and "," in title):
                    continue  # what is laid out in another way is the same object
                ours, peer = codecs(family, annotation)
                given = data if way == "decode" else decoders(family, annotation)[1](data)
                assert ours(given) == peer(given), (title, family, way)
                ns = best_ns(
                    {"weft": lambda f=ours, g=given: f(g), "peer": lambda f=peer, g=given: f(g)},
                    args.rounds,
                )  # type: ignore[misc]
                ratio = ns["peer"] / ns["weft"]
                logs.setdefault((family, way), []).append(math.log(ratio))
                cells = [f"{ns['weft']:,.0f}", f"{ns['peer']:,.0f}", f"{ratio:.2f}"]
                lines.append(f"| {title} | {family} | {way} | {' | '.join(cells)} |")
                print(lines[-1], flush=True)
    for (family, way), each in logs.items():
        mean = math.exp(sum(each) / len(each))
        means.append(f"{family}, {way}: {mean:.2f} in the geometric mean")
    text = "\n".join([__doc__.splitlines()[0], "", *lines, "", *means]) + "\n"
    print("\n".join(means))
    if args.out:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
