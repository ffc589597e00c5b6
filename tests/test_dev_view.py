"""`/_weft/`, the view of `weft dev`: what routes are made of, where requests spend their time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import complaints, wait_until
from tests.dev_server import Dev
from weft import App
from weft.dev.view import stages
from weft.testing import TestClient

MAIN = """
import asyncio, time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from pydantic import AfterValidator, BaseModel, EmailStr, field_validator
import weft

app = weft.App(title="{title}", version="7")

class Book(BaseModel):
    title: str
    price: float = 1.0

class Odd(BaseModel):  # large enough to be read in parts
    title: str
    pages: int = 0
    year: int = 0
    price: float = 0.0
    tags: list[str] = []
    authors: list[str] = []
    copies: dict[str, int] = {{}}
    @field_validator("title", mode="wrap")
    @classmethod
    def check(cls, value, handler): return handler(value)

async def session() -> AsyncIterator[str]:
    yield "session"

Session = Annotated[str, weft.Depends(session)]

def user(db: Session, x_user: Annotated[str, weft.Header()] = "") -> str:
    time.sleep(0.02)
    return x_user

@app.middleware("http")
async def closed(request, call_next):
    if request.url.path == "/closed":
        return weft.PlainTextResponse("closed", 403)
    return await call_next(request)

@app.get("/items/{{item_id}}")
async def item(item_id: int, q: str | None = None): return {{"id": item_id}}

@app.get("/orders")
async def orders(who: Annotated[str, weft.Depends(user)], db: Session):
    await asyncio.sleep(0.05)
    return who

@app.post("/books")
async def books(book: Book): return book

@app.post("/odd")
async def odd(book: Odd): return book

@app.get("/even")
async def even(n: Annotated[int, AfterValidator(lambda n: n)]): return n

@app.get("/slow")
def slow():
    time.sleep(0.03)
    return "slow"

@app.get("/stream")
async def stream():
    async def chunks():
        for n in range(3):
            await asyncio.sleep(0.01)
            yield b"x" * 1000
    return weft.StreamingResponse(chunks())

@app.get("/fail")
async def fail(): return 1 / 0
"""


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    dev = Dev(tmp_path_factory.mktemp("view"))
    dev.main.write_text(MAIN.format(title="Shop"))
    dev.start()
    dev.until(lambda reply: reply.status_code == 200, "/slow")
    yield dev
    dev.end()


def plans(dev: Dev) -> dict[str, Any]:
    return {route["path"]: route for route in dev.get("/_weft/plans").json()["routes"]}


def newest(dev: Dev) -> int:
    return max((r["number"] for r in dev.get("/_weft/requests").json()["requests"]), default=0)


def recorded(dev: Dev, path: str, **headers: str) -> dict[str, Any]:
    """What the view tells of a request that is made for it."""
    before = newest(dev)
    dev.get(path, **headers)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        (*_, news) = [None, *dev.get(f"/_weft/requests?after={before}").json()["requests"]]
        if news is not None:
            assert news["target"] == path
            assert sum(news["stages_us"].values()) == pytest.approx(news["total_us"])
            return news
        time.sleep(0.02)
    raise AssertionError("it is not recorded")


def test_production_has_no_view():
    with TestClient(App()) as client:
        for path in ("/_weft/", "/_weft/plans", "/_weft/-/view.js"):
            assert client.get(path).status_code == 404


def test_page_loads_nothing_from_elsewhere(dev):
    for path in ("/_weft/", "/_weft/-/view.js", "/_weft/-/view.css"):
        reply = dev.get(path)
        assert reply.status_code == 200
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert "https://" not in reply.text
    assert dev.get("/_weft/-/..%2fview.py").status_code == 404
    assert dev.get("/_weft/-/other.js").status_code == 404
    assert any("/_weft/" in line for line in dev.lines)


def test_other_origins_learn_nothing(dev):
    for path in ("/_weft/plans", "/_weft/requests"):
        assert dev.get(path, **{"sec-fetch-site": "cross-site"}).status_code == 403
        assert dev.get(path, **{"sec-fetch-site": "same-origin"}).status_code == 200


def test_plan_of_a_plain_route(dev):
    route = plans(dev)["/items/{item_id}"]
    assert route["endpoint"] == "main.item"
    assert route["where"].startswith("main.py:")
    (call,) = route["calls"]
    assert [step["step"] for step in call["steps"]] == [
        "item_id <- path item_id: int",
        "q <- query q: str = None",
    ]
    assert all(step["native"] for step in call["steps"])


def test_plan_of_a_chain_of_dependencies(dev):
    calls = plans(dev)["/orders"]["calls"]
    assert [(call["call"], call["kind"], call["fills"], call["again"]) for call in calls] == [
        ("session", "async_generator", "db", False),
        ("user", "thread", "who", False),
        ("session", "async_generator", "db", True),
        ("orders", "async", None, False),
    ]
    assert calls[0]["scope"] == "request"


def test_plan_says_what_is_handed_over_and_why(dev):
    routes = plans(dev)
    (book,) = routes["/books"]["calls"][0]["steps"]
    assert book["native"]
    assert book["reads"][:2] == [
        "Book: native, pydantic judges what is invalid",
        "  title: str: native",
    ]
    (odd,) = routes["/odd"]["calls"][0]["steps"]
    assert odd["reads"][1] == (
        "  title: function-wrap: handed over to pydantic when all else is valid: "
        "Odd.title: Odd.check is code of the application"
    )
    (even,) = routes["/even"]["calls"][0]["steps"]
    assert not even["native"]
    assert even["why"] == "it has a validator or an option that only pydantic knows"


MOUNTS = """
import weft
from weft.staticfiles import StaticFiles
deep, sub, part, elsewhere, app = weft.App(), weft.App(), weft.Router(), weft.App(), weft.App()

