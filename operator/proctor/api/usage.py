"""What an agent has used, and what its budgets have left: as the gateway counted it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from proctor.api.fields import ATOMIC, Time
from proctor.api.meta import Report


class UsageStatus(Report):
    """What the agent has used since midnight UTC, and the budget that has the least left."""

    tasks_today: int = 0
    """Tasks begun."""
    cost_today: str = "0"
    """What its calls have cost, in the installation's currency."""
    tokens_today: int = 0
    """In and out."""
    reserved_today: str | None = None
    """What is set aside for calls under way, and for calls of which nobody knows what they cost."""
    budget_remaining: str | None = None
    """The smallest share that is left of any budget, such as "0.61". Absent: no budget bounds the agent."""
    resets_at: Time | None = None
    """When that budget is full again."""
    exhausted: Annotated[tuple[str, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """The budgets that refuse calls or tasks now."""
    over: Annotated[tuple[str, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """The budgets that are exceeded and only warn."""
    as_of: Time | None = None
    """When it was counted."""
