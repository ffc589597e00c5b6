"""Security schemes: credentials, statuses and challenges are FastAPI's, and so are the models."""

import base64
from typing import Annotated, Any

import pytest
from fastapi.encoders import jsonable_encoder

from tests.peer import Ask, Framework, assert_same, fastapi_names, get, weft_names

FLOWS = {
    "implicit": {"authorizationUrl": "a", "scopes": {"x": "y"}},
    "clientCredentials": {"tokenUrl": "t", "scopes": {}},
}
# class, arguments
SCHEMES: list[tuple[str, dict[str, Any]]] = [
    ("APIKeyHeader", {"name": "X-Key"}),
    ("APIKeyHeader", {"name": "X-Key", "scheme_name": "Keyed", "description": "a key"}),
    ("APIKeyQuery", {"name": "key"}),
    ("APIKeyCookie", {"name": "key"}),
    ("HTTPBase", {"scheme": "other"}),
    ("HTTPBasic", {}),
    ("HTTPBasic", {"realm": "simple"}),
    ("HTTPBearer", {"bearerFormat": "JWT"}),
    ("HTTPBearer", {"description": "text"}),
    ("HTTPDigest", {}),
    ("OAuth2", {"flows": FLOWS}),
    ("OAuth2", {}),
    ("OAuth2PasswordBearer", {"tokenUrl": "token", "scopes": {"me": "Read"}}),
    ("OAuth2PasswordBearer", {"tokenUrl": "token", "refreshUrl": "again"}),
    ("OAuth2AuthorizationCodeBearer", {"authorizationUrl": "a", "tokenUrl": "t"}),
    ("OpenIdConnect", {"openIdConnectUrl": "/openid"}),
]


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


AUTHORIZATIONS = [
    None,
    "",
    " ",
    "Bearer",
    "Bearer ",
    "Bearer token",
    "bearer   token  ",
    "Bearer two tokens",
    "Bearertoken",
    "Digest username=x",
    "digest x",
    "Other x",
    basic(b"user:pass"),
    basic(b"user:pass:word"),
    basic(b":"),
    basic(b"user"),
    basic(b"\xff:x"),
    basic("ü:x".encode()),
    "Basic not*base64",
    "Basic abc",
    "basic " + base64.b64encode(b"a:b").decode(),
    "Basic",
    "Basic é",
]


@pytest.mark.parametrize("auto_error", [True, False])
@pytest.mark.parametrize(("name", "options"), SCHEMES)
def test_credentials(name: str, options: dict[str, Any], auto_error: bool) -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()
        scheme = getattr(fw, name)(**options, auto_error=auto_error)

        @app.get("/")
        async def read(credentials: Annotated[Any, fw.Security(scheme)]):
            return credentials

        @app.get("/guarded", dependencies=[fw.Depends(scheme)])
        async def guarded():
            return "in"

        return app

    asks = [get("/"), get("/guarded")]
    if name.startswith("APIKey"):
        asks += [get("/?key=1"), get("/?key="), get("/", x_key="2"), get("/", X_KEY="")]
        asks += [
            get("/", cookie="key=3"),
            get("/", cookie="key="),
            get("/guarded?key=1", x_key="1"),
        ]
    else:
        asks += [
            Ask("GET", "/", [("authorization", value.encode().decode("latin-1"))])
            for value in AUTHORIZATIONS
            if value is not None
        ]
    assert_same(make, *asks)


@pytest.mark.parametrize(("name", "options"), SCHEMES)
def test_models_are_what_the_openapi_document_needs(name: str, options: dict[str, Any]) -> None:
    ours = getattr(weft_names(), name)(**options)
    theirs = getattr(fastapi_names(), name)(**options)
    expected = jsonable_encoder(theirs.model, by_alias=True, exclude_none=True)
    assert ours.model.as_dict() == expected
    assert ours.scheme_name == theirs.scheme_name
    assert ours.auto_error == theirs.auto_error


def test_a_scheme_of_ones_own() -> None:
    def make(fw: Framework) -> Any:
        class Own(fw.HTTPBearer):
            def make_not_authenticated_error(self):
                return fw.HTTPException(403, "who are you?")

        class Logged(fw.APIKeyHeader):
            async def __call__(self, request: fw.Request):
                fw.log.append(request.url.path)
                return await super().__call__(request)

        app = fw.App()

        @app.get("/own")
        async def own(token: Annotated[Any, fw.Depends(Own())]):
            return token

        @app.get("/logged")
        async def logged(key: Annotated[str, fw.Depends(Logged(name="X-Key"))]):
            return key

        return app

    assert_same(
        make,
        get("/own"),
        get("/own", authorization="Bearer x"),
        get("/logged", x_key="k"),
        get("/logged"),
    )


def test_scopes_page_of_the_advanced_guide() -> None:
    """OAuth2 scopes, with a token that is its own claims in place of a JWT."""

    def make(fw: Framework) -> Any:
        app = fw.App()
        scheme = fw.OAuth2PasswordBearer(
            tokenUrl="token", scopes={"me": "Read yourself.", "items": "Read items."}
        )

        async def current_user(
            scopes: fw.SecurityScopes, token: Annotated[str, fw.Depends(scheme)]
        ):
            challenge = f'Bearer scope="{scopes.scope_str}"' if scopes.scopes else "Bearer"
            name, _, granted = token.partition(":")
            if name != "johndoe":
                raise fw.HTTPException(401, "no such user", {"WWW-Authenticate": challenge})
            for scope in scopes.scopes:
                if scope not in granted.split(","):
                    raise fw.HTTPException(
                        401, "Not enough permissions", {"WWW-Authenticate": challenge}
                    )
            return name

        async def active(user: Annotated[str, fw.Security(current_user, scopes=["me"])]):
            return user

        @app.get("/users/me/")
        async def me(user: Annotated[str, fw.Depends(active)]):
            return user

        @app.get("/users/me/items/")
        async def items(user: Annotated[str, fw.Security(active, scopes=["items"])]):
            return [{"item_id": "Foo", "owner": user}]

        @app.get("/status/")
        async def status(user: Annotated[str, fw.Depends(current_user)]):
            return {"status": "ok"}

        return app

    targets = ("/users/me/", "/users/me/items/", "/status/")
    tokens = (None, "johndoe", "johndoe:me", "johndoe:items", "johndoe:me,items", "alice:me")
    assert_same(
        make,
        *(
            get(target, **({"authorization": f"Bearer {token}"} if token else {}))
            for target in targets
            for token in tokens
        ),
    )


@pytest.mark.parametrize("name", ["OAuth2PasswordRequestForm", "OAuth2PasswordRequestFormStrict"])
def test_the_form_of_the_password_flow(name: str) -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()
        form_class = getattr(fw, name)

        @app.post("/token")
        async def login(form: Annotated[form_class, fw.Depends()]):
            return vars(form)

        return app

    fields = [("content-type", "application/x-www-form-urlencoded")]
    bodies = (
        b"username=a&password=b&grant_type=password&scope=x+y&client_id=c&client_secret=d",
        b"username=a&password=b",
        b"username=a&grant_type=incorrect",
        b"username=&password=b&grant_type=password",
        b"",
    )
    assert_same(make, *(Ask("POST", "/token", fields, body) for body in bodies))
