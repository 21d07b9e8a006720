"""What counts as good: every indicator, on both engines, against the same rows judged one by one."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from proctor.api.objectives import IndicatorType
from proctor_gateway.measures.goodness import judged
from proctor_gateway.measures.indicators import Question, answer
from proctor_gateway.store.custom import Verdicts
from proctor_gateway.store.database import Database
from proctor_gateway.store.indicators import Asked, Counted, Found, count
from proctor_gateway.store.tables import outcomes, tasks

NOW = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOWS = (timedelta(minutes=5), HOUR, timedelta(days=1), timedelta(days=28))
EVERY = (
    Counted(IndicatorType.TASK_SUCCESS),
    Counted(IndicatorType.LATENCY, 10.0),
    Counted(IndicatorType.TOOL_SUCCESS),
    Counted(IndicatorType.QUALITY, 0.8),
    Counted(IndicatorType.COST_PER_TASK, 0.05),
    Counted(IndicatorType.ESCALATION),
)


def outcome(name: str, *, ago: timedelta = timedelta(minutes=1), **more: Any) -> dict[str, Any]:
    """A task that succeeded so long ago."""
    return {
        "task": name,
        "namespace": "support",
        "agent": "refunds",
        "revision": "aa",
        "arm": None,
        "deadline": NOW - ago + timedelta(seconds=30),
        "phase": "Succeeded",
        "reason": None,
        "attempts": 1,
        "seconds": 2.0,
        "steps": 1,
        "tool_calls": 0,
        "tool_errors": 0,
        "input_tokens": 1,
        "output_tokens": 1,
        "cost": Decimal("0.01"),
        "escalated": False,
        "feedback": None,
        "quality": None,
        "finished_at": NOW - ago,
        **more,
    }


def running(name: str, *, overdue: timedelta, **more: Any) -> dict[str, Any]:
    """A task that is still worked on so long after its deadline."""
    return {
        "id": name,
        "namespace": "support",
        "agent": "refunds",
        "principal": "p",
        "body_digest": "",
        "metadata": {},
        "purpose": "Live",
        "trace_id": "",
        "parent_span": "",
        "created_at": NOW - overdue - HOUR,
        "phase": "Running",
        "revision": "aa",
        "arm": None,
        "attempts": 1,
        "losses": 0,
        "deadline": NOW - overdue,
        "live": True,
        "sequence": 0,
        "steps": 0,
        "tool_calls": 5,
        "input_tokens": 0,
        "output_tokens": 0,
        "cost": Decimal(0),
        **more,
    }


async def counted(
    database: Database, *rows: dict[str, Any], windows: tuple[timedelta, ...] = WINDOWS, indicators=EVERY
) -> Found:
    """What is counted when the store holds these rows."""

    def fill(connection: sa.Connection) -> None:
        for row in rows:
            connection.execute(sa.insert(outcomes if "task" in row else tasks), row)

    await database.write(fill)
    return await database.read(lambda c: count(c, Asked("support", "refunds", indicators, windows), NOW))


LATE = {"deadline": NOW - timedelta(minutes=2)}
# In the order of EVERY: (good, total) of TaskSuccess, Latency, ToolSuccess, Quality, CostPerTask, Escalation.
ROWS: dict[str, tuple[dict[str, Any], list[tuple[int, int]]]] = {
    "an answer": ({}, [(1, 1), (1, 1), (0, 0), (0, 0), (1, 1), (1, 1)]),
    "an answer that took long": ({"seconds": 10.5}, [(1, 1), (0, 1), (0, 0), (0, 0), (1, 1), (1, 1)]),
    "an answer just in time": ({"seconds": 10.0}, [(1, 1), (1, 1), (0, 0), (0, 0), (1, 1), (1, 1)]),
    "no answer": ({"phase": "Failed"}, [(0, 1), (1, 1), (0, 0), (0, 0), (1, 1), (1, 1)]),
    "nobody knows": ({"phase": "Indeterminate"}, [(0, 1), (1, 1), (0, 0), (0, 0), (1, 1), (1, 1)]),
    "cancelled": ({"phase": "Cancelled"}, [(0, 0), (0, 0), (0, 0), (0, 0), (1, 1), (0, 0)]),
    "cancelled when overdue": (
        {"phase": "Cancelled", "seconds": 99.0, **LATE},
        [(0, 1), (0, 1), (0, 0), (0, 0), (1, 1), (0, 0)],
    ),
    "an answer after the deadline": (LATE, [(0, 1), (1, 1), (0, 0), (0, 0), (1, 1), (1, 1)]),
    "never begun": ({"phase": "Failed", "deadline": None}, [(0, 1), (1, 1), (0, 0), (0, 0), (1, 1), (1, 1)]),
    "a person answered": ({"escalated": True}, [(0, 1), (1, 1), (0, 0), (0, 0), (1, 1), (0, 1)]),
    "judged to be wrong": ({"feedback": False, "quality": 0.0}, [(0, 1), (1, 1), (0, 0), (0, 1), (1, 1), (1, 1)]),
    "judged to be right after all": (
        {"phase": "Failed", "feedback": True, "quality": 1.0},
        [(1, 1), (1, 1), (0, 0), (1, 1), (1, 1), (1, 1)],
    ),
    "judged to be good enough": ({"quality": 0.8}, [(1, 1), (1, 1), (0, 0), (1, 1), (1, 1), (1, 1)]),
    "tools that failed": ({"tool_calls": 5, "tool_errors": 2}, [(1, 1), (1, 1), (3, 5), (0, 0), (1, 1), (1, 1)]),
    "expensive": ({"cost": Decimal("0.0501")}, [(1, 1), (1, 1), (0, 0), (0, 0), (0, 1), (1, 1)]),
    "as expensive as may be": ({"cost": Decimal("0.050")}, [(1, 1), (1, 1), (0, 0), (0, 0), (1, 1), (1, 1)]),
    "of unknown cost": ({"cost": None}, [(1, 1), (1, 1), (0, 0), (0, 0), (0, 0), (1, 1)]),
}


@pytest.mark.parametrize(("row", "expected"), ROWS.values(), ids=ROWS)
async def test_what_counts_as_good(database: Database, row: dict[str, Any], expected: list[tuple[int, int]]):
    """Each kind of end, for each indicator: whether it counts, and as what."""
    found = await counted(database, outcome("t", **row))
    assert [each[-1] for each in found.all] == expected
    assert [judged(SimpleNamespace(**outcome("t", **row)), each) for each in EVERY] == expected


async def test_an_overdue_task_counts_at_its_deadline(database: Database):
    """As bad, though it has not ended; one that waits for people, has time left, or is no live task does not."""
    found = await counted(
        database,
        running("late", overdue=HOUR / 2),
        running("in time", overdue=-HOUR),
        running("waits", overdue=HOUR, phase="InputRequired"),
        running("mirrored", overdue=HOUR, purpose="Mirror"),
        running("of another", overdue=HOUR, agent="other"),
    )
    success, latency, *others = found.all
    assert success == latency == ((0, 0), (0, 1), (0, 1), (0, 1))
    assert [each[-1] for each in others] == [(0, 0)] * 4
    assert (found.newest, found.tasks_today) == (NOW - HOUR / 2, 0)


async def test_a_task_that_ends_late_keeps_its_time(database: Database):
    """It counted at its deadline while it ran, and it goes on counting there."""
    late = outcome("t", ago=timedelta(minutes=1), deadline=NOW - timedelta(minutes=30), phase="Failed")
    found = await counted(database, late)
    assert found.all[0] == ((0, 0), (0, 1), (0, 1), (0, 1))


async def test_windows_end_now(database: Database):
    """An event counts in every window that reaches back to it, and not in one that begins just then."""
    ages = (
        timedelta(minutes=1),
        timedelta(minutes=30),
        HOUR,
        timedelta(hours=2),
        timedelta(days=27),
        timedelta(days=29),
    )
    found = await counted(database, *(outcome(f"t{index}", ago=ago) for index, ago in enumerate(ages)))
    assert found.all[0] == ((1, 1), (2, 2), (4, 4), (5, 5))
    assert found.newest == NOW - timedelta(minutes=1)


async def test_the_candidates_tasks_are_told_apart(database: Database):
    """All of them are the users' experience; what the stable revision left of the budget is another number."""
    arms = (None, "Stable", "Candidate", "Candidate")
    rows = (
        outcome(f"t{i}", arm=arm, phase="Failed" if arm == "Candidate" else "Succeeded") for i, arm in enumerate(arms)
    )
    found = await counted(database, *rows)
    assert (found.all[0][-1], found.stable[0][-1]) == ((2, 4), (2, 2))


