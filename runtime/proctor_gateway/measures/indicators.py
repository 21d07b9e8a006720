"""The operator's question for what agents' objectives count, and the answer to it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
import structlog
from pydantic import Field

from proctor.api.fields import Duration, Name, format_duration, parse_duration
from proctor.api.meta import Report
from proctor.api.objectives import IndicatorType
from proctor_gateway.rules.tasks import instant
from proctor_gateway.store import custom, indicators
from proctor_gateway.store.custom import Expressions, Verdicts
from proctor_gateway.store.database import Database
from proctor_gateway.store.indicators import Asked, Counted, Found, Sums

log = structlog.get_logger(__name__)


class Indicator(Report):
    """What to count, under a name of the asker's."""

    name: Name
    type: IndicatorType
    threshold: str | None = None
    good: str | None = None
    total: str | None = None

    def counted(self) -> Counted:
        """For the store: a duration in seconds, an amount or a ratio as it is. Raises ValueError."""
        if self.type is IndicatorType.LATENCY:
            return Counted(self.type, parse_duration(self.threshold).total_seconds())
        return Counted(self.type, None if self.threshold is None else float(self.threshold))


class AgentQuestion(Report):
    """What to count of one agent."""

    namespace: Name
    name: Name
    indicators: Annotated[tuple[Indicator, ...], Field(max_length=64)]
    windows: Annotated[tuple[Duration, ...], Field(min_length=1, max_length=512)]


class Question(Report):
    """What to count of many agents. Each is read by itself: one that cannot be read must not blind all others."""

    agents: Annotated[tuple[dict[str, Any], ...], Field(max_length=1000)]


async def answer(database: Database, verdicts: Verdicts, question: Question, now: datetime) -> dict[str, Any]:
    """The counts of every agent, in windows that end now; nothing of one that cannot be read. Raises StoreAway."""
    agents = []
    # One after the other: the store has few readers, and tasks are waiting for them too.
    for each in question.agents:
        try:
            agents.append(await _of(database, verdicts, AgentQuestion.model_validate(each), now))
        except ValueError as exc:
            fault = type(exc).__name__
            log.warning("cannot count", namespace=each.get("namespace"), agent=each.get("name"), fault=fault)
    return {"asOf": instant(now), "agents": agents}


async def _of(database: Database, verdicts: Verdicts, asked: AgentQuestion, now: datetime) -> dict[str, Any]:
    windows = tuple(sorted(set(asked.windows)))
    plain = [each for each in asked.indicators if each.type is not IndicatorType.CUSTOM]
    own = [each for each in asked.indicators if each.type is IndicatorType.CUSTOM]
    query = Asked(asked.namespace, asked.name, tuple(each.counted() for each in plain), windows)
    customs = [Expressions(each.good or "false", each.total or "false") for each in own]

    def read(connection: sa.Connection) -> tuple[Found, list[tuple[tuple[Sums, ...], tuple[Sums, ...]]]]:
        place, edges = (asked.namespace, asked.name), custom.edges_of(windows, now)
        return (
            indicators.count(connection, query, now),
            list(custom.count(connection, place, customs, edges, verdicts)),
        )

    found, special = await database.read(read)
    names = [format_duration(each) for each in windows]

    def told(sums: tuple[Sums, ...]) -> dict[str, dict[str, int]]:
        return {name: {"good": good, "total": total} for name, (good, total) in zip(names, sums, strict=True)}

    every = [
        *zip(plain, found.all, found.stable, strict=True),
        *((each, *s) for each, s in zip(own, special, strict=True)),
    ]
    return {
        "namespace": asked.namespace,
        "name": asked.name,
        "counts": {each.name: told(sums) for each, sums, _ in every},
        "stable": {each.name: told(sums) for each, _, sums in every},
        "newest": instant(found.newest),
        "usage": {"tasksToday": found.tasks_today, "costToday": f"{found.cost_today:.6f}"},
    }
