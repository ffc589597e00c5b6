"""`weft.security.JWTBearer`, beside PyJWT.

Where the two differ on purpose, weft is the stricter one: times are numbers, base64url has one text
for each value, secrets are as long as RFC 7518 wants them, and `exp` has to be there.
"""

import base64
import json
import time
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from weft import App, Depends
from weft.security import InvalidTokenError, JWTBearer

from .conftest import Serve

try:
    JWTBearer(key="x" * 32, algorithms=["HS256"])
except ValueError as exc:  # weft was built without libcrypto
    pytest.skip(str(exc), allow_module_level=True)

SECRET = "a secret of sixty-four bytes, which is as long as SHA-512 needs it."
ALGORITHMS = {
    **dict.fromkeys(("HS256", "HS384", "HS512"), "secret"),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "rsa"),
    **{"ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed25519"},
}


def pem(key: Any) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


@pytest.fixture(scope="module")
def private() -> dict[str, Any]:
    return {
        "secret": SECRET,
        "rsa": rsa.generate_private_key(65537, 2048),
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "p521": ec.generate_private_key(ec.SECP521R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }


def public(private: dict[str, Any], kind: str) -> str:
    return SECRET if kind == "secret" else pem(private[kind])


def claims(**more: Any) -> dict[str, Any]:
    """Those that are None are not there."""
    all_of_them = {"sub": "ada", "exp": int(time.time()) + 600, **more}
    return {name: value for name, value in all_of_them.items() if value is not None}


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(payload: bytes, header: Any = None, secret: str = SECRET) -> str:
    """A token of any text, signed with HS256."""
    header = {"alg": "HS256"} if header is None else header
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    parts = f"{encoded(text)}.{encoded(payload)}"
    made = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    return f"{parts}.{encoded(made.sign(parts.encode(), secret.encode()))}"


def hs256(**options: Any) -> JWTBearer:
    return JWTBearer(key=SECRET, algorithms=["HS256"], **options)


# ---- what is good ----


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm(private: dict[str, Any], algorithm: str) -> None:
    kind = ALGORITHMS[algorithm]
    verifier = JWTBearer(key=public(private, kind), algorithms=[algorithm])
    sent = claims(text="é\n", nested={"a": [1, None, 1.5, True]})
    token = jwt.encode(sent, private[kind], algorithm)
    for again in (token, token.encode(), token):
        assert (
            verifier.verify(again) == sent == jwt.decode(token, public(private, kind), [algorithm])
        )
    head, payload, signature = token.split(".")
    for i in (0, len(signature) // 2, len(signature) - 2):
        other = "A" if signature[i] != "A" else "B"
        with pytest.raises(InvalidTokenError, match="signature is wrong"):
            verifier.verify(f"{head}.{payload}.{signature[:i]}{other}{signature[i + 1 :]}")
    with pytest.raises(InvalidTokenError, match="signature is wrong"):
        verifier.verify(f"{head}.{encoded(json.dumps(claims(sub='eve')).encode())}.{signature}")


def test_several_keys(private: dict[str, Any]) -> None:
    keys = {"old": pem(private["rsa"]), "new": pem(private["p256"])}
    verifier = JWTBearer(key=keys, algorithms=["RS256", "ES256"])
    for id, kind, algorithm in (("old", "rsa", "RS256"), ("new", "p256", "ES256")) * 2:
        token = jwt.encode(claims(), private[kind], algorithm, headers={"kid": id})
        assert verifier.verify(token)["sub"] == "ada"
    for id, why in ((None, "key is not known"), ("other", "key is not known"), ("old", "accepted")):
        headers = {} if id is None else {"kid": id}
        token = jwt.encode(claims(), private["p256"], "ES256", headers=headers)
        with pytest.raises(InvalidTokenError, match=why):
            verifier.verify(token)
    with pytest.raises(InvalidTokenError, match="malformed"):
        verifier.verify(signed(b"{}", {"alg": "ES256", "kid": 1}))


# ---- what is not ----

HOUR = 3600
# claims, options of both, PyJWT's exception or None, ours or None
JUDGED: dict[str, tuple[dict[str, Any], dict[str, Any], type[Exception] | None, str | None]] = {
    "good": ({}, {}, None, None),
    "expired": ({"exp": -1}, {}, jwt.ExpiredSignatureError, "expired"),
    "expired this second": ({"exp": 0}, {}, jwt.ExpiredSignatureError, "expired"),
    "expired, within leeway": ({"exp": -5}, {"leeway": HOUR}, None, None),
    "expired, out of leeway": ({"exp": -HOUR}, {"leeway": 5}, jwt.ExpiredSignatureError, "expired"),
    "exp in fractions": ({"exp": 600.5}, {}, None, None),
    "nbf past": ({"nbf": -1}, {}, None, None),
    "nbf to come": ({"nbf": HOUR}, {}, jwt.ImmatureSignatureError, "not valid yet"),
    "nbf within leeway": ({"nbf": 60}, {"leeway": HOUR}, None, None),
    "iat past": ({"iat": -1}, {}, None, None),
    "iat to come": ({"iat": HOUR}, {}, jwt.ImmatureSignatureError, "issued in the future"),
    "aud": ({"aud": "us"}, {"audience": "us"}, None, None),
    "aud, one of many": ({"aud": ["them", "us"]}, {"audience": ["us", "we"]}, None, None),
    "aud of others": ({"aud": "them"}, {"audience": "us"}, jwt.InvalidAudienceError, "audience"),
    "aud in capitals": ({"aud": "US"}, {"audience": "us"}, jwt.InvalidAudienceError, "audience"),
    "aud, none of ours": (
        {"aud": ["them", "you"]},
        {"audience": "us"},
        jwt.InvalidAudienceError,
        "audience",
    ),
    "aud missing": ({}, {"audience": "us"}, jwt.MissingRequiredClaimError, "no audience"),
    "aud empty": ({"aud": []}, {"audience": "us"}, jwt.MissingRequiredClaimError, "no audience"),
    "aud not asked for": ({"aud": "us"}, {}, jwt.InvalidAudienceError, "another audience"),
    "aud that is none": ({"aud": 1}, {"audience": "us"}, jwt.InvalidAudienceError, "audience"),
    "aud with a number": (
        {"aud": ["us", 1]},
        {"audience": "us"},
        jwt.InvalidAudienceError,
        "audience",
    ),
    "iss": ({"iss": "me"}, {"issuer": "me"}, None, None),
    "iss, one of many": ({"iss": "me"}, {"issuer": ["you", "me"]}, None, None),
    "iss of others": ({"iss": "eve"}, {"issuer": "me"}, jwt.InvalidIssuerError, "another issuer"),
    "iss that is none": ({"iss": 1}, {"issuer": "me"}, jwt.InvalidIssuerError, "another issuer"),
    "iss missing": ({}, {"issuer": "me"}, jwt.MissingRequiredClaimError, "another issuer"),
    "iss not asked for": ({"iss": "me"}, {}, None, None),
    "sub a number": ({"sub": 1}, {}, jwt.exceptions.InvalidSubjectError, "sub is no text"),
    "jti a number": ({"jti": 1}, {}, jwt.exceptions.InvalidJTIError, "jti is no text"),
    "exp a word": ({"exp": "soon"}, {}, jwt.DecodeError, "exp is no time"),
    "nbf a list": ({"nbf": []}, {}, jwt.DecodeError, "nbf is no time"),
    "iat a word": ({"iat": "now"}, {}, jwt.InvalidIssuedAtError, "iat is no time"),
}


@pytest.mark.parametrize("name", JUDGED)
def test_claims_are_judged_as_by_pyjwt(name: str) -> None:
    given, options, theirs, ours = JUDGED[name]
    now = int(time.time())
    times = {
        key: now + value
        for key, value in given.items()
        if key in ("exp", "nbf", "iat") and isinstance(value, int | float)
    }
    token = signed(json.dumps(claims(**{**given, **times})).encode())
    if theirs is None:
        assert ours is None
        assert jwt.decode(token, SECRET, ["HS256"], **options) == hs256(**options).verify(token)
        return
    with pytest.raises(theirs):
        jwt.decode(token, SECRET, ["HS256"], **options)
    with pytest.raises(InvalidTokenError, match=ours):
        hs256(**options).verify(token)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (claims(exp=None), "no exp"),
        (claims(exp="9999999999"), "exp is no time"),  # PyJWT takes it for a number
        (claims(exp=True), "exp is no time"),
        (claims(exp=10**400), "exp is no time"),
        (claims(exp=-(10**300)), "expired"),
        ([1], "malformed"),
        ("text", "malformed"),
        (None, "malformed"),
    ],
)
def test_claims_that_are_worse(payload: Any, message: str) -> None:
    with pytest.raises(InvalidTokenError, match=message):
        hs256().verify(signed(json.dumps(payload).encode()))


