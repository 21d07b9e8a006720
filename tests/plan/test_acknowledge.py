"""Objects that are kept but not acted on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from proctor.api.meta import ObjectMeta, Status
from proctor.plan.acknowledge import KeptWorld, plan_invalid, plan_kept
from proctor.plan.world import Manifest
from tests.plan import examples
from tests.plan.examples import T0, after


def kept(status: Manifest | None = None, generation: int = 1) -> KeptWorld:
    """A Workflow with that status."""
    found: dict[str, Any] = status or {}
    metadata = ObjectMeta.model_validate(examples.metadata("nightly", generation=generation))
    return KeptWorld("Workflow", metadata, Status.model_validate(found), found)


def test_it_says_loudly_that_nothing_will_happen() -> None:
    """In the status and in an event."""
    plan = plan_kept(kept(), T0)
    assert plan.status is not None
    stalled = next(each for each in plan.status["conditions"] if each["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "NotActedOn")
    assert "does not act on it" in stalled["message"]
    assert [each.reason for each in plan.events] == ["NotActedOn"]


def test_it_says_so_once() -> None:
    """A look an hour later changes nothing."""
    said = plan_kept(kept(), T0).status
    assert plan_kept(kept(said), after(hours=1)).is_noop


def test_a_new_spec_is_acknowledged_without_another_event() -> None:
    """The observed generation follows."""
    said = plan_kept(kept(), T0).status
    plan = plan_kept(kept(said, generation=2), T0)
    assert plan.status is not None
    assert plan.status["observedGeneration"] == 2
    assert plan.events == ()


def test_what_cannot_be_read_is_not_lost() -> None:
    """What another version wrote into the status stays there, and so do its conditions."""
    theirs = {
        "type": "Available",
        "status": "True",
        "reason": "Serving",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-02T08:00:00Z",
    }
    status = {"revision": {"stable": "abc"}, "unknown": [1], "conditions": [theirs]}
    plan = plan_invalid(kept(status), "spec.model: field required", T0)
    assert plan.status is not None
    assert plan.status["revision"] == {"stable": "abc"}
    assert plan.status["unknown"] == [1]
    assert theirs in plan.status["conditions"]


def test_a_fault_is_told_in_its_own_words() -> None:
    """So that a person can mend it."""
    plan = plan_invalid(kept(), "spec.model: field required", T0)
    assert plan.status is not None
    assert "spec.model: field required" in plan.status["conditions"][0]["message"]


def test_one_fault_after_another_is_one_event() -> None:
    """The reason is the same; the words are in the condition."""
    first = plan_invalid(kept(), "spec.model: field required", T0)
    second = plan_invalid(replace(kept(first.status)), "spec.tools: too many", T0)
    assert second.status is not None
    assert second.events == ()
