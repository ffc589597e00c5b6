"""The pages that show the OpenAPI document, fetched, and opened in a real browser."""

import base64
import hashlib
import html
import re
import time
from contextlib import suppress
from typing import Annotated
from urllib.parse import urlencode

import pytest

import weft
from tests.browser import become, click, complaints, wait_until
from weft.middleware import CORSMiddleware, SecurityHeadersMiddleware
from weft.openapi import pages
from weft.security import (
    HTTPAuthorizationCredentials,
    HTTPBearer,
    OAuth2AuthorizationCodeBearer,
)
from weft.testing import TestClient


def make_app(**options) -> weft.App:
    app = weft.App(title="Shop <&>", **options)

    @app.get("/double/{n}")
    async def double(n: int, authorization: Annotated[str | None, weft.Header()] = None) -> dict:
        return {"double": 2 * n, "who": authorization}

    return app


def test_pages_load_nothing_from_elsewhere():
    with TestClient(make_app()) as client:
        for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
            reply = client.get(path)
            assert reply.status_code == 200
            assert reply.headers["content-type"] == "text/html; charset=utf-8"
            assert "default-src 'none'" in reply.headers["content-security-policy"]
            assert "//" not in reply.text
        assert "<title>Shop &lt;&amp;&gt; - Swagger UI</title>" in client.get("/docs").text


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/docs/-/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("/docs/-/swagger-ui.css", "text/css; charset=utf-8"),
        ("/docs/-/favicon-32x32.png", "image/png"),
        ("/docs/-/oauth2-redirect.js", "text/javascript; charset=utf-8"),
        ("/docs/-/swagger-initializer.js", "text/javascript; charset=utf-8"),
        ("/redoc/-/redoc.standalone.js", "text/javascript; charset=utf-8"),
    ],
)
def test_files_of_the_pages(path, media_type):
    with TestClient(make_app()) as client:
        reply = client.get(path)
        assert (reply.status_code, reply.headers["content-type"]) == (200, media_type)
        etag = reply.headers["etag"]
        assert client.get(path, headers={"if-none-match": etag}).status_code == 304


@pytest.mark.parametrize(
    "name", ["redoc.standalone.js", "..%2f..%2f__init__.py", "%2e%2e", "LICENSE", "nope.js"]
)
def test_other_files_are_not_to_be_had(name):
    with TestClient(make_app()) as client:
        assert client.get(f"/docs/-/{name}").status_code == 404


@pytest.mark.parametrize("option", ["docs_url", "redoc_url"])
@pytest.mark.parametrize("url", ["/", "/documentation/", "/documentation"])
def test_page_elsewhere_finds_its_files(option, url):
    with TestClient(make_app(**{option: url})) as client:
        page = client.get(url).text
        files = re.findall(r'(?:src|href)="([^"]+/-/[^"]+|/-/[^"]+)"', page)
        assert files
        for file in files:
            assert not file.startswith("//")
            assert client.get(file).status_code == 200


def test_initializer_has_the_apps_own_parameters():
    app = make_app(
        swagger_ui_parameters={"deepLinking": False, "x": "</script>"},
        swagger_ui_init_oauth={"clientId": "me"},
        swagger_ui_oauth2_redirect_url=None,
    )
    with TestClient(app) as client:
        script = client.get("/docs/-/swagger-initializer.js").text
        assert '"deepLinking":false' in script
        assert 'initOAuth({"clientId":"me"})' in script
        assert "oauth2RedirectUrl" not in script
        assert client.get("/docs/oauth2-redirect").status_code == 404


def test_without_its_files_a_page_says_what_to_install(monkeypatch):
    monkeypatch.setattr(pages.importlib.util, "find_spec", lambda name: None)
    with TestClient(make_app()) as client:
        for path in ("/docs", "/redoc"):
            reply = client.get(path)
            assert reply.status_code == 200
            assert "pip install --no-deps drf-spectacular-sidecar" in reply.text
        assert client.get("/docs/-/swagger-ui.css").status_code == 404


# ---- in a browser ----


def executed(browser) -> str:
    """Clicks on Execute until there is a reply: the page needs a moment for what was typed."""
    for _ in range(40):
        click(browser, ".execute")
        time.sleep(0.25)
        script = "return document.querySelector('.live-responses-table')?.innerText"
        if text := browser.execute_script(script):
            return text
    raise AssertionError("no reply is shown")


def test_swagger_ui_tries_an_operation(browser):
    with TestClient(make_app()) as client:
        browser.get(f"http://127.0.0.1:{client._worker.port}/docs")
        assert browser.find_element("css selector", ".title").text.startswith("Shop <&>")
        click(browser, ".opblock-summary-control")
        click(browser, ".try-out__btn")
        browser.find_element("css selector", "tr[data-param-name=n] input").send_keys("21")
        assert '"double": 42' in executed(browser)
        assert complaints(browser) == []


