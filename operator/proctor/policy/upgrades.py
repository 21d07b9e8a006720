"""Is an upgrade as careful as it must be, and may it go on now?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from proctor.api.agent import Agent
from proctor.api.bounds import BudgetGate, FreezeWindow, RequiredStep, RolloutBounds
from proctor.api.fields import format_duration
from proctor.api.rollout import Rollout, Step
from proctor.policy import schedule
from proctor.policy.effective import Effective, Rule
from proctor.policy.finding import Finding, found

_STEPS = "spec.rollout.steps"


@dataclass(frozen=True)
class Frozen:
    """No upgrade begins or moves on."""

    window: str
    policy: str
    reason: str
    until: datetime | None
    """None: until somebody changes the policy."""


def findings(agent: Agent, effective: Effective) -> Iterator[Finding]:
    """Where the agent's upgrades are less careful than they must be."""
    for rule in effective.of("rollout", RolloutBounds):
        yield from _required(agent.spec.rollout.steps, rule)
        yield from _weights(agent.spec.rollout.steps, rule)
        yield from _patience(agent.spec.rollout.steps, rule)
        yield from _analysis(agent.spec.rollout, rule)
        yield from _approval(agent.spec.rollout.steps, rule)


def frozen(effective: Effective, now: datetime) -> tuple[Frozen, ...]:
    """The freezes that hold now, under Enforce. A rollback is always possible."""
    return tuple(
        Frozen(window.name, rule.source.text, window.reason, until)
        for rule in effective.of("rollout", RolloutBounds)
        if rule.binds("freeze")
        for window in rule.content.freeze
        for holds, until in [_span(window, now)]
        if holds
    )


def next_turn(effective: Effective, now: datetime) -> datetime | None:
    """When a freeze begins or ends next."""
    times = [
        time
        for rule in effective.of("rollout", RolloutBounds)
        for window in rule.content.freeze
        for time in _turns(window, now)
        if time > now
    ]
    return min(times, default=None)


def gate(effective: Effective) -> BudgetGate | None:
    """What the error budget that is left means for upgrades: of several gates the most careful."""
    gates = [
        each.content.budget_gate
        for each in effective.of("rollout", RolloutBounds)
        if each.binds("budgetGate") and each.content.budget_gate
    ]
    if not gates:
        return None
    slow = max(each.slow_below for each in gates)
    return BudgetGate(freeze_below=max(each.freeze_below for each in gates), slow_below=slow)


def _required(steps: Sequence[Step], rule: Rule[RolloutBounds]) -> Iterator[Finding]:
    for kind in sorted(rule.content.require_steps):
        if not any(_is(step, kind) for step in steps):
            yield found(rule, "requireSteps", f"a step of kind {kind} is missing", _STEPS)


def _is(step: Step, kind: RequiredStep) -> bool:
    match kind:
        case RequiredStep.EVALS:
            return step.evals is not None
        case RequiredStep.REPLAY:
            return step.replay is not None
        case RequiredStep.MIRROR:
            return step.mirror is not None
        case RequiredStep.WEIGHT:
            return step.weight is not None
        case RequiredStep.APPROVAL:
            return step.approval is not None


def _weights(steps: Sequence[Step], rule: Rule[RolloutBounds]) -> Iterator[Finding]:
    # Without a step a candidate gets everything at once, and so it does after the last step.
    weights = [step.weight for step in steps if step.weight is not None]
    first, highest = (weights or [100])[0], rule.content.max_initial_weight
    if highest is not None and first > highest:
        yield found(rule, "maxInitialWeight", f"the first weight is {first}; at most {highest} is allowed", _STEPS)
    widest = rule.content.max_weight_step
    for before, after in zip([0, *weights], [*weights, 100], strict=True):
        if widest is not None and after - before > widest:
            message = f"the weight rises from {before} to {after}; by at most {widest} at a time is allowed"
            yield found(rule, "maxWeightStep", message, _STEPS)


def _patience(steps: Sequence[Step], rule: Rule[RolloutBounds]) -> Iterator[Finding]:
    shortest, fewest = rule.content.min_duration, rule.content.min_tasks
    for index, step in enumerate(steps):
        if step.weight is None:
            continue
        path = f"{_STEPS}[{index}].until"
        held = step.until.min_duration if step.until else timedelta(0)
        seen = step.until.min_tasks if step.until else 0
        if shortest is not None and held < shortest:
            message = f"weight {step.weight} is held for {format_duration(held)}; at least {format_duration(shortest)}"
            yield found(rule, "minDuration", message, path)
        if fewest is not None and seen < fewest:
            yield found(rule, "minTasks", f"weight {step.weight} waits for {seen} tasks; at least {fewest}", path)


def _analysis(rollout: Rollout, rule: Rule[RolloutBounds]) -> Iterator[Finding]:
    bounds, analysis = rule.content, rollout.analysis
    compared: list[tuple[str, str, Decimal, Decimal | None]] = [
        ("maxAlpha", "alpha", analysis.alpha, bounds.max_alpha),
        ("maxBeta", "beta", analysis.beta, bounds.max_beta),
        *(("maxMargin", f"metrics[{each.name}].margin", each.margin, bounds.max_margin) for each in analysis.metrics),
    ]
    for name, field, declared, highest in compared:
        if highest is not None and declared > highest:
            message = f"{field} is {declared}; at most {highest} is allowed"
            yield found(rule, name, message, f"spec.rollout.analysis.{field}")
    allowed = bounds.on_inconclusive
    if allowed is not None and analysis.on_inconclusive not in allowed:
        message = f"onInconclusive is {analysis.on_inconclusive}; allowed: {', '.join(sorted(allowed))}"
        yield found(rule, "onInconclusive", message, "spec.rollout.analysis.onInconclusive")


def _approval(steps: Sequence[Step], rule: Rule[RolloutBounds]) -> Iterator[Finding]:
    wanted = rule.content.approval
    if wanted is None:
        return
    last = next((each for each in reversed(steps) if each.approval or each.weight is not None), None)
    asked = set(last.approval.groups) if last and last.approval else set[str]()
    who = ", ".join(sorted({*wanted.groups, *wanted.users}))
    # A group that the policy does not name could approve instead of those that it names.
    if not asked or not asked <= set(wanted.groups):
        yield found(rule, "approval", f"the last step must be approved, and by no others than {who}", _STEPS)


def _span(window: FreezeWindow, now: datetime) -> tuple[bool, datetime | None]:
    if window.once is not None:
        return window.once.from_ <= now < window.once.until, window.once.until
    recurring = window.recurring
    if recurring is None:
        return False, None
    try:
        zone = ZoneInfo(recurring.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # Nobody knows when it is in a zone that is not known: better too careful until the policy is mended.
        return True, None
    began = schedule.last(recurring.schedule, zone, now)
    return (began is not None and now < began + recurring.duration), (began + recurring.duration if began else None)


def _turns(window: FreezeWindow, now: datetime) -> Iterator[datetime]:
    if window.once is not None:
        yield from (window.once.from_, window.once.until)
    recurring = window.recurring
    if recurring is None:
        return
    try:
        zone = ZoneInfo(recurring.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return
    began, begins = schedule.last(recurring.schedule, zone, now), schedule.following(recurring.schedule, zone, now)
    if began is not None:
        yield began + recurring.duration
    if begins is not None:
        yield begins
