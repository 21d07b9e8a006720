"""Stages "reserve" and "settle" of the call path: what a call may cost is set aside before, and settled after.

Every function runs inside the transaction that writes the call down or settles it, with the task's row locked: a call
without its reserve, or a reserve without its call, cannot be. A limit of one task is not a budget: `limits.py`.
"""

from __future__ import annotations

import sqlalchemy as sa

from proctor_gateway.calls import Intent, Outcome
from proctor_gateway.tasks import Fault


def reserve(connection: sa.Connection, intent: Intent, sequence: int) -> Fault | None:  # noqa: ARG001 - no budgets yet
    """Set aside what the call may cost at most; a fault if no budget has room for it."""
    return None


def settle(connection: sa.Connection, task: str, sequence: int, outcome: Outcome) -> None:
    """What the call has cost takes the place of what was set aside."""


def keep(connection: sa.Connection, task: str, sequence: int) -> None:
    """Nobody can say what the call has cost: what was set aside stays taken."""
