#!/usr/bin/env python3
"""Makes cases/*.txt: what Python and Starlette make of query strings, forms and cookies.

Each line is an input and what comes of it, separated by tabs. Bytes other than printable ASCII, and
the backslash, are written \\xHH. Text that is not UTF-8 is compared before it is made text of.

    make_cases.py            writes the files beside this script
    make_cases.py --check    fails when they are not what it would write
"""

import http.cookies
import itertools
import pathlib
import random
import sys
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote_to_bytes

HERE = pathlib.Path(__file__).resolve().parent


def quoted(data: bytes) -> str:
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in data)


def pieces(seed: int, alphabet: list[bytes], count: int, most: int) -> Iterator[bytes]:
    """All strings of up to two pieces, then `count` longer ones."""
    for n in range(3):
        for combination in itertools.product(alphabet, repeat=n):
            yield b"".join(combination)
    rng = random.Random(seed)
    for _ in range(count):
        yield b"".join(rng.choices(alphabet, k=rng.randint(3, most)))


def unquote_plus(data: bytes) -> bytes:
    return unquote_to_bytes(data.replace(b"+", b" "))


def form_lines() -> Iterator[str]:
    alphabet = [
        b"%",
        b"+",
        b"a",
        b"4",
        b"F",
        b"g",
        b"%41",
        b"%00",
        b"%e4%BD%a0",
        b"long enough",
        b"\xff",
    ]
    for data in pieces(1, alphabet, 400, 12):
        yield f"{quoted(data)}\t{quoted(unquote_plus(data))}"


def query_lines() -> Iterator[str]:
    alphabet = [b"&", b"=", b"a", b"b=1", b"%3d", b"%26", b"+", b";", b"%", b"name"]
    for data in pieces(2, alphabet, 400, 12):
        pairs = parse_qsl(data.decode(), keep_blank_values=True, encoding="latin-1")
        # latin-1 keeps each byte apart
        flat = [quoted(part.encode("latin-1")) for pair in pairs for part in pair]
        yield "\t".join([quoted(data), *flat])


def cookie_pairs(text: str) -> Iterator[tuple[str, str]]:
    """Which pairs starlette.requests.cookie_parser looks at, in order, before it unquotes."""
    for chunk in text.split(";"):
        name, equals, value = chunk.partition("=")
        if not equals:
            name, value = "", chunk
        name, value = name.strip(), value.strip()
        if name or value:
            yield name, value


def cookie_lines() -> Iterator[str]:
    alphabet = [
        b";",
        b"=",
        b" ",
        b"\t",
        b"a",
        b"b=1",
        b"; ",
        b'"',
        b"\\",
        b"\xa0",
        b"\x1f",
        b"%20",
        b",",
    ]
    for data in pieces(3, alphabet, 400, 12):
        flat = [
            quoted(part.encode("latin-1"))
            for pair in cookie_pairs(data.decode("latin-1"))
            for part in pair
        ]
        yield "\t".join([quoted(data), *flat])


def unquote_lines() -> Iterator[str]:
    unquote = http.cookies._unquote  # type: ignore[attr-defined]
    alphabet = [b'"', b"\\", b"\\054", b"\\377", b"\\400", b"\\18", b"a", b"0", b"\n", b'\\"']
    for data in pieces(4, alphabet, 400, 8):
        for text in (data, b'"' + data + b'"'):
            yield f"{quoted(text)}\t{quoted(unquote(text.decode()).encode('latin-1'))}"


def path_lines() -> Iterator[str]:
    alphabet = [
        b"/",
        b"a",
        b"%",
        b"4",
        b"1",
        b"G",
        b"%2F",
        b"%00",
        b"%c3%a9",
        b"%c3",
        b"%ED%A0%80",
        b"+",
    ]
    for data in pieces(5, alphabet, 400, 10):
        well_formed = all(
            len(part) >= 2 and all(c in b"0123456789abcdefABCDEF" for c in part[:2])
            for part in data.split(b"%")[1:]
        )
        decoded = unquote_to_bytes(data)
        try:
            decoded.decode()
            good = well_formed and 0 not in decoded
        except UnicodeDecodeError:
            good = False
        yield f"{quoted(data)}\t{quoted(decoded) if good else 'BAD'}"


def main() -> None:
    files = {
        "form.txt": form_lines,
        "query.txt": query_lines,
        "cookie.txt": cookie_lines,
        "cookie_unquote.txt": unquote_lines,
        "path.txt": path_lines,
    }
    (HERE / "cases").mkdir(exist_ok=True)
    for name, lines in files.items():
        out = HERE / "cases" / name
        made = "".join(line + "\n" for line in lines())
        if "--check" not in sys.argv[1:]:
            out.write_text(made)
        elif out.read_text() != made:
            sys.exit(f"{name} is stale: run make_cases.py")


main()
