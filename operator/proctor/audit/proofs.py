"""A proof that one record is in a log, as a text that needs nothing but the public key: C2SP's tlog-proof."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proctor.audit.merkle import is_included, leaf_hash
from proctor.audit.notes import BadNote, Checkpoint, Verifier, read_checkpoint, unbase64, unchecked

_HEADER: Final = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True)
class Proof:
    """Record number `index` is in the log of the checkpoint."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str

    def __str__(self) -> str:
        """The text of the proof."""
        hashes = "".join(f"{base64.b64encode(each).decode()}\n" for each in self.path)
        return f"{_HEADER}\nindex {self.index}\n{hashes}\n{self.checkpoint}"

    @classmethod
    def parse(cls, text: str) -> Proof:
        """The proof of a text. Raises BadNote."""
        head, found, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if not found or lines[0] != _HEADER:
            raise BadNote(f"a proof begins with {_HEADER}")
        rest = lines[2:] if len(lines) > 1 and lines[1].startswith("extra ") else lines[1:]
        number = re.fullmatch(r"index (0|[1-9][0-9]{0,18})", rest[0]) if rest else None
        if number is None:
            raise BadNote("a proof names the index of its entry")
        return cls(int(number[1]), tuple(unbase64(each) for each in rest[1:]), checkpoint)

    def check(self, entry: bytes, trusted: Sequence[Verifier]) -> Checkpoint:
        """The checkpoint under which the entry is in the log. Raises BadNote if that is not proven."""
        signed = read_checkpoint(self.checkpoint, [each.called(unchecked(self.checkpoint).origin) for each in trusted])
        if not is_included(leaf_hash(entry), self.index, signed.size, self.path, signed.root):
            raise BadNote(f"the entry is not shown to be number {self.index} of the log")
        return signed
