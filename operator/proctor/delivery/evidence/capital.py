"""What the evidence of an upgrade has come to: one value that is all there is to keep.

Tasks are folded in the order in which their arms were drawn, up to a watermark: never in the order in which they ended,
for a revision that fails fast would then be counted before one that fails slowly. A task that has not ended by its
deadline is bad; one that still has time holds up all tasks behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from math import inf, log

from proctor.delivery.evidence import attribution, betting
from proctor.delivery.evidence.mixture import Logs, log_mean, log_weighted
from proctor.delivery.evidence.observation import Observation


class Kind(StrEnum):
    """What the values of a metric are."""

    BINARY = "Binary"
    SCORE = "Score"


@dataclass(frozen=True)
class Metric:
    """What is compared. Fixed when the rollout begins; raises ValueError for a margin or a weight that is none."""

    name: str
    margin: float
    """By how much the candidate's share of bad outcomes may be higher and still be called no worse."""
    kind: Kind = Kind.BINARY
    weight: float = 1.0
    """Its part in the evidence of harm, relative to the others."""
    gate: bool = True
    """Whether a promotion needs it to be shown no worse."""
    # Not in the text of a metric that has none, so that evidence kept without it can still be read.
    step_margin: float | None = field(default=None, repr=False)
    """By how much it may be higher and the weight still be raised; None: by anything that is no evidence of harm."""

    def __post_init__(self) -> None:
        """See the class."""
        if not (0 < self.margin < 1 and 0 < self.weight < inf and 0 < (self.step_margin or self.margin) < 1):
            raise ValueError(f"metric {self.name}: margin {self.margin}, weight {self.weight}, {self.step_margin}")


@dataclass(frozen=True)
class Tally:
    """How many outcomes of one arm were counted, and how many of them were bad."""

    n: int = 0
    bad: float = 0.0

    def plus(self, bad: float) -> Tally:
        """With one more outcome."""
        return Tally(self.n + 1, self.bad + bad)

    @property
    def share(self) -> float | None:
        """The share of bad outcomes; None before the first."""
        return self.bad / self.n if self.n else None


@dataclass(frozen=True)
class Account:
    """The capital of one metric."""

    metric: Metric
    attribution: Logs = attribution.BEGIN
    harm: Logs = betting.BEGIN
    noninferior: Logs = betting.BEGIN
    step: Logs = betting.BEGIN
    """As `noninferior`, by the margin of a step; as it began while there is none."""
    candidate: Tally = Tally()
    stable: Tally = Tally()
    differences: float = 0.0
    """The sum of the estimated differences, candidate minus stable."""
    squares: float = 0.0
    """The sum of their squares."""

    @property
    def n(self) -> int:
        """Outcomes of both arms."""
        return self.candidate.n + self.stable.n

    @property
    def expected(self) -> float:
        """The share of bad outcomes that the past lets one expect of the next task; one half before the first."""
        return (0.5 + self.candidate.bad + self.stable.bad) / (1 + self.n)

    @property
    def log_harm(self) -> float:
        """The evidence that the candidate is worse."""
        if self.metric.kind is Kind.SCORE:
            return log_mean(self.harm)
        return log_mean((log_mean(self.attribution), log_mean(self.harm)))

    @property
    def log_noninferior(self) -> float:
        """The evidence that the candidate is not worse by the margin."""
        return log_mean(self.noninferior)

    @property
    def log_step(self) -> float | None:
        """The evidence that it is not worse by the margin of a step; None while none is asked for."""
        return log_mean(self.step) if self.metric.step_margin is not None else None

    def after(self, seen: Observation) -> Account:
        """With one more task; unchanged if the metric does not apply to it."""
        bad = seen.value(self.metric.name)
        if bad is None:
            return self
        rho, expected = seen.propensity, self.expected
        z = betting.difference(bad, candidate=seen.candidate, propensity=rho, expected=expected)
        lesser, margin = self.metric.step_margin, self.metric.margin
        return Account(
            self.metric,
            self._attributed(seen, bad),
            betting.after_harm(self.harm, z, propensity=rho, expected=expected),
            betting.after_noninferior(self.noninferior, z, propensity=rho, expected=expected, margin=margin),
            self.step
            if lesser is None
            else betting.after_noninferior(self.step, z, propensity=rho, expected=expected, margin=lesser),
            self.candidate.plus(bad) if seen.candidate else self.candidate,
            self.stable if seen.candidate else self.stable.plus(bad),
            self.differences + z,
            self.squares + z * z,
        )

    def _attributed(self, seen: Observation, bad: float) -> Logs:
        if self.metric.kind is Kind.SCORE:
            return self.attribution
        if bad not in {0.0, 1.0}:
            raise ValueError(f"task {seen.assignment}: {self.metric.name} is {bad}, but it is either good or bad")
        return attribution.after(self.attribution, propensity=seen.propensity, candidate=seen.candidate, bad=bad == 1.0)


