"""JSON: weft beside orjson, msgspec and the standard library, in nanoseconds.

    python -m bench.json_codec [--rounds N] [--out FILE.md] [word of a title ...]

One process, process CPU time, the codecs interleaved, the best of several rounds. What each makes
of each document is checked against the standard library first.

orjson and msgspec keep the UTF-8 of a str that is not ASCII inside that str, where it stays as long
as the str does: the first time they convert and allocate, from then on they copy. weft converts
each time and leaves no memory behind. So documents with such text are encoded from objects just
made, as replies are; a second table has the same objects again and again, each codec with its own.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import msgspec
import orjson

import weft.json
from bench.json_documents import Document, documents


def stdlib_encode(obj: Any) -> bytes:
    return json.dumps(obj, ensure_ascii=False, separators=(",", ":")).encode()


ENCODE: dict[str, Callable[[Any], bytes]] = {
    "weft": weft.json.encode,
    "orjson": orjson.dumps,
    "msgspec": msgspec.json.Encoder().encode,
    "json": stdlib_encode,
}
DECODE: dict[str, Callable[[bytes], Any]] = {
    "weft": weft.json.decode,
    "orjson": orjson.loads,
    "msgspec": msgspec.json.Decoder().decode,
    "json": json.loads,
}
PEERS = [name for name in ENCODE if name != "weft"]
Times = dict[str, float]


def best_ns(calls: dict[str, Callable[[], Any]], rounds: int) -> Times:
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


def best_ns_of_new(data: bytes, rounds: int) -> Times:
    """The same for encoding objects that no encoder has seen."""
    best = dict.fromkeys(ENCODE, float("inf"))
    copies = max(1, 4_000_000 // len(data))
    for _ in range(rounds):
        for name, encode in ENCODE.items():
            objects = [json.loads(data) for _ in range(copies)]
            start = time.process_time_ns()
            for obj in objects:
                encode(obj)
            best[name] = min(best[name], (time.process_time_ns() - start) / copies)
    return best


def check(document: Document) -> None:
    expected = json.loads(document.data)
    for name, decode in DECODE.items():
        if decode(document.data) != expected:
            raise SystemExit(f"{name} decodes {document.title} differently")
    for name, encode in ENCODE.items():
        if json.loads(encode(json.loads(document.data))) != expected:
            raise SystemExit(f"{name} encodes {document.title} differently")


def measure(document: Document, rounds: int) -> dict[str, Times]:
    """By verb. "again" is there for wide documents only."""
    check(document)
    data = document.data
    times: dict[str, Times] = {}
    if not document.decode_only:
        # The same object, since where its parts lie in memory is worth a fifth; but each its own
        # where what one keeps in the strings would serve another.
        obj = json.loads(data)
        again = {
            name: partial(encode, json.loads(data) if document.wide else obj)
            for name, encode in ENCODE.items()
        }
        if document.wide:
            times["encode"] = best_ns_of_new(data, rounds)
            times["again"] = best_ns(again, rounds)
        else:
            times["encode"] = best_ns(again, rounds)
    times["decode"] = best_ns({name: partial(d, data) for name, d in DECODE.items()}, rounds)
    return times


def ratios(times: Times) -> list[str]:
    return [f"{times[peer] / times['weft']:.2f}" for peer in PEERS]


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def table(measured: dict[str, dict[str, Times]], verb: str, unit: str, factor: float) -> list[str]:
    head = ["document", *(f"{name}, {unit}" for name in ENCODE), *(f"{p} / weft" for p in PEERS)]
    lines = [row(head), row(["---", *["---:"] * (len(head) - 1)])]
    rows = {title: by_verb[verb] for title, by_verb in measured.items() if verb in by_verb}
    for title, times in rows.items():
        ns = [f"{times[name] / factor:,.{2 if factor > 1 else 0}f}" for name in ENCODE]
        lines.append(row([title, *ns, *ratios(times)]))
    means = []
    for peer in PEERS:
        all_ratios = [times[peer] / times["weft"] for times in rows.values()]
        means.append(f"**{prod(all_ratios) ** (1 / len(all_ratios)):.2f}**")
    lines.append(row(["geometric mean", *[""] * len(ENCODE), *means]))
    return lines


def report(measured: dict[str, dict[str, Times]]) -> str:
    versions = f"orjson {orjson.__version__}, msgspec {msgspec.__version__}"
    lines = [
        "# JSON without types",
        "",
        f"`make bench-codec`: process CPU time of one call, the best of interleaved rounds; "
        f"{versions}, CPython {platform.python_version()}. Above 1, weft is faster.",
    ]
    parts = {
        "decode": ["## Decode", ""],
        "encode": ["## Encode", "", "Documents that are not ASCII from objects just made.", ""],
        "again": [
            "## Encode the same text again",
            "",
            "What the others' copy of the UTF-8 in each str is worth where a str is encoded more "
            "than once. weft keeps none.",
            "",
        ],
    }
    for verb, heading in parts.items():
        if any(verb in by_verb for by_verb in measured.values()):
            lines += ["", *heading, *table(measured, verb, "µs", 1000)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", type=Path, help="a Markdown file to write the tables to as well")
    parser.add_argument("words", nargs="*", help="only documents whose title has one of these")
    args = parser.parse_args()
    measured = {}
    for document in documents():
        if args.words and not any(word in document.title for word in args.words):
            continue
        measured[document.title] = measure(document, args.rounds)
        for verb, times in measured[document.title].items():
            ns = " ".join(f"{times[name]:12,.0f}" for name in ENCODE)
            print(f"{document.title:28} {verb:7} {ns}   {' '.join(ratios(times))}", flush=True)
    text = report(measured)
    print("\n" + "\n".join(line for line in text.splitlines() if "mean" in line))
    if args.out:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
