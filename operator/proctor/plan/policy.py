"""Policies in status: how each agent stands, and what each policy finds among all agents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from proctor.api.compliance import AgentViolation, EffectiveBound, EffectivePolicy, PolicyStanding
from proctor.api.meta import ConditionStatus
from proctor.api.policy import AgentCounts, Mode, PolicyStatus, Violation
from proctor.plan import conditions
from proctor.plan.conditions import Finding as Condition
from proctor.plan.standing import Standing
from proctor.plan.world import Event, Plan
from proctor.policy import demands, personal
from proctor.policy.bounds import bounds
from proctor.policy.effective import LONGEST_EXCEPTION, Source, mode_of, source_of, turns_at
from proctor.policy.finding import Compliance, Finding, compliance
from proctor.policy.selection import AnyPolicy

_SHOWN = 50
_SAID = 5
_SOON = timedelta(days=14)
_RESCAN = timedelta(minutes=10)
"""How old a scan may be at most while nothing that it has seen changes."""


def report(standing: Standing, before: PolicyStanding | None, now: datetime) -> PolicyStanding | None:
    """How the agent stands; nothing while no policy means it."""
    if not standing.effective and not standing.unreadable:
        return None
    since = (
        {(each.policy, each.rule, each.path, each.message): each.since for each in before.violations} if before else {}
    )
    shown = standing.findings[:_SHOWN]
    return PolicyStanding(
        effective=tuple(_effective(standing, source) for source in standing.effective.sources)[:64],
        bounds=tuple(
            EffectiveBound(rule=each.rule, value=each.value, sources=each.sources)
            for each in bounds(standing.effective)[:64]
        ),
        effective_hash=standing.effective.hash,
        compliance=compliance(standing.findings, is_whole=standing.is_whole),
        violations=tuple(_violation(each, since, now) for each in shown),
        total_violations=len(standing.findings),
    )


def _effective(standing: Standing, source: Source) -> EffectivePolicy:
    rules = [each for each in standing.effective.rules if each.source == source]
    return EffectivePolicy(
        policy=source.text,
        generation=source.generation,
        mode=rules[0].mode,
        rules=tuple(sorted(each.name for each in rules))[:64],
        excepted=tuple(sorted({name for each in rules for exempt in each.exempts for name in exempt.rules}))[:64],
    )


def _violation(
    finding: Finding, since: dict[tuple[str, str, str | None, str], datetime | None], now: datetime
) -> AgentViolation:
    path = finding.path or None
    return AgentViolation(
        policy=finding.policy,
        rule=finding.rule,
        severity=finding.severity,
        mode=finding.mode,
        message=finding.message[:2048],
        path=path,
        excepted_by=finding.excepted_by,
        since=since.get((finding.policy, finding.rule, path, finding.message[:2048])) or now,
    )


def condition(standing: Standing) -> tuple[Condition, ...]:
    """Whether the agent follows its policies. Without a policy there is no such condition."""
    if not standing.effective and not standing.unreadable:
        return ()
    violations = [each for each in standing.findings if each.is_violation]
    match compliance(standing.findings, is_whole=standing.is_whole):
        case Compliance.VIOLATING:
            reason = "Violating" if any(each.blocks for each in violations) else "ViolatingUnenforced"
            return (conditions.false("PolicyCompliant", reason, _told(violations)),)
        case Compliance.UNKNOWN:
            cause = ", ".join(standing.unreadable) or "a Connector that is not there"
            return (conditions.unknown("PolicyCompliant", "NotWhollyChecked", f"nobody can say because of {cause}"),)
        case Compliance.EXCEPTED:
            said = ", ".join(sorted({f"{each.rule} by {each.excepted_by}" for each in standing.findings}))
            return (conditions.true("PolicyCompliant", "Excepted", said),)
        case Compliance.COMPLIANT:
            names = ", ".join(each.text for each in standing.effective.sources)
            return (conditions.true("PolicyCompliant", "Compliant", f"follows {names}"),)


def _told(violations: Sequence[Finding]) -> str:
    said = "; ".join(f"{each.policy} {each.rule}: {each.message}" for each in violations[:_SAID])
    return said if len(violations) <= _SAID else f"{said}; and {len(violations) - _SAID} more"


@dataclass(frozen=True)
class Stood:
    """How one agent stands, as its own status says."""

    namespace: str
    name: str
    standing: PolicyStanding | None


@dataclass(frozen=True)
class PolicyWorld:
    """All that is known when a policy is planned: the agents in its reach that it means."""

    policy: AnyPolicy
    agents: tuple[Stood, ...]


def plan_policy(world: PolicyWorld, now: datetime) -> Plan:
    """The policy's status: whether it can hold, and what it finds. It is made of what the agents' own statuses say."""
    policy, before = world.policy, world.policy.status
    generation = policy.metadata.generation
    counts, violations = _scan(world)
    status = PolicyStatus(
        observed_generation=generation,
        conditions=conditions.merge(before.conditions, _conditions(policy, counts, now), generation, now),
        agents=counts,
        violations=violations[:_SHOWN],
        total_violations=len(violations),
        exceptions_expiring_soon=_expiring(policy, now),
        last_scan=now,
    )
    # A scan that finds what the last one found is no news: its time alone would be a write for each agent's change.
    same = status.model_copy(update={"last_scan": before.last_scan}).dump() == before.dump()
    is_fresh = before.last_scan is not None and now < before.last_scan + _RESCAN
    turn = turns_at(policy, now)
    wake_at = min(turn, now + _RESCAN) if turn is not None else now + _RESCAN
    if same and is_fresh:
        return Plan(wake_at)
    return Plan(wake_at, status=status.dump(), events=tuple(_events(policy, status)))


def _scan(world: PolicyWorld) -> tuple[AgentCounts, tuple[Violation, ...]]:
    source = source_of(world.policy)
    counts = dict.fromkeys(Compliance, 0)
    found: list[Violation] = []
    for agent in sorted(world.agents, key=lambda each: (each.namespace, each.name)):
        own = _own(agent, source)
        if own is None:
            counts[Compliance.UNKNOWN] += 1
            continue
        open_ = [each for each in own if each.excepted_by is None]
        counts[Compliance.VIOLATING if open_ else Compliance.EXCEPTED if own else Compliance.COMPLIANT] += 1
        found += [_shown(agent, each) for each in sorted(open_, key=lambda each: (each.rule, each.message))]
    total = AgentCounts(
        matched=len(world.agents),
        compliant=counts[Compliance.COMPLIANT],
        violating=counts[Compliance.VIOLATING],
        excepted=counts[Compliance.EXCEPTED],
        unknown=counts[Compliance.UNKNOWN],
    )
    return total, tuple(found)


def _own(agent: Stood, source: Source) -> tuple[AgentViolation, ...] | None:
    """What the agent's status says of this policy; None if it does not speak of the policy as it is now."""
    standing = agent.standing
    if standing is None:
        return None
    known = next((each for each in standing.effective if each.policy == source.text), None)
    if known is None or known.generation != source.generation:
        return None
    return tuple(each for each in standing.violations if each.policy == source.text)


