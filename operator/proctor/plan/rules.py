"""The alerting rules of an Agent's objectives, for clusters that Prometheus' operator watches."""

from __future__ import annotations

from datetime import datetime, timedelta

from proctor.api import names
from proctor.api.agent import Agent
from proctor.plan import drift
from proctor.plan.children import owned_by
from proctor.plan.world import Manifest, Plan, deletion_of
from proctor.slo.prometheus import groups

_RESYNC = timedelta(hours=1)


def make_rules(agent: Agent) -> Manifest:
    """All rules of all objectives, in one PrometheusRule that goes with its Agent."""
    metadata = agent.metadata
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": names.of_agent(metadata.name),
            "namespace": metadata.namespace,
            "labels": names.agent_labels(metadata.name),
            "ownerReferences": [owned_by(agent)],
        },
        "spec": {"groups": groups(metadata.namespace, metadata.name, agent.spec.slos)},
    }


def plan_rules(agent: Agent, found: Manifest | None, now: datetime) -> Plan:
    """The rules as they should be; none without objectives. `found` is the object of that name, as it is now."""
    ours = found is not None and any(each["uid"] == agent.metadata.uid for each in _owners(found))
    if not agent.spec.slos:
        return Plan(now + _RESYNC, deletions=(deletion_of(found),) if found is not None and ours else ())
    return Plan(now + _RESYNC, applies=drift.changed([make_rules(agent)], [found] if found is not None else []))


def _owners(found: Manifest) -> list[Manifest]:
    owners: list[Manifest] = found["metadata"].get("ownerReferences", [])
    return owners
