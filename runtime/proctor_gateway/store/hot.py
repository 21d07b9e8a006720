"""Statements of the hot path on SQLite without SQLAlchemy's way around each of them: compiled once, then run as text.

A call passes some fifteen statements, of which SQLite itself needs a few microseconds each and SQLAlchemy ten times
that. Here only the values are converted, to the same texts; what cannot be done so (another engine, a column with a
default of Python's) goes the usual way. Use it for statements that are module constants: each is kept for ever.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, IntegrityError, NoResultFound, OperationalError

from proctor_gateway.store.tables import Money, UtcTime

Statement = sa.Executable
Params = Mapping[str, Any]

_USUAL: Final = object()
"""In place of a form, for statements that have to go the usual way."""


@dataclass(frozen=True, slots=True)
class _Form:
    text: str
    pick: Callable[[Params], Sequence[Any]]
    converts: tuple[tuple[int, Callable[[Any], Any]], ...]
    constants: Params
    row: Callable[..., Any]
    results: tuple[tuple[int, Callable[[Any], Any]], ...]

    def values(self, params: Params) -> list[Any]:
        values = list(self.pick({**self.constants, **params} if self.constants else params))
        for place, convert in self.converts:
            values[place] = convert(values[place])
        return values

    def read(self, found: Sequence[Any]) -> Any:
        if not self.results:
            return self.row(*found)
        values = list(found)
        for place, convert in self.results:
            values[place] = convert(values[place])
        return self.row(*values)


@dataclass(frozen=True, slots=True)
class Found:
    """What a statement gave: rows with names, or how many were changed."""

    rows: Sequence[Any]
    rowcount: int

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)

    def all(self) -> Sequence[Any]:
        """All rows."""
        return self.rows

    def one_or_none(self) -> Any:
        """The one row, if there is one."""
        return self.rows[0] if self.rows else None

    def one(self) -> Any:
        """The one row. Raises NoResultFound."""
        if not self.rows:
            raise NoResultFound("no row was found")
        return self.rows[0]

    def scalar_one(self) -> Any:
        """The first value of the one row. Raises NoResultFound."""
        return self.one()[0]


_forms: dict[tuple[int, tuple[str, ...]], Any] = {}
_kept: list[Statement] = []


def execute(connection: sa.Connection, statement: Statement, params: Params | Sequence[Params]) -> Any:
    """As `connection.execute`. Raises the same exceptions; they hold no values."""
    many = isinstance(params, list)
    first: Params = params[0] if many else params  # type: ignore[index, assignment]
    # Outside of a transaction only one thing is sure to need none: a look.
    if connection.dialect.name != "sqlite" or not (isinstance(statement, sa.Select) or connection.in_transaction()):
        return connection.execute(statement, params)
    form = _form(connection, statement, first)
    if form is _USUAL:
        return connection.execute(statement, params)
    driver: Any = connection.connection.dbapi_connection
    try:
        if many:
            cursor = driver.executemany(form.text, [form.values(each) for each in params])
        else:
            cursor = driver.execute(form.text, form.values(first))
        rows = [form.read(row) for row in cursor.fetchall()] if cursor.description else ()
        return Found(rows, cursor.rowcount)
    except sqlite3.OperationalError as exc:
        raise OperationalError(form.text, None, exc) from exc
    except sqlite3.IntegrityError as exc:
        raise IntegrityError(form.text, None, exc) from exc
    except sqlite3.DatabaseError as exc:
        raise DatabaseError(form.text, None, exc) from exc


def _form(connection: sa.Connection, statement: Statement, params: Params) -> Any:
    key = (id(statement), tuple(params))
    form = _forms.get(key)
    if form is None:
        form = _compiled(connection.dialect, statement, list(params))
        # Kept, so that no other statement ever gets its id.
        _kept.append(statement)
        _forms[key] = form
    return form


def _compiled(dialect: sa.Dialect, statement: Any, names: list[str]) -> Any:
    is_insert = isinstance(statement, sa.Insert)
    compiled: Any = statement.compile(dialect=dialect, column_keys=names if is_insert else None)
    if compiled.insert_prefetch or compiled.update_prefetch or compiled.post_compile_params:
        return _USUAL
    places = tuple(compiled.positiontup or ())
    # What the statement itself says, such as where a LIMIT begins.
    constants = {name: compiled.params[name] for name in set(places) - set(names)}
    if None in constants.values():
        return _USUAL
    columns = compiled._result_columns or ()  # noqa: SLF001 - the columns with their types
    binds = [(place, _to_driver(compiled, name)) for place, name in enumerate(places)]
    results = [(place, _from_driver(dialect, each.type)) for place, each in enumerate(columns)]
    return _Form(
        str(compiled),
        _picker(places),
        tuple((place, convert) for place, convert in binds if convert is not None),
        constants,
        namedtuple("Row", [each.keyname for each in columns], rename=True),  # noqa: PYI024
        tuple((place, convert) for place, convert in results if convert is not None),
    )


def _picker(names: tuple[str, ...]) -> Callable[[Params], Sequence[Any]]:
    if len(names) == 1:
        # Of one name itemgetter gives the value itself.
        (name,) = names
        return lambda given: (given[name],)
    return itemgetter(*names) if names else lambda _: ()


def _to_driver(compiled: Any, name: str) -> Callable[[Any], Any] | None:
    match compiled.binds[name].type:
        case UtcTime():
            return _written_time
        case Money():
            return _written_money
        case sa.Boolean() | sa.LargeBinary():
            # The driver takes them as they are.
            return None
        case _:
            processor: Callable[[Any], Any] | None = compiled._bind_processors.get(name)  # noqa: SLF001 - Core's own
            return processor


def _from_driver(dialect: sa.Dialect, kind: Any) -> Callable[[Any], Any] | None:
    match kind:
        case UtcTime():
            return _read_time
        case Money():
            return _read_money
        case _:
            processor: Callable[[Any], Any] | None = kind._cached_result_processor(dialect, None)  # noqa: SLF001 - Core's own
            return processor


# The same texts as by way of SQLAlchemy, where two layers of types are passed for each value.
_TIME: Final = len("2026-11-22 12:00:00.000000")


def _written_time(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat(" ", "microseconds")[:_TIME]


def _read_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)


def _written_money(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _read_money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
