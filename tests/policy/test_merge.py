"""Merging policies."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.api.connector import Effect
from proctor.api.policy import Mode
from proctor.policy.check import check
from proctor.policy.effective import Effective, merge, turns_at
from proctor.policy.facts import TaskFacts, ToolCall
from proctor.policy.runtime import Allow, Ask, Refuse, decide
from tests.policy import examples
from tests.policy.examples import T0, after

_GLOBS = st.sampled_from(["*", "crm", "payments", "get_*", "refund", "c*"])
_PATTERNS = st.fixed_dictionaries(
    {"connector": _GLOBS, "tool": _GLOBS},
    optional={"effects": st.lists(st.sampled_from(["Read", "Once"]), min_size=1, max_size=2, unique=True)},
)
_REACTIONS = st.sampled_from(["Allow", "RequireApproval", "Deny"])
_TOOLS = st.fixed_dictionaries(
    {},
    optional={
        "allow": st.lists(_PATTERNS, min_size=1, max_size=2),
        "deny": st.lists(_PATTERNS, max_size=2),
        "whenTainted": st.lists(st.builds(lambda p, r: {**p, "then": r}, _PATTERNS, _REACTIONS), max_size=2),
        "approval": st.lists(st.builds(lambda p: {**p, "approval": {"groups": ["sre"]}}, _PATTERNS), max_size=1),
        "trifecta": _REACTIONS,
    },
)


@st.composite
def policies(draw: Any, name: str = "") -> Any:
    """Any policy of tools, limits and data."""
    chosen = name or draw(st.sampled_from(["one", "two", "three"]))
    spec = {
        "tools": draw(_TOOLS),
        "limits": {"maxSteps": draw(st.integers(1, 20))},
        "data": {"denyFlows": draw(st.sampled_from([[], [{"data": ["pii"], "to": ["payments"]}]]))},
    }
    mode = draw(st.sampled_from(["Audit", "Warn", "Enforce"]))
    return draw(st.sampled_from([examples.policy, examples.cluster_policy]))(chosen, mode, **spec)


CALLS = st.sampled_from([examples.refund(), examples.lookup(), ToolCall("mail", "send", Effect.ONCE, (), {"to": "x"})])
FACTS = st.sampled_from(
    [
        examples.facts(),
        examples.facts(untrusted=("crm/get_customer",)),
        examples.facts(untrusted=("crm/get_customer",), labels=frozenset({"pii"})),
        examples.facts(repeated=10),
    ]
)
LENIENCY = {Allow: 2, Ask: 1, Refuse: 0}


@settings(max_examples=60, deadline=None)
@given(st.lists(policies(), max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_policies_does_not_matter(found, random):
    """Merging is commutative and associative: any order and any grouping gives the same rules and the same hash."""
    whole = examples.effective(*found)
    shuffled = list(found)
    random.shuffle(shuffled)
    parts = reduce(lambda a, b: b | a, (examples.effective(each) for each in shuffled), Effective())
    assert parts == whole
    assert parts.hash == whole.hash


@settings(max_examples=40, deadline=None)
@given(st.lists(policies(), max_size=3))
def test_a_policy_said_twice_is_said_once(found):
    """Merging is idempotent."""
    whole = examples.effective(*found)
    assert whole | whole == whole
    assert examples.effective(*found, *found) == whole


@settings(max_examples=150, deadline=None)
@given(st.lists(policies(), max_size=3), policies(name="further"), CALLS, FACTS)
def test_a_further_policy_never_allows_more(found, further, call, known):
    """Whatever a policy says, with it no call goes further than without it, and no finding is lost."""
    before, after_ = examples.effective(*found), examples.effective(*found, further)
    assert LENIENCY[type(decide(call, known, after_))] <= LENIENCY[type(decide(call, known, before))]
    agent, connectors = examples.agent(), examples.connectors()
    assert set(check(agent, connectors, before, T0)) <= set(check(agent, connectors, after_, T0))


@settings(max_examples=60, deadline=None)
@given(st.lists(policies(), max_size=3), FACTS)
def test_a_deny_wins(found, known):
    """What one enforced policy denies, no other can allow."""
    deny = examples.policy("deny", tools={"deny": [{"connector": "payments"}]})
    assert isinstance(decide(examples.refund(), known, examples.effective(*found, deny)), Refuse)


@settings(max_examples=60, deadline=None)
@given(policies(name="one"), CALLS, FACTS)
def test_a_stricter_mode_never_allows_more(one, call, known):
    """Audit, Warn, Enforce: each lets through at most what the one before did."""
    leniency = [
        LENIENCY[type(decide(call, known, examples.effective(one.model_copy(update={"spec": changed}))))]
        for mode in Mode
        for changed in [one.spec.model_copy(update={"mode": mode})]
    ]
    assert leniency == sorted(leniency, reverse=True)


SELECTED: dict[str, tuple[Any, bool]] = {
    "all": ({}, True),
    "its name": ({"names": ["refunds", "other"]}, True),
    "another name": ({"names": ["other"]}, False),
    "its tier": ({"riskTiers": ["Limited"]}, True),
    "another tier": ({"riskTiers": ["High"]}, False),
    "its label": ({"matchLabels": {"stage": "prod"}}, True),
    "another label": ({"matchLabels": {"stage": "test"}}, False),
    "a label in": ({"matchExpressions": [{"key": "stage", "operator": "In", "values": ["prod"]}]}, True),
    "a label not in": ({"matchExpressions": [{"key": "stage", "operator": "NotIn", "values": ["prod"]}]}, False),
    "a label that it lacks, not in": (
        {"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["prod"]}]},
        True,
    ),
    "a label that is there": ({"matchExpressions": [{"key": "stage", "operator": "Exists"}]}, True),
    "a label that is not": ({"matchExpressions": [{"key": "stage", "operator": "DoesNotExist"}]}, False),
    "both, one of which fails": ({"names": ["refunds"], "riskTiers": ["High"]}, False),
}


@pytest.mark.parametrize(("selector", "meant"), SELECTED.values(), ids=SELECTED)
def test_all_demands_of_a_selector_hold(selector, meant):
    """A policy means the agents of which all demands of its selector hold."""
    policy = examples.policy(selector=selector, limits={"maxSteps": 1})
    assert bool(merge([policy], examples.agent(labels={"stage": "prod"}), T0)) is meant


def test_a_policy_holds_in_its_namespace():
    """A Policy of another namespace means nothing here; a ClusterPolicy means what its namespaces' labels say."""
    foreign = examples.policy(namespace="elsewhere", limits={"maxSteps": 1})
    prod = examples.cluster_policy(selector={"namespaces": {"matchLabels": {"stage": "prod"}}}, limits={"maxSteps": 1})
    named = {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": "support"}}}
    by_name = examples.cluster_policy(selector=named, limits={"maxSteps": 1})
    agent = examples.agent()
    assert not merge([foreign], agent, T0)
    assert not merge([prod], agent, T0, {"stage": "test"})
    assert merge([prod], agent, T0, {"stage": "prod"})
    assert merge([by_name], agent, T0)


def test_a_mode_begins_by_itself():
    """From enforceFrom on a policy is enforced, and until then it says when that will be."""
    policy = examples.policy(mode="Warn", enforceFrom=after(days=1).isoformat(), limits={"maxSteps": 1})
    modes = [[rule.mode for rule in examples.effective(policy, now=now).rules] for now in (T0, after(days=1))]
    assert modes == [[Mode.WARN], [Mode.ENFORCE]]
    assert turns_at(policy, T0) == after(days=1)
    assert turns_at(policy, after(days=1)) is None


EXCEPTIONS = {
    "valid": (examples.exception("limits"), T0, "pilot"),
    "over": (examples.exception("limits"), after(days=30), None),
    "longer than anybody may allow": (examples.exception("limits", expiresAt=after(days=91).isoformat()), T0, None),
    "of another agent": (examples.exception("limits", selector={"names": ["other"]}), T0, None),
    "of another rule": (examples.exception("tools"), T0, None),
    "of this detail": (examples.exception("limits/maxSteps"), T0, "pilot"),
    "of another detail": (examples.exception("limits/maxCost"), T0, None),
}


@pytest.mark.parametrize(("exception", "now", "name"), EXCEPTIONS.values(), ids=EXCEPTIONS)
def test_an_exception_frees_for_a_time(exception, now, name):
    """An exception frees those whom it means from the rules that it names, until it ends, at most 90 days ahead."""
    policy = examples.policy(limits={"maxSteps": 1}, exceptions=[exception])
    (finding,) = check(examples.agent(), examples.connectors(), examples.effective(policy, now=now), now)
    assert finding.rule == "limits/maxSteps"
    assert finding.excepted_by == name


def test_what_behaves_the_same_has_the_same_hash():
    """Only what is held at run time makes another revision: no bound of upgrades, no policy that watches, no name."""
    tools = {"tools": {"deny": [{"tool": "refund"}]}}
    one = examples.effective(examples.policy("one", **tools))
    renamed = examples.effective(examples.policy("two", **tools))
    watching = examples.effective(examples.policy("one", **tools), examples.policy("two", "Audit", tools={"deny": []}))
    careful = examples.effective(examples.policy("one", **tools, rollout={"maxInitialWeight": 10}))
    other = examples.effective(examples.policy("one", tools={"deny": [{"tool": "other"}]}))
    assert one.behaviour == renamed.behaviour == watching.behaviour == careful.behaviour
    assert one.behaviour != other.behaviour
    assert examples.effective(examples.policy("one", limits={"maxSteps": 1})).behaviour is None


def test_stale_rules_let_read_only_what_all_let_read():
    """While policies are stale, reading goes on only if every policy says so."""
    lenient = examples.policy("one", staleReads="Allow", limits={"maxSteps": 1})
    strict = examples.policy("two", limits={"maxSteps": 1})
    assert examples.effective(lenient).reads_when_stale
    assert not examples.effective(lenient, strict).reads_when_stale


def test_nothing_of_a_task_is_forgotten():
    """Taint and data classes stay: what an agent has read it cannot unread."""
    from proctor.policy.facts import Answered

    read = TaskFacts().having_read(Answered("web", "fetch", trusted=False, data=("pii",), text="x"))
    again = read.having_read(Answered("crm", "get", trusted=True, data=(), text="y"))
    assert again.tainted
    assert again.labels == {"pii"}
    assert again.trusted == ("y",)
