"""The example, used as its README shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from examples.bookshop.main import app, books

from weft.testing import TestClient


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
    assert client.get(url).json() == made.json() == {"id": made.json()["id"], **fields, "tags": []}
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
    ],
)
def test_a_book_that_is_none(client: TestClient, body: dict[str, object], wrong: list[str]) -> None:
    for answer in (client.post("/books", json=body), client.put("/books/1", json=body)):
        assert answer.status_code == 422
        assert [error["loc"] for error in answer.json()["detail"]] == [["body", w] for w in wrong]


def test_export(client: TestClient) -> None:
    response = client.get("/books/export")
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["id"] for line in response.text.splitlines()] == list(books)
