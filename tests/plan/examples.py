"""A World to plan in, as small as can be; tests say only what is special about theirs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from proctor.api.agent import Agent, NetworkIsolation
from proctor.api.connector import Connector
from proctor.plan.world import Isolation, Manifest, Platform, World

T0 = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
PLATFORM = Platform(agent_image=f"registry.example/proctor-agent@sha256:{'c' * 64}")
DIGEST = "sha256:" + "a" * 64
OTHER_DIGEST = "sha256:" + "b" * 64


def after(**time: float) -> datetime:
    """So much later than T0."""
    return T0 + timedelta(**time)


def metadata(name: str, **more: Any) -> dict[str, Any]:
    """Metadata as the API server gives it to an object."""
    return {
        "name": name,
        "namespace": "support",
        "uid": f"uid-of-{name}",
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": "2026-11-02T08:00:00Z",
        **more,
    }


def agent_body(name: str = "refunds", status: dict[str, Any] | None = None, **spec: Any) -> Manifest:
    """An Agent as JSON."""
    return {
        "apiVersion": "proctor.dev/v1alpha1",
        "kind": "Agent",
        "metadata": metadata(name),
        "spec": {
            "owner": {"team": "support-platform", "contact": "support-oncall@example.com"},
            "purpose": "Decide refund requests.",
            "instructions": "You decide refunds.",
            "model": {"connector": "llm", "name": "gpt-5-mini"},
            "tools": [{"connector": "crm", "allow": ["get_order", "get_customer"]}],
            **spec,
        },
        **({"status": status} if status else {}),
    }


def agent(name: str = "refunds", status: dict[str, Any] | None = None, **spec: Any) -> Agent:
    """An Agent."""
    return Agent.parse(agent_body(name, status, **spec))


def connector(name: str, status: dict[str, Any] | None = None, generation: int = 1, **spec: Any) -> Connector:
    """A Connector."""
    body = {
        "apiVersion": "proctor.dev/v1alpha1",
        "kind": "Connector",
        "metadata": metadata(name, generation=generation),
        "spec": spec,
        **({"status": status} if status else {}),
    }
    return Connector.parse(body)


def llm(**more: Any) -> Connector:
    """A model."""
    return connector("llm", type="Model", url="https://llm.example/v1", **more)


def crm(**more: Any) -> Connector:
    """Two tools, one of them pinned."""
    tools = [
        {"name": "get_customer", "effect": "Read", "definitionDigest": DIGEST},
        {"name": "get_order", "effect": "Read"},
    ]
    return connector("crm", **{"type": "MCP", "url": "https://crm.example/mcp", "tools": tools, **more})


def world(wanted: Agent | None = None, **more: Any) -> World:
    """A World in which nothing exists yet but the Agent and its Connectors."""
    wanted = wanted or agent()
    facts: dict[str, Any] = {
        "agent": wanted,
        "instructions": wanted.spec.instructions,
        "connectors": {"llm": llm(), "crm": crm()},
        "children": (),
        "pods": (),
        "network_policies": (),
        "isolation": Isolation(NetworkIsolation.UNKNOWN, "not measured yet"),
        "runtime_classes": frozenset({"gvisor"}),
        "platform": PLATFORM,
    }
    return World(**{**facts, **more})
