"""A log in the store grows: lines, leaf hashes, the hashes of full tiles, and the frontier, all in one transaction.

One writer for one log: its holder. Every write names the size that it builds on and the holder that it is, so that
whoever has lost the log, or remembers what was never committed, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from proctor.audit.merkle import Frontier, leaf_hash
from proctor.audit.records import NO_RECORD, Draft, EventType, Place, line, line_hash
from proctor.audit.tiles import HEIGHT
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.store import hot
from proctor_gateway.store.tables import record_logs, record_nodes, records

OPEN: Final = "Open"
CLOSED: Final = "Closed"
BROKEN: Final = "Broken"

_ADVANCE: Final = (
    sa.update(record_logs)
    .where(
        record_logs.c.id == sa.bindparam("of_log"),
        record_logs.c.state == OPEN,
        record_logs.c.holder == sa.bindparam("of_holder"),
        record_logs.c.size == sa.bindparam("from_size"),
    )
    .values(size=sa.bindparam("to_size"), head=sa.bindparam("new_head"), frontier=sa.bindparam("new_frontier"))
)
_ADD: Final = sa.insert(records)
_ADD_NODES: Final = sa.insert(record_nodes)


class Outdated(Exception):  # noqa: N818 - a fact, not a failure
    """The log has another size or another holder than the writer thought: nothing was written."""


class LogLost(StoreAway):
    """This process holds no log, so nothing can be recorded, and therefore nothing done."""


@dataclass(frozen=True)
class Tip:
    """The end of a log, which is all that is needed to append to it."""

    log: str
    frontier: Frontier
    head: str

    @classmethod
    def of(cls, row: Any) -> Tip:
        """The end of the log in a row of `record_logs`."""
        return cls(row.id, Frontier.load(row.size, row.frontier), row.head)

    @classmethod
    def new(cls, log: str) -> Tip:
        """The end of a log that holds nothing."""
        return cls(log, Frontier(), NO_RECORD)


def held(connection: sa.Connection, holder: str) -> Tip:
    """The log that the holder writes. Raises LogLost."""
    query = sa.select(record_logs).where(record_logs.c.holder == holder, record_logs.c.state == OPEN)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise LogLost("this gateway holds no log: what it does cannot be recorded")
    return Tip.of(row)


def append(connection: sa.Connection, holder: str, tip: Tip, drafts: Sequence[Draft]) -> Tip:
    """The log's new end. Raises Outdated, and then nothing has changed."""
    rows, nodes, grown = _built(tip, drafts)
    advanced = hot.execute(
        connection,
        _ADVANCE,
        {
            "of_log": tip.log,
            "of_holder": holder,
            "from_size": tip.frontier.size,
            "to_size": grown.frontier.size,
            "new_head": grown.head,
            "new_frontier": grown.frontier.dump(),
        },
    )
    if advanced.rowcount != 1:
        raise Outdated(tip.log)
    if rows:
        hot.execute(connection, _ADD, rows)
    if nodes:
        hot.execute(connection, _ADD_NODES, nodes)
    return grown


def unknown(connection: sa.Connection, drafts: Sequence[Draft]) -> list[Draft]:
    """Those that are not recorded yet; of two with one id, the first."""
    wanted = {each.id for each in drafts if each.id is not None}
    if not wanted:
        return list(drafts)
    query = sa.select(records.c.identity).where(records.c.identity.in_(sorted(wanted)))
    seen = {row.identity for row in connection.execute(query)}
    fresh = []
    for each in drafts:
        if each.id is None or each.id not in seen:
            fresh.append(each)
            seen.add(each.id)
    return fresh


def _built(tip: Tip, drafts: Iterable[Draft]) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Tip]:
    rows: list[dict[str, Any]] = []
    nodes: list[dict[str, Any]] = []
    frontier, head = tip.frontier, tip.head
    for draft in drafts:
        written = line(draft, Place(tip.log, frontier.size, head))
        leaf = leaf_hash(written)
        rows.append(_row(tip.log, frontier.size, draft, written, leaf))
        frontier, completed = frontier.grown(leaf)
        nodes += (
            {"log": tip.log, "level": each.level // HEIGHT, "number": each.index, "hash": each.hash}
            for each in completed
            if each.level % HEIGHT == 0
        )
        head = line_hash(written)
    return rows, nodes, Tip(tip.log, frontier, head)


def _row(log: str, seq: int, draft: Draft, written: bytes, leaf: bytes) -> dict[str, Any]:
    agent, run = draft.fields.get("agent") or {}, draft.fields.get("run") or {}
    return {
        "log": log,
        "seq": seq,
        "at": draft.at,
        "type": draft.type,
        "namespace": agent.get("namespace"),
        "agent": agent.get("name"),
        "task": run.get("id"),
        "identity": draft.id,
        "line": written,
        "leaf": leaf,
    }


def degraded(dropped: int, now: datetime) -> Draft:
    """That so many records could not be written, and that what they told of was done all the same."""
    return Draft(EventType.LOG_DEGRADED, now, {"dropped": dropped})
