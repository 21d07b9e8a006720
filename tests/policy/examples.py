"""Agents, Connectors and policies, as small as can be; tests say only what is special about theirs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from proctor.api.agent import Agent
from proctor.api.connector import Connector, Effect
from proctor.api.policy import ClusterPolicy, Policy
from proctor.policy.effective import Effective, merge
from proctor.policy.facts import TaskFacts, ToolCall

T0 = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64


def after(**time: float) -> datetime:
    """So much later than T0."""
    return T0 + timedelta(**time)


def agent(name: str = "refunds", labels: dict[str, str] | None = None, **spec: Any) -> Agent:
    """An agent with a model, two reading tools and one that pays."""
    return Agent.parse(
        {
            "apiVersion": "proctor.dev/v1alpha1",
            "kind": "Agent",
            "metadata": {"name": name, "namespace": "support", "uid": f"uid-{name}", "labels": labels or {}},
            "spec": {
                "owner": {"team": "support-platform", "contact": "oncall@example.com"},
                "purpose": "Decide refund requests.",
                "instructions": "You decide refunds.",
                "model": {"connector": "llm", "name": "gpt-5-mini"},
                "tools": [
                    {"connector": "crm", "allow": ["get_customer", "get_order"]},
                    {"connector": "payments", "allow": ["refund"]},
                ],
                **spec,
            },
        }
    )


def connector(name: str, labels: dict[str, str] | None = None, **spec: Any) -> Connector:
    """A Connector."""
    return Connector.parse(
        {
            "apiVersion": "proctor.dev/v1alpha1",
            "kind": "Connector",
            "metadata": {"name": name, "namespace": "support", "labels": labels or {}},
            "spec": {"type": "MCP", "url": f"https://{name}.example.com/mcp", **spec},
        }
    )


def connectors(**changes: Connector) -> dict[str, Connector]:
    """The Connectors of `agent`: its CRM discloses personal data and is not trusted."""
    crm_tools = [
        {"name": "get_customer", "effect": "Read", "data": ["pii"], "definitionDigest": DIGEST},
        {"name": "get_order", "effect": "Read"},
    ]
    found = {
        "llm": connector("llm", {"region": "eu"}, type="Model", url="https://llm.example.com/v1"),
        "crm": connector("crm", tools=crm_tools),
        "payments": connector("payments", tools=[{"name": "refund", "effect": "Once"}]),
    }
    return {**found, **changes}


def policy(name: str = "baseline", mode: str = "Enforce", namespace: str = "support", **spec: Any) -> Policy:
    """A Policy."""
    return Policy.parse(_body("Policy", {"name": name, "namespace": namespace, "generation": 1}, mode, spec))


def cluster_policy(name: str = "everywhere", mode: str = "Enforce", **spec: Any) -> ClusterPolicy:
    """A ClusterPolicy."""
    return ClusterPolicy.parse(_body("ClusterPolicy", {"name": name, "generation": 1}, mode, spec))


def _body(kind: str, metadata: dict[str, Any], mode: str, spec: dict[str, Any]) -> dict[str, Any]:
    whole = {"owner": {"team": "risk", "contact": "risk@example.com"}, "mode": mode, **spec}
    return {"apiVersion": "proctor.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": whole}


def effective(*policies: Policy | ClusterPolicy, now: datetime = T0) -> Effective:
    """What the policies demand of `agent`."""
    return merge(policies, agent(), now)


def exception(*rules: str, **more: Any) -> dict[str, Any]:
    """An exception for `agent` from these rules, for thirty days."""
    return {
        "name": "pilot",
        "selector": {"names": ["refunds"]},
        "rules": list(rules),
        "reason": "The pilot runs until the end of the month.",
        "approvedBy": "ciso@example.com",
        "expiresAt": after(days=30).isoformat(),
        **more,
    }


def refund(effect: Effect = Effect.ONCE, **arguments: Any) -> ToolCall:
    """A call that pays."""
    return ToolCall("payments", "refund", effect, (), arguments or {"order_id": "A-1", "amount": 20})


def lookup(**arguments: Any) -> ToolCall:
    """A call that reads."""
    return ToolCall("crm", "get_customer", Effect.READ, ("pii",), arguments or {"customer_id": "C-1"})


def facts(**more: Any) -> TaskFacts:
    """What a task holds whose caller asked for the refund of an order."""
    return TaskFacts(**{"user": "Refund order A-1 with 20 EUR.", "operator": "You decide refunds.", **more})
