#!/usr/bin/env python3
"""Makes fields_table.h, the perfect hash of the field names listed in http1.h (WF_FIELDS).

make_fields.py           writes fields_table.h beside this script
make_fields.py --check   fails when fields_table.h is not what it would write
"""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
SLOT_BITS = 6


def key(name: str) -> int:
    """Length, first and last letter: what field_key in http1_int.h computes."""
    return len(name) | ord(name[0]) << 8 | ord(name[-1]) << 16


def slot(name: str, multiplier: int) -> int:
    return (key(name) * multiplier & 0xFFFFFFFF) >> (32 - SLOT_BITS)


def find_multiplier(names: list[str]) -> int:
    if len({key(name) for name in names}) != len(names):
        sys.exit("two names agree in length, first and last letter: field_key needs another byte")
    candidate = 1
    for _ in range(1_000_000):
        candidate = candidate * 1664525 + 1013904223 & 0xFFFFFFFF
        if len({slot(name, candidate | 1) for name in names}) == len(names):
            return candidate | 1
    sys.exit("no multiplier found: raise SLOT_BITS")


def table(names: dict[str, str]) -> str:
    multiplier = find_multiplier(list(names.values()))
    slots = {slot(name, multiplier): ident for ident, name in names.items()}
    lines = [
        "/* Made by make_fields.py from WF_FIELDS in http1.h; do not edit. */",
        "/* clang-format off */",
        f"#define WF_FIELD_SLOT_BITS {SLOT_BITS}",
        f"#define WF_FIELD_MULTIPLIER 0x{multiplier:08x}u",
        "/* slot -> id */",
        "#define WF_FIELD_SLOTS \\",
    ]
    lines += [f"    [{i}] = WF_FIELD_{slots[i]}, \\" for i in sorted(slots)]
    lines[-1] = lines[-1].removesuffix(", \\")
    return "\n".join(lines) + "\n"


def main() -> None:
    header = (HERE / "http1.h").read_text()
    listed = header.split("#define WF_FIELDS(X)")[1].split("enum wf_field_id")[0]
    made = table(dict(re.findall(r'X\((\w+), "([^"]+)"\)', listed)))
    out = HERE / "fields_table.h"
    if "--check" not in sys.argv[1:]:
        out.write_text(made)
    elif out.read_text() != made:
        sys.exit("fields_table.h is stale: run make_fields.py")


main()
