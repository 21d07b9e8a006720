"""What would a policy change, were it applied? For agents as they are declared, and for calls that were made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from proctor.api.agent import Agent, NetworkIsolation
from proctor.api.connector import Connector, Effect, Tool
from proctor.cli.tasks import Call, Task
from proctor.policy.check import check
from proctor.policy.demands import dumped
from proctor.policy.effective import Effective, merge
from proctor.policy.facts import Answered, ModelCall, TaskFacts, ToolCall
from proctor.policy.finding import Finding
from proctor.policy.planning import Plan, Step
from proctor.policy.provenance import answered, value_of
from proctor.policy.runtime import Allow, Ask, Decision, Refuse, decide
from proctor.policy.selection import AnyPolicy


@dataclass(frozen=True)
class Place:
    """An agent and what is around it."""

    agent: Agent
    connectors: Mapping[str, Connector]
    namespace_labels: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its namespace and name."""
        return f"{self.agent.metadata.namespace}/{self.agent.metadata.name}"


@dataclass(frozen=True)
class Change:
    """What becomes different for one agent."""

    place: Place
    is_meant: bool
    """Whether one of the tried policies means it."""
    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]


@dataclass(frozen=True)
class Tried:
    """A call that was made, and what would become of it. `before` is what the policies of now say."""

    agent: str
    task: str
    call: str
    before: Decision
    after: Decision


def replaced(policies: Iterable[AnyPolicy], tried: Sequence[AnyPolicy]) -> tuple[AnyPolicy, ...]:
    """The policies as they would be: one of the same kind, namespace and name gives way."""
    names = {_name(each) for each in tried}
    return (*(each for each in policies if _name(each) not in names), *tried)


def changes(
    places: Iterable[Place], policies: Sequence[AnyPolicy], tried: Sequence[AnyPolicy], now: datetime
) -> tuple[Change, ...]:
    """What becomes different, agent by agent, in their order. An agent for which nothing does is among them."""
    after = replaced(policies, tried)
    return tuple(_change(each, policies, after, tried, now) for each in sorted(places, key=lambda one: one.name))


def _change(
    place: Place, before: Sequence[AnyPolicy], after: Sequence[AnyPolicy], tried: Sequence[AnyPolicy], now: datetime
) -> Change:
    old, new = set(_findings(place, before, now)), set(_findings(place, after, now))
    return Change(
        place,
        bool(_effective(place, tried, now)),
        tuple(sorted(new - old, key=lambda each: each.order)),
        tuple(sorted(old - new, key=lambda each: each.order)),
    )


def _findings(place: Place, policies: Sequence[AnyPolicy], now: datetime) -> tuple[Finding, ...]:
    sandbox = place.agent.status.sandbox
    isolation = sandbox.network_isolation if sandbox else NetworkIsolation.UNKNOWN
    return check(place.agent, place.connectors, _effective(place, policies, now), now, isolation)


def _effective(place: Place, policies: Sequence[AnyPolicy], now: datetime) -> Effective:
    return merge(policies, place.agent, now, place.namespace_labels)


def calls(
    place: Place,
    policies: Sequence[AnyPolicy],
    tried: Sequence[AnyPolicy],
    made: Iterable[tuple[Task, Sequence[Call]]],
    now: datetime,
) -> tuple[Tried, ...]:
    """The calls that would end differently. What a task had read is taken from its own earlier calls.

    What a model was told is not recorded, so keys and personal data in it are not looked for; of long results only
    the beginning is known, so a value of a trusted tool may count as of unknown origin. What a task would have planned
    nobody knows: all that it called counts as planned.
    """
    before, after = _effective(place, policies, now), _effective(place, replaced(policies, tried), now)
    body = dumped(place.agent)
    found: list[Tried] = []
    for task, asked in made:
        plan = Plan(tuple(Step(f"{each.connector}/{each.name}", len(asked)) for each in asked))
        operator = place.agent.spec.instructions or ""
        facts = TaskFacts(user=_text(task.input), operator=operator, body=_body(task), plan=plan)
        for call in asked:
            meant = _call(place, call)
            if meant is None:
                continue
            was, would = (decide(meant, facts, each, body) for each in (before, after))
            if type(was) is not type(would):
                found.append(Tried(place.name, task.id, f"{call.connector}/{call.name}", was, would))
            if call.kind == "Tool" and call.state == "Succeeded":
                facts = facts.having_read(_answer(place, call, facts))
    return tuple(found)


def word(decision: Decision) -> str:
    """What becomes of the call."""
    match decision:
        case Allow():
            return "made"
        case Ask():
            return "people are asked"
        case Refuse():
            return "refused"


def _call(place: Place, call: Call) -> ModelCall | ToolCall | None:
    connector = place.connectors.get(call.connector)
    if call.kind == "Model":
        return ModelCall(call.connector, connector.metadata.labels if connector else {}, call.name)
    if not isinstance(call.arguments, Mapping):
        return None
    data = connector.spec.tool(call.name).data if connector else ()
    return ToolCall(call.connector, call.name, Effect(call.effect or Effect.ONCE), data, call.arguments)


def _answer(place: Place, call: Call, facts: TaskFacts) -> Answered:
    connector = place.connectors.get(call.connector)
    tool = connector.spec.tool(call.name) if connector else Tool(name=call.name)
    arguments = call.arguments if isinstance(call.arguments, Mapping) else {}
    value = value_of(call.result) if isinstance(call.result, Mapping) else call.result
    return answered(call.connector, tool, arguments, value, facts, text=_text(call.result))


def _body(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "input": task.input,
        "conversation": task.conversation,
        "metadata": task.metadata,
        "caller": task.caller,
    }


def _text(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name(policy: AnyPolicy) -> tuple[str, str, str]:
    return policy.kind, policy.metadata.namespace, policy.metadata.name