def test_swagger_ui_sends_what_one_is_authorized_with(browser):
    app = weft.App()

    @app.get("/me")
    async def me(token: Annotated[HTTPAuthorizationCredentials, weft.Depends(HTTPBearer())]) -> str:
        return token.credentials

    with TestClient(app) as client:
        browser.get(f"http://127.0.0.1:{client._worker.port}/docs")
        click(browser, ".opblock-summary-control")
        click(browser, ".try-out__btn")
        assert "Not authenticated" in executed(browser)
        click(browser, ".auth-wrapper .authorize")
        browser.find_element("css selector", ".auth-container input").send_keys("s3cret")
        click(browser, ".modal-ux .auth.authorize")
        click(browser, ".modal-ux .btn-done")
        shown = ""
        for _ in range(40):
            shown = executed(browser)
            if "s3cret" in shown:
                break
            time.sleep(0.25)
        assert '"s3cret"' in shown
        refused = [line for line in complaints(browser) if "401" not in line]
        assert refused == []


def make_login() -> weft.App:
    """An authorization server (RFC 6749) with one button, for clients with PKCE (RFC 7636)."""
    app = weft.App()
    app.add_middleware(
        CORSMiddleware, allow_origins=["*"], allow_methods=["POST"], allow_headers=["*"]
    )
    granted = {}

    @app.get("/authorize", response_class=weft.HTMLResponse)
    async def authorize(client_id: str, redirect_uri: str, state: str, code_challenge: str) -> str:
        granted["c0de"] = (client_id, redirect_uri, code_challenge)
        back = f"{redirect_uri}?{urlencode({'code': 'c0de', 'state': state})}"
        return f'<a id="allow" href="{html.escape(back)}">Allow</a>'

    @app.post("/token")
    async def token(
        code: Annotated[str, weft.Form()],
        client_id: Annotated[str, weft.Form()],
        redirect_uri: Annotated[str, weft.Form()],
        code_verifier: Annotated[str, weft.Form()],
    ) -> dict[str, str]:
        digest = hashlib.sha256(code_verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if granted.pop(code, None) != (client_id, redirect_uri, challenge):
            raise weft.HTTPException(400, "invalid_grant")
        return {"access_token": f"t0ken-of-{client_id}", "token_type": "bearer"}

    return app


def test_swagger_ui_logs_in_at_another_origin(browser):
    """The authorization code flow, by the redirect page; the App has the strictest headers."""
    from selenium.common.exceptions import NoSuchWindowException

    with TestClient(make_login()) as login:
        server = f"http://127.0.0.1:{login._worker.port}"
        app = weft.App(
            swagger_ui_init_oauth={"clientId": "shop", "usePkceWithAuthorizationCodeGrant": True}
        )
        app.add_middleware(SecurityHeadersMiddleware)
        scheme = OAuth2AuthorizationCodeBearer(f"{server}/authorize", f"{server}/token")

        @app.get("/me")
        async def me(token: Annotated[str, weft.Depends(scheme)]) -> str:
            return token

        with TestClient(app) as client:
            browser.get(f"http://127.0.0.1:{client._worker.port}/docs")
            page = browser.current_window_handle
            click(browser, ".auth-wrapper .authorize")
            click(browser, ".modal-ux .auth.authorize")
            become(browser, lambda b: len(b.window_handles) == 2)
            (opened,) = set(browser.window_handles) - {page}
            browser.switch_to.window(opened)
            with suppress(NoSuchWindowException):  # it may be gone before it says so
                click(browser, "#allow")
            become(browser, lambda b: b.window_handles == [page])
            browser.switch_to.window(page)
            wait_until(browser, "document.querySelector('.modal-ux').innerText.includes('Logout')")
            click(browser, ".modal-ux .btn-done")
            click(browser, ".opblock-summary-control")
            click(browser, ".try-out__btn")
            assert '"t0ken-of-shop"' in executed(browser)
            assert [line for line in complaints(browser) if "Password field" not in line] == []


def test_pages_of_a_login_keep_their_opener():
    app = make_app()
    app.add_middleware(SecurityHeadersMiddleware)
    with TestClient(app) as client:
        for path, policy in (
            ("/docs", "same-origin-allow-popups"),
            ("/docs/oauth2-redirect", "unsafe-none"),
            ("/redoc", "same-origin"),
        ):
            assert client.get(path).headers.get_list("cross-origin-opener-policy") == [policy]


def test_redoc_shows_the_operation(browser):
    with TestClient(make_app()) as client:
        browser.get(f"http://127.0.0.1:{client._worker.port}/redoc")
        assert "Double" in browser.find_element("css selector", "[data-section-id^=operation]").text
        # It has a logo on another host, which the policy refuses.
        assert all("logo" in complaint for complaint in complaints(browser))