async def test_other_agents_are_not_counted(database: Database):
    """Not of another name, not in another namespace."""
    found = await counted(database, outcome("a", agent="other"), outcome("b", namespace="other"))
    assert found == Found(((((0, 0),) * 4),) * 6, ((((0, 0),) * 4),) * 6, None, 0, 0)


async def test_usage_is_todays(database: Database):
    """Tasks that ended since midnight in UTC, and what they cost, whatever the windows are."""
    found = await counted(
        database,
        outcome("a", ago=timedelta(hours=7), cost=Decimal("0.10")),
        outcome("b", ago=timedelta(hours=9), cost=Decimal("0.20")),
        outcome("c", cost=None),
        outcome("d", cost=Decimal("0.05"), phase="Cancelled"),
        windows=(timedelta(minutes=5),),
    )
    assert (found.tasks_today, round(found.cost_today, 6)) == (3, 0.15)


async def test_an_agent_may_have_many_indicators_of_one_type(database: Database):
    """Each with its own threshold."""
    indicators = tuple(Counted(IndicatorType.LATENCY, float(seconds)) for seconds in range(16))
    found = await counted(database, outcome("t", seconds=7.5), indicators=indicators)
    assert [good for ((good, _), *_) in found.all] == [0] * 8 + [1] * 8


