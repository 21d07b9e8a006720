"""Policies at admission, on a real API server, while no operator runs: what it refuses, warns of, and lets pass."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proctor_cluster.cluster import Cluster
from tests.e2e.declared import Manifest, an_agent

pytestmark = pytest.mark.usefixtures("operator_away")

ROOT = Path(__file__).parents[2]
NOW = datetime.now(UTC)
_SECONDS = 90


def at(**time_: float) -> str:
    """So much later than now."""
    return (NOW + timedelta(**time_)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Api:
    """A namespace in which one policy after the other is tried."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self.namespace = namespace

    def apply(self, manifest: Manifest, *, dry: bool = False) -> tuple[bool, str]:
        """Whether the API server took it, and all that was said."""
        flags = ["--dry-run=server"] if dry else []
        command = self._cluster.kubectl_argv("-n", self.namespace, "apply", *flags, "-f", "-")
        done = subprocess.run(command, input=json.dumps(manifest), capture_output=True, text=True, check=False)
        return done.returncode == 0, done.stdout + done.stderr

    def forget(self, manifest: Manifest) -> None:
        """The object is gone when this returns."""
        kind = f"{manifest['kind'].lower()}.proctor.dev"
        self._cluster.kubectl("-n", self.namespace, "delete", kind, manifest["metadata"]["name"], "--ignore-not-found")

    def judged(self, policy: Manifest, agent: Manifest) -> tuple[bool, str]:
        """What is said to the agent while the policy is there; asked until two answers agree.

        The API server hears of a new policy through a watch of its own, a moment later.
        """
        took, said = self.apply(policy)
        assert took, said
        try:
            answers = [self.apply(agent, dry=True)]
            for _ in range(12):
                time.sleep(0.25)
                answers.append(self.apply(agent, dry=True))
                if len(answers) > 3 and answers[-1] == answers[-2] == answers[-3]:
                    break
            return answers[-1]
        finally:
            self.forget(policy)


def an_owned_agent(namespace: str, **spec: Any) -> Manifest:
    """An agent with a label, two tools and an upgrade by steps."""
    steps = [{"weight": 10, "until": {"minTasks": 20, "minDuration": "10m"}}, {"weight": 60}]
    tools = [{"connector": "crm", "allow": ["get_order", "delete_order"]}]
    found = an_agent(namespace, **{"tools": tools, "rollout": {"steps": steps}, **spec})
    found["metadata"]["labels"] = {"stage": "prod"}
    return found


def policy(mode: str = "Enforce", kind: str = "Policy", name: str = "careful", **spec: Any) -> Manifest:
    """A Policy, or a ClusterPolicy."""
    return {
        "apiVersion": "proctor.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"owner": {"team": "risk", "contact": "risk@example.com"}, "mode": mode, **spec},
    }


@pytest.fixture(scope="module")
def api(bare_cluster: Cluster) -> Iterator[Api]:
    """An API server with the kinds and the admission rules, and no operator."""
    for path in ("crds", "base/admission.yaml"):
        flag = "-k" if path == "crds" else "-f"
        bare_cluster.kubectl("apply", "--server-side", "--force-conflicts", flag, str(ROOT / "manifests" / path))
    bare_cluster.kubectl("wait", "--for=condition=Established", "crd/agents.proctor.dev", "crd/policies.proctor.dev")
    namespace = f"admission-{uuid.uuid4().hex[:8]}"
    bare_cluster.kubectl("create", "namespace", namespace)
    found = Api(bare_cluster, namespace)
    _await_rules(found)
    yield found
    bare_cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def _await_rules(api: Api) -> None:
    """The API server begins to follow the policies as parameters a while after it has learned of their kinds."""
    rules = [policy(kind=kind, require={"labels": ["missing"]}) for kind in ("Policy", "ClusterPolicy")]
    for rule in rules:
        until = time.monotonic() + _SECONDS
        api.apply(rule)
        while api.apply(an_owned_agent(api.namespace), dry=True)[0]:
            assert time.monotonic() < until, f"the rules of {rule['kind']} do not hold after {_SECONDS} s"
            time.sleep(1)
        api.forget(rule)
    while not api.apply(an_owned_agent(api.namespace), dry=True)[0]:
        time.sleep(0.25)


