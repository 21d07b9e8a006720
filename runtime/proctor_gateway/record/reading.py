"""What a log holds, for those who check it: its state, its checkpoints, its tiles, and proofs between sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from proctor.audit import tiles
from proctor.audit.merkle import Frontier, Node, consistency_proof, frontier_of, inclusion_proof
from proctor.audit.notes import unchecked
from proctor.audit.tiles import ENTRIES, HEIGHT, WIDTH, Tile
from proctor_gateway.store.tables import checkpoints, record_logs, record_nodes, records


@dataclass(frozen=True)
class LogState:
    """A log as it is now. `signed` is the size of its newest checkpoint."""

    id: str
    origin: str
    verifier: str
    state: str
    size: int
    root: bytes
    signed: int
    opened_at: datetime
    closed_at: datetime | None


def logs(connection: sa.Connection) -> Sequence[LogState]:
    """All logs that are kept, the oldest first."""
    query = sa.select(record_logs).order_by(record_logs.c.opened_at, record_logs.c.id)
    return [_state(row) for row in connection.execute(query)]


def log(connection: sa.Connection, name: str) -> LogState | None:
    """The log with that id."""
    row = connection.execute(sa.select(record_logs).where(record_logs.c.id == name)).one_or_none()
    return None if row is None else _state(row)


def _state(row: Any) -> LogState:
    root = Frontier.load(row.size, row.frontier).root()
    return LogState(
        row.id, row.origin, row.verifier, row.state, row.size, root, row.signed_size, row.opened_at, row.closed_at
    )


def newest_checkpoint(connection: sa.Connection, name: str) -> str | None:
    """The newest signed checkpoint of the log."""
    query = sa.select(checkpoints.c.note).where(checkpoints.c.log == name)
    return connection.execute(query.order_by(checkpoints.c.size.desc()).limit(1)).scalar_one_or_none()


def notes(connection: sa.Connection, name: str, after: int, limit: int) -> Sequence[str]:
    """The log's checkpoints of more than `after` records, in order."""
    query = sa.select(checkpoints.c.note).where(checkpoints.c.log == name, checkpoints.c.size > after)
    return [row.note for row in connection.execute(query.order_by(checkpoints.c.size).limit(limit))]


def tile(connection: sa.Connection, name: str, wanted: Tile) -> bytes | None:
    """The tile's content; None if the log does not reach so far under a signature..

    What no checkpoint covers is not handed out: it might still be taken back.
    """
    note = newest_checkpoint(connection, name)
    signed = unchecked(note).size if note else 0
    level = max(wanted.level, 0)
    if wanted.begin + wanted.width > signed >> HEIGHT * level:
        return None
    if wanted.level == ENTRIES:
        return tiles.pack_entries(lines(connection, name, wanted.begin, wanted.width))
    return b"".join(_hashes(connection, name, wanted.level, wanted.begin, wanted.width))


def lines(connection: sa.Connection, name: str, first: int, limit: int) -> Sequence[bytes]:
    """The lines of the log from a record on."""
    query = sa.select(records.c.line).where(records.c.log == name, records.c.seq >= first)
    return [bytes(row.line) for row in connection.execute(query.order_by(records.c.seq).limit(limit))]


def consistency(connection: sa.Connection, name: str, old: int, new: int) -> list[bytes]:
    """The proof that the log of `new` records begins with that of `old`. Raises ValueError or LookupError."""
    return consistency_proof(old, new, nodes_of(connection, name))


def inclusion(connection: sa.Connection, name: str, seq: int, size: int) -> list[bytes]:
    """The proof that the record is in the log of that size. Raises ValueError or LookupError."""
    return inclusion_proof(seq, size, nodes_of(connection, name))


def nodes_of(connection: sa.Connection, name: str) -> Node:
    """The hashes of the log's complete subtrees, read a tile at a time. It raises LookupError beyond the log."""
    read: dict[tuple[int, int], list[bytes]] = {}

    def node(level: int, index: int) -> bytes:
        height, up = divmod(level, HEIGHT)
        first = index << up
        number = first // WIDTH
        if (height, number) not in read:
            read[height, number] = _hashes(connection, name, height, number * WIDTH, WIDTH)
        place = first % WIDTH
        found = read[height, number][place : place + (1 << up)]
        if len(found) != 1 << up:
            raise LookupError(f"{name} does not reach to node {index} at level {level}")
        return frontier_of(found).root()

    return node


def _hashes(connection: sa.Connection, name: str, level: int, first: int, count: int) -> list[bytes]:
    """The hashes from number `first` on at a level of tiles: leaves, or the roots of full tiles below."""
    if level == 0:
        query = sa.select(records.c.leaf.label("hash")).where(records.c.log == name, records.c.seq >= first)
        query = query.where(records.c.seq < first + count).order_by(records.c.seq)
    else:
        number = record_nodes.c.number
        query = sa.select(record_nodes.c.hash).where(record_nodes.c.log == name, record_nodes.c.level == level)
        query = query.where(number >= first, number < first + count).order_by(number)
    return [bytes(row.hash) for row in connection.execute(query)]


@dataclass(frozen=True)
class Wanted:
    """Which records to show: of one log from a number on, and of those the ones that match."""

    log: str
    first: int
    limit: int
    namespace: str | None = None
    agent: str | None = None
    task: str | None = None
    type: str | None = None


def matching(connection: sa.Connection, wanted: Wanted) -> Sequence[bytes]:
    """The lines of the records that match, in order."""
    query = sa.select(records.c.line).where(records.c.log == wanted.log, records.c.seq >= wanted.first)
    for column, value in (
        (records.c.namespace, wanted.namespace),
        (records.c.agent, wanted.agent),
        (records.c.task, wanted.task),
        (records.c.type, wanted.type),
    ):
        if value is not None:
            query = query.where(column == value)
    return [bytes(row.line) for row in connection.execute(query.order_by(records.c.seq).limit(wanted.limit))]
