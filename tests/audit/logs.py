"""Small logs for tests: entries, keys, checkpoints and exports, all made by the code that is tested elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proctor.audit.archive import files_of
from proctor.audit.merkle import frontier_of, leaf_hash
from proctor.audit.notes import Checkpoint, Signer
from proctor.audit.records import NO_RECORD, Draft, EventType, Place, line, line_hash, present

T0 = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LOG = "20261122-00112233"
ORIGIN = f"proctor.dev/record/{LOG}"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
SIGNER = Signer(ORIGIN, KEY)


def draft(number: int = 0, **fields: object) -> Draft:
    """A record of a tool call."""
    agent = {"namespace": "support", "name": "refunds"}
    at = T0 + timedelta(milliseconds=number)
    return Draft(EventType.TOOL_REQUEST, at, present(agent=agent, call={"id": f"t.{number}"}, **fields))


def entries_of(count: int, log: str = LOG) -> list[bytes]:
    """A log of so many records."""
    written, prev = [], NO_RECORD
    for seq in range(count):
        written.append(line(draft(seq), Place(log, seq, prev)))
        prev = line_hash(written[-1])
    return written


def note_of(entries: Sequence[bytes], signer: Signer = SIGNER, origin: str = ORIGIN) -> str:
    """The signed checkpoint of these entries."""
    root = frontier_of([leaf_hash(each) for each in entries]).root()
    return signer.sign(Checkpoint(origin, len(entries), root).text())


def export_of(entries: Sequence[bytes], at: Iterable[int] = (), signer: Signer = SIGNER) -> dict[str, bytes]:
    """The exported log, with checkpoints at these sizes and at its end."""
    return files_of(entries, {size: note_of(entries[:size], signer) for size in (*at, len(entries))})
