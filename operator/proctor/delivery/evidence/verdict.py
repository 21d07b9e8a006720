"""What the evidence says of a candidate: roll back, promote, or go on collecting. No data is none of the first two."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import log
from typing import assert_never

from proctor.api.rollout import OnInconclusive
from proctor.delivery.evidence.capital import Capital
from proctor.delivery.evidence.figures import Figures, figures_of


@dataclass(frozen=True)
class Analysis:
    """The errors that are accepted and the limits of the search. The metrics are in the capital, fixed at its start."""

    alpha: float = 0.05
    """The accepted chance of ever rolling back a candidate that is no worse."""
    beta: float = 0.10
    """The accepted chance of promoting one that is worse by a margin."""
    min_tasks: int = 20
    """Tasks of the candidate without which nothing is promoted."""
    min_duration: timedelta = timedelta(minutes=10)
    """Time on live tasks without which nothing is promoted."""
    max_tasks: int | None = 2000
    """Tasks of both arms after which the search ends undecided."""
    max_duration: timedelta | None = None
    on_inconclusive: OnInconclusive = OnInconclusive.HOLD
    max_candidate_tasks: int | None = None
    """Tasks that the candidate may be given before it is proven."""
    max_extra_failures: float | None = None
    """Bad outcomes that the candidate may cost, as estimated, more than the stable revision would have."""

    def __post_init__(self) -> None:
        """Raises ValueError for an error rate that is none."""
        if not (0 < self.alpha < 1 and 0 < self.beta < 1):
            raise ValueError(f"alpha {self.alpha} and beta {self.beta} must be between 0 and 1")


@dataclass(frozen=True)
class Exposure:
    """What is known of the rollout beside its tasks' outcomes."""

    begun: datetime
    """When the candidate got its first live task, or was first meant to."""
    candidate_tasks: int
    """Tasks that the candidate was given, open ones included."""
    rested: timedelta = timedelta()
    """Time since then that does not count: pauses, approvals."""
    outage: str | None = None
    """Why outcomes cannot be read at present."""
    guard: str | None = None
    """A hard guard that was broken elsewhere than in a task, such as a crash loop."""
    is_spent: bool = False
    """Whether it holds already because the exposure is spent: an estimate about its limit is not to lift that."""

    def elapsed(self, now: datetime) -> timedelta:
        """Time for which the candidate has been on live tasks."""
        return max(timedelta(), now - self.begun - self.rested)


@dataclass(frozen=True)
class Promote:
    """Every gating metric was shown no worse by its margin."""

    reason: str
    message: str
    figures: Figures


@dataclass(frozen=True)
class Rollback:
    """The candidate was shown to be worse, or broke a guard."""

    reason: str
    message: str
    figures: Figures
    metric: str | None = None
    """The one that speaks most against it."""


@dataclass(frozen=True)
class Collecting:
    """Neither: the weight stays as it is."""

    reason: str
    message: str
    figures: Figures
    seen: int
    """Tasks of the candidate that were counted."""
    expected: int | None
    """How many a verdict is expected to take in all; None if that cannot be told."""
    eta: timedelta | None
    """How long that takes at the present rate."""
    then: OnInconclusive | None = None
    """Set once the search has ended undecided: what is to happen now."""
    is_spent: bool = False
    """Whether the candidate may be given no more tasks until a person says so."""


Verdict = Promote | Rollback | Collecting


def judge(capital: Capital, analysis: Analysis, exposure: Exposure, now: datetime) -> Verdict:
    """The verdict on all that was folded so far. In this order: guards, harm, outage, promotion, limits.

    Harm is judged by the most that its evidence ever came to, so that a verdict does not depend on when one looks;
    non-inferiority by what it is now, so that a candidate that has turned bad since is not promoted.
    """
    elapsed = exposure.elapsed(now)
    figures = figures_of(capital, analysis.alpha, analysis.beta, elapsed)
    guard = exposure.guard or (capital.broken.reason if capital.broken else None)
    if guard:
        return Rollback("GuardBroken", guard, figures)
    if capital.peak >= -log(analysis.alpha):
        return _harmful(figures)
    if exposure.outage:
        message = f"outcomes cannot be read ({exposure.outage}); the evidence rests"
        return _collecting("EvidenceUnavailable", message, analysis, figures)
    return _searching(analysis, exposure, figures, elapsed)


