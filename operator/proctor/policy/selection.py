"""Which agents does a selector mean? As Kubernetes reads label selectors: all demands hold, an empty one means all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proctor.api.agent import Agent
from proctor.api.policy import ClusterPolicy, Policy
from proctor.api.selector import AgentSelector, ClusterAgentSelector, LabelSelector, Operator, Requirement

AnyPolicy = Policy | ClusterPolicy


@dataclass(frozen=True)
class Marks:
    """All that selectors ask of an agent."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    risk_tier: str
    namespace_labels: Mapping[str, str]


def marks_of(agent: Agent, namespace_labels: Mapping[str, str]) -> Marks:
    """What selectors ask of this agent, in whose namespace with these labels it is."""
    metadata = agent.metadata
    return Marks(metadata.namespace, metadata.name, metadata.labels, agent.spec.risk_tier, namespace_labels)


def is_meant(policy: AnyPolicy, marks: Marks) -> bool:
    """Whether the policy holds for the agent with these marks."""
    if isinstance(policy, Policy) and policy.metadata.namespace != marks.namespace:
        return False
    return not policy.is_deleting and selects(policy.spec.selector, marks)


def selects(selector: AgentSelector, marks: Marks) -> bool:
    """Whether the selector means the agent with these marks."""
    if selector.names and marks.name not in selector.names:
        return False
    if selector.risk_tiers and marks.risk_tier not in selector.risk_tiers:
        return False
    if isinstance(selector, ClusterAgentSelector) and selector.namespaces is not None:
        named = {"kubernetes.io/metadata.name": marks.namespace, **marks.namespace_labels}
        if not matches(selector.namespaces, named):
            return False
    return matches(selector, marks.labels)


def matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether the labels are as the selector demands."""
    if any(labels.get(key) != value for key, value in selector.match_labels.items()):
        return False
    return all(_fulfils(each, labels) for each in selector.match_expressions)


def _fulfils(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case Operator.IN:
            return value in requirement.values
        case Operator.NOT_IN:
            return value not in requirement.values
        case Operator.EXISTS:
            return value is not None
        case Operator.DOES_NOT_EXIST:
            return value is None
