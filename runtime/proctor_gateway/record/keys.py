"""The keys of the record: what signs its checkpoints, what encrypts payloads, what makes guessable values unguessable.

They are in one Secret of the installation's namespace, which the gateway fills when it first starts and which nobody
else has a role to read: no agent, no caller, not the operator, and not whoever reads the database.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from proctor.api import digest, names
from proctor.audit.notes import Signer, Verifier
from proctor_gateway.cluster.port import Cluster, SecretUnusable
from proctor_gateway.record.payloads import Vault
from proctor_gateway.rules.errors import ClusterAway

log = structlog.get_logger(__name__)

CHECKPOINT_KEY: Final = "checkpoint.key"
PAYLOAD_KEY: Final = "payload.key"
DIGEST_KEY: Final = "digest.key"
_ENTRIES: Final = (CHECKPOINT_KEY, PAYLOAD_KEY, DIGEST_KEY)
_SIZE: Final = 32
_PAUSE_SECONDS: Final = 1.0


class BadKeys(ValueError):  # noqa: N818 - a state of the Secret
    """The Secret's entries are no keys. The message names the entry, never what it holds."""


@dataclass(frozen=True)
class RecordKeys:
    """The keys. Their text shows none of them."""

    signing: Ed25519PrivateKey
    payload: bytes
    digesting: bytes

    def __repr__(self) -> str:
        """Nothing of a key."""
        return "RecordKeys()"

    def signer(self, origin: str) -> Signer:
        """What signs the checkpoints of the log with that origin."""
        return Signer(origin, self.signing)

    def verifier(self, origin: str) -> Verifier:
        """What such a checkpoint is verified with."""
        return self.signer(origin).verifier

    def keyed(self, value: object) -> str:
        """A hash of the value that only the holder of the key can make: a phone number cannot be guessed from it."""
        return f"hmac-sha256:{hmac.digest(self.digesting, digest.canonical(value), 'sha256').hex()}"

    def vault(self) -> Vault:
        """Where payloads are kept."""
        return Vault(self.payload)

    @classmethod
    def load(cls, data: Mapping[str, bytes]) -> RecordKeys:
        """The keys in a Secret's data. Raises BadKeys."""
        missing = [each for each in _ENTRIES if each not in data]
        if missing:
            raise BadKeys(f"{missing[0]} is missing")
        short = [each for each in (PAYLOAD_KEY, DIGEST_KEY) if len(data[each]) != _SIZE]
        if short:
            raise BadKeys(f"{short[0]} must be {_SIZE} bytes")
        try:
            signing = load_pem_private_key(data[CHECKPOINT_KEY], None)
        except ValueError:
            signing = None
        if not isinstance(signing, Ed25519PrivateKey):
            raise BadKeys(f"{CHECKPOINT_KEY} must be an Ed25519 private key in PEM")
        return cls(signing, data[PAYLOAD_KEY], data[DIGEST_KEY])


def generated() -> dict[str, bytes]:
    """New keys, as a Secret holds them."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        CHECKPOINT_KEY: pem,
        PAYLOAD_KEY: secrets.token_bytes(_SIZE),
        DIGEST_KEY: secrets.token_bytes(_SIZE),
    }


async def obtain(cluster: Cluster, directory: Path, secret: str) -> RecordKeys:
    """The keys: as mounted, or from the Secret itself, which is filled if it is empty. Waits until they can be had."""
    said = False
    while True:
        try:
            mounted = _mounted(directory)
            if mounted:
                return RecordKeys.load(mounted)
            return RecordKeys.load(await cluster.keep(names.INSTALL_NAMESPACE, secret, generated()))
        except (ClusterAway, SecretUnusable, BadKeys, OSError) as exc:
            if not said:
                log.error("the record's keys cannot be had; waiting", secret=secret, cause=str(exc))  # noqa: TRY400
                said = True
        await asyncio.sleep(_PAUSE_SECONDS)


def _mounted(directory: Path) -> dict[str, bytes]:
    """What the volume holds; nothing until the Secret has been filled."""
    found = {each: directory / each for each in _ENTRIES}
    return {name: path.read_bytes() for name, path in found.items()} if all(map(Path.is_file, found.values())) else {}
