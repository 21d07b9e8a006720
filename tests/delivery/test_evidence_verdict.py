"""The three verdicts, as a table."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from proctor.api.rollout import OnInconclusive
from proctor.delivery.evidence import (
    Analysis,
    Capital,
    Collecting,
    Exposure,
    Metric,
    Promote,
    Rollback,
    Verdict,
    fold,
    judge,
    retried,
)
from tests.delivery.worlds import METRIC, T0, World, after_all, dice

HOUR = timedelta(hours=1)
ANALYSIS = Analysis()
EXPOSURE = Exposure(T0, 60)
EMPTY = Capital.begin([Metric(METRIC, 0.1)])


def after(stable: float, candidate: float, count: int, margin: float = 0.1) -> Capital:
    """The capital of a world with these failure rates and an even split."""
    return after_all(World(stable, candidate), dice(5), count, margin)


GOOD, BAD, FEW = after(0.05, 0.05, 400), after(0.05, 0.7, 80), after(0.05, 0.05, 60)


@pytest.mark.parametrize(
    ("name", "capital", "analysis", "exposure", "kind", "reason"),
    [
        ("nothing was seen", EMPTY, ANALYSIS, EXPOSURE, Collecting, "Collecting"),
        ("no worse", GOOD, ANALYSIS, EXPOSURE, Promote, "NoWorse"),
        ("worse", BAD, ANALYSIS, EXPOSURE, Rollback, "Harm"),
        ("too little", FEW, ANALYSIS, EXPOSURE, Collecting, "Collecting"),
        ("outage", GOOD, ANALYSIS, replace(EXPOSURE, outage="HTTP 503"), Collecting, "EvidenceUnavailable"),
        ("harm before an outage", BAD, ANALYSIS, replace(EXPOSURE, outage="HTTP 503"), Rollback, "Harm"),
        ("crash loop", EMPTY, ANALYSIS, replace(EXPOSURE, guard="crash loop"), Rollback, "GuardBroken"),
        ("few tasks", GOOD, Analysis(min_tasks=900), EXPOSURE, Collecting, "TooFewTasks"),
        ("too soon", GOOD, Analysis(min_duration=2 * HOUR), EXPOSURE, Collecting, "TooEarly"),
        ("pauses do not count", GOOD, ANALYSIS, replace(EXPOSURE, rested=HOUR), Collecting, "TooEarly"),
        ("tasks used up", FEW, Analysis(max_tasks=60), EXPOSURE, Collecting, "Inconclusive"),
        ("time used up", FEW, Analysis(max_duration=HOUR), EXPOSURE, Collecting, "Inconclusive"),
        ("exposure spent", FEW, Analysis(max_candidate_tasks=60), EXPOSURE, Collecting, "ExposureSpent"),
        ("proven before it was spent", GOOD, Analysis(max_candidate_tasks=60), EXPOSURE, Promote, "NoWorse"),
        ("failures spent", after(0.05, 0.3, 30), Analysis(max_extra_failures=1), EXPOSURE, Collecting, "ExposureSpent"),
        ("nothing to compare", replace(GOOD, accounts={}), ANALYSIS, EXPOSURE, Promote, "NoWorse"),
    ],
)
def test_verdicts(
    name: str, capital: Capital, analysis: Analysis, exposure: Exposure, kind: type[Verdict], reason: str
) -> None:
    """Each state of the evidence has one verdict and says why."""
    verdict = judge(capital, analysis, exposure, T0 + HOUR)
    assert (type(verdict), verdict.reason) == (kind, reason), (name, verdict)
    assert verdict.message


@pytest.mark.parametrize(
    ("then", "kind"),
    [
        (OnInconclusive.HOLD, Collecting),
        (OnInconclusive.REQUIRE_APPROVAL, Collecting),
        (OnInconclusive.ROLLBACK, Rollback),
        (OnInconclusive.PROMOTE, Promote),
    ],
)
def test_an_undecided_end_is_what_the_spec_says(then: OnInconclusive, kind: type[Verdict]) -> None:
    """A search that ends without a verdict ends as onInconclusive says, and never says that it was proven."""
    verdict = judge(FEW, Analysis(max_tasks=60, on_inconclusive=then), EXPOSURE, T0 + HOUR)
    assert isinstance(verdict, kind)
    assert verdict.reason == "Inconclusive"
    if isinstance(verdict, Collecting):
        assert verdict.then is then


def test_collecting_says_how_much_there_is_and_how_much_it_takes() -> None:
    """Seen and expected tasks of the candidate, and the time at the present rate, are numbers."""
    verdict = judge(FEW, ANALYSIS, EXPOSURE, T0 + HOUR)
    assert isinstance(verdict, Collecting)
    assert verdict.seen == FEW.candidate_tasks
    assert verdict.expected is not None
    assert verdict.expected > verdict.seen
    assert verdict.eta is not None
    assert timedelta(minutes=5) < verdict.eta < timedelta(hours=12)


def test_the_expected_number_of_tasks_is_about_what_it_takes() -> None:
    """What is said at the beginning is within a factor of two of what a good candidate then needs."""
    said = judge(after(0.05, 0.05, 20), ANALYSIS, EXPOSURE, T0 + HOUR).figures.tasks_to_go
    taken = next(
        n
        for n in range(40, 800, 10)
        if not judge(after(0.05, 0.05, n), ANALYSIS, EXPOSURE, T0 + HOUR).figures.tasks_to_go
    )
    assert said is not None
    assert taken / 2 < said + 20 < taken * 2


def test_before_the_first_task_there_is_no_eta() -> None:
    """Without a rate there is no time, but there is an expected number of tasks."""
    verdict = judge(EMPTY, ANALYSIS, EXPOSURE, T0 + HOUR)
    assert isinstance(verdict, Collecting)
    assert verdict.eta is None
    assert verdict.expected is not None


def test_harm_names_the_metric_that_speaks_most_against_the_candidate() -> None:
    """With several metrics the message says which one, and its counts."""
    metrics = [Metric("fast", 0.1), Metric(METRIC, 0.1)]
    tasks = (replace(task, bad={**task.bad, "fast": 0.0}) for task in World(0.05, 0.8).tasks(dice(2), 120))
    verdict = judge(fold(Capital.begin(metrics), tasks, T0 + 24 * HOUR), ANALYSIS, EXPOSURE, T0 + HOUR)
    assert isinstance(verdict, Rollback)
    assert verdict.metric == METRIC
    assert "bad on the candidate" in verdict.message
    assert sum(one.share_of_harm for one in verdict.figures.metrics) == pytest.approx(1)


def test_a_metric_that_does_not_gate_is_not_waited_for() -> None:
    """It speaks against a candidate but needs not be shown."""
    metrics = [Metric(METRIC, 0.1), Metric("other", 0.01, gate=False)]
    capital = fold(Capital.begin(metrics), World(0.05, 0.05).tasks(dice(5), 400), T0 + 24 * HOUR)
    assert isinstance(judge(capital, ANALYSIS, EXPOSURE, T0 + HOUR), Promote)


def test_a_candidate_that_has_turned_bad_since_is_not_promoted() -> None:
    """Non-inferiority is what it is now, not what it once was."""
    turned = fold(
        GOOD,
        [replace(task, assignment=1000 + task.assignment) for task in World(0.0, 0.6).tasks(dice(1), 40)],
        T0 + 24 * HOUR,
    )
    assert not isinstance(judge(turned, ANALYSIS, EXPOSURE, T0 + HOUR), Promote)


def test_a_verdict_of_harm_stays_until_it_is_answered() -> None:
    """Good tasks afterwards do not undo it; a retry does, and then asks for as much again."""
    later = fold(
        BAD,
        [replace(task, assignment=1000 + task.assignment) for task in World(0.1, 0.0).tasks(dice(1), 300)],
        T0 + 24 * HOUR,
    )
    assert isinstance(judge(later, ANALYSIS, EXPOSURE, T0 + HOUR), Rollback)
    assert isinstance(judge(retried(BAD, 0.05), ANALYSIS, EXPOSURE, T0 + HOUR), Collecting)


def test_a_margin_too_small_for_the_share_says_that_it_cannot_be_told() -> None:
    """Where no stake is expected to gain, no number is made up."""
    figures = judge(after(0.3, 0.3, 40, margin=0.001), ANALYSIS, EXPOSURE, T0 + HOUR).figures
    assert figures.tasks_to_go is None or figures.tasks_to_go > 5000


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.1), (1.0, 0.1), (0.05, 0.0), (0.05, 1.0)])
def test_an_error_rate_is_between_nothing_and_one(alpha: float, beta: float) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        Analysis(alpha, beta)
