"""What makes another revision of an agent, and what must not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proctor.plan import children, revision
from proctor.plan.world import Platform
from tests.plan import examples
from tests.plan.examples import OTHER_DIGEST, PLATFORM


def hash_of(platform: Platform = PLATFORM, connectors: dict[str, Any] | None = None, **spec: Any) -> str:
    """The hash of the revision that such a spec asks for."""
    world = examples.world(examples.agent(**spec), platform=platform)
    world = replace(world, connectors={**world.connectors, **(connectors or {})})
    return revision.of_spec(world, world.instructions or "").hash


OTHER_BEHAVIOUR: dict[str, dict[str, Any]] = {
    "instructions": {"instructions": "You decide nothing."},
    "model": {"model": {"connector": "llm", "name": "gpt-5"}},
    "parameters": {"model": {"connector": "llm", "name": "gpt-5-mini", "parameters": {"temperature": 0}}},
    "tools": {"tools": [{"connector": "crm", "allow": ["get_order"]}]},
    "no tools": {"tools": []},
    "rules of tools": {
        "tools": [{"connector": "crm", "allow": ["get_order"], "rules": [{"when": "true", "then": "Deny"}]}]
    },
    "output": {"output": {"schema": {"type": "object"}}},
    "limits": {"limits": {"maxSteps": 3}},
    "fallbacks": {"fallbacks": [{"after": ["Any"], "human": {"groups": ["leads"]}}]},
    "confidence": {"confidence": {"from": "output.confidence", "atLeast": 0.7}},
    "sandbox": {"sandbox": {"profile": "Hardened"}},
    "image": {"runtime": {"image": "registry.example/mine:1"}},
    "environment": {"runtime": {"env": [{"name": "MODE", "value": "fast"}]}},
    "resources": {"runtime": {"resources": {"limits": {"memory": "1Gi"}}}},
}


@pytest.mark.parametrize("spec", OTHER_BEHAVIOUR.values(), ids=list(OTHER_BEHAVIOUR))
def test_what_changes_the_behaviour_is_another_revision(spec: dict[str, Any]) -> None:
    """It has to prove itself."""
    assert hash_of(**spec) != hash_of()


SAME_BEHAVIOUR: dict[str, dict[str, Any]] = {
    "owner": {"owner": {"team": "other", "contact": "other@example.com"}},
    "purpose": {"purpose": "Something else, in words."},
    "risk tier": {"riskTier": "High"},
    "suspension": {"suspend": True},
    "replicas": {"runtime": {"replicas": 9}},
    "concurrency": {"runtime": {"concurrency": 2}},
    "callers": {"access": {"callers": [{"group": "support"}]}},
    "objectives": {"slos": [{"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "99"}]},
    "exams": {"evals": [{"name": "golden", "configMapRef": {"name": "cases"}}]},
    "rollout": {"rollout": {"progressDeadline": "1m", "historyLimit": 3}},
    "a default that is written out": {"limits": {"maxSteps": 12, "timeout": "60s"}},
    "a duration in other words": {"limits": {"timeout": "1m"}},
}


@pytest.mark.parametrize("spec", SAME_BEHAVIOUR.values(), ids=list(SAME_BEHAVIOUR))
def test_what_does_not_change_the_behaviour_is_the_same_revision(spec: dict[str, Any]) -> None:
    """No pod is replaced for it."""
    assert hash_of(**spec) == hash_of()


def test_the_same_text_from_elsewhere_is_the_same_revision() -> None:
    """Whether the instructions stand in the spec or in a ConfigMap is no matter of behaviour."""
    source = {"configMapKeyRef": {"name": "texts", "key": "refunds"}}
    wanted = examples.agent(instructions=None, instructionsFrom=source)
    referring = examples.world(wanted, instructions="You decide refunds.")
    assert revision.of_spec(referring, "You decide refunds.").hash == hash_of()


def test_another_definition_of_a_tool_is_another_revision() -> None:
    """A tool that was pinned anew may do something else."""
    tools = [{"name": "get_customer", "effect": "Read", "definitionDigest": OTHER_DIGEST}]
    assert hash_of(connectors={"crm": examples.crm(tools=tools)}) != hash_of()


def test_a_tool_that_the_agent_does_not_use_is_no_matter() -> None:
    """Whatever becomes of it."""
    declared = [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in examples.crm().spec.tools]
    more = examples.crm(tools=[*declared, {"name": "delete_customer", "effect": "Once"}])
    assert hash_of(connectors={"crm": more}) == hash_of()


def test_where_a_system_is_found_is_no_matter() -> None:
    """A Connector may move, or change its key, without a new revision of its agents."""
    assert (
        hash_of(connectors={"llm": examples.connector("llm", type="Model", url="https://new.example/v1")}) == hash_of()
    )


def test_the_default_program_is_part_of_the_revision() -> None:
    """An upgrade of the default agent is a rollout like any other."""
    assert hash_of(platform=Platform(agent_image="registry.example/proctor-agent:2")) != hash_of()


def test_the_default_program_is_no_matter_to_who_brings_their_own() -> None:
    """An upgrade of proctor replaces none of their pods."""
    own = {"image": "registry.example/mine:1"}
    assert hash_of(platform=Platform(agent_image="registry.example/proctor-agent:2"), runtime=own) == hash_of(
        runtime=own
    )


def test_a_record_gives_back_its_revision() -> None:
    """What the ControllerRevision keeps is all that is needed to make its pods again."""
    world = examples.world()
    wanted = revision.of_spec(world, "You decide refunds.")
    record = children.make_controller_revision(world.agent, wanted, 7)
    assert revision.recorded((record,)) == {wanted.hash: wanted}
