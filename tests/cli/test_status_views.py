"""What a person is told of the fleet and of one agent."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.api.agent import Agent
from proctor.cli.facts import Listing
from proctor.cli.views import agent as agents
from proctor.cli.views import fleet, pods
from proctor.cli.views.tone import Tone
from tests.cli.objects import a_condition, a_connector, a_pod, a_ready, an_agent, facts, with_status

READY = ("Ready", "True", "Serving")


@pytest.mark.parametrize(
    ("body", "ready", "reason", "tone"),
    [
        (a_ready(an_agent()), "True", "Serving", Tone.GOOD),
        (an_agent(), "Unknown", "NotObserved", Tone.UNKNOWN),
        (
            with_status(an_agent(), a_condition("Ready", "False", "X"), a_condition("Stalled", "True", "X")),
            "False", "X", Tone.BAD,
        ),
        (
            with_status(an_agent(), a_condition(*READY), a_condition("Reconciling", "True", "RolloutInProgress")),
            "True", "Serving", Tone.BUSY,
        ),
        (
            with_status(an_agent(suspend=True), a_condition("Ready", "False", "Suspended")),
            "False", "Suspended", Tone.OFF,
        ),
        (
            {**an_agent(), "status": {"observedGeneration": 0, "conditions": [a_condition(*READY)]}},
            "Unknown", "NotObserved", Tone.UNKNOWN,
        ),
        (
            {**an_agent(), "spec": {"from": "the future"}},
            "Unknown", "Unreadable", Tone.UNKNOWN,
        ),
    ],
)  # fmt: skip
def test_an_agents_line_says_how_it_is(body: dict[str, Any], ready: str, reason: str, tone: Tone) -> None:
    """Ready only by a word about the newest spec; unknown where nobody has looked, or where it cannot be read."""
    (row,) = fleet.rows([body])
    assert (row.ready, row.reason, row.tone) == (ready, reason, tone)


def test_an_agent_that_is_being_deleted_is_not_ready() -> None:
    """Whatever its status still says."""
    body = a_ready(an_agent())
    body["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z"
    (row,) = fleet.rows([body])
    assert (row.ready, row.reason) == ("False", "Deleting")


def test_the_fleet_is_in_the_order_of_namespaces_and_names() -> None:
    """However the API server lists it."""
    found = fleet.rows([an_agent("b", "y"), an_agent("a", "y"), an_agent("c", "x")])
    assert [(row.namespace, row.name) for row in found] == [("x", "c"), ("y", "a"), ("y", "b")]


def test_a_watch_tells_what_changed_and_nothing_else() -> None:
    """One line for an agent that is new, differs or went; none for one that is as it was."""
    before = fleet.rows([an_agent("same"), an_agent("changed"), an_agent("gone")])
    after = fleet.rows([an_agent("same"), a_ready(an_agent("changed")), an_agent("new")])
    told = [(row.name, row.reason) for row in fleet.changes(before, after)]
    assert told == [("changed", "Serving"), ("new", "NotObserved"), ("gone", "Deleted")]


WAITING = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
CRASHED = {
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
    "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
}


@pytest.mark.parametrize(
    ("container", "state", "tone", "problem"),
    [
        ({}, "Running", Tone.GOOD, ""),
        ({"ready": False}, "Running", Tone.BUSY, ""),
        ({"ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}, "ContainerCreating", Tone.BUSY, ""),
        ({"ready": False, **WAITING}, "ImagePullBackOff", Tone.BAD, "no such image"),
        ({"ready": False, **CRASHED}, "CrashLoopBackOff", Tone.BAD, "last exit code 1 (Error); back-off 10s"),
        ({"ready": False, "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}, "OOMKilled", Tone.BAD,
         "exit code 137"),
    ],
)  # fmt: skip
def test_a_pods_state_is_kubectls_word_and_the_whole_problem(
    container: dict[str, Any], state: str, tone: Tone, problem: str
) -> None:
    """The word that `kubectl get pods` shows, and beside it what it leaves out."""
    (view,) = pods.views([a_pod(**container)])
    assert (view.state, view.tone, view.problem) == (state, tone, problem)


def test_a_pod_that_no_node_takes_says_why() -> None:
    """The scheduler's own words."""
    pod = a_pod(is_ready=False)
    pod["status"] = {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: cpu"}
        ],
    }
    (view,) = pods.views([pod])
    assert (view.state, view.tone, view.problem) == ("Unschedulable", Tone.BAD, "0/1 nodes: cpu")


def test_the_fence_is_as_high_as_its_lowest_part() -> None:
    """Of pods of several profiles the weakest counts."""
    isolated, standard = a_pod("a"), a_pod("b")
    isolated["spec"]["runtimeClassName"] = "gvisor"
    assert pods.weakest(pods.views([isolated])) == "Isolated"
    assert pods.weakest(pods.views([isolated, standard])) == "Standard"
    assert pods.weakest(()) is None


def test_an_agents_connectors_are_those_it_names() -> None:
    """Each with its use and its state; one that does not exist is shown as missing, others are not shown."""
    body = an_agent(tools=[{"connector": "crm", "allow": ["get_customer", "get_order"]}])
    ready = with_status(a_connector(), a_condition("Ready", "True", "Reachable"), summary="2 models")
    view = agents.view(facts(body, connectors=(ready, a_connector("unused"))))
    shown = [(each.name, each.use, each.tone, each.reason) for each in view.connectors]
    assert shown == [
        ("llm", "model gpt-5-mini", Tone.GOOD, "Reachable"),
        ("crm", "get_customer, get_order", Tone.BAD, "NotFound"),
    ]


def test_what_may_not_be_seen_is_not_taken_for_absent() -> None:
    """Without the right to read Connectors nobody is told that they are missing."""
    view = agents.view(facts(an_agent(), connectors=Listing(withheld="you may not list connectors")))
    assert view.connectors[0].reason == "Withheld"
    assert view.withheld == ("you may not list connectors",)


def test_revisions_have_their_role() -> None:
    """The newest first: which serves, which is tried, which was refused, which is only kept."""
    body = an_agent()
    body["status"] = {"revision": {"stable": "s", "candidate": "c", "blocked": ["b"]}}
    kept = tuple(
        {
            "metadata": {"name": each, "labels": {"proctor.dev/revision": each}},
            "revision": number,
            "data": {"spec": {"model": {"name": "m"}, "runtime": {"image": "i"}}},
        }
        for number, each in enumerate(("old", "s", "b", "c"), start=1)
    )
    view = agents.view(facts(body, revisions=kept))
    assert [(each.number, each.role) for each in view.revisions] == [
        (4, "candidate"),
        (3, "blocked"),
        (2, "stable"),
        (1, ""),
    ]


def test_callers_are_said_in_words() -> None:
    """Of each the one thing that it is."""
    callers = [{"serviceAccount": {"namespace": "shop", "name": "web"}}, {"user": "alice"}, {"group": "support"}]
    agent = Agent.parse(an_agent(access={"callers": callers}))
    assert agents.callers(agent) == ("ServiceAccount shop/web", "user alice", "group support")
