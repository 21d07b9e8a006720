"""The arithmetic of an upgrade's verdict, so that a person can follow it: from bad tasks to the decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from math import exp

from proctor.api import names
from proctor.api.agent import Agent
from proctor.api.progress import ExamStatus
from proctor.cli.facts import Listing
from proctor.delivery.evidence import Account, Capital, Kind
from proctor.delivery.evidence.attribution import RATIOS
from proctor.delivery.evidence.figures import Difference, figures_of, written
from proctor.delivery.evidence.mixture import log_mean
from proctor.delivery.evidence.record import UnreadableError, load
from proctor.plan.world import Manifest


def of_verdict(agent: Agent, evidence: Listing) -> str | None:
    """The verdict's arithmetic, line by line; None while nothing is compared, or nobody may see the evidence."""
    rollout = agent.status.rollout
    if rollout is None or rollout.verdict is None:
        return None
    # Once an upgrade has ended, the status names the revision alone.
    revision = agent.status.revision.candidate or next(iter(agent.status.revision.blocked), "")
    name = rollout.evidence_ref or names.of_record(agent.metadata.name, "evidence", revision)
    capital = _capital(evidence.items, name)
    if capital is None or not capital.accounts:
        return None
    alpha, beta = float(agent.spec.rollout.analysis.alpha), float(agent.spec.rollout.analysis.beta)
    figures = figures_of(capital, alpha, beta, timedelta())
    differences = {one.name: one.difference for one in figures.metrics}
    return "\n".join([*_metrics(capital, differences, beta), *_whole(capital, alpha)])


def of_exam(agent: Agent, seen: ExamStatus) -> str:
    """Which cases stable passes and the candidate does not, and how that was weighed."""
    rules = next((each for each in agent.spec.evals if each.name == seen.name), None)
    allowed = f", maxRegression {rules.max_regression}" if rules else ""
    return (
        f"stable passes {', '.join(seen.regressed)}; the candidate does not\n"
        f"share of cases: stable {seen.baseline}, candidate {seen.passed} of {seen.cases}{allowed}\n"
        f"chance alone does that in {seen.chance} of exams (exact, paired by case); refused from "
        f"analysis.alpha {agent.spec.rollout.analysis.alpha} down"
    )


def _capital(items: tuple[Manifest, ...], name: str) -> Capital | None:
    found = next((each for each in items if each["metadata"]["name"] == name), None)
    try:
        return load(found["data"]["capital"]) if found else None
    except (UnreadableError, KeyError):
        return None


def _metrics(capital: Capital, differences: Mapping[str, Difference | None], beta: float) -> Iterator[str]:
    for name, account in capital.accounts.items():
        yield f"{name}: {_count(account)}; margin {account.metric.margin:g}"
        if difference := differences[name]:
            low, high = _points(difference.low), _points(difference.high)
            yield f"  difference {_points(difference.estimate)} points, about {low} to {high} whenever one looks"
        if account.metric.kind is Kind.BINARY:
            yield (
                f"  worse?  who the bad ones fell on {_e(log_mean(account.attribution))}{_ratio(account)}, "
                f"bets on the difference {_e(log_mean(account.harm))}; half of each: {_e(account.log_harm)}"
            )
        else:
            yield f"  worse?  bets on the difference {_e(account.log_harm)}"
        if account.log_step is not None:
            step = f"worse by less than stepMargin {account.metric.step_margin:g}?"
            yield f"  {step}  {_e(account.log_step)} of 1/beta = {1 / beta:g}, before a weight is raised"
        gate = "" if account.metric.gate else " (not needed)"
        yield f"  no worse by the margin?  {_e(account.log_noninferior)} of 1/beta = {1 / beta:g}{gate}"


def _whole(capital: Capital, alpha: float) -> Iterator[str]:
    weights = sum(account.metric.weight for account in capital.accounts.values())
    if len(capital.accounts) > 1:
        parts = [f"{one.metric.weight / weights:.2g} x {_e(one.log_harm)}" for one in capital.accounts.values()]
        yield f"all metrics: {' + '.join(parts)} = {_e(capital.log_harm)}"
    if capital.accepted:
        yield f"a retry has answered {_e(capital.accepted)} of it: what counts is the harm divided by that"
    yield f"harm at most so far {_e(capital.peak)}; rolled back from 1/alpha = {1 / alpha:g}"
    tasks = f"{capital.candidate_tasks} tasks of the candidate and {capital.stable_tasks} of stable"
    yield f"counted up to assignment {capital.watermark}: {tasks}; digest {capital.digest or 'none'}"


def _count(account: Account) -> str:
    candidate, stable = account.candidate, account.stable
    return f"candidate {_share(candidate.bad, candidate.n)}, stable {_share(stable.bad, stable.n)}"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _share(bad: float, n: int) -> str:
    return f"{bad:g} bad of {n} ({bad / n:.1%})" if n else "no task yet"


def _ratio(account: Account) -> str:
    """The risk ratio that explains best on whom the bad outcomes fell."""
    best = max(range(len(RATIOS)), key=lambda index: account.attribution[index])
    return f" (most for {RATIOS[best]:.2g} times the risk)" if account.attribution[best] > 0 else ""


def _e(logarithm: float) -> str:
    return written(logarithm) if logarithm > -20 else f"{exp(logarithm):.0e}"  # noqa: PLR2004 - beyond three digits
