"""A revision: everything that makes an agent behave as it does, and nothing else, under the hash of its content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proctor.api import digest, names
from proctor.api.agent import AgentSpec
from proctor.plan.world import Manifest, Platform, World, label_of

BEHAVIOUR = {"model", "tools", "output", "limits", "fallbacks", "confidence", "sandbox"}
_PROGRAM = {"image", "command", "args", "env", "resources"}


@dataclass(frozen=True)
class Revision:
    """An immutable bundle. `data` is what the ControllerRevision keeps: the spec's behaviour and the tools' facts."""

    hash: str
    data: dict[str, Any]

    @property
    def spec(self) -> dict[str, Any]:
        """The part of the Agent's spec that makes its behaviour, as JSON."""
        spec: dict[str, Any] = self.data["spec"]
        return spec


def of_spec(world: World, instructions: str) -> Revision:
    """The revision that the Agent's spec asks for now. All connectors of the spec must be in the World."""
    spec = world.agent.spec
    data: dict[str, Any] = {
        "spec": {"instructions": instructions, **_behaviour(spec, world.platform)},
        "definitions": {grant.connector: _definitions(world, grant.connector, grant.allow) for grant in spec.tools},
    }
    # What policies hold an agent to makes its behaviour, too. Without such a policy nothing is added.
    behaviour = world.standing.effective.behaviour
    if behaviour is not None:
        data["policy"] = behaviour
    return Revision(digest.short(data), data)


def recorded(children: tuple[Manifest, ...]) -> dict[str, Revision]:
    """The revisions that are kept, by hash."""
    return {
        revision: Revision(revision, each["data"])
        for each in children
        if each["kind"] == "ControllerRevision" and (revision := label_of(each, names.REVISION))
    }


def _behaviour(spec: AgentSpec, platform: Platform) -> dict[str, Any]:
    behaviour = spec.model_dump(mode="json", by_alias=True, exclude_none=True, include=BEHAVIOUR)
    program = spec.runtime.model_dump(mode="json", by_alias=True, exclude_none=True, include=_PROGRAM)
    return {**behaviour, "runtime": {"image": platform.agent_image, **program}}


def _definitions(world: World, connector: str, tools: tuple[str, ...]) -> dict[str, Any]:
    declared = world.connectors[connector].spec
    # Which parts are trusted is asked of the live Connector at each answer; the revision stays what it is.
    left_out = {"name", "trusted_parts"}
    return {
        name: declared.tool(name).model_dump(mode="json", by_alias=True, exclude_none=True, exclude=left_out)
        for name in sorted(tools)
    }
