"""Ours and Starlette's, asked the same: a user who changes imports finds the same behaviour."""

from __future__ import annotations

from types import ModuleType

import pytest
import starlette.datastructures

import weft.datastructures

both = pytest.mark.parametrize(
    "ds", [weft.datastructures, starlette.datastructures], ids=["weft", "starlette"]
)


@both
def test_url_parts(ds: ModuleType) -> None:
    url = ds.URL("https://ann:secret@example.org:123/path/to?a=1&b=2#part")
    assert url.scheme == "https"
    assert url.hostname == "example.org"
    assert url.port == 123
    assert url.netloc == "ann:secret@example.org:123"
    assert url.username == "ann"
    assert url.password == "secret"
    assert url.path == "/path/to"
    assert url.query == "a=1&b=2"
    assert url.fragment == "part"
    assert url.is_secure
    assert "secret" not in repr(url)


@both
@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        ("http://example.org/", {"scheme": "https"}, "https://example.org/"),
        ("http://example.org/a", {"path": "/b", "query": "c=1"}, "http://example.org/b?c=1"),
        ("http://example.org/", {"port": 81}, "http://example.org:81/"),
        ("http://example.org:81/", {"hostname": "localhost"}, "http://localhost:81/"),
        ("http://example.org:81/", {"port": None}, "http://example.org/"),
        ("http://u:p@example.org:81/", {"username": "w"}, "http://w:p@example.org:81/"),
        ("http://example.org/", {"username": "u", "password": "p"}, "http://u:p@example.org/"),
        ("http://[::1]:81/", {"port": 82}, "http://[::1]:82/"),
        ("http://[::1]/", {"port": 82}, "http://[::1]:82/"),
        ("http://Example.org/", {"port": 82}, "http://Example.org:82/"),
        ("http://example.org/", {"hostname": "::1"}, "http://[::1]/"),
    ],
)
def test_url_replace(ds: ModuleType, before: str, changes: dict[str, object], after: str) -> None:
    assert str(ds.URL(before).replace(**changes)) == after


@both
def test_url_from_components(ds: ModuleType) -> None:
    assert ds.URL(scheme="https", netloc="a.org", path="/b") == "https://a.org/b"


@both
def test_url_query_params(ds: ModuleType) -> None:
    url = ds.URL("https://a.org/?x=1&x=2&y=")
    assert str(url.include_query_params(x=3, z="ü")) == "https://a.org/?y=&x=3&z=%C3%BC"
    assert str(url.replace_query_params(q="a b")) == "https://a.org/?q=a+b"
    assert str(url.remove_query_params("x")) == "https://a.org/?y="
    assert str(url.remove_query_params(["x", "y"])) == "https://a.org/"


@both
def test_absolute_url_of_a_path(ds: ModuleType) -> None:
    path = ds.URLPath("/b")
    assert str(path.make_absolute_url("https://a.org/")) == "https://a.org/b"
    assert str(path.make_absolute_url(ds.URL("https://a.org/root/"))) == "https://a.org/root/b"


@both
def test_headers(ds: ModuleType) -> None:
    h = ds.Headers(raw=[(b"a", b"1"), (b"b", b"\xfc"), (b"a", b"2")])
    assert h["A"] == "1"
    assert h.getlist("a") == ["1", "2"]
    assert h.getlist("c") == []
    assert h.get("c") is None
    assert "B" in h
    assert h.keys() == ["a", "b", "a"]
    assert h.values() == ["1", "ü", "2"]
    assert h.items() == [("a", "1"), ("b", "ü"), ("a", "2")]
    assert list(h) == ["a", "b", "a"]
    assert len(h) == 3
    assert h.raw == [(b"a", b"1"), (b"b", b"\xfc"), (b"a", b"2")]
    assert ds.Headers({"A": "1", "B": "2"}) == ds.Headers(raw=[(b"b", b"2"), (b"a", b"1")])
    with pytest.raises(KeyError):
        h["c"]


@both
def test_mutable_headers(ds: ModuleType) -> None:
    h = ds.MutableHeaders(raw=[(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    h["A"] = "4"
    assert h.raw == [(b"a", b"4"), (b"b", b"2")]
    h["c"] = "5"
    h.append("b", "6")
    assert h.getlist("b") == ["2", "6"]
    assert h.setdefault("c", "7") == "5"
    assert h.setdefault("d", "8") == "8"
    del h["b"]
    del h["not there"]
    h.update({"d": "9"})
    h |= {"e": "1"}
    assert h.items() == [("a", "4"), ("c", "5"), ("d", "9"), ("e", "1")]
    assert (h | {"f": "1"})["f"] == "1"
    assert "f" not in h
    h.add_vary_header("origin")
    h.add_vary_header("accept")
    assert h["vary"] == "origin, accept"


@both
def test_a_copy_of_headers_is_apart(ds: ModuleType) -> None:
    h = ds.Headers({"a": "1"})
    copy = h.mutablecopy()
    copy["a"] = "2"
    assert h["a"] == "1"


@both
def test_query_params(ds: ModuleType) -> None:
    q = ds.QueryParams("a=1&a=2&b=%C3%BC&c=&d=x+y")
    assert q["a"] == "2"
    assert q.getlist("a") == ["1", "2"]
    assert q["b"] == "ü"
    assert q["c"] == ""
    assert q["d"] == "x y"
    assert q.multi_items()[:2] == [("a", "1"), ("a", "2")]
    assert dict(q) == {"a": "2", "b": "ü", "c": "", "d": "x y"}
    assert str(q) == "a=1&a=2&b=%C3%BC&c=&d=x+y"
    assert len(q) == 4
    assert "z" not in q
    assert q == ds.QueryParams(b"b=%C3%BC&a=1&a=2&d=x+y&c=")
    assert q != ds.QueryParams("a=1")
    assert ds.QueryParams({"a": 1}) == ds.QueryParams(a="1")
    with pytest.raises(KeyError):
        q["z"]


@both
def test_multidict(ds: ModuleType) -> None:
    m = ds.MultiDict([("a", 1), ("a", 2), ("b", 3)])
    assert m.poplist("a") == [1, 2]
    m["b"] = 4
    m.append("b", 5)
    assert m.getlist("b") == [4, 5]
    assert m.setdefault("c", 6) == 6
    m.update({"c": 7})
    m.setlist("d", [8, 9])
    m.setlist("b", [])
    assert m.multi_items() == [("c", 7), ("d", 8), ("d", 9)]
    assert m.popitem() == ("d", 9)
    assert m.pop("z", None) is None
    del m["c"]
    assert len(m) == 0
    with pytest.raises(KeyError):
        del m["c"]
    m["x"] = 1
    m.clear()
    assert m.multi_items() == []


@both
def test_state(ds: ModuleType) -> None:
    kept: dict[str, object] = {"a": 1}
    state = ds.State(kept)
    state.b = 2
    assert (state.a, state["b"], kept) == (1, 2, {"a": 1, "b": 2})
    del state.a
    assert list(state) == ["b"]
    assert len(state) == 1
    assert not hasattr(state, "a")
