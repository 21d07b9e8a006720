"""What follows from the votes on an Approval?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from proctor.api.approval import Approval
from proctor.policy.votes import Decided, Pending, TimedOut, Withdrawn, tally

T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64


def vote(user: str, decision: str = "Approve", minutes: float | None = 1, **changes: Any) -> dict[str, Any]:
    """A vote, some minutes after the question."""
    at = {} if minutes is None else {"at": (T0 + timedelta(minutes=minutes)).isoformat()}
    return {"user": user, "decision": decision, "digest": DIGEST, **at, **changes}


def approval(*votes: dict[str, Any], phase: str | None = "Pending", **changes: Any) -> Approval:
    """A question to alice, bob, carol and the group sre, asked by web, to be answered within an hour."""
    call = {
        "agent": "refunds",
        "revision": "0123456789",
        "task": "t",
        "connector": "payments",
        "tool": "refund",
        "arguments": {"amount": 300},
    }
    spec = {
        "subject": {"digest": DIGEST, "toolCall": call},
        "question": "May it?",
        "approvers": {"users": ["alice", "bob", "carol"]},
        "requestedBy": "web",
        "deadline": (T0 + timedelta(hours=1)).isoformat(),
        **changes,
    }
    return Approval.parse(
        {
            "apiVersion": "proctor.dev/v1alpha1",
            "kind": "Approval",
            "metadata": {"name": "x", "namespace": "support"},
            "spec": spec,
            "status": {**({"phase": phase} if phase else {}), "votes": list(votes)},
        }
    )


CASES: dict[str, tuple[Approval, Any]] = {
    "nobody voted": (approval(), None),
    "one of one": (approval(vote("alice")), "Approve"),
    "one of two": (approval(vote("alice"), quorum=2), None),
    "two of two": (approval(vote("alice"), vote("bob"), quorum=2), "Approve"),
    "two who do not agree": (approval(vote("alice"), vote("bob", "Reject"), quorum=2), None),
    "two who agree, and one who does not": (
        approval(vote("alice"), vote("bob", "Reject"), vote("carol", "Reject"), quorum=2),
        "Reject",
    ),
    "a later vote changes nothing": (approval(vote("alice"), vote("bob", "Reject")), "Approve"),
    "two who filled in different things": (
        approval(vote("alice", answer={"arguments": {"amount": 1}}), vote("bob"), quorum=2),
        None,
    ),
    "the one who asks": (approval(vote("web"), approvers={"groups": ["sre"]}), None),
    "the one who asks, without four eyes": (
        approval(vote("web"), approvers={"groups": ["sre"]}, fourEyes=False),
        "Approve",
    ),
    "one who is barred": (approval(vote("alice"), notBy=["alice"]), None),
    "a stranger": (approval(vote("mallory")), None),
    "somebody of a group": (approval(vote("dora"), approvers={"groups": ["sre"]}), "Approve"),
    "of another question": (approval(vote("alice", digest="sha256:" + "b" * 64)), None),
    "of no option": (approval(vote("alice", "Maybe")), None),
    "too late": (approval(vote("alice", minutes=61)), None),
    "too late, but it is waited for": (approval(vote("alice", minutes=61), onTimeout="Hold"), "Approve"),
}


@pytest.mark.parametrize(("asked", "decision"), CASES.values(), ids=CASES)
def test_votes_are_counted(asked, decision):
    """Enough people who may answer, in time, the same, to this very question: nothing else decides."""
    found = tally(asked, T0 + timedelta(minutes=30))
    assert (found.decision if isinstance(found, Decided) else None) == decision
    assert isinstance(found, Decided | Pending)


TIMES = {
    "silence denies": (approval(), TimedOut()),
    "silence holds": (approval(onTimeout="Hold"), Pending()),
    "a vote in time counts, whenever it is counted": (
        approval(vote("alice")),
        Decided("Approve", ("alice",), T0 + timedelta(minutes=1), None, None),
    ),
    "a vote without a time is taken for one of now": (approval(vote("alice", minutes=None)), TimedOut()),
    "it was withdrawn": (approval(vote("alice"), phase="Withdrawn"), Withdrawn()),
}


@pytest.mark.parametrize(("asked", "expected"), TIMES.values(), ids=TIMES)
def test_after_the_deadline(asked, expected):
    """Silence never approves."""
    assert tally(asked, T0 + timedelta(hours=2)) == expected
