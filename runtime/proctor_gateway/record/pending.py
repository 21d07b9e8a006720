"""Records on their way: added inside a transaction, written at its end, gone with what is taken back.

They are on a desk beside the connection, so that whoever has a connection can tell of what it does with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import sqlalchemy as sa

from proctor.audit.records import Draft
from proctor_gateway.record.payloads import Vault

_DESK: Final = "proctor.desk"
_MOST_FACTS: Final = 4096

Keyed = Callable[[object], str]
"""A hash of a value that only the holder of a key can make."""


@dataclass(frozen=True)
class Facts:
    """What every record of a task says of it. `subject` is a keyed hash of its conversation, or else of its caller."""

    namespace: str
    agent: str
    revision: str
    principal: str
    trace: str
    subject: str
    purpose: str | None = None
    """Of a task that is not live: what it did happened nowhere but here."""
    said: dict[int | None, Said] = field(default_factory=dict, compare=False)
    """What records say of each attempt (None: of the task)."""


@dataclass(frozen=True)
class Said:
    """The fields that all records of an attempt have in common, and their spelling."""

    fields: Mapping[str, Any]
    spelt: Mapping[str, bytes]


@dataclass
class Desk:
    """What a transaction tells, and what it needs to tell it."""

    keyed: Keyed
    now: datetime
    vault: Vault | None = None
    """Where what is said is kept; None if it is not."""
    facts: dict[str, Facts] = field(default_factory=dict)
    drafts: list[Draft] = field(default_factory=list)

    def add(self, draft: Draft) -> None:
        """Write the record if and only if the transaction is committed. Raises NotCanonical if it never can be."""
        self.drafts.append(draft.checked())

    def remember(self, task: str, facts: Facts) -> None:
        """Keep what does not change, for a bounded number of tasks."""
        if len(self.facts) >= _MOST_FACTS:
            self.facts.clear()
        self.facts[task] = facts


class Recorder(Protocol):
    """Who writes the records of each transaction."""

    def begin(self, connection: sa.Connection) -> None:
        """A transaction begins, perhaps on a connection of one that was not committed."""

    def seal(self, connection: sa.Connection) -> None:
        """It is about to be committed. If this raises, it is not."""


class Nobody:
    """No record is kept."""

    def begin(self, connection: sa.Connection) -> None:
        """There is no desk."""
        lay(connection, None)

    def seal(self, connection: sa.Connection) -> None:
        """There is nothing to write."""


def lay(connection: sa.Connection, new: Desk | None) -> None:
    """A transaction begins: it has told nothing yet."""
    connection.info[_DESK] = new


def desk(connection: sa.Connection) -> Desk | None:
    """Where this transaction tells what it does; None where no record is kept."""
    found: Desk | None = connection.info.get(_DESK)
    return found


def record(connection: sa.Connection, draft: Draft) -> None:
    """Write the record if and only if this transaction is committed. Raises NotCanonical if it can never be written."""
    found = desk(connection)
    if found is not None:
        found.add(draft)


def count(connection: sa.Connection) -> int:
    """How many records this transaction has so far."""
    found = desk(connection)
    return len(found.drafts) if found is not None else 0


def take_back(connection: sa.Connection, before: int) -> None:
    """Forget all records but the first so many: what they told of was taken back."""
    found = desk(connection)
    if found is not None:
        del found.drafts[before:]
        found.facts.clear()


def taken(connection: sa.Connection) -> Sequence[Draft]:
    """All records of this transaction, which are the caller's from now on; nothing more can be told in it."""
    found = connection.info.pop(_DESK, None)
    return found.drafts if found is not None else ()
