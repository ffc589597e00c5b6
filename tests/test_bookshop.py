"""The example, used as its README shows it."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from examples.bookshop.main import (
    COPIES_MAX,
    COVER_BYTES_MAX,
    app,
    books,
    covers,
    listeners,
    orders,
    tokens,
)

from tests.browser import click, complaints, wait_until
from weft.testing import TestClient


def png() -> bytes:
    """A picture of one red dot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + crc

    head = chunk(b"IHDR", (1).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0]))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
    return b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b"")


PNG = png()


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def test_list_and_search(client: TestClient) -> None:
    everything = client.get("/books").json()
    assert everything["total"] == len(books) == 5
    found = client.get("/books", params={"q": "le guin", "sort": "price", "limit": 1}).json()
    assert found["total"] == 2
    assert [book["title"] for book in found["books"]] == ["The Left Hand of Darkness"]
    tagged = client.get("/books?tag=novel&tag=science+fiction&max_price=10").json()
    assert {book["title"] for book in tagged["books"]} == {"Solaris", "The Left Hand of Darkness"}


def test_a_search_with_mistakes(client: TestClient) -> None:
    response = client.get("/books?limit=1000&sort=colour&max_price=-1")
    assert response.status_code == 422
    assert [error["loc"][1] for error in response.json()["detail"]] == [
        "max_price",
        "sort",
        "limit",
    ]


def test_one_book_from_beginning_to_end(client: TestClient) -> None:
    fields = {"title": "Ficciones", "author": "Jorge Luis Borges", "year": 1944, "price": 12.5}
    made = client.post("/books", json=fields)
    assert made.status_code == 201
    url = made.headers["location"]
    told = {"id": made.json()["id"], **fields, "tags": []}
    assert client.get(url).json() == made.json() == told
    changed = client.put(url, json={**fields, "price": 9, "tags": ["stories"]})
    assert (changed.json()["price"], changed.json()["tags"]) == (9, ["stories"])
    assert client.delete(url).status_code == 204
    missing = client.get(url)
    assert missing.status_code == 404
    assert missing.json() == {"detail": f"There is no book {made.json()['id']}"}


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["title", "author", "year", "price"]),
        ({"title": 1, "author": "", "year": "x", "price": 1}, ["title", "year"]),
        ({"title": "", "author": "", "year": 1, "price": 1, "tags": "x"}, ["tags"]),
        ({"title": "", "author": "", "year": True, "price": "1"}, ["year", "price"]),
    ],
)
def test_a_book_that_is_none(client: TestClient, body: dict[str, object], wrong: list[str]) -> None:
    for answer in (client.post("/books", json=body), client.put("/books/1", json=body)):
        assert answer.status_code == 422
        assert [error["loc"] for error in answer.json()["detail"]] == [["body", w] for w in wrong]


@pytest.mark.parametrize("field", ["title", "author", "tags"])
def test_half_a_character_is_refused_before_it_is_on_the_shelf(
    client: TestClient, field: str
) -> None:
    fields = {"title": "a", "author": "b", "year": 1, "price": 1.0, "tags": ["c"]}
    fields[field] = ["\ud800"] if field == "tags" else "\ud800"
    body, headers = json.dumps(fields), {"content-type": "application/json"}
    made = client.post("/books", content=body, headers=headers)
    changed = client.put("/books/1", content=body, headers=headers)
    for answer in (made, changed):
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("Such a book cannot be told of: lone surrogate")
    assert client.get("/books").json()["total"] == 5


def test_export(client: TestClient) -> None:
    response = client.get("/books/export")
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["id"] for line in response.text.splitlines()] == list(books)


# ---- covers and events ----


def test_a_cover_from_beginning_to_end(client: TestClient) -> None:
    plain = client.get("/books/1/cover")
    assert plain.headers["content-type"] == "image/svg+xml"
    shown = " ".join(ElementTree.fromstring(plain.content).itertext())
    assert shown == "The Left Hand of Darkness"
    sent = client.put("/books/1/cover", files={"image": ("a.png", PNG, "image/png")})
    assert (sent.status_code, sent.content) == (204, b"")
    cover = client.get("/books/1/cover")
    assert (cover.headers["content-type"], cover.content) == ("image/png", PNG)
    client.delete("/books/1")
    assert client.get("/books/1/cover").status_code == 404
    assert covers == {}


def test_a_plain_cover_is_harmless(client: TestClient) -> None:
    title = "<script>\0\x7f& ]]>"
    body = json.dumps({"title": title, "author": "x", "year": 1, "price": 1})
    made = client.post("/books", content=body, headers={"content-type": "application/json"})
    ElementTree.fromstring(client.get(made.headers["location"] + "/cover").content)


