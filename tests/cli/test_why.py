"""Why an agent is as it is, in plain words, with the next step."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from proctor.cli.facts import Listing
from proctor.cli.views import remedies, why
from proctor.cli.views.tone import Tone
from tests.cli.objects import (
    T0,
    a_condition,
    a_connector,
    a_pod,
    a_ready,
    an_agent,
    facts,
    with_status,
)

OPERATOR = Listing((a_pod("operator"),))
VERIFIED = {"profile": "Standard", "networkIsolation": "Verified", "probedAt": "2026-11-22T11:00:00Z"}
ANSWERING = with_status(a_connector(), a_condition("Ready", "True", "Reachable"))


def _healthy() -> dict[str, Any]:
    body = a_ready(an_agent())
    body["status"]["sandbox"] = VERIFIED
    return body


def _titles(story: why.Story) -> list[str]:
    return [each.title for each in story.causes]


def test_lost_cases_of_an_exam_are_explained() -> None:
    """With the shares, the margin and the chance: what a person needs to check it."""
    exam = {"name": "golden", "state": "Failed", "passed": 8, "cases": 10, "baseline": "1"}
    lost = {**exam, "regressed": ["too-old", "too-dear"], "chance": "0.03"}
    rollout = {"phase": "Failed", "exams": [lost], "startedAt": "2026-11-22T11:00:00Z"}
    evals = [{"name": "golden", "configMapRef": {"name": "exam"}}]
    body = with_status(an_agent(evals=evals), revision={"stable": "a" * 10, "blocked": ["b" * 10]}, rollout=rollout)
    story = why.story(facts(body, connectors=(ANSWERING,)), OPERATOR, T0)
    told = next(each for each in story.causes if each.title == "exam golden: cases are lost")
    for words in ("too-old, too-dear", "stable 1, candidate 8 of 10, maxRegression 0.05", "0.03 of exams"):
        assert words in told.text, told.text


def test_of_a_healthy_agent_there_is_nothing_to_say() -> None:
    """No cause, no step."""
    story = why.story(facts(_healthy(), connectors=(ANSWERING,)), OPERATOR, T0)
    assert story.tone is Tone.GOOD
    assert story.causes == ()


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        (Listing(), "there is no operator"),
        (Listing((a_pod("operator", is_ready=False),)), "none of the operator's 1 pod is ready"),
        (OPERATOR, "has seen generation 0 of 1"),
        (Listing(withheld="no"), "you may not see its pods"),
    ],
)
def test_an_agent_that_nobody_looked_at_points_at_the_operator(operator: Listing, words: str) -> None:
    """Not at the agent: nothing can be said of it."""
    story = why.story(facts(an_agent(), connectors=(ANSWERING,)), operator, T0)
    assert story.causes[0].title == "not observed"
    assert words in story.causes[0].text


def test_an_agent_just_made_is_given_a_moment() -> None:
    """Half a minute before anybody is blamed."""
    body = an_agent()
    body["metadata"]["creationTimestamp"] = (T0 - timedelta(seconds=5)).isoformat()
    story = why.story(facts(body, connectors=(ANSWERING,)), OPERATOR, T0)
    assert "in a moment" in story.causes[0].text


@pytest.mark.parametrize("reason", sorted(remedies.OF_AGENT))
def test_every_reason_has_a_meaning_and_steps_that_are_filled_in(reason: str) -> None:
    """No step shows a placeholder, and each names this agent's namespace where it is needed."""
    body = with_status(
        an_agent(), a_condition("Ready", "False", reason, "said so"), a_condition("Stalled", "True", reason)
    )
    story = why.story(facts(body, connectors=(ANSWERING,)), OPERATOR, T0)
    cause = next(each for each in story.causes if each.title == reason)
    assert "said so" in cause.text
    assert cause.steps
    assert not any(re.search(r"\{(ns|name|agent|revision)\}", step) for step in cause.steps)


@pytest.mark.parametrize("reason", sorted(remedies.OF_CONNECTOR.keys() - {"NotFound"}))
def test_every_reason_of_a_connector_has_a_meaning(reason: str) -> None:
    """The connector is named with what it is needed for."""
    ill = with_status(a_connector(), a_condition("Ready", "False", reason, "said so"))
    story = why.story(facts(_healthy(), connectors=(ill,)), OPERATOR, T0)
    (cause,) = story.causes
    assert cause.title == f"connector llm: {reason}"
    assert "model gpt-5-mini" in cause.text
    assert remedies.UNKNOWN.meaning not in cause.text


