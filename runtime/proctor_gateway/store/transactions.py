"""How operations share a transaction, whichever database it is of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from proctor_gateway.record import pending
from proctor_gateway.record.pending import Recorder
from proctor_gateway.store import sheets
from proctor_gateway.store.operations import Brief, Operation, Result, Untouched
from proctor_gateway.store.sheets import Sheet

_AWAY_STATES: Final = frozenset({"40P01", "40001", "53300", "57P01", "57P02", "57P03"})
"""PostgreSQL's words for a deadlock and a serialization failure, which leave nothing behind; for too many connections;
for a server that shuts down, has crashed or is starting."""


class Entangled(Exception):  # noqa: N818 - a fact, not a failure
    """One of several operations that wrote together has failed: all are to be taken back, and run each for itself."""


def apply(
    connection: sa.Connection, operations: Sequence[Operation[Any]], recorder: Recorder, *, apart: bool = False
) -> list[Result]:
    """Run the operations. One that fails by itself takes back itself alone; a database that fails, all of them.

    Brief ones write together, unless they are to be kept `apart`. Raises Entangled.
    """
    recorder.begin(connection)
    sheet = sheets.lay(connection)
    results = []
    for operation in operations:
        if isinstance(operation, Brief) and not apart:
            results.append(_together(connection, operation, sheet))
            continue
        _written(sheet)
        is_only = len(operations) == 1
        results.append(Result(operation(connection)) if is_only else _apart(connection, operation))
    _written(sheet)
    recorder.seal(connection)
    return results


def _together(connection: sa.Connection, operation: Operation[Any], sheet: Sheet) -> Result:
    sheet.is_shared = True
    try:
        return Result(operation(connection))
    except Untouched as exc:
        return Result(error=exc)
    except Exception as exc:
        raise _entangled(connection, exc) from exc


def _written(sheet: Sheet) -> None:
    """What was written together is in the store, and whoever comes next reads and writes there."""
    if not sheet.is_shared:
        return
    try:
        sheet.write()
    except Exception as exc:
        raise _entangled(sheet.connection, exc) from exc
    sheet.is_shared = False
    sheet.forget()


def _entangled(connection: sa.Connection, exc: Exception) -> Exception:
    if is_away(exc):
        return exc
    pending.take_back(connection, 0)
    return Entangled()


def _apart(connection: sa.Connection, operation: Operation[Any]) -> Result:
    before = pending.count(connection)
    try:
        with _savepoint(connection):
            return Result(operation(connection))
    except Exception as exc:
        if is_away(exc):
            raise
        pending.take_back(connection, before)
        return Result(error=exc)


@contextlib.contextmanager
def _savepoint(connection: sa.Connection) -> Iterator[None]:
    """What happens inside is taken back alone if it fails. On SQLite without SQLAlchemy's bookkeeping, for speed."""
    if connection.dialect.name != "sqlite":
        with connection.begin_nested():
            yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute("SAVEPOINT operation")
    try:
        yield
    except BaseException:
        driver.execute("ROLLBACK TO operation")
        driver.execute("RELEASE operation")
        raise
    driver.execute("RELEASE operation")


def is_away(exc: Exception) -> bool:
    """Whether the database failed, rather than what it was asked to do."""
    if isinstance(exc, OperationalError | InterfaceError | OSError | TimeoutError | NoConnection):
        return True
    if not isinstance(exc, DBAPIError):
        return False
    return exc.connection_invalidated or getattr(exc.orig, "sqlstate", None) in _AWAY_STATES
