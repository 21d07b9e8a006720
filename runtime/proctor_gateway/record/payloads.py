"""What was said, beside the record: encrypted with a key for each subject, so that one key less erases one subject.

The record holds a keyed hash of the payload and its id, and stays whole when the payload cannot be read any more.
Encryption is AES-256-GCM; the subjects' keys are encrypted in the same way with the installation's, which is in a
Secret. Chance comes from the operating system.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.dialects import postgresql, sqlite

from proctor.api import digest
from proctor_gateway.store.tables import payloads, subject_keys

_NONCE: Final = 12
_BITS: Final = 256


class Vault:
    """Keeps payloads, and gives them back as long as their subject is not erased."""

    def __init__(self, key: bytes) -> None:
        self._key = AESGCM(key)

    def keep(self, connection: sa.Connection, subject: str, payload: object, now: datetime) -> str:
        """The id under which the payload is kept."""
        name = secrets.token_hex(16)
        body = _sealed(AESGCM(self._subject_key(connection, subject, now)), digest.canonical(payload), name)
        connection.execute(sa.insert(payloads).values(id=name, subject=subject, body=body, created_at=now))
        return name

    def read(self, connection: sa.Connection, name: str) -> bytes | None:
        """The payload as JSON; None if there is none, or its subject was erased."""
        query = sa.select(payloads.c.body, payloads.c.subject, subject_keys.c.wrapped).where(
            payloads.c.id == name, payloads.c.subject == subject_keys.c.subject
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        try:
            key = _opened(self._key, bytes(row.wrapped), row.subject)
            return _opened(AESGCM(key), bytes(row.body), name)
        except InvalidTag:
            return None

    def _subject_key(self, connection: sa.Connection, subject: str, now: datetime) -> bytes:
        query = sa.select(subject_keys.c.wrapped).where(subject_keys.c.subject == subject)
        found = connection.execute(query).scalar_one_or_none()
        if found is None:
            wrapped = _sealed(self._key, AESGCM.generate_key(_BITS), subject)
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            values = {"subject": subject, "wrapped": wrapped, "created_at": now}
            # Another gateway may make the key of the same subject at the same time: then that one is used.
            connection.execute(dialect.insert(subject_keys).values(values).on_conflict_do_nothing())
            found = connection.execute(query).scalar_one()
        return _opened(self._key, bytes(found), subject)


def erase(connection: sa.Connection, subject: str) -> int:
    """Throw away the subject's key and payloads. How many payloads there were."""
    connection.execute(sa.delete(subject_keys).where(subject_keys.c.subject == subject))
    return connection.execute(sa.delete(payloads).where(payloads.c.subject == subject)).rowcount


def purge(connection: sa.Connection, before: datetime, most: int) -> None:
    """Throw away payloads that are older, at most so many at once, and the keys that nothing is kept under."""
    old = sa.select(payloads.c.id).where(payloads.c.created_at < before).limit(most)
    connection.execute(sa.delete(payloads).where(payloads.c.id.in_(old)))
    used = sa.select(payloads.c.subject)
    connection.execute(
        sa.delete(subject_keys).where(subject_keys.c.created_at < before, subject_keys.c.subject.not_in(used))
    )


def _sealed(key: AESGCM, content: bytes, name: str) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    return nonce + key.encrypt(nonce, content, name.encode())


def _opened(key: AESGCM, whole: bytes, name: str) -> bytes:
    return key.decrypt(whole[:_NONCE], whole[_NONCE:], name.encode())
