"""Records on their way: added inside a transaction, written at its end, gone with what is taken back.

They are kept beside the connection, so that whoever has a connection can tell of what it does with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from proctor.audit.records import Draft

_DRAFTS: Final = "proctor.drafts"


def record(connection: sa.Connection, draft: Draft) -> None:
    """Write the record if and only if this transaction is committed. Raises NotCanonical if it can never be written."""
    connection.info.setdefault(_DRAFTS, []).append(draft.checked())


def count(connection: sa.Connection) -> int:
    """How many records this transaction has so far."""
    return len(connection.info.get(_DRAFTS, ()))


def take_back(connection: sa.Connection, before: int) -> None:
    """Forget all records but the first so many: what they told of was taken back."""
    if _DRAFTS in connection.info:
        del connection.info[_DRAFTS][before:]


def taken(connection: sa.Connection) -> Sequence[Draft]:
    """All records of this transaction, which are the caller's from now on."""
    drafts: Sequence[Draft] = connection.info.pop(_DRAFTS, ())
    return drafts