def _shown(agent: Stood, violation: AgentViolation) -> Violation:
    return Violation.model_validate(
        {
            "namespace": agent.namespace,
            "name": agent.name,
            "rule": violation.rule,
            "severity": violation.severity,
            "message": violation.message,
            "path": violation.path,
            "since": violation.since,
        }
    )


def _conditions(policy: AnyPolicy, counts: AgentCounts, now: datetime) -> Iterable[Condition]:
    faults = tuple(_faults(policy, now))
    if faults:
        yield conditions.false("Ready", faults[0][0], "; ".join(text for _, text in faults))
    else:
        yield conditions.true("Ready", "Holds", f"{mode_of(policy.spec, now)} for {counts.matched} agents")
    yield conditions.false("Reconciling", "AsDeclared", "")
    if faults:
        yield conditions.true("Stalled", faults[0][0], "; ".join(text for _, text in faults))
    else:
        yield conditions.false("Stalled", "AsDeclared", "")
    mode = mode_of(policy.spec, now)
    if mode is Mode.ENFORCE:
        yield conditions.true("Enforced", "Enforce", "")
    else:
        yield conditions.false("Enforced", mode, f"{counts.violating} agents would be stopped under Enforce")


def _faults(policy: AnyPolicy, now: datetime) -> Iterable[tuple[str, str]]:
    for field, fault in demands.faults(policy):
        yield "InvalidExpression", f"{field} cannot hold, so it counts as not met: {fault}"
    unknown = sorted(set(policy.spec.data.redact) & personal.UNKNOWN_TO_US) if policy.spec.data else []
    if unknown:
        yield "DetectorNotAvailable", f"data.redact: nothing here recognises {', '.join(unknown)}; take it out"
    for each in policy.spec.exceptions:
        if each.expires_at > now + LONGEST_EXCEPTION:
            yield (
                "ExceptionTooLong",
                f"exception {each.name} ends more than 90 days ahead and does not hold until it ends sooner",
            )


def _expiring(policy: AnyPolicy, now: datetime) -> tuple[str, ...]:
    return tuple(sorted(each.name for each in policy.spec.exceptions if now < each.expires_at <= now + _SOON))


def _events(policy: AnyPolicy, status: PolicyStatus) -> Iterable[Event]:
    was, is_now = policy.status.condition("Ready"), status.condition("Ready")
    if is_now is not None and is_now.status is ConditionStatus.FALSE and (was is None or was.reason != is_now.reason):
        yield Event(is_now.reason, is_now.message, "Warning")
