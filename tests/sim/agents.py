"""An Agent and its surroundings, as scenarios of Agents begin."""

from __future__ import annotations

from typing import Any

from tests.sim.cluster.kinds import Body, Ref
from tests.sim.gateway import System
from tests.sim.world import World

NAMESPACE = "support"
SECRET_WORD = "hunter2-never-to-be-seen"
INSTRUCTIONS = "You decide refunds. CONFIDENTIAL-INSTRUCTIONS"
AGENT = Ref("Agent", NAMESPACE, "refunds")
MODEL = Ref("Connector", NAMESPACE, "llm")
TOOLS = Ref("Connector", NAMESPACE, "crm")
INSTRUCTIONS_MAP = Ref("ConfigMap", NAMESPACE, "refunds-instructions")
_API = "proctor.dev/v1alpha1"
_DIGEST = "sha256:" + "a" * 64


def namespace() -> Body:
    """The team's namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def secret() -> Body:
    """The credential that only the gateway may know."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "llm-key", "namespace": NAMESPACE},
        "data": {"token": SECRET_WORD},
    }


def agent(name: str = AGENT.name, **spec: Any) -> Body:
    """An Agent; what is given replaces what stands here."""
    return {
        "apiVersion": _API,
        "kind": "Agent",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "owner": {"team": "support-platform", "contact": "support-oncall@example.com"},
            "purpose": "Decide refund requests up to 200 EUR.",
            "instructions": INSTRUCTIONS,
            "model": {"connector": MODEL.name, "name": "gpt-5-mini"},
            "tools": [{"connector": TOOLS.name, "allow": ["get_customer", "get_order"]}],
            "runtime": {"replicas": 2, "resources": {"limits": {"cpu": "0.5"}}},
            "rollout": {"progressDeadline": "60s"},
            **spec,
        },
    }


def model() -> Body:
    """A Connector of type Model."""
    spec = {"type": "Model", "url": "https://llm.example/v1", "auth": {"secretRef": {"name": "llm-key"}}}
    return _connector(MODEL, spec)


def tools() -> Body:
    """A Connector of type MCP whose tools are pinned."""
    declared = [{"name": name, "effect": "Read", "definitionDigest": _DIGEST} for name in ("get_customer", "get_order")]
    return _connector(TOOLS, {"type": "MCP", "url": "https://crm.example/mcp", "tools": declared})


def furnish(world: World) -> None:
    """The namespace, the systems outside and the Connectors to them, but no Agent."""
    world.gateway.systems |= {
        "https://llm.example/v1": System(models=("gpt-5-mini",)),
        "https://crm.example/mcp": System(tools={"get_customer": _DIGEST, "get_order": _DIGEST}),
    }
    world.create(namespace(), secret(), model(), tools())


def _connector(ref: Ref, spec: Body) -> Body:
    return {
        "apiVersion": _API,
        "kind": "Connector",
        "metadata": {"name": ref.name, "namespace": ref.namespace},
        "spec": spec,
    }
