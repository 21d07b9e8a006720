"""Statements of the hot path on SQLite without SQLAlchemy's way around each of them: compiled once, then run as text.

A call passes some fifteen statements, of which SQLite itself needs a few microseconds each and SQLAlchemy ten times
that. Here only the values are converted, by the same types; what cannot be done so (another engine, a column with a
default of Python's) goes the usual way. Use it for statements that are module constants: each is kept for ever.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, IntegrityError, NoResultFound, OperationalError

Statement = sa.Executable
Params = Mapping[str, Any]

_USUAL: Final = object()
"""In place of a form, for statements that have to go the usual way."""


@dataclass(frozen=True, slots=True)
class _Form:
    text: str
    binds: tuple[tuple[str, Callable[[Any], Any] | None], ...]
    row: Callable[..., Any]
    results: tuple[tuple[int, Callable[[Any], Any]], ...]

    def values(self, params: Params) -> list[Any]:
        return [params[name] if convert is None else convert(params[name]) for name, convert in self.binds]

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
    many = not isinstance(params, Mapping)
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
    places = compiled.positiontup or ()
    if set(places) - set(names):
        return _USUAL
    processors = compiled._bind_processors  # noqa: SLF001 - what Core itself applies to each value
    columns = compiled._result_columns or ()  # noqa: SLF001 - as above
    results = [(place, each.type._cached_result_processor(dialect, None)) for place, each in enumerate(columns)]  # noqa: SLF001
    return _Form(
        str(compiled),
        tuple((name, processors.get(name)) for name in places),
        namedtuple("Row", [each.keyname for each in columns], rename=True),  # noqa: PYI024
        tuple((place, convert) for place, convert in results if convert is not None),
    )
