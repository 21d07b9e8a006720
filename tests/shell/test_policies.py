"""Which policies and agents are looked at again, and what is seen of them."""

from __future__ import annotations

from typing import Any

from proctor.api.policy import ClusterPolicy, Policy
from proctor.plan.world import Manifest
from proctor.shell.cache import Cache, Key
from proctor.shell.clock import SystemClock
from proctor.shell.intake import Intake
from proctor.shell.policies import observe_policy, standing_of
from proctor.shell.ports import Ports
from proctor.shell.queue import Queue
from tests.plan import examples

POLICY = Key("Policy", "support", "careful")


def policy_body(kind: str = "Policy", generation: int = 1, version: str = "1", **spec: Any) -> Manifest:
    """A policy as JSON."""
    metadata = examples.metadata("careful", generation=generation, resourceVersion=version)
    if kind == "ClusterPolicy":
        del metadata["namespace"]
    owner = {"team": "risk", "contact": "risk@example.com"}
    whole = {"owner": owner, "mode": "Audit", "limits": {"maxSteps": 5}, **spec}
    return {"apiVersion": "proctor.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": whole}


def agent_body(version: str = "1", **policy: Any) -> Manifest:
    """An agent, and how it stands."""
    body = examples.agent_body(status={"policy": {"compliance": "Compliant", **policy}} if policy else None)
    return {**body, "metadata": {**body["metadata"], "resourceVersion": version}}


class Told:
    """An intake, and what it puts on the queue."""

    def __init__(self) -> None:
        self.cache, self.queue = Cache(), Queue()
        self.intake = Intake(self.cache, self.queue, SystemClock())

    def of(self, body: Manifest) -> set[Key]:
        """The keys that are queued when the object is told of."""
        self.intake.changed(body)
        found = set(self.queue._due)
        self.queue.__init__()
        return found


def test_a_changed_policy_wakes_the_agents_in_its_reach():
    """A Policy those of its namespace, a ClusterPolicy all; what it has found itself wakes nobody."""
    it, agent = Told(), Key("Agent", "support", "refunds")
    it.of(agent_body())
    assert it.of(policy_body()) == {POLICY, agent}
    assert it.of(policy_body("ClusterPolicy")) == {Key("ClusterPolicy", "", "careful"), agent}
    assert agent in it.of(policy_body(generation=2, version="2"))
    found = {**policy_body(generation=2, version="3"), "status": {"totalViolations": 1}}
    assert it.of(found) == {POLICY}


def test_an_agent_that_stands_otherwise_has_its_policies_count():
    """Also one that was told of by our own write; the same standing again wakes nobody."""
    it = Told()
    it.of(policy_body())
    it.of(agent_body())
    stands = agent_body("2", effective=[{"policy": "Policy/support/careful", "mode": "Audit"}])
    it.cache.put(stands)
    assert POLICY in it.of(stands)
    assert POLICY not in it.of({**stands, "metadata": {**stands["metadata"], "resourceVersion": "3"}})
    assert POLICY in it.of(agent_body("4"))


def test_a_deleted_agent_is_counted_no_more():
    """Its policies look at their agents again."""
    it = Told()
    it.of(policy_body())
    stands = agent_body("2", effective=[{"policy": "Policy/support/careful", "mode": "Audit"}])
    it.of(stands)
    it.intake.deleted(stands)
    assert POLICY in set(it.queue._due)


def ports(*bodies: Manifest) -> Ports:
    """A cluster in which these objects are."""
    cache = Cache()
    for body in bodies:
        cache.put(body)
    nothing: Any = None
    return Ports(
        kube=nothing, cache=cache, prober=nothing, tasks=nothing, clock=SystemClock(), platform=examples.PLATFORM
    )


def space(**labels: str) -> Manifest:
    """The agents' namespace."""
    metadata = {"name": "support", "uid": "ns", "resourceVersion": "1", "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def test_what_holds_is_seen_with_the_namespaces_labels():
    """A ClusterPolicy for a label holds where the namespace has it; one that cannot be read is named."""
    prod = policy_body("ClusterPolicy", selector={"namespaces": {"matchLabels": {"stage": "prod"}}})
    found = examples.world()
    seen = {
        labels: standing_of(found.agent, found.connectors, found.isolation, ports(prod, space(stage=labels)))
        for labels in ("prod", "test")
    }
    assert bool(seen["prod"].effective)
    assert not seen["test"].effective
    later = policy_body(fromTheFuture=True)
    standing = standing_of(found.agent, found.connectors, found.isolation, ports(later))
    assert standing.unreadable == ("Policy careful",)


async def test_a_policy_sees_the_agents_that_it_means():
    """Those of its namespace or of all, by their labels, tiers and names; what they say of themselves comes along."""
    stands = agent_body("2", effective=[{"policy": "Policy/support/careful", "mode": "Audit", "generation": 1}])
    found = ports(stands, policy_body(), space())
    world = await observe_policy(Policy.parse(policy_body()), found)
    (agent,) = world.agents
    assert agent.standing is not None
    other = await observe_policy(ClusterPolicy.parse(policy_body("ClusterPolicy", selector={"names": ["x"]})), found)
    assert other.agents == ()