EVALS: dict[str, Any] = {"require": {"fields": ["Evals"]}}
ONCE = {"name": "sale", "reason": "The shop earns the year.", "once": {"from": at(days=-1), "until": at(days=1)}}
EXCEPTION = {
    "name": "pilot",
    "selector": {"names": ["clerk"]},
    "rules": ["require"],
    "reason": "The pilot runs until next week.",
    "approvedBy": "ciso@example.com",
    "expiresAt": at(days=7),
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a field": (EVALS, "require/Evals"),
    "a cost": ({"require": {"fields": ["MaxCost"]}}, "require/MaxCost"),
    "a human": ({"require": {"fields": ["HumanFallback"]}}, "require/HumanFallback"),
    "a label": ({"require": {"labels": ["cost-centre"]}}, "metadata.labels must have cost-centre"),
    "an objective": ({"require": {"slos": ["TaskSuccess"]}}, "require/slos"),
    "a denied model": ({"models": {"deny": [{"name": "gpt-*"}]}}, "models/deny"),
    "a model that is not allowed": ({"models": {"allow": [{"connector": "llm-eu"}]}}, "models/allow"),
    "a denied tool": ({"tools": {"deny": [{"tool": "delete_*"}]}}, "tools/deny"),
    "a tool that is not allowed": ({"tools": {"allow": [{"connector": "c*", "tool": "get_*"}]}}, "tools/allow"),
    "a timeout": ({"limits": {"maxTimeout": "50s"}}, "limits/maxTimeout"),
    "steps": ({"limits": {"maxSteps": 5}}, "limits/maxSteps"),
    "a cost without an end": ({"limits": {"maxCost": "1"}}, "limits/maxCost"),
    "a sandbox": ({"sandbox": {"minimumProfile": "Hardened"}}, "sandbox/minimumProfile"),
    "a step": ({"rollout": {"requireSteps": ["Evals"]}}, "rollout/requireSteps"),
    "a first weight": ({"rollout": {"maxInitialWeight": 5}}, "rollout/maxInitialWeight"),
    "a leap": ({"rollout": {"maxWeightStep": 45}}, "rollout/maxWeightStep"),
    "haste": ({"rollout": {"minDuration": "20m"}}, "rollout/minDuration"),
    "an error": ({"rollout": {"maxAlpha": "0.01"}}, "rollout/maxAlpha"),
    "what the undecided lead to": ({"rollout": {"onInconclusive": ["Rollback"]}}, "rollout/onInconclusive"),
    "an exception that is over": (EVALS | {"exceptions": [EXCEPTION | {"expiresAt": at(days=-1)}]}, "require/Evals"),
    "an exception for too long": (EVALS | {"exceptions": [EXCEPTION | {"expiresAt": at(days=99)}]}, "require/Evals"),
    "one that is meant": (EVALS | {"selector": {"matchLabels": {"stage": "prod"}}}, "require/Evals"),
}


@pytest.mark.parametrize(("spec", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_breaks_an_enforced_rule_is_refused(api: Api, spec: dict[str, Any], rule: str) -> None:
    """Whoever applies such an Agent reads which policy and which rule, though no operator runs."""
    took, said = api.judged(policy(**spec), an_owned_agent(api.namespace))
    assert not took
    assert "Policy/careful" in said
    assert rule in said


TAKEN: dict[str, dict[str, Any]] = {
    "within all bounds": {
        "limits": {"maxTimeout": "1d", "maxSteps": 12},
        "rollout": {"maxInitialWeight": 10, "maxWeightStep": 50, "maxAlpha": "0.05", "requireSteps": ["Weight"]},
        "sandbox": {"minimumProfile": "Standard"},
        "models": {"allow": [{"name": "gpt-5-*"}]},
    },
    "excepted": EVALS | {"exceptions": [EXCEPTION]},
    "not meant by label": EVALS | {"selector": {"matchLabels": {"stage": "test"}}},
    "not meant by tier": EVALS | {"selector": {"riskTiers": ["High"]}},
    "what only the operator can judge": {"tools": {"deny": [{"effects": ["Once"]}]}},
}


@pytest.mark.parametrize("spec", TAKEN.values(), ids=TAKEN)
def test_what_follows_the_rules_is_taken(api: Api, spec: dict[str, Any]) -> None:
    """An Agent within its bounds, excepted or not meant is taken without a word."""
    took, said = api.judged(policy(**spec), an_owned_agent(api.namespace))
    assert took, said
    assert "Warning" not in said


def test_modes_lead_to_what_they_say(api: Api) -> None:
    """Enforce refuses, Warn warns, Audit says nothing; and a mode that begins by itself does so without an operator."""
    agent = an_owned_agent(api.namespace)
    took, said = api.judged(policy("Warn", **EVALS), agent)
    assert took
    assert "Warning" in said
    assert "require/Evals" in said
    took, said = api.judged(policy("Audit", **EVALS), agent)
    assert took
    assert "Warning" not in said
    took, _ = api.judged(policy("Warn", enforceFrom=at(days=-1), **EVALS), agent)
    assert not took
    took, said = api.judged(policy("Audit", enforceFrom=at(days=1), **EVALS), agent)
    assert took, said


def test_a_cluster_policy_means_namespaces_by_their_labels(api: Api) -> None:
    """It holds in the namespaces that it names, and in no others."""
    for name, refuses in ((api.namespace, True), ("elsewhere", False)):
        selector = {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
        took, said = api.judged(policy(kind="ClusterPolicy", selector=selector, **EVALS), an_owned_agent(api.namespace))
        assert took is not refuses, said


def test_what_exists_can_be_stopped_but_not_made_worse(api: Api) -> None:
    """An Agent older than the rule can be stopped, annotated, deleted; in a freeze it scales, but is not upgraded."""
    agent, rule = an_owned_agent(api.namespace), policy(**EVALS)
    assert api.apply(agent)[0]
    stopped, changed, scaled, noted = (deepcopy(agent) for _ in range(4))
    stopped["spec"]["suspend"] = True
    changed["spec"]["model"]["name"] = "another"
    scaled["spec"]["runtime"] = {"replicas": 3}
    noted["metadata"]["annotations"] = {"seen": "yes"}
    assert not api.judged(rule, changed)[0]
    assert api.judged(rule, stopped)[0]
    assert api.judged(rule, noted)[0]
    frozen = policy(rollout={"freeze": [ONCE]})
    took, said = api.judged(frozen, changed)
    assert not took
    assert "The shop earns the year" in said
    assert api.judged(frozen, scaled)[0]
    assert api.apply(rule)[0]
    api.forget(agent)
    api.forget(rule)
