"""Stage "record" of the call path: what happens to a call is told here, in the transaction that makes it so.

What is told inside a transaction cannot be missing from the record when the call went out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from proctor_gateway.calls import Intent, Outcome
from proctor_gateway.tasks import Fault


def begun(connection: sa.Connection, intent: Intent, sequence: int, fault: Fault | None) -> None:
    """The call was written down: as denied, or to be sent."""


def settled(connection: sa.Connection, task: str, sequence: int, outcome: Outcome) -> None:
    """The outcome of the call is known."""


def told(connection: sa.Connection, task: str, event: str, facts: Mapping[str, Any]) -> None:
    """Something else happened to a task: an approval was asked for or decided, an effect was resolved by a person."""
