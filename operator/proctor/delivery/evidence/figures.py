"""The numbers behind a verdict: what a status shows, and what a person can check with a pocket calculator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import ceil, exp, inf, log, log1p, sqrt

from proctor.delivery.evidence import betting
from proctor.delivery.evidence.capital import Account, Capital, Tally
from proctor.delivery.evidence.mixture import Logs, log_mean

_TUNED_FOR = 100
"""The number of tasks at which the interval of a difference is tightest."""
_ENOUGH = 1e6
"""Evidence beyond this is written as this: no decision needs more digits."""


@dataclass(frozen=True)
class Difference:
    """By how much the candidate's share of bad outcomes is higher, as estimated."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class MetricFigures:
    """What one metric has come to."""

    name: str
    margin: float
    gate: bool
    weight: float
    """Its part of all weights."""
    candidate: Tally
    stable: Tally
    difference: Difference | None
    log_harm: float
    share_of_harm: float
    """Its part in the evidence of harm."""
    log_noninferior: float
    beta: float
    tasks_to_go: int | None
    """Tasks of both arms until it is shown no worse, if the arms are alike; 0 if it is, None if that has no end."""
    step_margin: float | None = None
    log_step: float | None = None
    """The evidence that it is not worse by the margin of a step; None while none is asked for."""
    step_tasks_to_go: int | None = 0
    """As `tasks_to_go`, until the weight may be raised."""

    @property
    def may_rise(self) -> bool:
        """Whether the weight may be raised: it is shown worse by less than the margin of a step, if there is one."""
        return self.log_step is None or self.log_step >= -log(self.beta) or self.is_noninferior

    @property
    def is_noninferior(self) -> bool:
        """Whether the candidate was shown not to be worse by the margin."""
        return self.log_noninferior >= -log(self.beta)

    @property
    def counts(self) -> str:
        """Bad outcomes of all, on both arms."""
        return (
            f"{_number(self.candidate.bad)} of {self.candidate.n} bad on the candidate, "
            f"{_number(self.stable.bad)} of {self.stable.n} on stable"
        )

    @property
    def evidence_words(self) -> str:
        """How far it is."""
        return f"{self.name} {written(self.log_noninferior)} of {_number(1 / self.beta)}"


@dataclass(frozen=True)
class Figures:
    """What everything has come to."""

    alpha: float
    beta: float
    log_harm: float
    """Now, above what was answered with a retry."""
    log_harm_peak: float
    candidate_tasks: int
    stable_tasks: int
    propensity: float
    """The share of the tasks that the candidate gets at present."""
    tasks_to_go: int | None
    """Tasks of both arms until a verdict, if the arms are alike."""
    per_task: timedelta | None
    """How long one task takes to come, at the rate so far."""
    metrics: tuple[MetricFigures, ...]

    @property
    def may_rise(self) -> bool:
        """Whether the candidate may get a higher weight: no metric that counts may still be worse by too much."""
        return all(one.may_rise for one in self.metrics if one.gate)

    @property
    def step_words(self) -> str:
        """What is still missing before the weight may be raised."""
        missing = [one for one in self.metrics if one.gate and not one.may_rise]
        return "not yet shown worse by less than the margin of a step: " + ", ".join(
            f"{one.name} {written(one.log_step or 0.0)} of {_number(1 / one.beta)} (stepMargin {one.step_margin:g})"
            for one in missing
        )

    @property
    def step_tasks_to_go(self) -> int | None:
        """Tasks of both arms until the weight may be raised, if the arms are alike."""
        going = [one.step_tasks_to_go for one in self.metrics if one.gate and not one.may_rise]
        return None if None in going else max((count for count in going if count is not None), default=0)

    @property
    def harm_words(self) -> str:
        """The evidence of harm and its threshold."""
        return f"evidence of harm {written(self.log_harm_peak)}, rolled back from {_number(1 / self.alpha)}"

    @property
    def promotion_words(self) -> str:
        """Why it is no worse."""
        shown = ", ".join(f"{one.evidence_words} (margin {_number(one.margin)})" for one in self.metrics if one.gate)
        tasks = f"{self.candidate_tasks} tasks of the candidate"
        return f"no worse than stable after {tasks}: {shown}" if shown else f"{tasks}; nothing was to be compared"

    @property
    def progress_words(self) -> str:
        """What is still missing."""
        missing = ", ".join(one.evidence_words for one in self.metrics if one.gate and not one.is_noninferior)
        return f"not yet shown to be no worse: {missing}; {self.harm_words}"

    @property
    def expected_candidate_tasks(self) -> int | None:
        """Tasks of the candidate that a verdict is expected to take in all."""
        if self.tasks_to_go is None:
            return None
        return self.candidate_tasks + ceil(self.tasks_to_go * self.propensity)

    @property
    def eta(self) -> timedelta | None:
        """How long a verdict is expected to take."""
        if self.tasks_to_go is None or self.per_task is None:
            return None
        return self.per_task * self.tasks_to_go


