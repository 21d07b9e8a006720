"""The alerting rules of an Agent."""

from __future__ import annotations

from proctor.plan.drift import stamped
from proctor.plan.rules import make_rules, plan_rules
from tests.plan import examples
from tests.plan.examples import T0

SLOS = [{"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "99"}]
OWNED = {"uid": "uid-of-rule", "resourceVersion": "1"}


def test_rules_are_made_once():
    """One object for all objectives, owned by the Agent; as it is there, it is not written again."""
    agent = examples.agent(slos=SLOS)
    (made,) = plan_rules(agent, None, T0).applies
    assert made["metadata"]["ownerReferences"][0]["uid"] == agent.metadata.uid
    assert len(made["spec"]["groups"]) == 3
    there = {**made, "metadata": {**made["metadata"], **OWNED}}
    assert plan_rules(agent, there, T0).is_noop


def test_other_objectives_are_other_rules():
    """What is there is replaced."""
    there = stamped(make_rules(examples.agent(slos=SLOS)))
    assert plan_rules(examples.agent(slos=[{**SLOS[0], "target": "98"}]), there, T0).applies


def test_without_objectives_the_rules_go():
    """But not those of somebody else that have their name."""
    ours = stamped(make_rules(examples.agent(slos=SLOS)))
    ours["metadata"] |= OWNED
    assert [each.uid for each in plan_rules(examples.agent(), ours, T0).deletions] == ["uid-of-rule"]
    theirs = {**ours, "metadata": {**ours["metadata"], "ownerReferences": []}}
    assert plan_rules(examples.agent(), theirs, T0).is_noop
    assert plan_rules(examples.agent(), None, T0).is_noop
