"""Lists in lists, which are written without a call for each level, but for every ninth."""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

import pytest

from weft.json import EncodeError, encode


def within(depth: int, item: Any, *behind: Any) -> list[Any]:
    for _ in range(depth):
        item = [item, *behind]
    return item  # type: ignore[no-any-return]


def compact(obj: Any) -> bytes:
    return json.dumps(obj, separators=(",", ":")).encode()


@pytest.mark.parametrize("depth", [1, 2, 7, 8, 9, 10, 16, 17, 18, 19, 40])
@pytest.mark.parametrize("item", [[], {}, 1, 2**70, None, "a", 1.5, {"a": [[1], 2]}, [[1], [], 2]])
def test_lists_in_lists(depth: int, item: Any) -> None:
    for obj in (
        within(depth, item),
        within(depth, item, 1, 2, "x", 3),
        within(depth, item, [], [[]], [1]),
        [1, within(depth, item), {"a": within(depth, item, None)}, 2],
    ):
        assert encode(obj) == compact(obj)


@pytest.mark.parametrize("depth", [1, 2, 8, 9, 10, 18, 40])
def test_path_of_a_failure_in_lists_in_lists(depth: int) -> None:
    for item, message in ((object(), "no JSON form"), (10**5000, "get_int_max_str_digits")):
        for obj, last in (([0, [item]], "[1][0]"), ([[], 1, item], "[2]")):
            nested = within(depth, obj)
            before = sys.getrefcount(obj)
            with pytest.raises(EncodeError, match=message) as caught:
                encode(nested)
            assert caught.value.path == "[0]" * depth + last
            assert sys.getrefcount(obj) == before


@pytest.mark.parametrize("depth", [1, 2, 8, 9, 10, 18])
def test_lists_emptied_while_one_in_them_is_written(depth: int) -> None:
    lists = [[object(), 1, 2]]
    for _ in range(depth):
        lists.append([lists[-1], 1, 2])

    def default(obj: Any) -> Any:
        for each in lists:
            each.clear()
        gc.collect()
        return "x"

    assert encode(lists[-1], default=default) == b"[" * (depth + 1) + b'"x"' + b"]" * (depth + 1)