@deep.get("/deep")
async def in_deep(): ...
sub.mount("/{tenant}", deep)
@part.get("/part")
async def in_part(): ...
@elsewhere.get("/else")
async def in_elsewhere(): ...
@app.get("/top")
async def top(): ...
app.mount("/sub", sub)
app.mount("/of", part)
app.mount("/files", StaticFiles(directory="."))
app.host("{name}.example.org", elsewhere)
@app.get("/last")
async def last(): ...
"""


def test_what_is_mounted_is_shown_where_it_is(tmp_path):
    dev = Dev(tmp_path)
    dev.main.write_text(MOUNTS)
    dev.start()
    try:
        dev.until(lambda reply: reply.status_code == 200, "/top")
        routes = dev.get("/_weft/plans").json()["routes"]
        assert [(route["host"] + route["path"], route["endpoint"]) for route in routes] == [
            ("/top", "main.top"),
            ("/sub/{tenant}/deep", "main.in_deep"),
            ("/of/part", "main.in_part"),
            ("/files/{path:path}", "StaticFiles('.')"),
            ("{name}.example.org/else", "main.in_elsewhere"),
            ("/last", "main.last"),
        ]
        asked = ["/top", "/sub/a/deep", "/of/part", "/files/main.py", "/last"]
        assert [recorded(dev, path)["route"] for path in asked] == [0, 1, 2, 3, 5]
        assert recorded(dev, "/else", host="a.example.org")["route"] == 4
        assert recorded(dev, "/sub/a/openapi.json")["route"] is None
    finally:
        dev.end()


def test_stages_of_a_request(dev):
    news = recorded(dev, "/items/3?q=x")
    assert (news["method"], news["status"], news["name"]) == ("GET", 200, "item")
    assert list(news["stages_us"]) == ["receive", "wait", "prepare", "run", "reply"]
    assert news["bytes"] == len('{"id":3}')


def test_time_of_dependencies_and_of_the_endpoint_are_told_apart(dev):
    us = recorded(dev, "/orders", **{"x-user": "ada"})["stages_us"]
    assert us["prepare"] > 20_000  # user() sleeps so long
    assert us["run"] > 50_000  # and orders()


def test_time_in_a_thread_is_the_endpoints(dev):
    assert recorded(dev, "/slow")["stages_us"]["run"] > 30_000


def test_time_of_a_stream_is_the_replys(dev):
    news = recorded(dev, "/stream")
    assert news["stages_us"]["reply"] > 20_000
    assert news["bytes"] == 3000


def test_invalid_request_was_not_run(dev):
    news = recorded(dev, "/items/x")
    assert news["status"] == 422
    assert "run" not in news["stages_us"]


def test_failed_request_is_there(dev):
    assert recorded(dev, "/fail")["status"] == 500


def test_request_of_no_route_is_there(dev):
    news = recorded(dev, "/nowhere")
    assert (news["status"], news["route"]) == (404, None)


def test_middleware_of_the_app_is_not_around_the_view(dev):
    assert recorded(dev, "/closed")["status"] == 403
    assert dev.get("/_weft/").status_code == 200


def test_its_own_requests_are_not_recorded(dev):
    before = newest(dev)
    dev.get("/_weft/")
    dev.get("/_weft/plans")
    assert dev.get(f"/_weft/requests?after={before}").json()["requests"] == []


def test_counters(dev):
    first = dev.get("/_weft/requests").json()
    dev.get("/items/1")
    second = dev.get("/_weft/requests").json()
    assert second["counters"]["replies_2xx"] >= first["counters"]["replies_2xx"] + 2
    assert second["running"] == 0


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ((1, 1001, 0, 3001, 6001, 10001, 15001),
         {"receive": 1, "wait": 2, "prepare": 3, "run": 4, "reply": 5}),
        ((1, 1001, 3001, 6001, 0, 10001, 15001),
         {"receive": 3, "wait": 3, "prepare": 4, "reply": 5}),
        ((1, 1001, 0, 0, 0, 3001, 6001), {"receive": 1, "core": 2, "reply": 3}),
        ((1, 1001, 0, 3001, 6001, 0, 10001), {"receive": 1, "wait": 2, "prepare": 3, "run": 4}),
    ],
)  # fmt: skip
def test_stages_are_named(at, expected):
    assert stages(at) == expected


# ---- in a browser ----


def test_page_in_a_browser(dev, browser):
    browser.get(f"http://127.0.0.1:{dev.port}/_weft/")
    wait_until(browser, "document.title === 'Shop - weft'")
    dev.get("/items/77")
    dev.get("/nowhere/77")
    rows = "[...document.querySelectorAll('#requests tbody tr')].map((r) => r.innerText)"
    wait_until(
        browser, f"{rows}.some((text) => text.includes('GET /nowhere/77') && text.includes('404'))"
    )
    shown = browser.execute_script(f"return {rows}")
    assert any("GET /items/77" in text and "200" in text for text in shown)
    stages = "document.querySelectorAll('#requests tbody tr [data-stage=run]').length"
    assert browser.execute_script(f"return {stages}") > 0
    wide = (
        "document.querySelector('#requests tbody [data-stage=run]').getBoundingClientRect().width"
    )
    assert browser.execute_script(f"return {wide}") > 0

    browser.find_element("css selector", "#filter").send_keys("nowhere")
    wait_until(browser, f"{rows}.every((text) => text.includes('nowhere'))")

    routes = "[...document.querySelectorAll('#routes details')]"
    plan = f"{routes}.find((d) => d.innerText.includes('/odd'))"
    browser.execute_script(f"{plan}.open = true")
    text = browser.execute_script(f"return {plan}.innerText")
    assert "odd()" in text
    assert "pydantic in part" in text
    plain = f"{routes}.find((d) => d.innerText.includes('/items/'))"
    assert "pydantic" not in browser.execute_script(f"return {plain}.innerText")
    wait_until(
        browser,
        f"{routes}.some((d) => d.querySelector('.numbers').innerText.includes('median'))",
    )
    wait_until(browser, "document.querySelector('#state').innerText.includes('live')")
    assert complaints(browser) == []


def test_page_goes_on_when_the_application_is_loaded_again(dev, browser):
    browser.get(f"http://127.0.0.1:{dev.port}/_weft/")
    wait_until(browser, "document.title === 'Shop - weft'")
    dev.main.write_text(MAIN.format(title="Bigger shop"))
    wait_until(browser, "document.title === 'Bigger shop - weft'")
    dev.get("/items/5")
    wait_until(browser, "document.querySelector('#requests tbody').innerText.includes('/items/5')")
    complaints(browser)  # while it was away
