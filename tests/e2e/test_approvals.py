"""Who may answer an Approval: what a real API server holds, whoever asks it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from proctor_cluster.command import CommandError
from tests.e2e.conftest import Installed

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def asked(cluster: Installed, namespace: str) -> Callable[..., str]:
    """Makes an Approval that asks bob and the group sre, on web's behalf; returns its name."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "proctor-approver"}
    subjects = [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}
        for name in ("alice", "bob", "mallory", "web")
    ]
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "approvers", "namespace": namespace},
        "roleRef": role,
        "subjects": subjects,
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(binding))

    def ask(name: str, **spec: Any) -> str:
        call = {"agent": "refunds", "revision": "0123456789", "task": "t", "connector": "payments", "tool": "refund"}
        body = {
            "apiVersion": "proctor.dev/v1alpha1",
            "kind": "Approval",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "subject": {"digest": DIGEST, "toolCall": {**call, "arguments": {"amount": 300}}},
                "question": "May it?",
                "approvers": {"users": ["bob"], "groups": ["sre"]},
                "requestedBy": "web",
                "deadline": "2099-01-01T00:00:00Z",
                **spec,
            },
        }
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))
        return name

    return ask


def vote(cluster: Installed, namespace: str, name: str, voter: str, *groups: str, **said: Any) -> str | None:
    """Somebody writes a vote; None if it was taken, else why not."""
    status = said.pop("status", None) or {
        "votes": [{"user": voter, "decision": "Approve", "digest": DIGEST, "at": "2026-11-22T12:00:00Z", **said}]
    }
    body = {
        "apiVersion": "proctor.dev/v1alpha1",
        "kind": "Approval",
        "metadata": {"name": name, "namespace": namespace},
        "status": status,
    }
    words = [
        "-n",
        namespace,
        "apply",
        "--server-side",
        "--subresource=status",
        "--force-conflicts",
        f"--field-manager=vote-{voter}",
        "-f",
        "-",
    ]
    people = [f"--as={voter}", *(f"--as-group={group}" for group in (*groups, "system:authenticated"))]
    try:
        cluster.kubectl(*words, *people, stdin=json.dumps(body))
    except CommandError as refused:
        return str(refused)
    return None


REFUSED = {
    "for somebody else": ("mallory", (), {"user": "bob"}, "nobody votes for another"),
    "one who is not asked": ("mallory", (), {}, "is neither one of spec.approvers.users"),
    "the one who asks, though in the group": ("web", ("sre",), {}, "must not be spec.requestedBy"),
    "of another question": ("bob", (), {"digest": "sha256:" + "b" * 64}, "look at the question again"),
    "a decision instead of a vote": ("bob", (), {"status": {"decision": "Approve"}}, "people write their own vote"),
    "a phase": ("bob", (), {"status": {"phase": "Decided"}}, "people write their own vote"),
}


@pytest.mark.parametrize(("user", "groups", "said", "why"), REFUSED.values(), ids=REFUSED)
def test_a_vote_is_the_voters_own(
    cluster: Installed, namespace: str, asked: Callable[..., str], user, groups, said, why
):
    """Nobody answers for another, nobody who is not asked, nobody twice, and only people decide."""
    name = asked("question")
    refusal = vote(cluster, namespace, name, user, *groups, **said)
    assert refusal is not None
    assert why in refusal


def test_a_named_person_and_a_member_of_a_group_decide(cluster: Installed, namespace: str, asked: Callable[..., str]):
    """Two of two: the operator says so, and what was decided is final."""
    name = asked("question", quorum=2)
    assert vote(cluster, namespace, name, "bob") is None
    assert vote(cluster, namespace, name, "alice", "sre") is None
    cluster.kubectl("-n", namespace, "wait", f"approval/{name}", "--for=jsonpath={.status.decision}=Approve")
    found = json.loads(cluster.kubectl("-n", namespace, "get", "approval", name, "-o", "json"))["status"]
    assert (found["phase"], found["decidedBy"]) == ("Decided", ["bob", "alice"])
    assert sorted(each["user"] for each in found["votes"]) == ["alice", "bob"]
    late = vote(cluster, namespace, name, "carol", "sre")
    assert late is not None


GATEWAY = "system:serviceaccount:proctor-system:proctor-gateway"
WITHDRAWN = {"phase": "Withdrawn", "withdrawn": "task t has ended: Cancelled"}


def test_the_gateway_asks_no_more_and_decides_nothing(cluster: Installed, namespace: str, asked: Callable[..., str]):
    """It may withdraw what is open, and nothing else; nobody else may; and then nobody votes any more."""
    name = asked("question")
    assert vote(cluster, namespace, name, "bob", status=WITHDRAWN) is not None
    for refused in ({"phase": "Decided"}, {"decision": "Approve"}, {**WITHDRAWN, "decision": "Approve"}):
        assert vote(cluster, namespace, name, GATEWAY, status=refused) is not None, refused
    own = {"user": GATEWAY, "decision": "Approve", "digest": DIGEST}
    assert "is neither one of spec.approvers.users" in str(
        vote(cluster, namespace, name, GATEWAY, status={"votes": [own]})
    )
    assert vote(cluster, namespace, name, GATEWAY, status=WITHDRAWN) is None
    refusal = vote(cluster, namespace, name, "bob")
    assert refusal is not None
    assert "a vote changes nothing any more" in refusal
    cluster.kubectl("-n", namespace, "wait", f"approval/{name}", "--for=condition=Ready")
    found = json.loads(cluster.kubectl("-n", namespace, "get", "approval", name, "-o", "json"))["status"]
    ready = next(each for each in found["conditions"] if each["type"] == "Ready")
    assert (ready["reason"], ready["message"]) == ("Withdrawn", "task t has ended: Cancelled")


def test_what_is_decided_cannot_be_withdrawn(cluster: Installed, namespace: str, asked: Callable[..., str]):
    """The decision stands."""
    name = asked("question")
    assert vote(cluster, namespace, name, "bob") is None
    cluster.kubectl("-n", namespace, "wait", f"approval/{name}", "--for=jsonpath={.status.decision}=Approve")
    assert vote(cluster, namespace, name, GATEWAY, status=WITHDRAWN) is not None
