"""Policies on a real Kubernetes: what the operator says and stops, and what the gateway refuses at a call."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from proctor_cluster.settings import Settings
from tests.e2e.asking import Caller
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, a_model, an_agent, condition, eventually, is_
from tests.e2e.refunds import bring_up

QUESTION = "Customer C-1042 asks for a refund of order O-50042 (39.90 EUR): arrived broken"


def policy(mode: str = "Enforce", **spec: Any) -> Manifest:
    """A Policy that is called careful."""
    return {
        "apiVersion": "proctor.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "careful"},
        "spec": {"owner": {"team": "risk", "contact": "risk@example.com"}, "mode": mode, **spec},
    }


@pytest.fixture
def ns(cluster: Installed) -> Iterator[Namespace]:
    """A namespace with an agent that serves."""
    name = f"policies-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    found = Namespace(cluster.kubectl, name)
    found.apply(a_model(name), an_agent(name))
    found.wait(is_("Ready", "True"), seconds=90)
    yield found
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def counted(ns: Namespace, **counts: int) -> Manifest:
    """The policy as soon as it counts its agents so."""
    wanted = {key: value for key, value in counts.items() if value}
    return eventually(
        lambda: ns.get("policies.proctor.dev", "careful"),
        lambda body: {k: v for k, v in body.get("status", {}).get("agents", {}).items() if v} == wanted,
        seconds=30,
    )


def test_from_audit_to_enforce_and_back(ns: Namespace) -> None:
    """A policy watches, then stops what is new while what serves goes on; an exception frees; deleted, it is gone."""
    needs: dict[str, Any] = {"require": {"fields": ["Evals"]}}
    serving = ns.agent()["status"]["revision"]["stable"]
    ns.apply(policy("Audit", **needs))
    agent = ns.wait(is_("PolicyCompliant", "False", "ViolatingUnenforced"))
    assert agent["status"]["policy"]["violations"][0]["rule"] == "require/Evals"
    assert condition(agent, "Ready")["status"] == "True"
    found = counted(ns, matched=1, violating=1)
    assert condition(found, "Ready")["status"] == "True"
    assert found["status"]["violations"][0]["name"] == "clerk"

    ns.apply(policy(**needs))
    agent = ns.wait(is_("Ready", "False", "PolicyViolation"))
    assert condition(agent, "Available")["status"] == "True"
    assert agent["status"]["revision"]["stable"] == serving

    until = (datetime.now(UTC) + timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:%SZ")
    pilot = {"name": "pilot", "selector": {"names": ["clerk"]}, "rules": ["require"], "approvedBy": "ciso@example.com"}
    ns.apply(policy(exceptions=[pilot | {"reason": "The pilot runs on.", "expiresAt": until}], **needs))
    ns.wait(is_("PolicyCompliant", "True", "Excepted"))
    assert counted(ns, matched=1, excepted=1)["status"]["exceptionsExpiringSoon"] == ["pilot"]

    ns.kubectl("delete", "policy.proctor.dev", "careful")
    ns.wait(lambda body: "policy" not in body["status"] and condition(body, "Ready")["status"] == "True")


def test_a_policy_stops_the_next_call(cluster: Installed, settings: Settings) -> None:
    """A tool that a new policy denies is not called any more, without a new revision; and the caller can read why."""
    bring_up(cluster, settings)
    support, caller = Namespace(cluster.kubectl, "support"), Caller(cluster.cluster, "shop", "web")
    support.apply(policy("Enforce", tools={"deny": [{"connector": "payments"}]}, selector={"names": ["refunds"]}))
    try:
        calls = eventually(lambda: _calls(caller), lambda found: any(each["state"] == "Denied" for each in found), 40)
    finally:
        support.kubectl("delete", "policy.proctor.dev", "careful")
        caller.close()
    denied = [each for each in calls if each["state"] == "Denied"]
    assert {each["connector"] for each in denied} == {"payments"}
    assert "Policy/support/careful tools/deny" in denied[0]["error"]["message"]


def _calls(caller: Caller) -> list[dict[str, Any]]:
    task = caller.invoke("support", "refunds", QUESTION).body
    return caller.calls("support", "refunds", task["id"])
