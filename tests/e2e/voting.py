"""A member of a group answers a question, as `kubectl proctor approve` does."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from tests.e2e.declared import Namespace


def approve(shop: Namespace, name: str, comment: str = "") -> None:
    """Bob, of the group sre, votes for what is asked."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "proctor-approver"}
    bob = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "bob-may-answer", "namespace": shop.name},
        "roleRef": role,
        "subjects": [bob],
    }
    shop.apply(binding)
    question = shop.get("approval", name)
    vote = {
        "user": "bob",
        "decision": "Approve",
        "digest": question["spec"]["subject"]["digest"],
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    vote |= {"comment": comment} if comment else {}
    body = {
        "apiVersion": question["apiVersion"],
        "kind": "Approval",
        "metadata": {"name": name, "namespace": shop.name},
        "status": {"votes": [vote]},
    }
    people = ("--as=bob", "--as-group=sre", "--as-group=system:authenticated")
    apply = ("apply", "--server-side", "--subresource=status", "--field-manager=vote-bob", "-f", "-")
    shop.kubectl(*apply, *people, stdin=json.dumps(body))
