"""What is published about access tokens, as a program uses it that verifies them without asking the bridge."""

import asyncio
import base64
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc.aio
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tests.bridge import Bridge
from tests.support import unique_name
from user_bridge.gen.auth.auth_pb2 import AuthRequest, AuthResponse, CreateUserRequest
from user_bridge.gen.auth.auth_pb2_grpc import AuthServiceStub

# What the bridge uses unless TOKEN_ISSUER and TOKEN_AUDIENCE say otherwise.
issuer = audience = "user-bridge"
password = "correct horse battery staple"


def verify(
    keys: jwt.PyJWKClient, token: str, *, audience: str = audience, issuer: str = issuer, seconds_from_now: int = 0
) -> dict[str, Any]:
    """All that a program needs. The algorithm is fixed: a token must not choose how it is checked."""
    key = keys.get_signing_key_from_jwt(token)
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=["EdDSA"],
        audience=audience,
        issuer=issuer,
        leeway=timedelta(seconds=-seconds_from_now),
        # The leeway that lets a token expire early would also make it one of the future.
        options={"require": ["exp", "iat", "iss", "aud", "sub", "jti"], "verify_iat": seconds_from_now == 0},
    )
    if claims.get("type") != "access":
        raise jwt.InvalidTokenError("not an access token")
    return claims


@dataclass
class Login:
    user_id: str
    answer: AuthResponse
    keys: jwt.PyJWKClient

    @property
    def token(self) -> str:
        return self.answer.access_token


@pytest.fixture(scope="module")
async def login(bridge: Bridge) -> Login:
    async with grpc.aio.insecure_channel(bridge.address) as channel:
        auth: AuthServiceStub = AuthServiceStub(channel)
        email = f"{unique_name()}@example.com"
        account = await auth.CreateUser(
            CreateUserRequest(email=email, password=password, full_name="Ada", is_active=True)
        )
        answer = await auth.Authenticate(AuthRequest(email=email, password=password))
    keys = jwt.PyJWKClient(f"http://{bridge.address}/.well-known/jwks.json")
    # The client fetches when it first needs a key, and blocks; later it has them.
    await asyncio.to_thread(keys.get_signing_keys)
    return Login(account.id, answer, keys)


async def test_a_token_is_verified_by_the_published_keys_alone(login: Login) -> None:
    claims = verify(login.keys, login.token)
    assert claims["sub"] == login.user_id
    assert claims["exp"] - claims["iat"] == login.answer.expires_in == 3600
    assert claims["jti"]
    assert jwt.get_unverified_header(login.token)["typ"] == "JWT"


async def test_the_published_keys_are_public_and_of_one_kind(login: Login) -> None:
    for key in login.keys.get_signing_keys():
        assert isinstance(key.key, Ed25519PublicKey)
        assert key.key_id
        assert (key.public_key_use, key.algorithm_name) == ("sig", "EdDSA")


@pytest.mark.parametrize(("claim", "value"), [("sub", "somebody else"), ("exp", 2**40), ("type", "service")])
async def test_a_changed_claim_breaks_the_signature(login: Login, claim: str, value: object) -> None:
    header, payload, signature = login.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = base64.urlsafe_b64encode(json.dumps(claims | {claim: value}).encode()).rstrip(b"=").decode()
    with pytest.raises(jwt.InvalidSignatureError):
        verify(login.keys, f"{header}.{changed}.{signature}")


async def test_what_others_sign_or_nobody_is_refused(login: Login) -> None:
    claims = verify(login.keys, login.token)
    kid = jwt.get_unverified_header(login.token)["kid"]
    stranger = Ed25519PrivateKey.generate()
    with pytest.raises(jwt.InvalidSignatureError):
        verify(login.keys, jwt.encode(claims, stranger, algorithm="EdDSA", headers={"kid": kid}))
    with pytest.raises(jwt.InvalidAlgorithmError):
        verify(login.keys, jwt.encode(claims, "", algorithm="none", headers={"kid": kid}))
    with pytest.raises(jwt.InvalidAlgorithmError):
        verify(login.keys, jwt.encode(claims, "s" * 32, algorithm="HS256", headers={"kid": kid}))
    unknown = jwt.encode(claims, stranger, algorithm="EdDSA", headers={"kid": "unknown"})
    with pytest.raises(jwt.PyJWKClientError):
        # It looks for the key at the bridge once more, and blocks.
        await asyncio.to_thread(verify, login.keys, unknown)
    with pytest.raises(jwt.DecodeError):
        verify(login.keys, login.answer.refresh_token)


async def test_it_is_for_one_audience_of_one_issuer_and_ends(login: Login) -> None:
    with pytest.raises(jwt.InvalidAudienceError):
        verify(login.keys, login.token, audience="warehouse")
    with pytest.raises(jwt.InvalidIssuerError):
        verify(login.keys, login.token, issuer="elsewhere")
    verify(login.keys, login.token, seconds_from_now=3600 - 300)
    with pytest.raises(jwt.ExpiredSignatureError):
        verify(login.keys, login.token, seconds_from_now=3600)