def figures_of(capital: Capital, alpha: float, beta: float, elapsed: timedelta) -> Figures:
    """All numbers of the capital at these error rates; `elapsed` is the time in which its tasks came."""
    weights = sum(account.metric.weight for account in capital.accounts.values())
    metrics = tuple(_metric(one, capital, weights, alpha, beta) for one in capital.accounts.values())
    going = [one.tasks_to_go for one in metrics if one.gate]
    return Figures(
        alpha,
        beta,
        capital.log_harm - capital.accepted,
        capital.peak,
        capital.candidate_tasks,
        capital.stable_tasks,
        capital.propensity,
        None if None in going else max((count for count in going if count is not None), default=0),
        elapsed / capital.tasks if capital.tasks else None,
        metrics,
    )


def _metric(account: Account, capital: Capital, weights: float, alpha: float, beta: float) -> MetricFigures:
    metric = account.metric
    weight = metric.weight / weights
    return MetricFigures(
        metric.name,
        metric.margin,
        metric.gate,
        weight,
        account.candidate,
        account.stable,
        _difference(account, alpha),
        account.log_harm,
        weight * exp(account.log_harm - capital.log_harm),
        account.log_noninferior,
        beta,
        tasks_to_go(account.noninferior, metric.margin, account.expected, beta, capital.propensity),
        metric.step_margin,
        account.log_step,
        0
        if metric.step_margin is None
        else tasks_to_go(account.step, metric.step_margin, account.expected, beta, capital.propensity),
    )


def tasks_to_go(capitals: Logs, margin: float, rate: float, beta: float, share: float) -> int | None:
    """Tasks of both arms until a metric is shown worse by less than the margin, if both are bad at that rate.

    `share` is the part of the tasks that the candidate gets. None if no stake is expected to gain, as with a margin
    that is small against a small share.
    """
    missing = -log(beta) - log_mean(capitals)
    if missing <= 0:
        return 0
    rho = min(max(share, 0.01), 0.99)
    rates = zip(capitals, betting.STAKES, strict=True)
    growths = [(capital, growth(stake, rate, rho, margin)) for capital, stake in rates]
    count = len(growths)
    needed = ((-log(beta) + log(count) - capital) / rate for capital, rate in growths if rate > 0)
    found = min(needed, default=inf)
    return max(1, ceil(found)) if found < inf else None


def growth(stake: float, rate: float, share: float, margin: float) -> float:
    """What a stake on "no worse by the margin" is expected to gain by one task, as a logarithm.

    Both arms are bad at `rate`, which is known; `share` is the propensity of the candidate. Natural units.
    """
    worst = max((1 - rate) / share, rate / (1 - share))
    total = 0.0
    for candidate, of_arm in ((True, share), (False, 1 - share)):
        for bad, of_outcome in ((1.0, rate), (0.0, 1 - rate)):
            z = betting.difference(bad, candidate=candidate, propensity=share, expected=rate)
            total += of_arm * of_outcome * log1p(stake * (margin - z) / (worst - margin))
    return total


def _difference(account: Account, alpha: float) -> Difference | None:
    """The mean of the estimated differences, with an interval that holds at all times at once, asymptotically.

    For show only: no verdict rests on it. Source: Waudby-Smith et al., Time-uniform central limit theory and asymptotic
    confidence sequences, arXiv:2103.06476, theorem 2.2.
    """
    n = account.n
    if n < 2:  # noqa: PLR2004  # a spread needs two
        return None
    mean = account.differences / n
    spread = max(account.squares / n - mean * mean, 0.0)
    scale = -(log(alpha * alpha)) + log(-2 * log(alpha) + 1)
    squared = max(scale, 1.0) / _TUNED_FOR
    inside = n * squared * spread + 1
    half = sqrt(2 * inside / (n * n * squared) * log(sqrt(inside) / alpha))
    return Difference(mean, max(-1.0, mean - half), min(1.0, mean + half))


def written(evidence: float) -> str:
    """Evidence that is kept as a logarithm, in plain figures."""
    if evidence > log(_ENOUGH):
        return "more than a million"
    return _number(exp(evidence))


def _number(value: float) -> str:
    return f"{value:.3g}"
