"""What a phase makes and changes, and when one of it has settled: Agents, and plain Deployments beside them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

from proctor.api.agent import Agent, NetworkIsolation
from proctor.api.connector import Connector
from proctor.plan.agent import plan_agent
from proctor.plan.world import Isolation, Platform, World
from tests.bench.fleet.api import Body

AGENT_IMAGE = f"localhost/proctor-agent@sha256:{'0' * 64}"
"""By digest, as docs/install.md has it: of a tag two more writes would tell what it was."""
PER_NAMESPACE = 20
_INSTRUCTIONS = """\
You decide refund requests of customers, round {round}. Look up the customer and the order first.
Refund what was delivered in the last 30 days and costs at most 200 EUR, by calling refund once.
Decline what is older. Escalate what is more expensive, and whatever you are not sure of.
"""


class Load(Protocol):
    """Objects of one kind, numbered from 0."""

    name: str
    collection: str
    """The path of all of them, in all namespaces."""
    leaves: str
    """The label selector of all that must go with them."""

    def place(self, number: int) -> str:
        """The path of the collection that the object is created in."""

    def make(self, number: int) -> Body:
        """The object as it is created."""

    def change(self) -> tuple[str, Body]:
        """A patch that makes new pods necessary, with its content type."""

    def is_settled(self, body: Body) -> bool:
        """Whether everything is as declared, and serves."""


def namespace_of(prefix: str, number: int) -> str:
    """Where an object lives: twenty to a namespace."""
    return f"{prefix}-{number // PER_NAMESPACE:03}"


def namespaces(prefix: str, count: int) -> list[str]:
    """All namespaces that so many objects need."""
    return sorted({namespace_of(prefix, number) for number in range(count)})


def make_connector(namespace: str) -> Body:
    """The one model that all agents of a namespace use."""
    return {
        "apiVersion": "proctor.dev/v1alpha1",
        "kind": "Connector",
        "metadata": {"name": "llm", "namespace": namespace},
        "spec": {"type": "Model", "url": "http://models.example/v1"},
    }


def make_agent(name: str, namespace: str) -> Body:
    """An Agent of one replica."""
    return {
        "apiVersion": "proctor.dev/v1alpha1",
        "kind": "Agent",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "owner": {"team": "bench", "contact": "bench@example.com"},
            "purpose": "Decide refund requests up to 200 EUR.",
            "instructions": _INSTRUCTIONS.format(round=1),
            "model": {"connector": "llm", "name": "small", "parameters": {"temperature": 0}},
            "limits": {"timeout": "60s", "maxSteps": 8, "maxTokens": 20000},
            "access": {"callers": [{"serviceAccount": {"namespace": "shop", "name": "web"}}]},
        },
    }


class Agents:
    """Agents of one replica; all of a namespace use its one Connector."""

    name = "Agents"
    collection = "/apis/proctor.dev/v1alpha1/agents"
    leaves = "app.kubernetes.io/managed-by=proctor"

    def place(self, number: int) -> str:
        """The Agents of a namespace."""
        return f"/apis/proctor.dev/v1alpha1/namespaces/{namespace_of('fleet', number)}/agents"

    def make(self, number: int) -> Body:
        """An Agent."""
        return make_agent(f"agent-{number:05}", namespace_of("fleet", number))

    def change(self) -> tuple[str, Body]:
        """Other instructions: a new revision."""
        return "application/merge-patch+json", {"spec": {"instructions": _INSTRUCTIONS.format(round=2)}}

    def is_settled(self, body: Body) -> bool:
        """Ready, and on the revision that the spec asks for."""
        status: dict[str, Any] = body.get("status", {})
        conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
        return (
            status.get("observedGeneration") == body["metadata"]["generation"]
            and status.get("rollout", {}).get("phase") == "Settled"
            and conditions.get("Ready") == "True"
        )


class Deployments:
    """Deployments with the pod template of an Agent: what the machine can do without proctor."""

    name = "Deployments"
    collection = "/apis/apps/v1/deployments"
    leaves = "bench=plain"

    def __init__(self) -> None:
        self._spec = _spec_of_an_agent()

    def place(self, number: int) -> str:
        """The Deployments of a namespace."""
        return f"/apis/apps/v1/namespaces/{namespace_of('plain', number)}/deployments"

    def make(self, number: int) -> Body:
        """A Deployment with an Agent's pods."""
        name = f"plain-{number:05}"
        labels = {"app": name, "bench": "plain"}
        template = self._spec["template"]
        pod = {**template["spec"], "serviceAccountName": "default"}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace_of("plain", number), "labels": labels},
            "spec": {
                **self._spec,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }

    def change(self) -> tuple[str, Body]:
        """One environment variable more: new pods."""
        container = {"name": "agent", "env": [{"name": "ROUND", "value": "2"}]}
        patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
        return "application/strategic-merge-patch+json", patch

    def is_settled(self, body: Body) -> bool:
        """One pod, ready, of the newest template."""
        status: dict[str, Any] = body.get("status", {})
        counts = [status.get(field, 0) for field in ("replicas", "updatedReplicas", "readyReplicas")]
        return status.get("observedGeneration") == body["metadata"]["generation"] and counts == [1, 1, 1]


def _spec_of_an_agent() -> Body:
    """The Deployment that proctor itself would make."""
    metadata = {"uid": "0", "generation": 1, "resourceVersion": "1"}
    agent, connector = make_agent("agent", "bench"), make_connector("bench")
    world = World(
        agent=Agent.parse({**agent, "metadata": {**agent["metadata"], **metadata}}),
        instructions=agent["spec"]["instructions"],
        connectors={"llm": Connector.parse({**connector, "metadata": {**connector["metadata"], **metadata}})},
        children=(),
        pods=(),
        network_policies=(),
        isolation=Isolation(NetworkIsolation.UNKNOWN, ""),
        runtime_classes=frozenset(),
        platform=Platform(agent_image=AGENT_IMAGE),
    )
    made = plan_agent(world, datetime.now(UTC)).applies
    spec: Body = next(each for each in made if each["kind"] == "Deployment")["spec"]
    return spec
