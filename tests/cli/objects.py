"""Objects of the cluster as the tests of the command line need them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from proctor.api.agent import Agent
from proctor.cli.facts import AgentFacts, Listing
from proctor.cli.realm import Realm
from proctor.plan.agent import plan_agent
from proctor.plan.world import Manifest, Platform

T0 = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
PLATFORM = Platform(agent_image=f"registry.example.com/agent@sha256:{'a' * 64}")


def an_agent(name: str = "refunds", namespace: str = "support", **spec: Any) -> Manifest:
    """A valid Agent as the API server has it; `spec` adds or replaces."""
    return {
        "apiVersion": "proctor.dev/v1alpha1",
        "kind": "Agent",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": "2026-11-22T11:00:00Z",
        },
        "spec": {
            "owner": {"team": "support-platform", "contact": "support@example.com"},
            "purpose": "Decide refunds.",
            "instructions": "You decide refunds.",
            "model": {"connector": "llm", "name": "gpt-5-mini"},
            "access": {"callers": [{"serviceAccount": {"namespace": "shop", "name": "web"}}]},
            **spec,
        },
    }


def a_connector(name: str = "llm", **spec: Any) -> Manifest:
    """A valid Connector of type Model, unless `spec` says otherwise."""
    return {
        "apiVersion": "proctor.dev/v1alpha1",
        "kind": "Connector",
        "metadata": {"name": name, "namespace": "support", "uid": f"uid-{name}", "generation": 1},
        "spec": {"type": "Model", "url": "http://model.example.svc/v1", **spec},
    }


def a_condition(type_: str, status: str, reason: str = "Because", message: str = "") -> Manifest:
    """A condition of the present generation, an hour old."""
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-22T11:00:00Z",
    }


def with_status(body: Manifest, *conditions: Manifest, **status: Any) -> Manifest:
    """The object with a status of its present generation."""
    return {**body, "status": {"observedGeneration": 1, "conditions": list(conditions), **status}}


def a_ready(body: Manifest) -> Manifest:
    """The object, ready and nothing else."""
    return with_status(
        body,
        a_condition("Ready", "True", "Serving", "1 of 1 pods ready"),
        a_condition("Reconciling", "False", "AsDeclared"),
        a_condition("Stalled", "False", "AsDeclared"),
    )


def a_pod(name: str = "refunds-1-a", revision: str = "1", *, is_ready: bool = True, **container: Any) -> Manifest:
    """A pod of the agent refunds; `container` is its one container's status."""
    state = {"name": "agent", "image": "i", "ready": is_ready, "restartCount": 0, "state": {"running": {}}, **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "support",
            "creationTimestamp": "2026-11-22T11:30:00Z",
            "labels": {"proctor.dev/agent": "refunds", "proctor.dev/revision": revision},
        },
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(is_ready)}],
            "containerStatuses": [state],
        },
    }


def facts(agent: Manifest, **listings: Any) -> AgentFacts:
    """The facts about an Agent; a tuple of objects for each listing."""
    given = {key: value if isinstance(value, Listing) else Listing(value) for key, value in listings.items()}
    whole = {"revisions": Listing(), "pods": Listing(), "connectors": Listing(), "events": Listing(), **given}
    return AgentFacts(agent=Agent.parse(agent), **whole)


def a_realm(*objects: Manifest, **more: Any) -> Realm:
    """The namespace support with these objects in it."""
    empty = Realm("support", PLATFORM, agents={}, connectors={}, config_maps={}, **more)
    return empty.with_objects(objects)


def a_settled_realm(agent: Manifest, *others: Manifest) -> Realm:
    """The namespace after the operator has carried the Agent out, and all pods got ready."""
    return a_settled(a_realm(agent, *others), agent["metadata"]["name"])


def a_settled(realm: Realm, name: str) -> Realm:
    """The same for an Agent that is in the namespace already."""
    for number in range(3):
        plan = plan_agent(realm.world(name), T0 + timedelta(seconds=number))
        owned = {(each["kind"], each["metadata"]["name"]): each for each in realm.owned}
        for each in plan.applies:
            owned[each["kind"], each["metadata"]["name"]] = _as_stored(each)
        body = {**realm.agents[name], **({"status": plan.status} if plan.status else {})}
        realm = Realm(**{**vars(realm), "owned": tuple(owned.values()), "agents": {**realm.agents, name: body}})
    return realm


def _as_stored(body: Manifest) -> Manifest:
    metadata = {**body["metadata"], "uid": f"uid-{body['metadata']['name']}", "generation": 1}
    stored = {**body, "metadata": metadata}
    if body["kind"] != "Deployment":
        return stored
    wanted = body["spec"]["replicas"]
    status = {"observedGeneration": 1, "replicas": wanted, "readyReplicas": wanted, "updatedReplicas": wanted}
    return {**stored, "status": status}