@pytest.mark.parametrize("seed", range(3))
async def test_many_tasks_are_counted_as_they_are_judged(database: Database, seed: int):
    """Rows of every kind, added up by the database, are what they are one by one."""
    chance, rows = random.Random(seed), []  # noqa: S311 - a simulation
    for index in range(300):
        ago = timedelta(seconds=chance.randint(1, 40 * 86_400))
        feedback = chance.choice([None, None, True, False])
        calls = chance.randint(0, 3)
        rows.append(
            outcome(
                f"t{index}",
                ago=ago,
                deadline=chance.choice([None, NOW - ago + HOUR, NOW - ago - HOUR]),
                phase=chance.choice(["Succeeded", "Succeeded", "Failed", "Cancelled", "Indeterminate"]),
                seconds=chance.uniform(0, 20),
                tool_calls=calls,
                tool_errors=chance.randint(0, calls),
                cost=chance.choice([None, Decimal("0.05"), Decimal("0.1")]),
                escalated=chance.random() < 0.2,
                feedback=feedback,
                quality=None if feedback is None else chance.random(),
            )
        )
    found = await counted(database, *rows)
    for window, edge in enumerate(NOW - each for each in WINDOWS):
        within = [row for row in rows if min(row["finished_at"], row["deadline"] or row["finished_at"]) > edge]
        verdicts = [[judged(SimpleNamespace(**row), each) for each in EVERY] for row in within]
        for indicator in range(len(EVERY)):
            good, total = (sum(each[indicator][part] for each in verdicts) for part in (0, 1))
            assert found.all[indicator][window] == (good, total), (EVERY[indicator].type, WINDOWS[window])


def question(*indicators: dict[str, Any], agent: str = "refunds") -> Question:
    """What the operator asks."""
    asked = {"namespace": "support", "name": agent, "indicators": indicators, "windows": ["28d", "1h"]}
    return Question.model_validate({"agents": [asked]})


async def own(database: Database, good: str, total: str = "true", verdicts: Verdicts | None = None) -> tuple[int, int]:
    """Good events of all events of an indicator of one's own."""
    asked = question({"name": "own", "type": "Custom", "good": good, "total": total})
    found = await answer(database, verdicts or Verdicts(), asked, NOW)
    tally = found["agents"][0]["counts"]["own"]["28d"]
    return tally["good"], tally["total"]


async def stored(database: Database, *rows: dict[str, Any]) -> None:
    """These rows are in the store."""
    await counted(database, *rows)


