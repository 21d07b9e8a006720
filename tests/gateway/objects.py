"""The objects of the tests: an agent with its revision, connectors, pods."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from proctor.api import digest, names

NAMESPACE = "support"
KEY = b"a-key-for-tests"
CALLER = "system:serviceaccount:shop:web"
OPERATOR = "system:serviceaccount:proctor-system:proctor-operator"


_BEHAVIOUR = ("instructions", "model", "tools", "output", "limits", "fallbacks", "confidence")


def token(name: str, *audiences: str, **claims: Any) -> str:
    """Something in the form of a service-account token. It is worth what the cluster of the test says it is."""
    body = json.dumps({"sub": name, "aud": list(audiences), **claims}).encode()
    return f"e30.{base64.urlsafe_b64encode(body).decode().rstrip('=')}.signature"


CALLER_TOKEN = token("web", names.AUDIENCE)
OPERATOR_TOKEN = token("operator", names.AUDIENCE)


def agent_spec(**changes: Any) -> dict[str, Any]:
    """The spec of the agent `refunds`, with changes by their names in the spec."""
    return {
        "owner": {"team": "support-platform", "contact": "oncall@example.com"},
        "purpose": "Tests.",
        "instructions": "Do what the task says.",
        "model": {"connector": "llm", "name": "gpt-5-mini", "parameters": {"temperature": 0}},
        "tools": [
            {"connector": "crm", "allow": ["get_customer", "get_order"]},
            {"connector": "payments", "allow": ["refund", "list_payments"]},
        ],
        "limits": {"timeout": "20s", "maxSteps": 12},
        "access": {"callers": [{"serviceAccount": {"namespace": "shop", "name": "web"}}]},
        **changes,
    }


def revision_of(spec: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """The revision of a spec and its ControllerRevision, as the operator makes them."""
    behaviour = {key: spec[key] for key in _BEHAVIOUR if key in spec}
    data = {"spec": behaviour, "definitions": dict(definitions or {})}
    revision = digest.short(data)
    name = names.of_revision("refunds", revision)
    labels = names.revision_labels("refunds", revision)
    return revision, {"metadata": {"namespace": NAMESPACE, "name": name, "labels": labels}, "data": data}


def agent(spec: Mapping[str, Any], stable: str | None, **status: Any) -> dict[str, Any]:
    """The Agent."""
    revision = {"stable": stable} if stable else {}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Agent",
        "metadata": {"namespace": NAMESPACE, "name": "refunds", "uid": "agent-uid", "generation": 1},
        "spec": dict(spec),
        "status": {"observedGeneration": 1, "revision": revision, **status},
    }


def connector(name: str, kind: str, url: str, **spec: Any) -> dict[str, Any]:
    """A Connector whose credential is in the Secret of the same name."""
    auth = {"secretRef": {"name": name, "key": "token"}}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Connector",
        "metadata": {"namespace": NAMESPACE, "name": name, "uid": f"{name}-uid", "generation": 3},
        "spec": {"type": kind, "url": url, "auth": auth, **spec},
    }


PRICES: Sequence[Mapping[str, str]] = ({"model": "gpt-5-mini", "inputPerMillion": "0.25", "outputPerMillion": "2"},)
CRM_TOOLS = ({"name": "get_customer", "effect": "Read"}, {"name": "get_order", "effect": "Read"})
PAYMENT_TOOLS = ({"name": "refund", "effect": "Idempotent"}, {"name": "list_payments", "effect": "Read"})


def pod(name: str, revision: str, address: str, *, ready: bool = True, **metadata: Any) -> dict[str, Any]:
    """A pod of the agent."""
    return {
        "metadata": {
            "namespace": NAMESPACE,
            "name": name,
            "uid": f"uid-of-{name}",
            "labels": names.revision_labels("refunds", revision),
            **metadata,
        },
        "status": {
            "phase": "Running",
            "podIP": address,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def spending_policy(*budgets: dict[str, Any], mode: str = "Enforce", **more: Any) -> dict[str, Any]:
    """A Policy with these budgets."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Policy",
        "metadata": {"namespace": NAMESPACE, "name": "spending", "uid": "policy-uid", "generation": 1},
        "spec": {
            "owner": {"team": "finance", "contact": "finance@example.com"},
            "mode": mode,
            "budgets": list(budgets),
            **more,
        },
    }
