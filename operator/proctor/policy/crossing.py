"""What an Agent may not be, together with its Connectors: the part of admission that the API server cannot hold alone.

A ValidatingAdmissionPolicy sees one object and knows no CEL of a policy's own. So what needs a Connector's host, labels
or tools, and what compiles only in the operator, is judged here when an object is written. What cannot be judged yet,
because a Connector is still to come, passes: it is judged again before a revision serves, and at every call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from proctor.api.agent import Agent
from proctor.api.connector import Connector
from proctor.api.policy import CheckedAt, Mode
from proctor.policy import declares, demands, replies, uses
from proctor.policy.effective import LONGEST_EXCEPTION, Effective
from proctor.policy.finding import Finding, ordered
from proctor.policy.selection import AnyPolicy

_ALONE: Final = frozenset({"require/PinnedTools"})
"""Of what an agent must declare, what only its Connectors can tell; all else the API server holds."""


@dataclass(frozen=True)
class Judged:
    """What is said to a change: what stops it, what its author hears, and what only the audit log hears."""

    refused: tuple[Finding, ...] = ()
    warned: tuple[Finding, ...] = ()
    noted: tuple[Finding, ...] = ()


def judge(agent: Agent, connectors: Mapping[str, Connector], effective: Effective, now: datetime) -> Judged:
    """What the agent breaks together with those of its Connectors that are there."""
    del now
    found = [each for each in findings(agent, connectors, effective) if each.is_violation]
    return Judged(
        refused=tuple(each for each in found if each.mode is Mode.ENFORCE),
        warned=tuple(each for each in found if each.mode is Mode.WARN),
        noted=tuple(each for each in found if each.mode is Mode.AUDIT),
    )


def findings(agent: Agent, connectors: Mapping[str, Connector], effective: Effective) -> tuple[Finding, ...]:
    """What needs more than the Agent to be seen. Nothing is assumed of a Connector that is not there."""
    known = _with_known_grants(agent, connectors)
    is_whole = known == agent and agent.spec.model.connector in connectors
    at_admission = frozenset({CheckedAt.ADMISSION})
    declared = (each for each in declares.findings(known, connectors, effective) if each.rule in _ALONE)
    demanded = demands.findings(agent, connectors, effective, at_admission) if is_whole else ()
    return ordered((*declared, *uses.findings(known, connectors, effective), *demanded))


def _with_known_grants(agent: Agent, connectors: Mapping[str, Connector]) -> Agent:
    """The agent without the tools of Connectors that are not there; each grant keeps its place, which findings name."""
    grants = tuple(
        each if each.connector in connectors else each.model_copy(update={"allow": ()}) for each in agent.spec.tools
    )
    return agent.model_copy(update={"spec": agent.spec.model_copy(update={"tools": grants})})


def newly(before: Judged, after: Judged) -> tuple[Finding, ...]:
    """What is refused after a change and was not before it."""
    return tuple(each for each in after.refused if each not in before.refused)


def faults_of_policy(policy: AnyPolicy, now: datetime) -> Iterator[tuple[str, str]]:
    """The fields of a policy with which it cannot hold: the field, and what is wrong and what to do."""
    for field, fault in demands.faults(policy):
        yield field, f"cannot hold: {fault}"
    for each in policy.spec.exceptions:
        if each.expires_at > now + LONGEST_EXCEPTION:
            longest = (now + LONGEST_EXCEPTION).strftime("%Y-%m-%dT%H:%M:%SZ")
            yield f"spec.exceptions[{each.name}].expiresAt", f"is more than 90 days ahead; set {longest} or earlier"


def faults_of_agent(agent: Agent) -> Iterator[tuple[str, str]]:
    """The conditions of an Agent's own rules that do not compile, and its fixed replies that are no answers."""
    yield from replies.faults(agent.spec)
    for index, grant in enumerate(agent.spec.tools):
        for number, rule in enumerate(grant.rules):
            fault = demands.fault_of_condition(rule.when)
            if fault is not None:
                field = f"spec.tools[{index}].rules[{number}].when"
                yield field, f"does not compile, so every call would be denied: {fault}; correct it"