def test_what_is_no_cover(client: TestClient) -> None:
    page = {"image": ("a.html", b"<script>", "text/html")}
    assert client.put("/books/1/cover", files=page).status_code == 415
    large = {"image": ("a.png", b"x" * (COVER_BYTES_MAX + 1), "image/png")}
    assert client.put("/books/1/cover", files=large).status_code == 413
    assert (
        client.put("/books/99/cover", files={"image": ("a", PNG, "image/png")}).status_code == 404
    )
    assert client.put("/books/1/cover", data={"image": "text"}).status_code == 422
    assert covers == {}


def test_events_are_sent_as_they_happen(client: TestClient) -> None:
    with client.stream("GET", "/events") as events:
        assert events.headers["content-type"] == "text/event-stream; charset=utf-8"
        lines = events.iter_lines()
        client.delete("/books/3")
        told = json.loads(next(lines).removeprefix("data: "))
        assert (told["what"], told["book"]["title"]) == ("removed", "Solaris")
    until = time.monotonic() + 20
    while listeners and time.monotonic() < until:  # nobody is kept who has left
        time.sleep(0.01)
    assert not listeners


# ---- orders ----


def sign_in(client: TestClient, password: str = "lovelace") -> Any:
    return client.post("/token", data={"username": "ada", "password": password})


def test_an_order_from_beginning_to_end(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bookshop")
    signed = sign_in(client)
    assert signed.json()["token_type"] == "bearer"
    headers = {"authorization": f"Bearer {signed.json()['access_token']}"}
    made = client.post("/books/1/orders?copies=3", headers=headers)
    order = {"id": 1, "book_id": 1, "copies": 3, "customer": "ada", "total": 29.97}
    assert (made.status_code, made.json()) == (201, order)
    assert client.get("/orders", headers=headers).json() == [order]
    until = time.monotonic() + 20
    while "receipt for order 1 of ada" not in caplog.text and time.monotonic() < until:
        time.sleep(0.01)  # once the reply is on its way
    assert "receipt for order 1 of ada" in caplog.text


def test_what_is_no_order(client: TestClient) -> None:
    for answer in (client.get("/orders"), client.post("/books/1/orders")):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert sign_in(client, "byron").status_code == 401
    forged = {"authorization": "Bearer forged"}
    assert client.get("/orders", headers=forged).json() == {"detail": "Sign in again"}
    headers = {"authorization": f"Bearer {sign_in(client).json()['access_token']}"}
    missing = client.post("/books/99/orders", headers=headers)
    assert missing.json() == {"detail": "There is no book 99"}
    for copies in (0, COPIES_MAX + 1, "x"):
        wrong = client.post("/books/1/orders", params={"copies": copies}, headers=headers)
        assert wrong.status_code == 422, copies
    assert orders == []


def test_tokens_are_bounded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.bookshop.main.TOKENS_MAX", 2)
    made = [sign_in(client).json()["access_token"] for _ in range(3)]
    assert list(tokens) == made[1:]


# ---- in a browser ----


def titles(browser: Any) -> list[str]:
    script = "return [...document.querySelectorAll('#books .title')].map((t) => t.innerText)"
    found: list[str] = browser.execute_script(script)
    return found


def test_the_page(client: TestClient, browser: Any, tmp_path: Path) -> None:
    browser.get(f"http://127.0.0.1:{client._worker.port}/")
    wait_until(browser, "document.querySelector('#live').innerText === 'live'")
    wait_until(browser, "document.querySelectorAll('#books li').length === 5")

    browser.find_element("css selector", "[name=q]").send_keys("solar")
    wait_until(browser, "document.querySelectorAll('#books li').length === 1")
    assert titles(browser) == ["Solaris"]
    browser.execute_script("document.querySelector('#search').reset()")

    fields = {"title": "Ficciones", "author": "Borges", "year": "1944", "price": "12.50"}
    for name, value in fields.items():
        browser.find_element("css selector", f"#new [name={name}]").send_keys(value)
    click(browser, "#new button")
    wait_until(browser, "document.querySelectorAll('#books li').length === 6")
    assert titles(browser)[5] == "Ficciones"
    assert books[6].year == 1944

    (tmp_path / "cover.png").write_bytes(PNG)
    upload = browser.find_element("css selector", "[data-id='6'] input[type=file]")
    upload.send_keys(str(tmp_path / "cover.png"))
    image = "document.querySelector('[data-id=\"6\"] .cover')"
    wait_until(browser, f"{image}.naturalWidth === 1")
    assert covers[6] == ("image/png", PNG)

    client.delete("/books/1")  # somebody else
    wait_until(browser, "document.querySelector('#events').innerText.includes('Darkness: removed')")
    wait_until(browser, "document.querySelectorAll('#books li').length === 5")

    (tmp_path / "cover.txt").write_text("no image")
    upload = browser.find_element("css selector", "[data-id='2'] input[type=file]")
    upload.send_keys(str(tmp_path / "cover.txt"))
    wait_until(browser, "document.querySelector('#problem').innerText.startsWith('A cover is one')")
    said = complaints(browser)
    assert all("415" in line for line in said), said
