"""What the record says of one agent: every kind of claim, of no other agent, each with the record that shows it."""

from __future__ import annotations

import pytest

from proctor.audit.records import Place, Record
from proctor.audit.report import claims
from tests.audit.logs import LOG, T0

AGENT = {"namespace": "support", "name": "refunds"}


def record(kind, seq=0, **fields):
    """A record of the agent."""
    return Record(Place(LOG, seq, ""), kind, T0, {"agent": AGENT, **fields})


@pytest.mark.parametrize(
    ("given", "section", "text"),
    [
        (
            record("config.changed", change={"owner": "support", "risk_tier": "High", "after": "bbb"}),
            "Declaration",
            "declared: owner support, risk_tier High, after bbb",
        ),
        (record("rollout.promote", rollout={"revision": "bbb", "e": "25"}), "Versions", "promoted: revision bbb, e 25"),
        (
            record("rollout.rollback", rollout={"type": "RolledBack", "revision": "bbb", "reason": "Harmful"}),
            "Incidents",
            "withdrawn: type RolledBack, revision bbb, reason Harmful",
        ),
        (record("suspend", state={"suspend": True, "generation": 3}), "Oversight", "stopped by a person: generation 3"),
        (
            record("approval.decided", approval={"approval": "a1", "decision": "Approved", "decidedBy": ["ann"]}),
            "Oversight",
            "people decided: approval a1, decision Approved, decidedBy ['ann']",
        ),
        (
            record("state.changed", state={"type": "SLOCompliant", "status": "False", "reason": "Missed"}),
            "Objectives",
            "type SLOCompliant, status False, reason Missed",
        ),
        (
            record("policy.decision", decision={"outcome": "deny", "reason": "PolicyDenied"}),
            "Oversight",
            "1 calls denied: PolicyDenied",
        ),
        (
            record("tool.request", tool={"server": "crm", "name": "get_order", "effect": "Read"}),
            "Use",
            "1 calls of crm/get_order (Read)",
        ),
    ],
)
def test_each_kind_of_record_makes_its_claim(given, section, text):
    """By section, in words made of the record's own facts."""
    (found,) = claims([given], "support", "refunds")
    assert (found.section, found.text, found.seq) == (section, text, 0)


def test_a_task_that_failed_is_an_incident_and_is_counted():
    """The count names the last record of its kind."""
    ended = [record("run.end", seq, run={"id": "t"}, result={"phase": "Failed", "reason": "Timeout"}) for seq in (3, 7)]
    found = claims(ended, "support", "refunds")
    assert [(each.section, each.text, each.seq) for each in found] == [
        ("Incidents", "task t ended: phase Failed, reason Timeout", 3),
        ("Incidents", "task t ended: phase Failed, reason Timeout", 7),
        ("Use", "2 tasks ended Failed", 7),
    ]


@pytest.mark.parametrize(
    "agent",
    [
        {"namespace": "support", "name": "other"},
        {"namespace": "shop", "name": "refunds"},
        {**AGENT, "kind": "Connector"},
    ],
)
def test_of_others_nothing_is_claimed(agent):
    """Neither of another agent, nor of a Connector that has the same name."""
    assert claims([record("suspend", agent=agent)], "support", "refunds") == ()


def test_conditions_that_are_no_objectives_make_no_claim():
    """The story of each pod is not in the report."""
    assert claims([record("state.changed", state={"type": "Available", "status": "False"})], "support", "refunds") == ()