EXPRESSIONS = {
    "task.phase == 'Succeeded'": (2, 3),
    "task.seconds < 5.0": (2, 3),
    "task.reason == null": (2, 3),
    "task.cost <= 0.02": (3, 3),
    "task.toolErrors == 0": (3, 3),
    "task.confidence > 0.5": (0, 3),
    "task.nonsense": (0, 3),
    "not CEL": (0, 3),
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
async def test_an_indicator_of_ones_own(database: Database, expression: str):
    """CEL over each task; what fails, as over a value that is not there, does not say that the task was good."""
    failed = outcome("c", phase="Failed", reason="Timeout", seconds=9.0)
    await stored(database, outcome("a"), outcome("b"), failed, outcome("d", phase="Cancelled"))
    assert await own(database, expression) == EXPRESSIONS[expression]


async def test_what_counts_may_be_said(database: Database):
    """Only the tasks for which `total` is true; none for which it fails."""
    await stored(database, outcome("a"), outcome("b", seconds=9.0), outcome("c", seconds=9.0, phase="Failed"))
    assert await own(database, "task.phase == 'Succeeded'", "task.seconds > 5.0") == (1, 2)
    assert await own(database, "true", "task.nonsense") == (0, 0)


async def test_what_was_said_counts_while_it_is_kept(database: Database):
    """A task whose answer is gone is not counted by an expression that needs the answer: nobody can say how it was."""
    kept = [running(name, overdue=-HOUR, phase="Succeeded", output={"polite": name == "a"}) for name in ("a", "b")]
    await stored(database, *kept, outcome("a"), outcome("b"), outcome("gone"))
    assert await own(database, "task.output.polite") == (1, 2)
    assert await own(database, "task.phase == 'Succeeded'") == (3, 3)


async def test_a_verdict_is_given_anew_when_somebody_overrules_it(database: Database):
    """Verdicts are remembered, for tasks that ended do not change; but feedback does come later."""
    verdicts = Verdicts()
    await stored(database, outcome("a"))
    assert await own(database, "task.success == true", verdicts=verdicts) == (0, 1)
    await database.write(lambda c: c.execute(sa.update(outcomes).values(feedback=True)))
    assert await own(database, "task.success == true", verdicts=verdicts) == (1, 1)


async def test_the_answer_has_the_agreed_form(database: Database):
    """Counts by indicator and window, without the candidate's apart, the newest event, today's usage."""
    await stored(database, outcome("a"), outcome("b", arm="Candidate", phase="Failed", ago=timedelta(hours=2)))
    asked = question(
        {"name": "answered", "type": "TaskSuccess"}, {"name": "fast", "type": "Latency", "threshold": "1s"}
    )
    assert await answer(database, Verdicts(), asked, NOW) == {
        "asOf": "2026-11-02T08:00:00.000Z",
        "agents": [
            {
                "namespace": "support",
                "name": "refunds",
                "counts": {
                    "answered": {"1h": {"good": 1, "total": 1}, "28d": {"good": 1, "total": 2}},
                    "fast": {"1h": {"good": 0, "total": 1}, "28d": {"good": 0, "total": 2}},
                },
                "stable": {
                    "answered": {"1h": {"good": 1, "total": 1}, "28d": {"good": 1, "total": 1}},
                    "fast": {"1h": {"good": 0, "total": 1}, "28d": {"good": 0, "total": 1}},
                },
                "newest": "2026-11-02T07:59:00.000Z",
                "usage": {"tasksToday": 2, "costToday": "0.020000"},
            }
        ],
    }


async def test_a_fleet_is_counted_in_one_question(database: Database):
    """Each agent by its own rows."""
    await stored(database, *(outcome(f"t{index}", agent=f"agent-{index % 3}") for index in range(7)))
    agents = [question({"name": "a", "type": "TaskSuccess"}, agent=f"agent-{index}").agents[0] for index in range(4)]
    found = await answer(database, Verdicts(), Question(agents=tuple(agents)), NOW)
    assert [each["counts"]["a"]["1h"]["total"] for each in found["agents"]] == [3, 2, 2, 0]
