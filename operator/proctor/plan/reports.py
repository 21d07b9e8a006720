"""An Agent's report for tools that read such: what it breaks as declared, and what its calls were stopped for.

The form is that of the Kubernetes policy working group (`wgpolicyk8s.io/v1alpha2` PolicyReport) or its successor
(`openreports.io/v1alpha1` Report), whichever the cluster has. A report is of now: what is mended is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from proctor.api import names
from proctor.api.agent import Agent
from proctor.api.fields import Time
from proctor.plan import drift
from proctor.plan.children import owned_by
from proctor.plan.world import Manifest, Plan, deletion_of

_RESYNC = timedelta(hours=1)
_MOST: Final = 200
_OUTCOMES: Final = ("pass", "fail", "warn", "error", "skip")


class Called(BaseModel):
    """What a policy found in calls of an agent: how often, and when last."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    namespace: str
    agent: str
    policy: str
    rule: str
    mode: str
    severity: str
    count: int
    message: str
    last_at: Time


class FindingsAnswer(BaseModel):
    """What was found in all agents' calls of the last week."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    as_of: Time
    items: tuple[Called, ...] = ()


@dataclass(frozen=True)
class ReportKind:
    """The kind of report that the cluster has."""

    api_version: str
    kind: str


def plan_report(agent: Agent, called: Iterable[Called], found: Manifest | None, of: ReportKind, now: datetime) -> Plan:
    """The report as it should be; none while no policy means the agent and none was found in its calls."""
    results = tuple(_results(agent, called))[:_MOST]
    ours = found is not None and any(
        each["uid"] == agent.metadata.uid for each in found["metadata"].get("ownerReferences", ())
    )
    if not results and agent.status.policy is None:
        return Plan(now + _RESYNC, deletions=(deletion_of(found),) if found is not None and ours else ())
    report = make_report(agent, results, of)
    return Plan(now + _RESYNC, applies=drift.changed([report], [found] if found is not None else []))


def make_report(agent: Agent, results: tuple[dict[str, Any], ...], of: ReportKind) -> Manifest:
    """The whole report."""
    metadata = agent.metadata
    subject = {
        "apiVersion": agent.api_version,
        "kind": agent.kind,
        "name": metadata.name,
        "namespace": metadata.namespace,
        "uid": metadata.uid,
    }
    outcomes = [each["result"] for each in results]
    return {
        "apiVersion": of.api_version,
        "kind": of.kind,
        "metadata": {
            "name": names.of_agent(metadata.name),
            "namespace": metadata.namespace,
            "labels": names.agent_labels(metadata.name),
            "ownerReferences": [owned_by(agent)],
        },
        "scope": subject,
        "summary": {name: outcomes.count(name) for name in _OUTCOMES},
        "results": list(results),
    }


def _results(agent: Agent, called: Iterable[Called]) -> Iterator[dict[str, Any]]:
    standing = agent.status.policy
    broken = standing.violations if standing else ()
    for policy in standing.effective if standing else ():
        if not any(each.policy == policy.policy for each in broken):
            yield _result(policy.policy, "", "pass", "info", f"follows {', '.join(policy.rules)}", {})
    for each in broken:
        outcome = "skip" if each.excepted_by else "fail" if each.mode == "Enforce" else "warn"
        more = {"mode": each.mode, "path": each.path or "", "exceptedBy": each.excepted_by or ""}
        yield _result(each.policy, each.rule, outcome, each.severity, each.message, more)
    for one in sorted(called, key=lambda each: (each.policy, each.rule, each.mode)):
        outcome = "skip" if one.mode == "Excepted" else "fail" if one.mode == "Enforce" else "warn"
        more = {"mode": one.mode, "calls": str(one.count), "lastAt": f"{one.last_at:%Y-%m-%dT%H:%M:%SZ}"}
        yield _result(one.policy, one.rule, outcome, one.severity, one.message, more)


def _result(policy: str, rule: str, outcome: str, severity: str, message: str, more: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "source": "proctor",
        "policy": policy,
        "result": outcome,
        "severity": severity.lower(),
        "scored": True,
        "message": message[:1024],
    }
    properties = {key: value for key, value in more.items() if value}
    return {**found, **({"rule": rule} if rule else {}), **({"properties": properties} if properties else {})}
