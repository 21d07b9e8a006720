"""What one transaction knows of tasks and accounts, and what it is going to write: read once, written once at its end.

Calls that share a transaction share their accounts, and each of them would read and write what the one before it has
just written. Here the second one finds it in memory, and all rows of a table are written by one statement.

The transaction holds the locks of what is on its sheet, so nobody else changes it meanwhile.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from proctor_gateway.rules.spending import Balance
from proctor_gateway.store import hot, journal
from proctor_gateway.store.tables import accounts, calls, tasks

_SHEET: Final = "proctor.sheet"


@dataclass(slots=True)
class TaskRow:
    """The row of a task as far as its calls need it. What is below the line is written back."""

    phase: str
    attempts: int
    live: bool
    stop: str | None
    deadline: datetime
    sequence: int
    steps: int
    tool_calls: int
    input_tokens: int
    output_tokens: int
    cost: Decimal | None
    counted_cost: Decimal
    counted_tokens: int


_READ_ONLY: Final = frozenset({"phase", "attempts", "live", "stop", "deadline"})
_FIELDS: Final = tuple(each.name for each in fields(TaskRow))
_WRITTEN: Final = tuple(name for name in _FIELDS if name not in _READ_ONLY)
_BALANCE: Final = tuple(each.name for each in fields(Balance))


def _changing(table: sa.Table, key: str, names: Iterable[str]) -> sa.Update:
    columns = [table.c[name] for name in names]
    of = sa.bindparam("of_key", type_=table.c[key].type)
    return (
        sa.update(table)
        .where(table.c[key] == of)
        .values({column: sa.bindparam(f"new_{column.name}", type_=column.type) for column in columns})
    )


# Statements are built once: to build one costs more than to run it.
_TASK: Final = (
    sa.select(*(tasks.c[name] for name in _FIELDS)).where(tasks.c.id == sa.bindparam("task")).with_for_update()
)
_ADD_CALL: Final = sa.insert(calls)
_CHANGE_TASK: Final = _changing(tasks, "id", _WRITTEN)
_CHANGE_ACCOUNT: Final = _changing(accounts, "key", _BALANCE)


class Sheet:
    """One for a transaction. `is_shared` says that several operations write on it before it is written."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self._tasks: dict[str, TaskRow | None] = {}
        self._changed: dict[str, TaskRow] = {}
        self._balances: dict[str, Balance] = {}
        self._moved: dict[str, Balance] = {}
        self._calls: list[Mapping[str, Any]] = []
        self._equals: Counter[tuple[str, str]] = Counter()
        self._answers: dict[tuple[str, int], bytes] = {}
        self.is_shared = False
        self.is_open = False

    def task(self, name: str) -> TaskRow | None:
        """The row of the task, locked. Whoever changes it says so by `changed`."""
        if name not in self._tasks:
            row = hot.execute(self.connection, _TASK, {"task": name}).one_or_none()
            self._tasks[name] = None if row is None else TaskRow(*row)
        return self._tasks[name]

    def changed(self, name: str, row: TaskRow) -> None:
        """The row is to be written."""
        self._changed[name] = row

    def balances(self, keys: Iterable[str]) -> tuple[dict[str, Balance], list[str]]:
        """What is known of these accounts, and those of which nothing is."""
        found, missing = {}, []
        for key in keys:
            balance = self._balances.get(key)
            if balance is None:
                missing.append(key)
            else:
                found[key] = balance
        return found, missing

    def learn(self, found: Mapping[str, Balance]) -> None:
        """So much is used of the accounts, says the store."""
        self._balances.update(found)

    def move(self, changed: Mapping[str, Balance]) -> None:
        """These are the balances from now on."""
        self._balances.update(changed)
        self._moved.update(changed)

    def add(self, call: Mapping[str, Any]) -> None:
        """A call is to be written down."""
        self._calls.append(call)
        self._equals[call["task"], call["digest"]] += 1

    def keep(self, task: str, sequence: int, body: bytes) -> None:
        """What a call was answered is to be kept."""
        self._answers[task, sequence] = body

    def equals(self, task: str, digest: str) -> int:
        """How many such calls are to be written down."""
        return self._equals[task, digest]

    def write(self) -> None:
        """Write it. What is known stays known."""
        if self._calls:
            hot.execute(self.connection, _ADD_CALL, self._calls)
        if self._answers:
            journal.keep(self.connection, self._answers)
        if self._changed:
            hot.execute(
                self.connection, _CHANGE_TASK, [_new(key, each, _WRITTEN) for key, each in self._changed.items()]
            )
        if self._moved:
            write_balances(self.connection, self._moved)
        self._clear()

    def forget(self) -> None:
        """Others write from now on: nothing is known, and what was to be written is not."""
        self._tasks, self._balances = {}, {}
        self._clear()

    def _clear(self) -> None:
        self._calls, self._answers, self._changed, self._moved = [], {}, {}, {}
        self._equals.clear()


def write_balances(connection: sa.Connection, changed: Mapping[str, Balance]) -> None:
    """These are the balances from now on."""
    hot.execute(connection, _CHANGE_ACCOUNT, [_new(key, each, _BALANCE) for key, each in changed.items()])


def _new(key: str, row: TaskRow | Balance, names: Iterable[str]) -> dict[str, Any]:
    values: dict[str, Any] = {f"new_{name}": getattr(row, name) for name in names}
    values["of_key"] = key
    return values


def lay(connection: sa.Connection) -> Sheet:
    """A transaction begins, perhaps on a connection of one that was not committed."""
    sheet = Sheet(connection)
    connection.info[_SHEET] = sheet
    return sheet


def current(connection: sa.Connection) -> Sheet | None:
    """The sheet that is written on now; None outside of `opened`, where the store itself is read and written."""
    found: Sheet | None = connection.info.get(_SHEET)
    return found if found is not None and found.is_open else None


@contextlib.contextmanager
def opened(connection: sa.Connection) -> Iterator[Sheet]:
    """The transaction's sheet. It is written in the end, unless others that share it go on writing on it."""
    sheet: Sheet | None = connection.info.get(_SHEET)
    if sheet is None:
        sheet = lay(connection)
    sheet.is_open = True
    try:
        yield sheet
        if not sheet.is_shared:
            sheet.write()
    finally:
        sheet.is_open = False
        if not sheet.is_shared:
            sheet.forget()
