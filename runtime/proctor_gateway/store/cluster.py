"""The last known state of the cluster, for a gateway that starts while the API server is away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from proctor_gateway.rules.access import Identity
from proctor_gateway.store.tables import known, reviews, revisions


@dataclass(frozen=True)
class Object:
    """One object as it was last seen."""

    kind: str
    namespace: str
    name: str
    body: Mapping[str, Any]


def save(connection: sa.Connection, present: Iterable[Object], absent: Iterable[tuple[str, str, str]]) -> None:
    """Write down objects that are there, and take away those that are not."""
    for kind, namespace, name in absent:
        connection.execute(
            sa.delete(known).where(known.c.kind == kind, known.c.namespace == namespace, known.c.name == name)
        )
    for each in present:
        values = {"kind": each.kind, "namespace": each.namespace, "name": each.name, "body": dict(each.body)}
        _upsert(connection, known, values, ("kind", "namespace", "name"))


def forget(connection: sa.Connection, kind: str) -> None:
    """No object of the kind is known any more."""
    connection.execute(sa.delete(known).where(known.c.kind == kind))


def load(connection: sa.Connection) -> Sequence[Object]:
    """All that was last known."""
    return [Object(row.kind, row.namespace, row.name, row.body) for row in connection.execute(sa.select(known))]


def save_revision(connection: sa.Connection, namespace: str, agent: str, revision: str, data: Any) -> None:
    """Keep a revision's data."""
    values = {"namespace": namespace, "agent": agent, "revision": revision, "data": data}
    _upsert(connection, revisions, values, ("namespace", "agent", "revision"))


def load_revision(connection: sa.Connection, namespace: str, agent: str, revision: str) -> Any | None:
    """A revision's data, if it was ever read."""
    query = sa.select(revisions.c.data).where(
        revisions.c.namespace == namespace, revisions.c.agent == agent, revisions.c.revision == revision
    )
    return connection.execute(query).scalar_one_or_none()


@dataclass(frozen=True)
class Review:
    """What the API server said of a token, when, and until when that may be used while it is away."""

    token: str
    identity: Identity
    for_gateway: bool
    reviewed_at: datetime
    usable_until: datetime


def save_review(connection: sa.Connection, review: Review) -> None:
    """Keep an answer, and drop those that cannot be used any more."""
    connection.execute(sa.delete(reviews).where(reviews.c.usable_until < review.reviewed_at))
    values = {
        "token": review.token,
        "username": review.identity.username,
        "groups": sorted(review.identity.groups),
        "for_gateway": review.for_gateway,
        "reviewed_at": review.reviewed_at,
        "usable_until": review.usable_until,
    }
    _upsert(connection, reviews, values, ("token",))


def drop_review(connection: sa.Connection, token: str) -> None:
    """The token with that hash is not accepted any more."""
    connection.execute(sa.delete(reviews).where(reviews.c.token == token))


def load_review(connection: sa.Connection, token: str) -> Review | None:
    """The last answer for the token with that hash."""
    row = connection.execute(sa.select(reviews).where(reviews.c.token == token)).one_or_none()
    if row is None:
        return None
    identity = Identity(row.username, frozenset(row.groups))
    return Review(row.token, identity, row.for_gateway, row.reviewed_at, row.usable_until)


def _upsert(connection: sa.Connection, table: sa.Table, values: dict[str, Any], keys: Sequence[str]) -> None:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(table).values(values)
    rest = {key: insert.excluded[key] for key in values if key not in keys}
    connection.execute(insert.on_conflict_do_update(index_elements=list(keys), set_=rest))
