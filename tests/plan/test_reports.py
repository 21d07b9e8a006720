"""The reports of policies, in the form that other tools read."""

from __future__ import annotations

from typing import Any

from proctor.plan.reports import Called, ReportKind, make_report, plan_report
from proctor.plan.world import Manifest
from tests.plan import examples
from tests.plan.examples import T0
from tests.plan.test_policy import NEEDS_EVALS, world
from tests.policy.examples import exception, policy

OF = ReportKind("wgpolicyk8s.io/v1alpha2", "PolicyReport")


def agent_under(*policies: Any) -> Any:
    """The agent after it was looked at under these policies."""
    from proctor.plan.agent import plan_agent

    return examples.agent(status=plan_agent(world(*policies), T0).status)


def called(mode: str = "Enforce", rule: str = "tools/deny", count: int = 3) -> Called:
    """Calls in which a policy found something."""
    return Called(
        namespace="support",
        agent="refunds",
        policy="Policy/support/baseline",
        rule=rule,
        mode=mode,
        severity="High",
        count=count,
        message="tool payments/refund is denied",
        last_at=T0,
    )


def results(report: Manifest) -> list[tuple[str, str, str]]:
    """Policy, rule and result of each."""
    return [(each["policy"], each.get("rule", ""), each["result"]) for each in report["results"]]


def test_a_report_says_what_is_broken_kept_and_excepted():
    """Enforced is fail, watched is warn, excepted is skip, and a policy of which nothing is broken is pass."""
    kept = policy("kept", limits={"maxSteps": 100})
    warned = policy("warned", "Warn", **NEEDS_EVALS)
    freed = policy("freed", exceptions=[exception("require")], **NEEDS_EVALS)
    (report,) = plan_report(agent_under(kept, warned, freed), [], None, OF, T0).applies
    assert results(report) == [
        ("Policy/support/kept", "", "pass"),
        ("Policy/support/freed", "require/Evals", "skip"),
        ("Policy/support/warned", "require/Evals", "warn"),
    ]
    assert report["summary"] == {"pass": 1, "fail": 0, "warn": 1, "error": 0, "skip": 1}
    assert report["metadata"]["ownerReferences"][0]["kind"] == "Agent"
    assert report["scope"]["name"] == "refunds"


def test_calls_that_were_stopped_are_counted_in_it():
    """What the gateway refused is in the same report, with how often and when last."""
    (report,) = plan_report(agent_under(), [called(), called("Audit", "tools/whenTainted", 7)], None, OF, T0).applies
    assert [(each["result"], each["properties"]["calls"]) for each in report["results"]] == [
        ("fail", "3"),
        ("warn", "7"),
    ]


def test_a_report_that_says_the_same_is_not_written():
    """Written once, it is written again only for another finding; without any policy it goes."""
    agent = agent_under(policy("warned", "Warn", **NEEDS_EVALS))
    (report,) = plan_report(agent, [called()], None, OF, T0).applies
    there = {**report, "metadata": {**report["metadata"], "uid": "u", "resourceVersion": "1"}}
    assert plan_report(agent, [called()], there, OF, T0).is_noop
    assert not plan_report(agent, [called(count=4)], there, OF, T0).is_noop
    (deletion,) = plan_report(examples.agent(), [], there, OF, T0).deletions
    assert deletion.uid == "u"


def test_a_report_of_somebody_else_is_left_alone():
    """An object of that name that is not the agent's is not deleted."""
    foreign = {"metadata": {"name": "agent-refunds", "uid": "x"}}
    assert plan_report(examples.agent(), [], foreign, OF, T0).is_noop


def test_a_report_holds_no_more_than_it_can():
    """Reports are kept in the cluster's store: two hundred results are enough to see what is wrong."""
    many = [called(rule=f"tools/{number}") for number in range(300)]
    (report,) = plan_report(agent_under(), many, None, OF, T0).applies
    assert len(report["results"]) == 200
    assert make_report(examples.agent(), (), OF)["summary"]["fail"] == 0
