"""Whether the network of a namespace is really fenced: a pod behind the same fence as every agent tries to get out.

The finished pod is the record of the measurement: it holds what was seen and when, so nothing else needs to be kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from proctor.api import digest, names
from proctor.api.agent import Agent, NetworkIsolation
from proctor.plan import children, drift
from proctor.plan.pod import confined, locked
from proctor.plan.world import Deletion, Isolation, Manifest, Plan, Platform, deletion_of

_DEADLINE_SECONDS = 120
_SETTLE_SECONDS = 20
_RETRY = timedelta(minutes=5)
_SOON = timedelta(seconds=2)
_UNDER_WAY = "not measured yet"
"""The same words before the probe's pod exists and while it runs: each other word would be a write of every status."""


@dataclass(frozen=True)
class IsolationWorld:
    """All that is known when the probe of a namespace is planned. `agents` are those that are not being deleted."""

    namespace: str
    agents: tuple[Agent, ...]
    pod: Manifest | None
    policy: Manifest | None
    platform: Platform


def probe_name(namespace: str) -> str:
    """The name of the probe's pod and of its NetworkPolicy."""
    return names.isolation_probe(namespace)


def plan_isolation(world: IsolationWorld, now: datetime) -> Plan:
    """The probe's pod and its fence, for as long as there are agents; a new pod when the measurement is old."""
    resync = now + timedelta(seconds=world.platform.resync_seconds)
    if not world.agents:
        # Nothing is deleted: an agent owns the probe, and it goes with that agent. That no agent is known may only mean
        # that the watch of agents is behind the one of pods.
        return Plan(resync)
    policy = _make_policy(world)
    observed = [world.policy] if world.policy else []
    pod = drift.stamped(_make_pod(world))
    if world.pod is None:
        return Plan(resync, applies=(*drift.changed([policy], observed), pod))
    outdated = tuple(_outdated(world, pod, now))
    # Soon after a deletion there is a new pod to make; the watch may have nothing more to tell of the old one.
    wake_at = now + _SOON if outdated else min(resync, _expiry(world, now))
    return Plan(wake_at, applies=drift.changed([policy], observed), deletions=outdated)


def measure(pod: Manifest | None) -> Isolation:
    """What the probe's pod saw. Without a finished pod, or one whose word cannot be read, it is unknown."""
    if pod is None:
        return Isolation(NetworkIsolation.UNKNOWN, _UNDER_WAY)
    ended = _ended(pod)
    if ended is None:
        phase = pod.get("status", {}).get("phase", "Pending")
        if phase == "Failed":
            return Isolation(NetworkIsolation.UNKNOWN, f"the probe failed: {pod['status'].get('reason', 'no result')}")
        return Isolation(NetworkIsolation.UNKNOWN, _UNDER_WAY)
    probed_at = datetime.fromisoformat(ended["finishedAt"])
    try:
        seen = json.loads(ended.get("message", ""))
        return _judge(seen["allowed"], seen["forbidden"], probed_at)
    except (ValueError, KeyError, TypeError, AttributeError):
        code = ended.get("exitCode")
        return Isolation(NetworkIsolation.UNKNOWN, f"the probe ended with code {code} and no result", probed_at)


def _judge(allowed: str, forbidden: dict[str, str], probed_at: datetime) -> Isolation:
    open_ = sorted(target for target, result in forbidden.items() if result == "Connected")
    if open_:
        message = f"a sandboxed pod could connect to {', '.join(open_)}: this cluster does not enforce NetworkPolicy"
        return Isolation(NetworkIsolation.NOT_ENFORCED, message, probed_at)
    mute = sorted(target for target, result in forbidden.items() if result not in {"Refused", "TimedOut"})
    if mute or not forbidden:
        message = f"{', '.join(mute) or 'nothing'} was tried without an outcome, which says nothing about the network"
        return Isolation(NetworkIsolation.UNKNOWN, message, probed_at)
    if allowed != "Connected":
        message = f"the gateway could not be reached either ({allowed}), so that nothing else answered proves nothing"
        return Isolation(NetworkIsolation.UNKNOWN, message, probed_at)
    message = f"a sandboxed pod reached the gateway and could not connect to {', '.join(sorted(forbidden))}"
    return Isolation(NetworkIsolation.VERIFIED, message, probed_at)


def _ended(pod: Manifest) -> dict[str, Any] | None:
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return next((each["state"]["terminated"] for each in statuses if each.get("state", {}).get("terminated")), None)


def _expiry(world: IsolationWorld, now: datetime) -> datetime:
    isolation = measure(world.pod)
    if isolation.probed_at is None:
        return now + _RETRY
    is_known = isolation.state is not NetworkIsolation.UNKNOWN
    max_age = timedelta(seconds=world.platform.isolation_max_age_seconds)
    return isolation.probed_at + (max_age if is_known else _RETRY)


def _outdated(world: IsolationWorld, wanted: Manifest, now: datetime) -> Iterator[Deletion]:
    """The probe's pod, if it is not the one we would make now or its word is old. The next look makes a new one."""
    pod = world.pod
    if pod is None or pod["metadata"].get("deletionTimestamp"):
        return
    is_other = (
        pod["metadata"].get("annotations", {}).get(names.APPLIED) != wanted["metadata"]["annotations"][names.APPLIED]
    )
    has_failed = pod.get("status", {}).get("phase") == "Failed" and _ended(pod) is None
    is_old = measure(pod).probed_at is not None and now >= _expiry(world, now)
    if is_other or has_failed or is_old:
        yield deletion_of(pod)


def _labels() -> dict[str, str]:
    return {names.PROBE: "isolation", names.MANAGED_BY: "proctor", names.COMPONENT: "isolation-probe"}


def owner(world: IsolationWorld) -> Agent:
    """Any one of the agents can own the probe: when it goes, the probe goes, and the next agent gets a new one."""
    return min(world.agents, key=lambda agent: (agent.metadata.creation_timestamp, agent.metadata.name))


def _metadata(world: IsolationWorld) -> dict[str, Any]:
    return {
        "name": probe_name(world.namespace),
        "namespace": world.namespace,
        "labels": _labels(),
        "ownerReferences": [{**children.owned_by(owner(world)), "controller": False}],
    }


def _make_policy(world: IsolationWorld) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(world),
        "spec": children.fence({names.PROBE: "isolation"}, world.platform),
    }


def _make_pod(world: IsolationWorld) -> Manifest:
    platform = world.platform
    gateway = platform.gateway_host
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**_metadata(world), "annotations": {f"{names.GROUP}/probes": _target(platform)}},
        "spec": {
            **confined("default"),
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _DEADLINE_SECONDS,
            "containers": [
                {
                    "name": "probe",
                    "image": platform.agent_image,
                    "command": ["proctor-agent-probe"],
                    "args": [
                        f"--allowed={gateway}:{names.AGENT_FACING_PORT}",
                        f"--forbidden={gateway}:{names.INTERNAL_PORT}",
                        "--forbidden=kubernetes.default.svc:443",
                        f"--settle={_SETTLE_SECONDS}",
                    ],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi", "ephemeral-storage": "16Mi"},
                        "limits": {"cpu": "200m", "memory": "64Mi", "ephemeral-storage": "16Mi"},
                    },
                    "securityContext": locked(),
                }
            ],
        },
    }


def _target(platform: Platform) -> str:
    return digest.short([platform.gateway_host, platform.dns_cidrs])
