"""May this checkpoint follow that one? The memory of a log that is kept where the log's writer cannot reach it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from proctor.audit.merkle import is_consistent
from proctor.audit.notes import BadNote, Checkpoint, Verifier, read_checkpoint, unchecked


@dataclass(frozen=True)
class Anchor:
    """At that time, in that place, the log was seen to have this root at this size."""

    origin: str
    size: int
    root: bytes
    at: datetime
    where: str = ""


@dataclass(frozen=True)
class Follows:
    """The checkpoint is signed, and the log it describes begins with the log that was anchored."""

    checkpoint: Checkpoint


@dataclass(frozen=True)
class Same:
    """The log has not grown."""

    checkpoint: Checkpoint


@dataclass(frozen=True)
class Alarm:
    """The log is not what it was. The anchor must stay as it is: it is the evidence."""

    reason: str
    message: str


def judge(
    last: Checkpoint | None, note: str, trusted: Sequence[Verifier], proof: Sequence[bytes]
) -> Follows | Same | Alarm:
    """What a new checkpoint is, seen from the last one that was anchored."""
    try:
        new = read_checkpoint(note, [each.called(unchecked(note).origin) for each in trusted])
    except BadNote as exc:
        return Alarm("SignatureInvalid", f"the checkpoint is not signed by a known key: {exc}")
    if last is None:
        return Follows(new)
    if new == last:
        return Same(new)
    fault = _fault(last, new, proof)
    return fault or Follows(new)


def _fault(last: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> Alarm | None:
    if new.origin != last.origin:
        return Alarm("OriginChanged", f"the checkpoint is of {new.origin}, the anchor of {last.origin}")
    if new.size < last.size:
        return Alarm("Truncated", f"the log had {last.size} records and has {new.size}")
    if new.size == last.size:
        return Alarm("Rewritten", f"the log of {new.size} records has another root than was anchored")
    if not is_consistent(last.size, last.root, new.size, new.root, proof):
        return Alarm(
            "Inconsistent", f"no proof that the log of {new.size} records begins with the {last.size} anchored"
        )
    return None
