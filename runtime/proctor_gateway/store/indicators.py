"""What of an agent's live tasks counts as good for its objectives: one statement for an agent, whatever its windows.

An event is counted once: rows of `outcomes` have the task as their key, and a task that is overdue but has not ended
is read by the same statement, so at one moment of the store. A task counts at its end, or at its deadline if that came
first. A cancelled task counts nowhere, unless it was overdue by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from proctor.api.objectives import IndicatorType
from proctor_gateway.rules.arms import Arm
from proctor_gateway.rules.tasks import Phase, Purpose
from proctor_gateway.store.tables import UtcTime, outcomes, tasks

_STATEMENTS: Final = 256

Sums = tuple[int, int]
"""Good events, and all."""


@dataclass(frozen=True)
class Counted:
    """An indicator that a row of `outcomes` decides. The threshold is in seconds for Latency."""

    type: IndicatorType
    threshold: float | None = None


@dataclass(frozen=True)
class Asked:
    """What to count of one agent. The windows are in ascending order."""

    namespace: str
    agent: str
    indicators: tuple[Counted, ...]
    windows: tuple[timedelta, ...]


@dataclass(frozen=True)
class Found:
    """The sums of each indicator in each window, in the order asked for; `stable` without tasks of a candidate."""

    all: tuple[tuple[Sums, ...], ...]
    stable: tuple[tuple[Sums, ...], ...]
    newest: datetime | None
    tasks_today: int
    cost_today: float


def count(connection: sa.Connection, asked: Asked, now: datetime) -> Found:
    """Count, in one statement."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    edges = [now - window for window in asked.windows]
    values: dict[str, Any] = {"namespace": asked.namespace, "agent": asked.agent, "now": now, "midnight": midnight}
    values |= {f"edge_{index}": edge for index, edge in enumerate(edges)}
    values |= {f"threshold_{index}": each.threshold for index, each in enumerate(asked.indicators)}
    values["oldest"] = min([midnight, *edges])
    shape = tuple(each.type for each in asked.indicators)
    rows = connection.execute(_statement(shape, len(edges)), values).all()
    return Found(
        all=_cumulated(rows, len(shape), len(edges)),
        stable=_cumulated([row for row in rows if not row.on_candidate], len(shape), len(edges)),
        newest=max((row.newest for row in rows if row.newest is not None), default=None),
        tasks_today=sum(row.tasks_today for row in rows),
        cost_today=sum(row.cost_today for row in rows),
    )


def _cumulated(rows: Sequence[Any], indicators: int, windows: int) -> tuple[tuple[Sums, ...], ...]:
    """Each row holds the events between two edges; a window holds all up to its own."""

    def sums(indicator: int, window: int) -> Sums:
        within = [row for row in rows if row.bucket <= window]
        return (
            sum(int(getattr(row, f"good_{indicator}")) for row in within),
            sum(int(getattr(row, f"total_{indicator}")) for row in within),
        )

    return tuple(tuple(sums(indicator, window) for window in range(windows)) for indicator in range(indicators))


@lru_cache(maxsize=_STATEMENTS)
def _statement(shape: tuple[IndicatorType, ...], windows: int) -> sa.Select[Any]:
    of = _placed(windows).c
    today = sa.and_(of.ended, of.at >= _moment("midnight"))
    sums: list[Any] = []
    for index, type_ in enumerate(shape):
        good, total = _JUDGES[type_](of, sa.bindparam(f"threshold_{index}", type_=sa.Float))
        sums += [sa.func.sum(good).label(f"good_{index}"), sa.func.sum(total).label(f"total_{index}")]
    return sa.select(
        of.bucket,
        of.on_candidate,
        sa.func.max(of.at).label("newest"),
        sa.func.sum(_one(today)).label("tasks_today"),
        sa.func.sum(sa.case((sa.and_(today, of.cost.is_not(None)), of.cost), else_=0.0)).label("cost_today"),
        *sums,
    ).group_by(of.bucket, of.on_candidate)


def _placed(windows: int) -> Any:
    """The events, each with the smallest window that it falls into."""
    events = _events()
    edges = [(events.c.at > _moment(f"edge_{index}"), index) for index in range(windows)]
    # What is older than every window is read for the sake of today alone.
    bucket = sa.case(*edges, else_=windows) if edges else sa.literal(0)
    on_candidate = sa.func.coalesce(events.c.arm == Arm.CANDIDATE, sa.false())
    # Columns of their own, so that a database groups by them and not by expressions with parameters in them.
    return sa.select(events, bucket.label("bucket"), on_candidate.label("on_candidate")).subquery("placed")


