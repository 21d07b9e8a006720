"""The watch over a promoted revision: what it alarms at, what it lets pass, and that it goes on after a restart."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from proctor.delivery.evidence import Capital
from proctor.delivery.phases import Upgrade
from proctor.plan import comparison, vigil
from proctor.plan.comparison import Ledger
from proctor.plan.said import Finished, FinishedItem
from proctor.plan.vigil import Vigil, vigil_of, watched
from tests.plan import examples
from tests.plan.examples import T0, after

UPGRADE = Upgrade("u-1", "a" * 10, "b" * 10, "0123456789", T0)
SPEC = examples.agent().spec
MEASURES = comparison.measures_of(SPEC)
LEDGER = Ledger(UPGRADE.id, MEASURES, Capital.begin(each.metric for each in MEASURES))
RUN_LENGTH = 1000


def tasks(first: int, ends: str = "") -> Finished:
    """Tasks that ended one after the other: `.` is good, `x` is bad."""
    items = (
        FinishedItem(
            cursor=f"c{first + number}",
            task=f"t{first + number}",
            revision=UPGRADE.candidate,
            finished_at=after(seconds=first + number),
            phase="Failed" if each == "x" else "Succeeded",
            cost=Decimal("0.01"),
        )
        for number, each in enumerate(ends)
    )
    return Finished(items=tuple(items), as_of=after(hours=1))


def begun() -> Vigil:
    """Right after the promotion."""
    return vigil_of(None, LEDGER, SPEC)


def record_of(found: Vigil) -> dict[str, Any]:
    """The evidence as it is kept."""
    return comparison.make_record(examples.agent(), UPGRADE, LEDGER, None, vigil.kept(found))


def test_a_revision_that_is_as_it_was_is_left_alone() -> None:
    """A failure now and then is within what was promoted."""
    found = watched(begun(), tasks(0, ("." * 19 + "x") * 20))
    assert found.alarm(RUN_LENGTH) is None


def test_a_revision_that_decays_alarms() -> None:
    """Even after a long good time: what was good before does not pay for what is bad now."""
    found = watched(begun(), tasks(0, "." * 500))
    found = watched(found, tasks(500, "x." * 15))
    words = found.alarm(RUN_LENGTH)
    assert words is not None
    assert "15 of 530 tasks bad in success" in words


def test_the_watch_goes_on_where_it_was() -> None:
    """What was kept comes back as it was, and the cursor says which task was the last."""
    half = watched(begun(), tasks(0, "xx."))
    restored = vigil_of(record_of(half), LEDGER, SPEC)
    assert restored == half
    assert restored.cursor == "c2"
    rest = tasks(3, "x.x")
    assert watched(restored, rest) == watched(half, rest)


def test_nothing_new_changes_nothing() -> None:
    """Silence is no evidence."""
    half = watched(begun(), tasks(0, "x"))
    assert watched(half, tasks(0)) == half


def test_another_promotion_is_watched_anew() -> None:
    """The watch of an earlier one is not held against it."""
    kept = record_of(watched(begun(), tasks(0, "x" * 9)))
    other = Ledger("u-2", LEDGER.measures, LEDGER.capital)
    assert vigil_of(kept, other, SPEC).cursor == ""


def test_what_the_objective_allows_is_allowed() -> None:
    """A revision may fail as its objective says and by the margin more."""
    objectives = [{"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "90"}]
    rules = {"analysis": {"metrics": [{"name": "answered", "margin": "0.05"}]}}
    spec = examples.agent(slos=objectives, rollout=rules).spec
    measures = comparison.measures_of(spec)
    ledger = Ledger("u-1", measures, Capital.begin(each.metric for each in measures))
    ((_, watch),) = vigil_of(None, ledger, spec).watches
    assert round(watch.bound, 6) == 0.15