def test_a_reason_that_is_not_known_is_still_told() -> None:
    """Of another version of proctor, perhaps: its message says more than we can."""
    body = with_status(an_agent(), a_condition("Ready", "False", "NeverHeardOf", "something new"))
    story = why.story(facts(body, connectors=(ANSWERING,)), OPERATOR, T0)
    assert story.causes[0].title == "NeverHeardOf"
    assert "something new" in story.causes[0].text


def test_pods_that_share_a_problem_are_one_cause() -> None:
    """Two pods of one revision that cannot get their image need one answer."""
    waiting: dict[str, Any] = {"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
    ill = tuple(a_pod(name, is_ready=False, **waiting) for name in ("a", "b"))
    story = why.story(facts(_healthy(), pods=ill, connectors=(ANSWERING,)), OPERATOR, T0)
    (cause,) = [each for each in story.causes if each.title.startswith("pod ")]
    assert cause.text.startswith("2 pods of revision 1: not found. The node cannot get the image")


def test_a_starting_revision_has_a_time_left() -> None:
    """So that a person knows whether to wait."""
    body = _healthy()
    body["status"]["revision"] = {"stable": "old", "candidate": "new"}
    body["status"]["rollout"] = {"phase": "Progressing", "startedAt": "2026-11-22T11:56:00Z"}
    story = why.story(facts(body, connectors=(ANSWERING,)), OPERATOR, T0)
    (cause,) = story.causes
    assert cause.text == (
        "revision new has been starting for 4m beside old, which goes on serving; it has 6m more to get ready "
        "(spec.rollout.progressDeadline)"
    )


@pytest.mark.parametrize(
    ("spec", "sandbox", "title"),
    [
        ({"access": {"callers": []}}, VERIFIED, "nobody may ask it"),
        ({}, {**VERIFIED, "networkIsolation": "NotEnforced", "message": "m"}, "network not isolated"),
        ({}, {**VERIFIED, "networkIsolation": "Unknown"}, "isolation not measured"),
    ],
)  # fmt: skip
def test_what_a_ready_agent_lacks_is_told_too(spec: dict[str, Any], sandbox: dict[str, Any], title: str) -> None:
    """Ready does not mean that all is as somebody believes."""
    body = a_ready(an_agent(**spec))
    body["status"]["sandbox"] = sandbox
    story = why.story(facts(body, connectors=(ANSWERING,)), OPERATOR, T0)
    assert _titles(story) == [title]


def _event(kind: str, name: str, type_: str, minute: int) -> dict[str, Any]:
    return {
        "involvedObject": {"kind": kind, "name": name},
        "type": type_,
        "reason": f"{kind}{minute}",
        "message": "m",
        "lastTimestamp": f"2026-11-22T11:{minute:02}:00Z",
        "metadata": {"name": "e"},
    }


def test_events_are_the_agents_own_and_the_warnings_of_its_pods() -> None:
    """The newest first; not those of another agent, and not what the kubelet does as a matter of course."""
    told = (
        _event("Agent", "refunds", "Normal", 1),
        _event("Agent", "other", "Warning", 2),
        _event("Pod", "refunds-1-a", "Normal", 3),
        _event("Pod", "refunds-1-a", "Warning", 4),
        _event("Pod", "other-1-a", "Warning", 5),
    )
    found = why.events(facts(an_agent(), pods=(a_pod(),), events=told))
    assert [each.reason for each in found] == ["Pod4", "Agent1"]


SAID = {
    "ImagePinned": ("image not pinned", "OnlyOnNodes", "no registry has mine:1 by this name"),
    "TrafficRouted": ("tasks are not split", "RouteNotFound", "there is no HTTPRoute support/refunds; create it"),
}


@pytest.mark.parametrize("type_", SAID)
def test_what_a_condition_says_is_explained_with_a_step(type_: str) -> None:
    """In the operator's words, and only while it is False."""
    title, reason, message = SAID[type_]
    body = _healthy()
    body["status"]["conditions"].append(a_condition(type_, "False", reason, message))
    story = why.story(facts(body, connectors=(ANSWERING,)), OPERATOR, T0)
    cause = next(each for each in story.causes if each.title == title)
    assert cause.text == message
    assert cause.steps
    body["status"]["conditions"][-1]["status"] = "True"
    assert title not in _titles(why.story(facts(body, connectors=(ANSWERING,)), OPERATOR, T0))
