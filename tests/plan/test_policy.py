"""Policies in the status of agents and of themselves, and what they mean for upgrades."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from proctor.api.agent import Agent, NetworkIsolation
from proctor.api.policy import Policy
from proctor.plan import revision
from proctor.plan.agent import plan_agent
from proctor.plan.policy import PolicyWorld, Stood, plan_policy
from proctor.plan.standing import stand
from proctor.plan.world import Manifest, World
from tests.plan import examples
from tests.plan.examples import T0, after
from tests.plan.test_upgrade import Upgraded
from tests.policy.examples import exception, policy

NEEDS_EVALS: dict[str, Any] = {"require": {"fields": ["Evals"]}}


def world(*policies: Policy, agent: Agent | None = None, unreadable: tuple[str, ...] = (), now: Any = T0) -> World:
    """A World in which these policies are."""
    found = examples.world(agent)
    unknown = NetworkIsolation.UNKNOWN
    standing = stand(found.agent, found.connectors, policies, {}, unreadable, unknown, now)
    return examples.world(found.agent, standing=standing)


def condition(status: Manifest | None, type_: str) -> dict[str, Any]:
    """The condition of that type."""
    assert status is not None
    return next((each for each in status["conditions"] if each["type"] == type_), {})


def test_without_a_policy_nothing_is_said():
    """An agent that no policy means has no such condition, no such status and the revision that it always had."""
    status = plan_agent(examples.world(), T0).status
    assert condition(status, "PolicyCompliant") == {}
    assert "policy" not in status
    watching = world(policy(mode="Audit", **NEEDS_EVALS))
    assert revision.of_spec(watching, "x").hash == revision.of_spec(examples.world(), "x").hash


MODES = {
    "Enforce": ("Violating", "PolicyViolation"),
    "Warn": ("ViolatingUnenforced", None),
    "Audit": ("ViolatingUnenforced", None),
}


@pytest.mark.parametrize(("mode", "expected"), MODES.items(), ids=MODES)
def test_only_an_enforced_rule_stops_a_revision(mode, expected):
    """Under Enforce nothing is made of a spec that breaks a rule; else it serves, and status says what it breaks."""
    reason, obstacle = expected
    plan = plan_agent(world(policy(mode=mode, **NEEDS_EVALS)), T0)
    assert condition(plan.status, "PolicyCompliant")["reason"] == reason
    assert (condition(plan.status, "Stalled")["reason"] == "PolicyViolation") is (obstacle is not None)
    assert any(each["kind"] == "Deployment" for each in plan.applies) is (obstacle is None)
    (violation,) = plan.status["policy"]["violations"]
    assert violation["policy"] == "Policy/support/baseline"
    assert violation["rule"] == "require/Evals"
    assert violation["since"] == "2026-11-02T08:00:00Z"


def test_all_violations_are_said():
    """A person needs one look: every broken rule of every policy is there, in one order."""
    strict = policy("strict", limits={"maxSteps": 1}, **NEEDS_EVALS)
    found = world(strict, policy("other", models={"deny": [{"name": "gpt-*"}]}))
    status = plan_agent(found, T0).status
    rules = [(each["policy"], each["rule"]) for each in status["policy"]["violations"]]
    assert rules == [
        ("Policy/support/other", "models/deny"),
        ("Policy/support/strict", "limits/maxSteps"),
        ("Policy/support/strict", "require/Evals"),
    ]
    message = condition(status, "Ready")["message"]
    assert all(rule in message for _, rule in rules)


def test_what_holds_is_shown_with_where_it_comes_from():
    """The smallest limit is shown with the policy that sets it."""
    found = world(policy("wide", "Audit", limits={"maxSteps": 30}), policy("narrow", "Audit", limits={"maxSteps": 20}))
    standing = plan_agent(found, T0).status["policy"]
    (bound,) = standing["bounds"]
    assert bound == {"rule": "limits/maxSteps", "value": "20", "sources": ["Policy/support/narrow"]}
    assert [each["policy"] for each in standing["effective"]] == ["Policy/support/narrow", "Policy/support/wide"]
    assert standing["compliance"] == "Compliant"


def test_an_exception_is_no_violation_and_ends_by_itself():
    """Excepted, the agent serves; it is looked at again when the exception ends, and then it does not."""
    rule = policy(exceptions=[exception("require", expiresAt=after(minutes=5).isoformat())], **NEEDS_EVALS)
    plan = plan_agent(world(rule), T0)
    assert condition(plan.status, "PolicyCompliant")["reason"] == "Excepted"
    assert condition(plan.status, "Stalled")["status"] == "False"
    assert plan.wake_at == after(minutes=5)
    later = plan_agent(world(rule, now=after(minutes=5)), after(minutes=5))
    assert condition(later.status, "Stalled")["reason"] == "PolicyViolation"


def test_what_cannot_be_read_is_said_to_be_unknown():
    """A policy of a later version is neither kept nor broken as far as anybody knows."""
    status = plan_agent(world(unreadable=("Policy later",)), T0).status
    assert condition(status, "PolicyCompliant")["status"] == "Unknown"
    assert status["policy"]["compliance"] == "Unknown"


def test_what_is_held_at_run_time_makes_another_revision():
    """A tool that an enforced policy denies changes what the agent does, so it goes the way of every upgrade."""
    denied = world(policy(tools={"deny": [{"tool": "other"}]}))
    assert revision.of_spec(denied, "x").hash != revision.of_spec(examples.world(), "x").hash


def test_a_freeze_holds_upgrades_and_says_until_when():
    """While upgrades are frozen, the standing says by whom, until when and why, and looks again at the end."""
    window = {"from": after(hours=-1).isoformat(), "until": after(hours=1).isoformat()}
    freeze = {"name": "sale", "reason": "The shop earns the year.", "once": window}
    found = world(policy(rollout={"freeze": [freeze]}))
    said = "Policy/support/baseline freezes upgrades until 2026-11-02T09:00Z (sale): The shop earns the year."
    assert found.standing.freeze == said
    assert found.standing.turns_at == after(hours=1)
    assert world(policy(mode="Warn", rollout={"freeze": [freeze]})).standing.freeze is None


def stood(name: str, *policies: Policy, **spec: Any) -> Stood:
    """An agent, and how it stands after it was looked at."""
    agent = examples.agent(name, **spec)
    status = plan_agent(world(*policies, agent=agent), T0).status
    again = examples.agent(name, status=status, **spec)
    return Stood("support", name, again.status.policy)


def test_a_policy_counts_its_agents():
    """Compliant, violating, excepted and unknown; the violations by name, with the total."""
    rule = policy(exceptions=[exception("require")], **NEEDS_EVALS)
    suite = [{"name": "golden", "configMapRef": {"name": "golden"}}]
    agents = (
        stood("refunds", rule),
        stood("zeta", rule),
        stood("alpha", rule),
        stood("good", rule, evals=suite),
        Stood("support", "new", None),
    )
    status = plan_policy(PolicyWorld(rule, agents), T0).status
    assert status["agents"] == {"matched": 5, "compliant": 1, "violating": 2, "excepted": 1, "unknown": 1}
    assert [each["name"] for each in status["violations"]] == ["alpha", "zeta"]
    assert status["totalViolations"] == 2
    assert condition(status, "Ready")["status"] == "True"


def test_a_scan_that_finds_nothing_new_is_not_written():
    """The time of a scan alone is no news, until the last one is old."""
    rule = policy(mode="Audit", **NEEDS_EVALS)
    agents = (stood("alpha", rule),)
    status = plan_policy(PolicyWorld(rule, agents), T0).status
    seen = rule.model_copy(update={"status": type(rule.status).model_validate(status)})
    assert plan_policy(PolicyWorld(seen, agents), after(minutes=1)).status is None
    assert plan_policy(PolicyWorld(seen, agents), after(minutes=11)).status is not None


def test_a_policy_that_cannot_hold_says_why():
    """An expression with a mistake, and an exception that lasts too long, make it not Ready; all are named."""
    typo = {"name": "typo", "expression": "agnt.spec.purpose != ''", "message": "Say what it is for."}
    rule = policy(expressions=[typo], exceptions=[exception("expressions", expiresAt=after(days=91).isoformat())])
    plan = plan_policy(PolicyWorld(rule, ()), T0)
    ready = condition(plan.status, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidExpression")
    assert "typo" in ready["message"]
    assert "pilot" in ready["message"]
    assert [each.reason for each in plan.events] == ["InvalidExpression"]


def test_what_expires_soon_is_named():
    """Exceptions that end within two weeks are named, and the policy looks again when one does."""
    soon, late = (
        exception("require", name=name, expiresAt=after(days=days).isoformat())
        for name, days in (("soon", 3), ("late", 30))
    )
    plan = plan_policy(PolicyWorld(policy(exceptions=[soon, late], **NEEDS_EVALS), ()), T0)
    assert plan.status["exceptionsExpiringSoon"] == ["soon"]
    assert plan.wake_at <= T0 + timedelta(minutes=10)


def ruled(it: Upgraded, *policies: Policy) -> None:
    """From now on these policies hold."""
    found = it.world
    standing = stand(found.agent, found.connectors, policies, {}, (), NetworkIsolation.UNKNOWN, it.now)
    it.world = replace(found, standing=standing)


def test_a_candidate_that_a_policy_forbids_is_withdrawn():
    """Its weight goes to nothing at once and in order, it is blocked, and the stable revision goes on serving."""
    it = Upgraded()
    it.until("Collecting")
    stable, candidate = it.status["revision"]["stable"], it.status["revision"]["candidate"]
    ruled(it, policy(**NEEDS_EVALS))
    it.step()
    assert it.phase == "Aborting"
    assert "weight" not in it.status["rollout"]
    it.until("Failed", most=40)
    assert it.status["revision"]["blocked"] == [candidate]
    assert it.sizes() == {stable: 4}
    told = {each["type"]: (each["status"], each["reason"]) for each in it.status["conditions"]}
    assert told["Available"][0] == "True"
    assert told["Stalled"] == ("True", "PolicyViolation")
    assert "Policy/support/baseline require/Evals" in it.status["rollout"]["lastOutcome"]["message"]


def test_a_policy_that_only_warns_withdraws_nothing():
    """Under Warn an upgrade goes on as its evidence says."""
    it = Upgraded()
    it.until("Collecting")
    ruled(it, policy(mode="Warn", **NEEDS_EVALS))
    it.step()
    assert it.phase == "Collecting"


def test_a_frozen_upgrade_waits_where_it_is():
    """While upgrades are frozen an upgrade keeps its weight and does not move on, whatever its evidence says."""
    it = Upgraded()
    it.until("Collecting")
    window = {"from": it.now.isoformat(), "until": (it.now + timedelta(hours=1)).isoformat()}
    ruled(it, policy(rollout={"freeze": [{"name": "sale", "reason": "The shop earns the year.", "once": window}]}))
    it.serve(10)
    for _ in range(3):
        it.step(12)
    assert (it.phase, it.status["rollout"]["weight"]) == ("Collecting", 20)
    it.now += timedelta(hours=1)
    ruled(it)
    it.step(12)
    assert it.phase == "AwaitingApproval"
