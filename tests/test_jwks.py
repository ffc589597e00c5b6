"""Keys of a JWK Set, as PyJWT and cryptography make them."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from weft import App, Depends
from weft.security import InvalidTokenError, JWTBearer

from .conftest import Serve

try:
    JWTBearer(key="x" * 32, algorithms=["HS256"])
except ValueError as exc:  # weft was built without libcrypto
    pytest.skip(str(exc), allow_module_level=True)

SECRET = b"0123456789abcdef0123456789abcdef"
KEYS: dict[str, tuple[Any, Any]] = {
    "RS256": (jwt.algorithms.RSAAlgorithm, rsa.generate_private_key(65537, 2048)),
    "PS512": (jwt.algorithms.RSAAlgorithm, rsa.generate_private_key(65537, 2048)),
    "ES256": (jwt.algorithms.ECAlgorithm, ec.generate_private_key(ec.SECP256R1())),
    "ES384": (jwt.algorithms.ECAlgorithm, ec.generate_private_key(ec.SECP384R1())),
    "ES512": (jwt.algorithms.ECAlgorithm, ec.generate_private_key(ec.SECP521R1())),
    "EdDSA": (jwt.algorithms.OKPAlgorithm, ed25519.Ed25519PrivateKey.generate()),
}


def jwk(algorithm: str, **more: Any) -> dict[str, Any]:
    """The public half, as an issuer publishes it."""
    kind, key = KEYS[algorithm]
    made: dict[str, Any] = json.loads(kind.to_jwk(key.public_key()))
    made.pop("key_ops", None)
    return made | {"kid": algorithm, "use": "sig"} | more


def token(algorithm: str, kid: str | None = None, **claims: Any) -> str:
    headers = {"kid": kid or algorithm}
    claims = {"sub": "ada", "exp": int(time.time()) + 600, **claims}
    return jwt.encode(claims, KEYS[algorithm][1], algorithm, headers)


def test_every_kind_of_key() -> None:
    jwks = {"keys": [jwk(algorithm) for algorithm in KEYS]}
    bearer = JWTBearer(jwks=jwks, algorithms=list(KEYS))
    for algorithm in KEYS:
        assert bearer.verify(token(algorithm))["sub"] == "ada"
        other = next(name for name in KEYS if name != algorithm)
        with pytest.raises(InvalidTokenError):
            bearer.verify(token(algorithm, kid=other))
    with pytest.raises(InvalidTokenError):
        bearer.verify(token("RS256", kid="none of them"))


def test_secrets() -> None:
    key = json.loads(jwt.algorithms.HMACAlgorithm.to_jwk(SECRET)) | {"kid": "a"}
    bearer = JWTBearer(jwks={"keys": [key]}, algorithms=["HS256"])
    made = jwt.encode({"exp": int(time.time()) + 600}, SECRET, "HS256", {"kid": "a"})
    assert bearer.verify(made)


def test_what_is_not_for_us_is_passed_over() -> None:
    other = {"kty": "EC", "crv": "secp256k1", "kid": "x", "x": "AA", "y": "AA"}
    edwards = ed448.Ed448PrivateKey.generate().public_key()
    ed448_key = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(edwards)) | {"kid": "c"}
    jwks = {
        "keys": [
            *({"kty": "new"}, other, ed448_key, 3),
            jwk("ES256", use="enc", kid="b"),
            jwk("RS256", alg="PS256"),
            jwk("ES384"),
            {**jwk("ES256"), "kid": None},
        ]
    }
    bearer = JWTBearer(jwks=jwks, algorithms=["RS256", "ES384", "ES256", "EdDSA"])
    assert bearer.verify(token("ES384"))
    for algorithm in ("RS256", "ES256"):
        with pytest.raises(InvalidTokenError):
            bearer.verify(token(algorithm))


def test_one_key_needs_no_id() -> None:
    alone = jwk("ES256")
    del alone["kid"]
    assert JWTBearer(jwks={"keys": [alone]}, algorithms=["ES256"]).verify(token("ES256"))


@pytest.mark.parametrize(
    ("jwks", "why"),
    [
        ("{", "a JWK Set is JSON"),
        ("[]", 'an object with "keys"'),
        ({"keys": {}}, 'an object with "keys"'),
        ({"keys": []}, "no key for ES256"),
        ({"keys": [jwk("RS256")]}, "no key for ES256"),
        ({"keys": [jwk("ES256", x="!")]}, "no base64url"),
        ({"keys": [jwk("ES256", y=None)]}, "no base64url"),
        ({"keys": [jwk("ES256", x="AAAA")]}, "has not the length"),
        ({"keys": [jwk("ES256", x="A" * 43)]}, "the key cannot be used"),
        ({"keys": [jwk("ES256", kid=3)]}, "id of a key is no text"),
    ],
)
def test_a_set_that_is_none(jwks: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        JWTBearer(jwks=jwks, algorithms=["ES256"])


def test_a_key_or_a_set() -> None:
    for given in ({}, {"key": "x" * 32, "jwks": {"keys": []}}):
        with pytest.raises(TypeError, match="by a key, or by the keys of jwks"):
            JWTBearer(**given, algorithms=["HS256"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="made with a key"):
        JWTBearer(key="x" * 32, algorithms=["HS256"]).reload()


def test_keys_are_exchanged_while_it_serves(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [jwk("RS256")]}))
    bearer = JWTBearer(jwks=file, algorithms=["RS256", "ES256"], audience="me")
    app = App()

    @app.get("/")
    async def read(claims: dict[str, Any] = Depends(bearer)) -> Any:
        return claims["sub"]

    @app.post("/rotated")
    async def rotated() -> None:
        bearer.reload()

    client = serve(app)

    def status(algorithm: str, **claims: Any) -> int:
        made = token(algorithm, aud="me", **claims)
        reply = client.get("/", headers={"authorization": f"Bearer {made}"})
        return int(reply.status_code)

    assert (status("RS256"), status("ES256")) == (200, 401)
    file.write_text(json.dumps({"keys": [jwk("ES256")]}))
    assert (status("RS256"), status("ES256")) == (200, 401)
    assert client.post("/rotated").status_code == 200
    assert (status("RS256"), status("ES256")) == (401, 200)
    assert status("ES256", exp=1) == 401
    file.write_text("half a fi")
    with pytest.raises(ValueError, match="JSON"):
        bearer.reload()
    assert status("ES256") == 200
    bearer.reload({"keys": [jwk("RS256")]})
    assert (status("RS256"), status("ES256")) == (200, 401)