@dataclass(frozen=True)
class Breakage:
    """A guard that a task of the candidate broke."""

    assignment: int
    reason: str


@dataclass(frozen=True)
class Capital:
    """All that is kept of the evidence of one revision against the stable one."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    watermark: int = -1
    """The last task that was folded; it and those before it never count again."""
    candidate_tasks: int = 0
    """Tasks of the candidate that were folded."""
    stable_tasks: int = 0
    peak: float = 0.0
    """The most that the evidence of harm ever came to, above `accepted`, as a logarithm."""
    accepted: float = 0.0
    """The evidence of harm that a person has answered with a retry, as a logarithm."""
    broken: Breakage | None = None
    """The first guard that the candidate broke since the last retry."""
    answered: int = -1
    """Guards that this task or one before it broke have been answered with a retry."""
    propensity: float = 0.5
    """The last chance that a task had to get the candidate."""
    digest: str = ""
    """Of all that was folded, in order: whoever has the same tasks can compute it."""

    @classmethod
    def begin(cls, metrics: Iterable[Metric]) -> Capital:
        """Before the first task."""
        return cls({metric.name: Account(metric) for metric in metrics})

    @property
    def tasks(self) -> int:
        """Tasks that were folded."""
        return self.candidate_tasks + self.stable_tasks

    @property
    def log_harm(self) -> float:
        """The evidence of harm by any metric: the average by weight, so no correction for their number is needed."""
        if not self.accounts:
            return 0.0
        return log_weighted((account.metric.weight, account.log_harm) for account in self.accounts.values())

    @property
    def highest(self) -> float:
        """What the evidence of harm cannot be above."""
        return max((max(*one.attribution, *one.harm) for one in self.accounts.values()), default=0.0)

    @property
    def definition(self) -> str:
        """A digest of what is compared."""
        metrics = sorted((account.metric for account in self.accounts.values()), key=lambda metric: metric.name)
        lesser = [metric.step_margin for metric in metrics]
        told = repr(metrics) if not any(lesser) else f"{metrics!r}{lesser!r}"
        return sha256(told.encode()).hexdigest()[:16]


def fold(capital: Capital, observations: Iterable[Observation], now: datetime) -> Capital:
    """The capital with all tasks that are settled, up to the first that is not.

    The result does not depend on how the tasks are cut into batches, nor on how often one is given. A broken guard
    counts at once, wherever its task stands.
    """
    waiting = sorted(observations, key=lambda seen: seen.assignment)
    capital = replace(capital, broken=capital.broken or _breakage(waiting, capital.answered))
    for seen in waiting:
        if seen.assignment <= capital.watermark:
            continue
        if not seen.is_settled(now):
            break
        capital = _with(capital, seen)
    return capital


def retried(capital: Capital, alpha: float) -> Capital:
    """The capital with which the same revision is tried again: everything it has, so that trying often gains nothing.

    Evidence that was enough to roll back at `alpha` is taken as answered: a rollback needs as much again on top of it,
    which by the conditional form of Ville's inequality a candidate that is no worse meets with the same small chance.
    """
    answered = max(capital.watermark, capital.broken.assignment if capital.broken else -1)
    capital = replace(capital, broken=None, answered=answered)
    return replace(capital, accepted=capital.log_harm, peak=0.0) if capital.peak >= -log(alpha) else capital


def _breakage(waiting: Iterable[Observation], answered: int) -> Breakage | None:
    broken = (seen for seen in waiting if seen.candidate and seen.assignment > answered)
    return next((Breakage(seen.assignment, seen.guard) for seen in broken if seen.guard), None)


def _with(capital: Capital, seen: Observation) -> Capital:
    accounts = capital.accounts
    if seen.is_compared:
        accounts = {name: account.after(seen) for name, account in accounts.items()}
    grown = replace(
        capital,
        accounts=accounts,
        watermark=seen.assignment,
        candidate_tasks=capital.candidate_tasks + seen.candidate,
        stable_tasks=capital.stable_tasks + (not seen.candidate),
        propensity=seen.propensity,
        digest=_digest(capital, seen),
    )
    # A mean is never above the largest of its parts: mostly that alone says that there is no new peak.
    if grown.highest - grown.accepted <= grown.peak:
        return grown
    return replace(grown, peak=max(grown.peak, grown.log_harm - grown.accepted))


def _digest(capital: Capital, seen: Observation) -> str:
    values = ",".join(f"{name}={seen.value(name)!r}" for name in capital.accounts)
    line = f"{capital.digest}/{seen.assignment}/{seen.candidate}/{seen.propensity!r}/{values}"
    return sha256(line.encode()).hexdigest()[:32]
