"""Indicators of one's own: CEL over each task that ended, added up by window.

What was said in a task is kept for a shorter time than how it ended. An expression that needs it (`task.input`,
`task.output`, `task.metadata`) cannot say anything about a task that is gone: such a task is not counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from proctor.api.cel import ExpressionError, Language, Type
from proctor_gateway.rules.arms import Arm
from proctor_gateway.rules.tasks import Phase
from proctor_gateway.store.indicators import Sums
from proctor_gateway.store.tables import outcomes, tasks

TASK: Final = Language(task=Type.OBJECT)
"""What the expressions see: `task`, with how it ended and, while it is kept, what was said."""

_REMEMBERED: Final = 200_000
_WORDS: Final = ("input", "output", "metadata")

_COLUMNS: Final = (
    outcomes.c.task,
    outcomes.c.namespace,
    outcomes.c.agent,
    outcomes.c.revision,
    outcomes.c.arm,
    outcomes.c.phase,
    outcomes.c.reason,
    outcomes.c.attempts,
    outcomes.c.seconds,
    outcomes.c.steps,
    outcomes.c.tool_calls,
    outcomes.c.tool_errors,
    outcomes.c.input_tokens,
    outcomes.c.output_tokens,
    outcomes.c.cost,
    outcomes.c.escalated,
    outcomes.c.confidence,
    outcomes.c.feedback,
    outcomes.c.quality,
    outcomes.c.finished_at,
    outcomes.c.deadline,
    tasks.c.id.label("kept"),
)
_SAID: Final = (tasks.c.input, tasks.c.output, tasks.c.metadata)


@dataclass(frozen=True)
class Expressions:
    """Which tasks count, and which of them are good."""

    good: str
    total: str

    @property
    def need_what_was_said(self) -> bool:
        """Whether they look at more than how the task ended."""
        return any(word in text for word in _WORDS for text in (self.good, self.total))


Verdict = tuple[bool, bool]
"""Good, and counted."""


class Verdicts:
    """What expressions said of tasks that ended. Such a task changes only by what somebody says of it later."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], Verdict] = OrderedDict()

    def of(self, row: Any, expressions: Expressions) -> Verdict:
        """The verdict on the row."""
        key = (row.task, expressions, row.feedback, row.quality, row.kept is None)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _judge(row, expressions)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found


def count(
    connection: sa.Connection,
    place: tuple[str, str],
    customs: Sequence[Expressions],
    edges: Sequence[datetime],
    verdicts: Verdicts,
) -> Iterator[tuple[tuple[Sums, ...], tuple[Sums, ...]]]:
    """For each of the expressions, the sums in each window that begins at one of the edges: of all, and of stable."""
    if not customs:
        return
    namespace, agent = place
    query = _rows(with_said=any(each.need_what_was_said for each in customs)).where(
        outcomes.c.namespace == namespace, outcomes.c.agent == agent, outcomes.c.finished_at > min(edges)
    )
    rows = connection.execute(query).all()
    for each in customs:
        judged = [(_at(row), row.arm == Arm.CANDIDATE, *verdicts.of(row, each)) for row in rows if _counts(row)]
        stable = [event for event in judged if not event[1]]
        yield tuple(_sums(judged, edge) for edge in edges), tuple(_sums(stable, edge) for edge in edges)


def _rows(*, with_said: bool) -> sa.Select[Any]:
    columns = (*_COLUMNS, *(_SAID if with_said else ()))
    return sa.select(*columns).select_from(outcomes.outerjoin(tasks, tasks.c.id == outcomes.c.task))


def ended(connection: sa.Connection, ended_tasks: Sequence[str]) -> Sequence[Any]:
    """How these tasks ended, and what was said in them."""
    return connection.execute(_rows(with_said=True).where(outcomes.c.task.in_(ended_tasks))).all()


def judged(row: Any, expressions: Expressions, verdicts: Verdicts) -> Sums:
    """Good events of all events in one row."""
    if not _counts(row):
        return 0, 0
    good, counted = verdicts.of(row, expressions)
    return int(good), int(counted)


def _counts(row: Any) -> bool:
    return bool(row.phase != Phase.CANCELLED or _at(row) < row.finished_at)


def _at(row: Any) -> datetime:
    at: datetime = min(row.finished_at, row.deadline or row.finished_at)
    return at


def _sums(judged: Iterable[tuple[datetime, bool, bool, bool]], edge: datetime) -> Sums:
    within = [(good, counted) for at, _, good, counted in judged if at > edge]
    return sum(good for good, _ in within), sum(counted for _, counted in within)


def _judge(row: Any, expressions: Expressions) -> Verdict:
    """An expression that fails does not say that the task was good, nor, where it cannot know, that it was bad."""
    task = _task(row)
    try:
        if not TASK.holds(expressions.total, {"task": task}):
            return False, False
        return TASK.holds(expressions.good, {"task": task}), True
    except ExpressionError:
        is_gone = row.kept is None and expressions.need_what_was_said
        return False, not is_gone and _is_counted(expressions.total, task)


def _is_counted(total: str, task: Mapping[str, Any]) -> bool:
    try:
        return TASK.holds(total, {"task": task})
    except ExpressionError:
        return False


def _task(row: Any) -> dict[str, Any]:
    task = {
        "id": row.task,
        "revision": row.revision,
        "phase": row.phase,
        "reason": row.reason,
        "attempts": row.attempts,
        "seconds": row.seconds,
        "steps": row.steps,
        "toolCalls": row.tool_calls,
        "toolErrors": row.tool_errors,
        "inputTokens": row.input_tokens,
        "outputTokens": row.output_tokens,
        "cost": None if row.cost is None else float(row.cost),
        "escalated": row.escalated,
        "confidence": row.confidence,
        "success": row.feedback,
        "quality": row.quality,
    }
    if row.kept is not None and hasattr(row, "input"):
        task |= {"input": row.input, "output": row.output, "metadata": row.metadata}
    return task


def edges_of(windows: Sequence[timedelta], now: datetime) -> list[datetime]:
    """Where windows that end now begin."""
    return [now - each for each in windows]