def _searching(analysis: Analysis, exposure: Exposure, figures: Figures, elapsed: timedelta) -> Verdict:
    missing = _missing(analysis, figures, elapsed)
    if missing is None:
        return Promote("NoWorse", figures.promotion_words, figures)
    if ended := _ended(analysis, figures, elapsed):
        return _undecided(f"{ended} without a verdict; {missing[1]}", analysis, figures)
    if spent := _spent(analysis, figures, exposure):
        return _collecting("ExposureSpent", f"{spent}; {missing[1]}", analysis, figures, is_spent=True)
    return _collecting(*missing, analysis, figures)


def _harmful(figures: Figures) -> Rollback:
    worst = max(figures.metrics, key=lambda one: one.share_of_harm)
    message = f"worse than stable in {worst.name}: {worst.counts}; {figures.harm_words}"
    return Rollback("Harm", message, figures, worst.name)


def _missing(analysis: Analysis, figures: Figures, elapsed: timedelta) -> tuple[str, str] | None:
    """Why there is no promotion yet, in a word and in a sentence; None if there is."""
    if any(one.gate and not one.is_noninferior for one in figures.metrics):
        return "Collecting", figures.progress_words
    if figures.candidate_tasks < analysis.min_tasks:
        return "TooFewTasks", f"{figures.candidate_tasks} of {analysis.min_tasks} tasks of the candidate"
    if elapsed < analysis.min_duration:
        return "TooEarly", f"{_minutes(elapsed)} of {_minutes(analysis.min_duration)} on live tasks"
    return None


def _ended(analysis: Analysis, figures: Figures, elapsed: timedelta) -> str | None:
    tasks = figures.candidate_tasks + figures.stable_tasks
    if analysis.max_tasks is not None and tasks >= analysis.max_tasks:
        return f"{tasks} tasks"
    if analysis.max_duration is not None and elapsed >= analysis.max_duration:
        return _minutes(elapsed)
    return None


def _spent(analysis: Analysis, figures: Figures, exposure: Exposure) -> str | None:
    limit = analysis.max_candidate_tasks
    if limit is not None and exposure.candidate_tasks >= limit:
        return f"the candidate was given {exposure.candidate_tasks} of at most {limit} tasks"
    cost = max((one.difference.estimate * one.candidate.n for one in figures.metrics if one.difference), default=0.0)
    most = analysis.max_extra_failures
    if most is not None and cost >= (most / 2 if exposure.is_spent else most):
        return f"the candidate cost {cost:.1f} bad outcomes more than stable would have"
    return None


def _undecided(message: str, analysis: Analysis, figures: Figures) -> Verdict:
    match analysis.on_inconclusive:
        case OnInconclusive.ROLLBACK:
            return Rollback("Inconclusive", f"{message}; onInconclusive is Rollback", figures)
        case OnInconclusive.PROMOTE:
            return Promote("Inconclusive", f"{message}; onInconclusive is Promote", figures)
        case OnInconclusive.HOLD | OnInconclusive.REPLAY | OnInconclusive.REQUIRE_APPROVAL as then:
            return _collecting("Inconclusive", message, analysis, figures, then=then)
        case _:
            assert_never(analysis.on_inconclusive)


def _collecting(
    reason: str,
    message: str,
    analysis: Analysis,
    figures: Figures,
    *,
    then: OnInconclusive | None = None,
    is_spent: bool = False,
) -> Collecting:
    expected = figures.expected_candidate_tasks
    wanted = None if expected is None else max(expected, analysis.min_tasks)
    return Collecting(reason, message, figures, figures.candidate_tasks, wanted, figures.eta, then, is_spent)


def _minutes(duration: timedelta) -> str:
    return f"{duration.total_seconds() / 60:.0f}m"
