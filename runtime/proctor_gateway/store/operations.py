"""What is run in a transaction: plain functions of a connection, and among them those of the hot path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

T = TypeVar("T")

Operation = Callable[[sa.Connection], T]


class Untouched(Exception):  # noqa: N818 - a fact, not a failure
    """An operation has changed nothing, and is not going to."""


@dataclass(frozen=True)
class Brief(Generic[T]):
    """An operation of a few statements by key, microseconds each, which shares a transaction with others of its kind.

    What it is going to write it may leave on the transaction's sheet. Raising Untouched takes back nothing; if it
    raises anything else, all that share the transaction are taken back and run again, each for itself.
    """

    operation: Operation[T]

    def __call__(self, connection: sa.Connection) -> T:
        """Run it."""
        return self.operation(connection)


@dataclass(frozen=True)
class Result:
    """What an operation gave, or the exception that took it back."""

    value: Any = None
    error: Exception | None = None
