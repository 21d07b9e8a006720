"""Which log does this gateway write? Opened, taken over from one that is gone, closed, verified where it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from proctor.audit.canonical import NotCanonical
from proctor.audit.merkle import EMPTY_ROOT, Frontier, leaf_hash, subtree
from proctor.audit.notes import Checkpoint, unchecked
from proctor.audit.records import Draft, EventType, Record, line_hash
from proctor_gateway.record.appending import BROKEN, CLOSED, OPEN, Tip, append, held
from proctor_gateway.record.keys import RecordKeys
from proctor_gateway.record.reading import nodes_of
from proctor_gateway.store.owners import database_time
from proctor_gateway.store.tables import checkpoints, instances, record_logs, records

LOCK: Final = "record"
"""The lock under which it is decided who writes which log."""
_TAIL: Final = 512
"""So many records are verified when a log goes on; an auditor verifies all of them."""
_NEVER: Final = timedelta(days=36_500)


@dataclass(frozen=True)
class Writer:
    """Who writes, under which names and keys."""

    holder: str
    origin: str
    keys: RecordKeys
    silent: timedelta
    """An instance that was silent for so long does not live, and its log is another's."""


@dataclass(frozen=True)
class Entered:
    """The log that is written from now on. `fault` says why the one before could not be gone on with."""

    log: str
    recovered: int | None = None
    fault: str | None = None


@dataclass(frozen=True)
class End:
    """Where a log ends, as the next one names it."""

    log: str
    size: int
    root: bytes

    @classmethod
    def of(cls, tip: Tip) -> End:
        """The end of a log that was just appended to, or is as it was."""
        return cls(tip.log, tip.frontier.size, tip.frontier.root())


def enter(connection: sa.Connection, writer: Writer, fresh: str, now: datetime) -> Entered:
    """Hold a log: one that nobody living holds, if its end is as it should be; else a new one with the id `fresh`.

    The transaction must hold LOCK, as for all that changes which log is whose.
    """
    row = _free(connection, writer, now)
    if row is None:
        _open(connection, writer, fresh, now, _last(connection))
        return Entered(fresh)
    _take(connection, row, writer)
    if not _is_ours(row, writer):
        _abandon(connection, writer, fresh, now, row)
        return Entered(fresh, fault="the key is another one")
    fault = tail_fault(connection, row)
    if fault is not None:
        _break(connection, writer, fresh, now, row, fault)
        return Entered(fresh, fault=fault)
    recovered = Draft(EventType.LOG_RECOVERED, now, {"verified": {"records": min(row.size, _TAIL), "size": row.size}})
    append(connection, writer.holder, Tip.of(row), [recovered])
    return Entered(row.id, recovered=row.size)


def rotate(connection: sa.Connection, writer: Writer, fresh: str, now: datetime) -> Entered:
    """Close the log that is held and open another that names its end. Raises LogLost."""
    _follow(connection, writer, fresh, now, held(connection, writer.holder), "Full")
    return Entered(fresh)


def opened_before(connection: sa.Connection, log: str, when: datetime) -> bool:
    """Whether the log was opened before that time."""
    opened: datetime = connection.execute(
        sa.select(record_logs.c.opened_at).where(record_logs.c.id == log)
    ).scalar_one()
    return opened < when


def close_orphans(connection: sa.Connection, writer: Writer, now: datetime) -> Sequence[str]:
    """Close the logs of instances that are gone and that nobody has taken over: they will not grow."""
    closed = []
    row = _free(connection, writer, now)
    while row is not None:
        _take(connection, row, writer)
        _close(connection, writer.holder, Tip.of(row), now, "WriterGone")
        closed.append(row.id)
        row = _free(connection, writer, now)
    return closed


def leave(connection: sa.Connection, holder: str) -> None:
    """Let go of the log: whoever starts next goes on with it."""
    connection.execute(sa.update(record_logs).where(record_logs.c.holder == holder).values(holder=None))


def sign_due(connection: sa.Connection, writer: Writer, most: int, before: datetime, now: datetime) -> int:
    """Sign a checkpoint for each log of ours that grew by `most` records, or whose last one is from before that time.

    A closed log is signed at once, whoever closed it; never one that was begun with another key.
    """
    query = sa.select(record_logs).where(
        record_logs.c.size > record_logs.c.signed_size,
        sa.or_(
            sa.and_(
                record_logs.c.holder == writer.holder,
                sa.or_(record_logs.c.size - record_logs.c.signed_size >= most, record_logs.c.signed_at <= before),
            ),
            record_logs.c.state == CLOSED,
        ),
    )
    found = connection.execute(query.with_for_update(skip_locked=True)).all()
    rows = [row for row in found if _is_ours(row, writer)]
    for row in rows:
        root = Frontier.load(row.size, row.frontier).root()
        note = writer.keys.signer(row.origin).sign(Checkpoint(row.origin, row.size, root).text())
        connection.execute(sa.insert(checkpoints).values(log=row.id, size=row.size, note=note, signed_at=now))
        changed = {"signed_size": row.size, "signed_at": now}
        connection.execute(sa.update(record_logs).where(record_logs.c.id == row.id).values(**changed))
    return len(rows)


