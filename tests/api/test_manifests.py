"""Manifests become models and models manifests; a fault in one names its field."""

from __future__ import annotations

import pytest

from proctor.api import kinds
from proctor.api.agent import Agent
from proctor.api.meta import Invalid
from proctor.api.steps import BodyStep, Step
from tests.api import manifests


@pytest.mark.parametrize("name", manifests.NAMES)
def test_a_valid_manifest_survives_the_round_trip(name: str) -> None:
    """What a model writes of a manifest, it reads as the same model."""
    manifest = manifests.load(name)
    model = kinds.named(manifest["kind"]).model
    parsed = model.parse(manifest)
    assert model.parse(parsed.model_dump(mode="json", by_alias=True, exclude_none=True)) == parsed


@pytest.mark.parametrize("kind", kinds.ALL, ids=lambda kind: kind.name)
def test_every_kind_has_a_smallest_and_a_largest_manifest(kind: kinds.Kind) -> None:
    """The largest one sets every field of the spec's first level, so no field goes untested, but for alternatives."""
    assert f"{kind.singular}-minimal" in manifests.NAMES
    used: set[str] = set()
    for name in manifests.NAMES:
        if name.startswith(f"{kind.singular}-"):
            used |= set(manifests.load(name)["spec"])
    spec = kind.model.model_fields["spec"].annotation
    assert spec is not None
    fields = {field.alias for field in spec.model_fields.values()}
    if kind is kinds.CLUSTER_POLICY:  # Its other fields are those of Policy.
        fields &= {"owner", "mode", "selector", "exceptions"}
    assert fields <= used


FAULTS = {
    "an unknown field": ({"spec.colour": "red"}, "spec.colour: Extra inputs are not permitted"),
    "a missing field": ({"spec.owner": manifests.GONE}, "spec.owner: Field required"),
    "no alternative": (
        {"spec.instructions": manifests.GONE},
        "exactly one of instructions and instructionsFrom must be set",
    ),
    "two alternatives": (
        {"spec.access": {"callers": [{"user": "a", "group": "b"}]}},
        "spec.access.callers.0: Value error, exactly one of serviceAccount, user and group must be set",
    ),
    "a bad duration": ({"spec.limits": {"timeout": "soon"}}, "spec.limits.timeout"),
    "another kind": ({"kind": "Pod"}, "kind: Input should be 'Agent'"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_is_named(what: str) -> None:
    """The message names the field and the fault."""
    changes, message = FAULTS[what]
    with pytest.raises(Invalid) as invalid:
        Agent.parse(manifests.changed(manifests.load("agent-minimal"), changes))
    assert message in str(invalid.value)


def test_a_fault_does_not_repeat_the_value() -> None:
    """What someone wrote into the wrong field may be secret."""
    with pytest.raises(Invalid) as invalid:
        Agent.parse(manifests.changed(manifests.load("agent-minimal"), {"spec.limits": {"maxSteps": "hunter2"}}))
    assert "hunter2" not in str(invalid.value)


def test_a_newer_status_can_be_read() -> None:
    """An operator that was rolled back still reads the status that its successor wrote."""
    manifest = manifests.load("agent-minimal") | {"status": {"mood": "good", "readyReplicas": 2}}
    assert Agent.parse(manifest).status.ready_replicas == 2


def test_a_step_knows_its_kind() -> None:
    """Exactly one kind is set, and it is called by its name."""
    assert (
        Step.model_validate(
            {"name": "a", "forEach": {"items": "x", "steps": [{"name": "b", "wait": {"duration": "1s"}}]}}
        ).choice
        == "for_each"
    )
    assert (
        BodyStep.model_validate({"name": "a", "agent": {"name": "b"}, "join": 2, "needs": ["x", "y"]}).choice == "agent"
    )


@pytest.mark.parametrize("join", [0, 17, "Both", True, 1.5])
def test_a_join_is_a_word_or_a_small_number(join: object) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="join"):
        BodyStep.model_validate({"name": "a", "agent": {"name": "b"}, "join": join})
