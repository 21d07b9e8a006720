"""Signed notes and checkpoints, as C2SP's signed-note and tlog-checkpoint say, with Ed25519.

A signed note is text, an empty line, and a line for each signature: an em dash, the key's name, and in base64 four
bytes that tell keys of one name apart, followed by the signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from proctor.audit.merkle import HASH_SIZE

_ED25519: Final = b"\x01"
_KEY_SIZE: Final = 32
_ID_SIZE: Final = 4
_DASH: Final = "\N{EM DASH} "
_LEAST_LINES: Final = 3
_LARGEST_SIZE: Final = 2**63 - 1


class BadNote(ValueError):  # noqa: N818 - a fact about a text
    """The text is no signed note, no checkpoint or no key, or nobody trusted has signed it."""


@dataclass(frozen=True)
class Verifier:
    """A public key and the name under which it signs."""

    name: str
    key: bytes

    @property
    def id(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:_ID_SIZE]

    def __str__(self) -> str:
        """The verifier key string of C2SP."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.key).decode()}"

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """The key of a verifier key string. Raises BadNote."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3:  # noqa: PLR2004 - name, id, key
            raise BadNote("a verifier key is <name>+<8 hex digits>+<base64>")
        name, key_id, encoded = parts
        whole = unbase64(encoded)
        if whole[:1] != _ED25519 or len(whole) != 1 + _KEY_SIZE:
            raise BadNote("only Ed25519 keys are known")
        found = cls(_named(name), whole[1:])
        if found.id.hex() != key_id:
            raise BadNote(f"the key's id is {found.id.hex()}, not {key_id}: it was changed or cut")
        return found

    def called(self, name: str) -> Verifier:
        """The same key under another name: one key signs all logs of an installation, each under its own name."""
        return Verifier(name, self.key)

    def has_signed(self, text: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, text)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Signer:
    """A private key and the name under which it signs. Its text never shows the key."""

    name: str
    key: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, self.key.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """The signed note of the text, which must end with a newline. Raises BadNote for any other."""
        if not text.endswith("\n"):
            raise BadNote("the text of a note ends with a newline")
        verifier = self.verifier
        signature = base64.b64encode(verifier.id + self.key.sign(text.encode())).decode()
        return f"{text}\n{_DASH}{_named(self.name)} {signature}\n"


@dataclass(frozen=True)
class Checkpoint:
    """A log's promise: its first `size` entries have this root, for ever."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def opened(note: str, trusted: Iterable[Verifier]) -> str:
    """The text of a note that a trusted key has signed. Raises BadNote if none has, or if one of theirs is wrong."""
    text, signatures = _divided(note)
    known = {(each.name, each.id): each for each in trusted}
    good = False
    for name, key_id, signature in signatures:
        verifier = known.get((name, key_id))
        if verifier is None:
            continue
        if not verifier.has_signed(text.encode(), signature):
            raise BadNote(f"the signature of {name} is not over this text")
        good = True
    if not good:
        raise BadNote("no trusted key has signed it")
    return text


def read_checkpoint(note: str, trusted: Iterable[Verifier]) -> Checkpoint:
    """The checkpoint of a note that a trusted key has signed. Raises BadNote."""
    return parse_checkpoint(opened(note, trusted))


def unchecked(note: str) -> Checkpoint:
    """What a note claims, whoever signed it. Raises BadNote if it is none."""
    return parse_checkpoint(_divided(note)[0])


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in the text of a note. Raises BadNote."""
    lines = text.split("\n")
    if len(lines) <= _LEAST_LINES or lines[-1] or not all(lines[:-1]):
        raise BadNote("a checkpoint has an origin, a size and a root")
    origin, size, root = lines[:_LEAST_LINES]
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", size) or int(size) > _LARGEST_SIZE:
        raise BadNote(f"the size {size[:32]!r} is no decimal number")
    decoded = unbase64(root)
    if len(decoded) != HASH_SIZE:
        raise BadNote("the root is no SHA-256 hash")
    return Checkpoint(origin, int(size), decoded)


def unbase64(text: str) -> bytes:
    """What the base64 says. Raises BadNote for any spelling but the one, so that no bit of it is free."""
    try:
        whole = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadNote("not base64") from exc
    if base64.b64encode(whole).decode() != text:
        raise BadNote("not the one spelling in base64")
    return whole


def _divided(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    head, found, tail = note.rpartition("\n\n")
    if not found or not tail.endswith("\n"):
        raise BadNote("a note is text, an empty line, and signatures")
    if any(ord(each) < ord(" ") and each != "\n" for each in note):
        raise BadNote("a note holds no control characters")
    return head + "\n", list(_signatures(tail))


def _signatures(lines: str) -> Iterator[tuple[str, bytes, bytes]]:
    for line in lines.removesuffix("\n").split("\n"):
        name, found, encoded = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or not found:
            raise BadNote("a line after the text is no signature")
        whole = unbase64(encoded)
        if len(whole) <= _ID_SIZE:
            raise BadNote("a signature is too short")
        yield _named(name), whole[:_ID_SIZE], whole[_ID_SIZE:]


def _named(name: str) -> str:
    if not name or "+" in name or any(each.isspace() for each in name):
        raise BadNote("a key's name has neither white space nor a plus")
    return name