def tail_fault(connection: sa.Connection, row: Any) -> str | None:
    """What is wrong with the end of the log in that row, or None: its lines, their chain, its tree, its signature."""
    first = max(0, row.size - _TAIL)
    query = sa.select(records.c.seq, records.c.line, records.c.leaf).where(
        records.c.log == row.id, records.c.seq >= first
    )
    found = connection.execute(query.order_by(records.c.seq)).all()
    fault = _lines_fault(row, first, found)
    if fault is not None or row.size == 0:
        return fault
    try:
        node = nodes_of(connection, row.id)
        if subtree(0, row.size, node) != Frontier.load(row.size, row.frontier).root():
            return "the tree is not that of the records"
        note = connection.execute(_newest_note(row.id)).scalar_one_or_none()
        if note is not None:
            signed = unchecked(note)
            if signed.size > row.size or subtree(0, signed.size, node) != signed.root:
                return "the last checkpoint is of other records"
    except (ValueError, LookupError):
        return "the tree cannot be read"
    return None


def _lines_fault(row: Any, first: int, found: Sequence[Any]) -> str | None:
    if [each.seq for each in found] != list(range(first, row.size)):
        return "records are missing"
    prev = None
    for each in found:
        try:
            record = Record.parse(bytes(each.line))
        except NotCanonical as exc:
            return f"record {each.seq}: {exc}"
        if prev is not None and record.place.prev != prev:
            return f"record {each.seq} does not follow the one before it"
        if bytes(each.leaf) != leaf_hash(bytes(each.line)) or record.place.seq != each.seq:
            return f"record {each.seq} is not as it was written"
        prev = line_hash(bytes(each.line))
    return None if prev in {None, row.head} else "the last record is not as it was written"


def _newest_note(log: str) -> sa.Select[Any]:
    newest = sa.select(checkpoints.c.note).where(checkpoints.c.log == log)
    return newest.order_by(checkpoints.c.size.desc()).limit(1)


def _free(connection: sa.Connection, writer: Writer, now: datetime) -> Any | None:
    """The oldest open log that no living instance holds."""
    alive = sa.select(instances.c.id).where(instances.c.seen_at >= database_time(connection, now) - writer.silent)
    query = (
        sa.select(record_logs)
        .where(
            record_logs.c.state == OPEN,
            sa.or_(record_logs.c.holder.is_(None), record_logs.c.holder.not_in(alive)),
        )
        .order_by(record_logs.c.opened_at, record_logs.c.id)
        .limit(1)
    )
    return connection.execute(query.with_for_update()).one_or_none()


def _is_ours(row: Any, writer: Writer) -> bool:
    """Whether the log was begun with the key that we have: a log never changes its key."""
    return bool(row.verifier == str(writer.keys.verifier(row.origin)))


def _last(connection: sa.Connection) -> End | None:
    """The end of the log that was closed last."""
    query = sa.select(record_logs).where(record_logs.c.state == CLOSED)
    row = connection.execute(query.order_by(record_logs.c.closed_at.desc()).limit(1)).one_or_none()
    return None if row is None else End.of(Tip.of(row))


def _take(connection: sa.Connection, row: Any, writer: Writer) -> None:
    connection.execute(sa.update(record_logs).where(record_logs.c.id == row.id).values(holder=writer.holder))


def _open(connection: sa.Connection, writer: Writer, log: str, now: datetime, last: End | None, why: str = "") -> None:
    origin = f"{writer.origin}/{log}"
    verifier = str(writer.keys.verifier(origin))
    connection.execute(
        sa.insert(record_logs).values(
            id=log,
            origin=origin,
            verifier=verifier,
            holder=writer.holder,
            state=OPEN,
            size=0,
            head=Tip.new(log).head,
            frontier="",
            signed_size=0,
            opened_at=now,
            signed_at=now - _NEVER,
        )
    )
    fields: dict[str, Any] = {"key": {"verifier": verifier}}
    if last is not None:
        fields["previous"] = {"log": last.log, "size": last.size, "root": last.root.hex()}
        if why:
            fields["previous"]["reason"] = why
    append(connection, writer.holder, Tip.new(log), [Draft(EventType.LOG_OPEN, now, fields)])


def _close(connection: sa.Connection, holder: str, tip: Tip, now: datetime, why: str) -> Tip:
    ended = append(connection, holder, tip, [Draft(EventType.LOG_CLOSE, now, {"result": {"reason": why}})])
    changed = {"state": CLOSED, "holder": None, "closed_at": now}
    connection.execute(sa.update(record_logs).where(record_logs.c.id == tip.log).values(**changed))
    return ended


def _follow(connection: sa.Connection, writer: Writer, fresh: str, now: datetime, tip: Tip, why: str) -> None:
    ended = _close(connection, writer.holder, tip, now, why)
    _open(connection, writer, fresh, now, End.of(ended), why)


def _abandon(connection: sa.Connection, writer: Writer, fresh: str, now: datetime, row: Any) -> None:
    """The log ends where its own key has signed it last: what we could add, nobody could check with that key."""
    changed = {"state": CLOSED, "holder": None, "closed_at": now}
    connection.execute(sa.update(record_logs).where(record_logs.c.id == row.id).values(**changed))
    note = connection.execute(_newest_note(row.id)).scalar_one_or_none()
    signed = unchecked(note) if note is not None else Checkpoint(row.origin, 0, EMPTY_ROOT)
    _open(connection, writer, fresh, now, End(row.id, signed.size, signed.root), "KeyChanged")


def _break(connection: sa.Connection, writer: Writer, fresh: str, now: datetime, row: Any, fault: str) -> None:
    """The log stays as it is, as evidence, and nothing is added to it; the next one says why."""
    changed = {"state": BROKEN, "holder": None, "closed_at": now}
    connection.execute(sa.update(record_logs).where(record_logs.c.id == row.id).values(**changed))
    _open(connection, writer, fresh, now, End.of(Tip.of(row)), f"Broken: {fault}")