def test_required_claims() -> None:
    verifier = hs256(required=["exp", "sub", "tenant"])
    assert verifier.verify(signed(json.dumps(claims(tenant="t")).encode()))["tenant"] == "t"
    for payload in (claims(), {**claims(), "tenant": None}):
        with pytest.raises(InvalidTokenError, match="no tenant"):
            verifier.verify(signed(json.dumps(payload).encode()))
    assert hs256(required=[]).verify(signed(b"{}")) == {}


GOOD = claims(exp=int(time.time()) + 10_000)


def _none(payload: str) -> str:
    return f"{encoded(json.dumps({'alg': 'none'}).encode())}.{payload}."


MALFORMED: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda t: "", "malformed"),
    "a word": (lambda t: "token", "malformed"),
    "two parts": (lambda t: t.rpartition(".")[0], "malformed"),
    "four parts": (lambda t: t + ".AA", "malformed"),
    "no signature": (lambda t: t.rpartition(".")[0] + ".", "malformed"),
    "no header": (lambda t: t[t.index(".") :], "malformed"),
    "padded": (lambda t: t + "=", "malformed"),
    "space in it": (lambda t: t.replace(".", " .", 1), "malformed"),
    "line break in it": (lambda t: t + "\n", "malformed"),
    "NUL in it": (lambda t: t[:5] + "\0" + t[6:], "malformed"),
    "not ASCII": (lambda t: t[:-1] + "é", "malformed"),
    "a surrogate": (lambda t: t[:-1] + "\ud800", "malformed"),
    "plain base64": (lambda t: t[:-3] + "+/A", "malformed"),
    "bits left over": (lambda t: t[:-1] + chr(ord(t[-1]) + 1), "malformed|signature"),
    "too long": (lambda t: t + "A" * 8192, "too long"),
    "header no JSON": (lambda t: signed(b"{}", b"{alg"), "malformed"),
    "header a list": (lambda t: signed(b"{}", ["HS256"]), "malformed"),
    "header not UTF-8": (lambda t: signed(b"{}", b'{"alg":"HS256\xff"}'), "malformed"),
    "header nested": (lambda t: signed(b"{}", b"[" * 1000), "malformed"),
    "claims no JSON": (lambda t: signed(b"{"), "malformed"),
    "claims not UTF-8": (lambda t: signed(b'"\xff"'), "malformed"),
    "claims with NaN": (lambda t: signed(b'{"exp":NaN}'), "malformed"),
    "alg missing": (lambda t: signed(b"{}", {}), "algorithm"),
    "alg null": (lambda t: signed(b"{}", {"alg": None}), "algorithm"),
    "alg a list": (lambda t: signed(b"{}", {"alg": ["HS256"]}), "algorithm"),
    "alg unknown": (lambda t: signed(b"{}", {"alg": "HS257"}), "algorithm"),
    "alg in small letters": (lambda t: signed(b"{}", {"alg": "hs256"}), "algorithm"),
    "alg not accepted": (lambda t: jwt.encode(GOOD, SECRET, "HS512"), "algorithm"),
    "alg none": (lambda t: _none(t.split(".")[1]), "malformed"),
    "alg none, with the signature": (
        lambda t: _none(t.split(".")[1]) + t.split(".")[2],
        "algorithm",
    ),
    "alg None": (lambda t: signed(b"{}", {"alg": "None"}), "algorithm"),
    "crit": (lambda t: signed(b"{}", {"alg": "HS256", "crit": ["exp"]}), "critical"),
    "crit empty": (lambda t: signed(b"{}", {"alg": "HS256", "crit": []}), "critical"),
    "another secret": (lambda t: signed(b"{}", secret=SECRET + "x"), "signature"),
    "signature of nothing": (lambda t: t.rpartition(".")[0] + ".AAAA", "signature"),
    "the other's signature": (
        lambda t: t.rpartition(".")[0] + "." + signed(b"{}").rpartition(".")[2],
        "signature",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_tokens_that_are_none(name: str) -> None:
    verifier = hs256()
    good = jwt.encode(GOOD, SECRET, "HS256")
    make, message = MALFORMED[name]
    token = make(good)
    for _ in range(2):
        with pytest.raises(InvalidTokenError, match=message):
            verifier.verify(token)
        assert verifier.verify(good) == GOOD  # nothing of it is remembered
    if name not in ("bits left over", "padded", "crit empty"):  # PyJWT is more lenient
        with pytest.raises((jwt.InvalidTokenError, UnicodeError)):
            jwt.decode(token, SECRET, ["HS256"])


def test_a_public_key_is_no_secret(private: dict[str, Any]) -> None:
    """The attack: a token signed with HS256, whose secret is the public key that everybody has."""
    key = pem(private["rsa"])
    payload = json.dumps(claims()).encode()
    confused = signed(payload, {"alg": "HS256"}, secret=key)
    pretended = signed(payload, {"alg": "RS256"}, secret=key)
    verifier = JWTBearer(key=key, algorithms=["RS256"])
    with pytest.raises(InvalidTokenError, match="algorithm"):
        verifier.verify(confused)
    with pytest.raises(InvalidTokenError, match="signature"):
        verifier.verify(pretended)
    with pytest.raises(ValueError, match="is a public key"):
        JWTBearer(key=key, algorithms=["HS256"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithms": []}, "at least one algorithm"),
        ({"algorithms": ["none"]}, "no algorithm 'none'"),
        ({"algorithms": ["HS256", "RS256"]}, "cannot be a secret and public"),
        ({"algorithms": ["HS384"], "key": "x" * 47}, "shorter than the hash"),
        ({"algorithms": ["HS256", "HS384"], "key": "x" * 32}, "shorter than the hash"),
        ({"algorithms": ["RS256"]}, "no public key in PEM"),
        ({"algorithms": ["RS256"], "key": "p256"}, "not of this algorithm"),
        ({"algorithms": ["RS256", "ES256"], "key": "p256"}, "not of this algorithm"),
        ({"algorithms": ["ES256"], "key": "p384"}, "not of this algorithm"),
        ({"algorithms": ["RS256"], "key": "rsa1024"}, "2048 bits"),
        ({"algorithms": ["RS256"], "key": "private"}, "no public key in PEM"),
        ({"algorithms": ["EdDSA"], "key": "ed448"}, "P-521, or of Ed25519"),
        ({"algorithms": ["ES256"], "key": "k256"}, "P-521, or of Ed25519"),
        ({"key": {}}, "1 to 64 keys"),
        ({"key": {str(i): SECRET for i in range(65)}}, "1 to 64 keys"),
        ({"leeway": -1}, "leeway"),
        ({"leeway": float("nan")}, "leeway"),
    ],
)
def test_what_cannot_be_verified_with(
    private: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    special = {
        **{name: lambda name=name: pem(private[name]) for name in ("p256", "p384")},
        "rsa1024": lambda: pem(rsa.generate_private_key(65537, 1024)),
        "ed448": lambda: pem(ed448.Ed448PrivateKey.generate()),
        "k256": lambda: pem(ec.generate_private_key(ec.SECP256K1())),
        "private": lambda: private["p256"].private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    }
    given = {"key": SECRET, "algorithms": ["HS256"], **options}
    if isinstance(given["key"], str) and given["key"] in special:
        given["key"] = special[given["key"]]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=message):
            JWTBearer(**given)


def test_mistakes_with_types() -> None:
    with pytest.raises(TypeError, match="list of names"):
        JWTBearer(key=SECRET, algorithms="HS256")
    with pytest.raises(TypeError, match="str or bytes"):
        hs256().verify(None)  # type: ignore[arg-type]


# ---- as a dependency ----


@pytest.fixture
def client(app: App, serve: Serve) -> Any:
    token = JWTBearer(key=SECRET, algorithms=["HS256"], audience="us", scheme_name="Token")
    maybe = JWTBearer(key=SECRET, algorithms=["HS256"], required=[], auto_error=False)

    @app.get("/me")
    async def me(claims: Annotated[dict[str, Any], Depends(token)]) -> Any:
        return claims["sub"]

    @app.get("/maybe")
    def may_be(claims: Annotated[dict[str, Any] | None, Depends(maybe)]) -> Any:
        return claims

    @app.get("/required", dependencies=[Depends(token)])
    async def required() -> str:
        return "ok"

    app.state.token = token
    return serve(app)


def test_requests(client: Any) -> None:
    good = jwt.encode(claims(aud="us"), SECRET)
    for value in (f"Bearer {good}", f"bearer  {good}", f"BEARER {good}"):
        assert client.get("/me", headers={"authorization": value}).json() == "ada"
    assert client.get("/required", headers={"authorization": f"Bearer {good}"}).json() == "ok"
    for headers in ({}, {"authorization": "Bearer"}, {"authorization": f"Basic {good}"}):
        answer = client.get("/me", headers=headers)
        assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"})
        assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/maybe", headers=headers).json() is None
    old = jwt.encode(claims(aud="us", exp=1), SECRET)
    for path in ("/me", "/required"):
        answer = client.get(path, headers={"authorization": f"Bearer {old}"})
        assert answer.status_code == 401
        assert answer.json() == {"detail": "Invalid token: the token has expired"}
        assert answer.headers["www-authenticate"] == (
            'Bearer error="invalid_token", error_description="the token has expired"'
        )
    # Who sends a token that is not good is told so, also where none is needed.
    answer = client.get("/maybe", headers={"authorization": "Bearer x"})
    assert answer.json() == {"detail": "Invalid token: the token is malformed"}
    answer = client.get("/maybe", headers={"authorization": b"Bearer \xff\xfe"})
    assert answer.status_code == 401


def test_it_can_be_overridden(client: Any, app: App) -> None:
    app.dependency_overrides[app.state.token] = lambda: {"sub": "somebody else"}
    assert client.get("/me").json() == "somebody else"


def test_the_document(client: Any) -> None:
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["Token"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }
    operation = document["paths"]["/me"]["get"]
    assert operation["security"] == [{"Token": []}]
    assert "parameters" not in operation
    assert operation["responses"].keys() == {"200"}
