"""Task tokens: the only thing that an agent ever holds, and what the gateway reads back from one.

A token is a capability for one attempt of one task, signed with Ed25519. That it is genuine is not enough: the
attempt must still be running, which the store says. So a token is worth nothing as soon as its attempt has ended.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from proctor_gateway.rules.tasks import Purpose

_ISSUER: Final = "proctor-gateway"
_AUDIENCE: Final = "proctor-agents"
_ALGORITHM: Final = "EdDSA"
_LEEWAY: Final = timedelta(seconds=10)
_REQUIRED: Final = ["exp", "iat", "iss", "aud", "task", "attempt", "namespace", "agent", "revision", "purpose"]
_REMEMBERED: Final = 4096


class TokenError(ValueError):
    """Not a token of ours, or not valid any more. The text never holds the token."""


class UnknownKey(TokenError):  # noqa: N818 - what is the matter with the token
    """Signed with a key that is not known here: another replica may have made it a moment ago."""


@dataclass(frozen=True)
class Claims:
    """What a token says."""

    task: str
    attempt: int
    namespace: str
    agent: str
    revision: str
    expires_at: datetime
    purpose: Purpose = Purpose.LIVE
    leg: int = 0
    """Which fallback works on it, 0 being the agent itself."""
    """Of the task. Signed like all the rest: what is not live cannot pass for it."""


@dataclass(frozen=True)
class SigningKey:
    """A key pair. Its id is the hash of the public key, so that two replicas never use one id for two keys."""

    id: str
    private: Ed25519PrivateKey

    @classmethod
    def load(cls, pem: str) -> SigningKey:
        """The key in a PEM text."""
        private = load_pem_private_key(pem.encode(), password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise TokenError("the signing key is not an Ed25519 key")
        return cls(_key_id(private.public_key()), private)

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key from the system's randomness."""
        private = Ed25519PrivateKey.generate()
        return cls(_key_id(private.public_key()), private)

    @property
    def pem(self) -> str:
        """The key as text, for the store."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class Tokens:
    """Signs with the newest key, accepts all keys that it was given. What was verified once is remembered, bounded."""

    def __init__(self, keys: Mapping[str, SigningKey], newest: str) -> None:
        self._keys = dict(keys)
        self._newest = newest
        self._seen: OrderedDict[bytes, Claims] = OrderedDict()

    def renew(self, keys: Mapping[str, SigningKey], newest: str) -> None:
        """These keys count from now on."""
        self._keys, self._newest = dict(keys), newest
        self._seen.clear()

    def mint(self, claims: Claims, now: datetime) -> str:
        """A token with these claims."""
        key = self._keys[self._newest]
        payload = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "iat": int(now.timestamp()),
            "exp": int((claims.expires_at + _LEEWAY).timestamp()),
            "task": claims.task,
            "attempt": claims.attempt,
            "namespace": claims.namespace,
            "agent": claims.agent,
            "revision": claims.revision,
            "purpose": claims.purpose,
            "leg": claims.leg,
        }
        return jwt.encode(payload, key.private, algorithm=_ALGORITHM, headers={"kid": key.id})

    def read(self, token: str, now: datetime) -> Claims:
        """The claims of a genuine token that has not expired. Raises TokenError.

        Looked up by the token's hash, so that the time an answer takes says nothing about tokens that exist.
        """
        known = hashlib.sha256(token.encode()).digest()
        claims = self._seen.get(known)
        if claims is None:
            claims = self._verified(token)
            self._seen[known] = claims
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        if now > claims.expires_at:
            raise TokenError("the task token has expired")
        return claims

    def _verified(self, token: str) -> Claims:
        try:
            key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise UnknownKey("the task token is signed with a key that is not ours")
            payload = jwt.decode(
                token,
                key.private.public_key(),
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                issuer=_ISSUER,
                # The end is checked by `read`. The beginning is not: replicas' clocks differ.
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as exc:
            raise TokenError(f"not a task token: {type(exc).__name__}") from exc
        if payload["purpose"] not in set(Purpose):
            raise TokenError("the task token is of another version")
        return Claims(
            task=str(payload["task"]),
            attempt=int(payload["attempt"]),
            namespace=str(payload["namespace"]),
            agent=str(payload["agent"]),
            revision=str(payload["revision"]),
            expires_at=datetime.fromtimestamp(int(payload["exp"]), UTC),
            purpose=Purpose(payload["purpose"]),
            leg=int(payload.get("leg", 0)),
        )


def _key_id(public: Ed25519PublicKey) -> str:
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]
