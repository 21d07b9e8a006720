"""Which pod takes the task, and may another task be accepted?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proctor.api.agent import Agent
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason


@dataclass(frozen=True)
class Pod:
    """One pod of an agent, as the API server last told."""

    namespace: str
    name: str
    uid: str
    agent: str
    revision: str
    address: str
    ready: bool
    gone: bool = False


def choose(
    pods: Iterable[Pod], in_flight: Mapping[str, int], concurrency: int, avoid: frozenset[str] = frozenset()
) -> Pod | None:
    """The ready pod with the fewest tasks and room for one more, or None. `avoid` holds uids to take only in need.

    Ties go to the smaller uid, so that every process chooses alike for the same facts.
    """
    fit = [pod for pod in pods if pod.ready and in_flight.get(pod.uid, 0) < concurrency]
    return min(fit, key=lambda pod: (pod.uid in avoid, in_flight.get(pod.uid, 0), pod.uid), default=None)


def stable_revision(agent: Agent) -> str:
    """The revision that a new task begins on. A Problem names what is in the way if there is none."""
    if agent.spec.suspend:
        raise Problem(409, Reason.SUSPENDED, "the agent is suspended: it takes no tasks")
    stable = agent.status.revision.stable
    if stable is None:
        ready = agent.status.condition("Ready")
        why = f"{ready.reason}: {ready.message}" if ready else "its operator has not reported on it yet"
        raise Problem(
            503, Reason.NO_STABLE_REVISION, f"the agent has no stable revision; Ready is {why}", retry_after=5
        )
    return stable


def chosen_revision(agent: Agent, wanted: str) -> str:
    """The revision that a tester asks for: `stable`, `candidate`, or the hash of either. Raises Problem.

    A candidate that has no traffic yet may be chosen; one that has failed may not.
    """
    stable, candidate = stable_revision(agent), agent.status.revision.candidate
    if candidate in agent.status.revision.blocked:
        candidate = None
    found = {"stable": stable, "candidate": candidate}.get(wanted, wanted)
    if found is None or found not in {stable, candidate}:
        raise Problem(
            409,
            Reason.REVISION_UNKNOWN,
            f"revision {wanted[:64]!r} cannot be chosen: stable is {stable}, candidate is {candidate or 'none'}",
        )
    return found


def capacity(pods: Iterable[Pod], concurrency: int, queue: int) -> int:
    """How many open tasks an agent may have: what its ready pods work on, and a queue. 0 without a ready pod."""
    ready = sum(pod.ready for pod in pods)
    return ready * concurrency + queue if ready else 0