def _moment(name: str) -> Any:
    return sa.bindparam(name, type_=UtcTime)


def _events() -> Any:
    """Ended tasks, and those that are overdue: at the time at which they count."""
    ended = sa.select(
        sa.case(
            (outcomes.c.deadline < outcomes.c.finished_at, outcomes.c.deadline), else_=outcomes.c.finished_at
        ).label("at"),
        outcomes.c.arm,
        sa.true().label("ended"),
        (outcomes.c.phase == Phase.SUCCEEDED).label("succeeded"),
        (outcomes.c.phase == Phase.CANCELLED).label("cancelled"),
        sa.func.coalesce(outcomes.c.deadline < outcomes.c.finished_at, sa.false()).label("late"),
        outcomes.c.seconds,
        outcomes.c.tool_calls,
        outcomes.c.tool_errors,
        sa.cast(outcomes.c.cost, sa.Double).label("cost"),
        outcomes.c.escalated,
        outcomes.c.feedback,
        outcomes.c.quality,
    ).where(
        outcomes.c.namespace == sa.bindparam("namespace"),
        outcomes.c.agent == sa.bindparam("agent"),
        outcomes.c.finished_at > _moment("oldest"),
    )
    overdue = sa.select(
        tasks.c.deadline,
        tasks.c.arm,
        sa.false(),
        sa.false(),
        sa.false(),
        sa.true(),
        sa.cast(sa.literal(0.0), sa.Float),
        sa.literal(0),
        sa.literal(0),
        sa.cast(sa.null(), sa.Double),
        sa.false(),
        sa.cast(sa.null(), sa.Boolean),
        sa.cast(sa.null(), sa.Float),
    ).where(
        tasks.c.namespace == sa.bindparam("namespace"),
        tasks.c.agent == sa.bindparam("agent"),
        # One that waits for people has no clock running.
        tasks.c.phase == Phase.RUNNING,
        tasks.c.purpose == Purpose.LIVE,
        tasks.c.deadline < _moment("now"),
    )
    return sa.union_all(ended, overdue).subquery("events")


def _one(condition: Any) -> Any:
    return sa.case((condition, 1), else_=0)


def _task_success(of: Any, _threshold: Any) -> tuple[Any, Any]:
    """A valid answer, in time, by the agent itself; whoever knows better overrules it."""
    itself = sa.and_(of.succeeded, sa.not_(of.late), sa.not_(of.escalated))
    total = sa.or_(sa.not_(of.cancelled), of.late)
    return _one(sa.and_(total, sa.func.coalesce(of.feedback, itself))), _one(total)


def _latency(of: Any, threshold: Any) -> tuple[Any, Any]:
    total = sa.or_(sa.not_(of.cancelled), of.late)
    return _one(sa.and_(total, of.ended, of.seconds <= threshold)), _one(total)


def _tool_success(of: Any, _threshold: Any) -> tuple[Any, Any]:
    """Calls that were denied are not among `tool_calls`: a policy that holds is no failure of a tool."""
    return of.tool_calls - of.tool_errors, of.tool_calls


def _quality(of: Any, threshold: Any) -> tuple[Any, Any]:
    return _one(of.quality >= threshold), _one(of.quality.is_not(None))


def _cost(of: Any, threshold: Any) -> tuple[Any, Any]:
    """A cost that nobody knows is neither good nor bad."""
    return _one(of.cost <= threshold), _one(of.cost.is_not(None))


def _escalation(of: Any, _threshold: Any) -> tuple[Any, Any]:
    total = sa.and_(of.ended, sa.not_(of.cancelled))
    return _one(sa.and_(total, sa.not_(of.escalated))), _one(total)


_JUDGES: Final[dict[IndicatorType, Callable[[Any, Any], tuple[Any, Any]]]] = {
    IndicatorType.TASK_SUCCESS: _task_success,
    IndicatorType.LATENCY: _latency,
    IndicatorType.TOOL_SUCCESS: _tool_success,
    IndicatorType.QUALITY: _quality,
    IndicatorType.COST_PER_TASK: _cost,
    IndicatorType.ESCALATION: _escalation,
}
