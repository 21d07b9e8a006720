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
            record("config.changed", change={"owner": "support", "contact": "s@example.com"}),
            "Declaration",
            "owner: support, s@example.com",
        ),
        (record("config.changed", change={"risk_tier": "High"}), "Declaration", "risk tier: High"),
        (
            record("config.changed", change={"after": "bbb", "after_sha256": "sha256:0123456789abcdef"}),
            "Versions",
            "revision bbb is declared, bundle sha256:0123456789ab",
        ),
        (
            record(
                "config.changed",
                change={"slos": [{"name": "ok", "type": "TaskSuccess", "target": "95", "window": "28d"}]},
            ),
            "Objectives",
            "objective ok: TaskSuccess, 95% in 28d",
        ),
        (
            record("rollout.promote", rollout={"revision": "bbb", "e": "25"}),
            "Versions",
            "revision bbb was promoted: e 25",
        ),
        (
            record("rollout.rollback", rollout={"type": "RolledBack", "revision": "bbb", "reason": "Harmful"}),
            "Incidents",
            "revision bbb was withdrawn (RolledBack): reason Harmful",
        ),
        (record("suspend", state={"suspend": True, "generation": 3}), "Oversight", "stopped by a person: generation 3"),
        (
            record("approval.decided", approval={"approval": "a1", "decision": "Approved", "decidedBy": ["ann"]}),
            "Oversight",
            "a1: Approved by ann",
        ),
        (
            record(
                "approval.decided",
                approval={
                    "approval": "a1",
                    "about": "override",
                    "lasting": "24h",
                    "decision": "Approve",
                    "decidedBy": ["ann"],
                    "why": "it mends the breach",
                },
            ),
            "Oversight",
            "a1: Approve by ann, for 24h: it mends the breach",
        ),
        (
            record(
                "approval.requested",
                approval={
                    "approval": "a1",
                    "about": "payments/refund",
                    "digest": "sha256:0123456789abcdef",
                    "asked": ["bob"],
                },
            ),
            "Oversight",
            "a1: people were asked about payments/refund (sha256:0123456789ab); asked: bob, 1 must agree",
        ),
        (
            record("fallback", run={"id": "t"}, fallback={"from": "", "to": "human", "cause": "InvalidOutput"}),
            "Incidents",
            "task t went to human after InvalidOutput",
        ),
        (
            record("state.changed", state={"type": "SLOCompliant", "status": "False", "reason": "Missed"}),
            "Objectives",
            "SLOCompliant is False (Missed)",
        ),
        (
            record(
                "policy.decision",
                tool={"server": "payments", "name": "refund"},
                decision={"outcome": "deny", "reason": "PolicyDenied", "rule": "Policy/support/money tools/sinks"},
            ),
            "Oversight",
            "once: payments/refund was denied: PolicyDenied by Policy/support/money tools/sinks",
        ),
        (
            record("tool.request", tool={"server": "crm", "name": "get_order", "effect": "Read"}),
            "Use",
            "once: crm/get_order was called (Read)",
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
        ("Incidents", "task t ended Failed: Timeout", 3),
        ("Incidents", "task t ended Failed: Timeout", 7),
        ("Use", "2 times: task ended Failed", 7),
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


def test_what_is_declared_again_is_claimed_once():
    """A change of the spec repeats neither who answers nor a revision; another owner is another claim."""
    first = {"owner": "support", "purpose": "Pay.", "after": "aaa"}
    changes = (first, first, {**first, "after": "bbb"}, {**first, "owner": "risk"})
    found = claims([record("config.changed", seq, change=each) for seq, each in enumerate(changes)], *AGENT.values())
    assert [(each.text, each.seq) for each in found] == [
        ("owner: support", 0),
        ("purpose: Pay.", 0),
        ("owner: risk", 3),
        ("revision aaa is declared", 0),
        ("revision bbb is declared", 2),
    ]


POLICY = {"namespace": "support", "name": "money", "kind": "Policy"}
PILOT = {
    "name": "pilot",
    "rules": ["budgets/task"],
    "approvedBy": "ciso",
    "expiresAt": "2027-01-01",
    "reason": "A pilot.",
}
EXCEPTED = {
    "the agent by name": (POLICY, {**PILOT, "agents": ["refunds"]}, True),
    "another agent": (POLICY, {**PILOT, "agents": ["other"]}, False),
    "agents by their labels": (POLICY, PILOT, True),
    "in another namespace": ({**POLICY, "namespace": "shop"}, PILOT, False),
    "in all namespaces": ({"name": "money", "kind": "ClusterPolicy"}, PILOT, True),
}


@pytest.mark.parametrize(("policy", "exception", "is_meant"), EXCEPTED.values(), ids=EXCEPTED)
def test_an_exception_names_who_allowed_it_until_when_and_why(policy, exception, is_meant):
    """Of policies that may mean the agent; told once, however often the policy changes."""
    changed = [record("config.changed", seq, agent=policy, change={"exceptions": [exception]}) for seq in (1, 2)]
    found = claims([record("suspend"), *changed], "support", "refunds")
    texts = [each.text for each in found if each.section == "Exceptions"]
    assert len(texts) == int(is_meant)
    for text in texts:
        for each in ("pilot", "free of budgets/task until 2027-01-01", "allowed by ciso: A pilot."):
            assert each in text
