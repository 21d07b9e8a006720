"""May this call be made now? What the policies say, which is never more than what the agent was granted.

Every rule is asked. Of those that hold it the strictest decides; what only watches or warns is noted with the call.
Nothing here guesses: a verdict follows from what was declared, from where content came, and from the arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from proctor.api.approval import Asking
from proctor.api.connector import Effect
from proctor.api.permissions import DataRules, ModelRules, Reaction, Sink, ToolRules
from proctor.api.policy import CheckedAt, Mode, PolicyExpression
from proctor.policy import demands, keys, planning
from proctor.policy.effective import Effective, Rule
from proctor.policy.facts import Call, ModelCall, TaskFacts, ToolCall, leaves, links_in, values_at
from proctor.policy.finding import Finding, found
from proctor.policy.patterns import fits_any, is_tool
from proctor.policy.planning import Plan
from proctor.policy.provenance import origin_of
from proctor.policy.uses import model_fault, tool_fault

LOOP: Final = 10
"""So often a task may make the very same call to a tool: an agent that asks again and again is lost, not thorough."""

_STRICTNESS: Final = (Reaction.ALLOW, Reaction.REQUIRE_APPROVAL, Reaction.DENY)


@dataclass(frozen=True)
class Allow:
    """The call may be made. `noted` would have stopped it, were its policy enforced."""

    noted: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Refuse:
    """The call is not made."""

    findings: tuple[Finding, ...]
    noted: tuple[Finding, ...] = ()

    @property
    def message(self) -> str:
        """What the agent is told."""
        return told(self.findings)


@dataclass(frozen=True)
class Ask:
    """People are asked first; with nobody named, whoever answers for the agent."""

    findings: tuple[Finding, ...]
    asking: tuple[Asking, ...] = ()
    noted: tuple[Finding, ...] = ()

    @property
    def message(self) -> str:
        """What people are asked to allow."""
        return told(self.findings)


Decision = Allow | Refuse | Ask


@dataclass(frozen=True)
class _Objection:
    finding: Finding
    then: Reaction
    asking: Asking | None = None


def told(findings: tuple[Finding, ...]) -> str:
    """The findings in one line: which policy, which rule, what is wrong."""
    return "; ".join(f"{each.policy} {each.rule}: {each.message}" for each in findings)


def decide(call: Call, facts: TaskFacts, effective: Effective, agent: dict[str, Any] | None = None) -> Decision:
    """What becomes of the call. `agent` is the Agent as expressions see it, needed where there are expressions."""
    objections = list(_objections(call, facts, effective, agent or {}))
    # Once for each rule of each policy: two patterns of one list say the same thing twice.
    known = {(each.finding, each.then, each.asking): each for each in objections}
    binding = [each for each in known.values() if each.finding.blocks and each.then is not Reaction.ALLOW]
    noted = tuple(each.finding for each in known.values() if not each.finding.blocks)
    strictest = max((each.then for each in binding), key=_STRICTNESS.index, default=Reaction.ALLOW)
    stopping = tuple(sorted((e.finding for e in binding if e.then is strictest), key=lambda e: e.order))
    match strictest:
        case Reaction.ALLOW:
            return Allow(noted)
        case Reaction.DENY:
            return Refuse(stopping, noted)
        case Reaction.REQUIRE_APPROVAL:
            return Ask(stopping, tuple(each.asking for each in binding if each.asking is not None), noted)


def _objections(call: Call, facts: TaskFacts, effective: Effective, agent: dict[str, Any]) -> Iterator[_Objection]:
    match call:
        case ModelCall():
            yield from _of_model(call, effective)
        case ToolCall():
            for rule in effective.of("tools", ToolRules):
                yield from _of_tool(call, facts, rule)
    for data in effective.of("data", DataRules):
        yield from _of_data(call, facts, data)
    yield from _demands(call, facts, effective, agent)


def _of_model(call: ModelCall, effective: Effective) -> Iterator[_Objection]:
    for rule in effective.of("models", ModelRules):
        fault = model_fault(rule, call.connector, call.labels, call.model)
        if fault is not None:
            yield _Objection(found(rule, *fault), Reaction.DENY)


def _of_tool(call: ToolCall, facts: TaskFacts, rule: Rule[ToolRules]) -> Iterator[_Objection]:
    fault = tool_fault(rule, call.connector, call.tool, call.effect, call.data)
    if fault is not None:
        yield _Objection(found(rule, *fault), Reaction.DENY)
    if facts.repeated >= LOOP:
        message = f"{call.connector}/{call.tool} was called {facts.repeated} times with the same arguments"
        yield _Objection(found(rule, "loop", message), Reaction.DENY)
    yield from _approvals(call, rule)
    if facts.tainted:
        yield from _tainted(call, facts, rule)
        yield from _unplanned(call, facts, rule)
    if facts.holds_foreign_values:
        yield from _sinks(call, facts, rule)
        yield from _trifecta(call, facts, rule)


def _approvals(call: ToolCall, rule: Rule[ToolRules]) -> Iterator[_Objection]:
    for each in rule.content.approval:
        if not is_tool(each, call.connector, call.tool, call.effect, call.data):
            continue
        if each.when is None or demands.applies(each.when, call.arguments, call.tool, call.connector):
            said = f" when {each.when}" if each.when else ""
            finding = found(rule, "approval", f"{call.connector}/{call.tool} needs an approval{said}")
            yield _Objection(finding, Reaction.REQUIRE_APPROVAL, each.approval)


def _tainted(call: ToolCall, facts: TaskFacts, rule: Rule[ToolRules]) -> Iterator[_Objection]:
    meant = [
        each.then
        for each in rule.content.when_tainted
        if is_tool(each, call.connector, call.tool, call.effect, call.data)
    ]
    default = Reaction.ALLOW if call.effect is Effect.READ else Reaction.REQUIRE_APPROVAL
    then = max(meant, key=_STRICTNESS.index, default=default)
    if then is not Reaction.ALLOW:
        message = f"{call.connector}/{call.tool} after untrusted content from {_named(facts.untrusted)}"
        yield _Objection(found(rule, "whenTainted", message), then)


def _unplanned(call: ToolCall, facts: TaskFacts, rule: Rule[ToolRules]) -> Iterator[_Objection]:
    wanted, name = rule.content.plan, f"{call.connector}/{call.tool}"
    if wanted is None or not planning.covers(wanted, call.effect):
        return
    plan = facts.plan or Plan(fault="nobody has made one")
    if not planning.is_within(plan, name, call.arguments, facts.made):
        yield _Objection(found(rule, "plan", f"{name} is not planned so: {plan.text}"), wanted.otherwise)


def _sinks(call: ToolCall, facts: TaskFacts, rule: Rule[ToolRules]) -> Iterator[_Objection]:
    for sink in rule.content.sinks:
        if not is_tool(sink, call.connector, call.tool, call.effect, call.data):
            continue
        if any(not _may_be(each, facts, sink) for each in _checked(call, sink)):
            # The value itself is not said: it may be what somebody tries to get out.
            allowed = ", ".join(sorted(sink.origins))
            message = f"{sink.argument} of {call.connector}/{call.tool} does not come from {allowed}"
            yield _Objection(found(rule, "sinks", message), sink.otherwise)


def _checked(call: ToolCall, sink: Sink) -> tuple[str, ...]:
    values = values_at(call.arguments, sink.argument)
    return tuple(link for each in values for link in links_in(each)) if sink.links else values


def _may_be(value: str, facts: TaskFacts, sink: Sink) -> bool:
    if value in sink.values or (sink.pattern is not None and demands.is_like(value, sink.pattern)):
        return True
    return origin_of(value, facts, sink.origins) is not None


def _trifecta(call: ToolCall, facts: TaskFacts, rule: Rule[ToolRules]) -> Iterator[_Objection]:
    then = rule.content.trifecta
    if then is None or then is Reaction.ALLOW or not facts.labels or call.effect is Effect.READ:
        return
    message = (
        f"{call.connector}/{call.tool} would write after {_named(sorted(facts.labels))} data was read "
        f"and untrusted content came from {_named((*facts.untrusted, *facts.secluded))}"
    )
    yield _Objection(found(rule, "trifecta", message), then)


def _of_data(call: Call, facts: TaskFacts, rule: Rule[DataRules]) -> Iterator[_Objection]:
    for flow in rule.content.deny_flows:
        labels = sorted(facts.labels & set(flow.data))
        if labels and fits_any(flow.to, call.connector):
            message = f"the task has read {', '.join(labels)} data, which must not reach {call.connector}"
            yield _Objection(found(rule, "denyFlows", message), Reaction.DENY)
    if rule.content.block_secrets:
        texts = call.texts if isinstance(call, ModelCall) else tuple(leaves(call.arguments))
        kinds = sorted({each.kind for text in texts for each in keys.find(text)})
        if kinds:
            yield _Objection(found(rule, "blockSecrets", f"what would be sent holds {', '.join(kinds)}"), Reaction.DENY)


def _demands(call: Call, facts: TaskFacts, effective: Effective, agent: dict[str, Any]) -> Iterator[_Objection]:
    at = CheckedAt.MODEL_CALL if isinstance(call, ModelCall) else CheckedAt.TOOL_CALL
    variables = {"agent": agent, "task": _task(facts), "call": _seen(call)}
    for rule in effective.of("expressions", PolicyExpression):
        fault = demands.unmet(rule.content, variables) if rule.content.at is at else None
        if fault is not None:
            yield _Objection(found(rule, "", fault, severity=rule.content.severity), Reaction.DENY)


def _task(facts: TaskFacts) -> dict[str, Any]:
    return {**facts.body, "tainted": facts.tainted, "untrusted": list(facts.untrusted), "data": sorted(facts.labels)}


def _seen(call: Call) -> dict[str, Any]:
    match call:
        case ModelCall():
            return {"connector": call.connector, "model": call.model, "labels": dict(call.labels)}
        case ToolCall():
            return {
                "connector": call.connector,
                "tool": call.tool,
                "effect": call.effect.value,
                "data": list(call.data),
                "args": dict(call.arguments),
            }


def _named(words: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(words[:3])
    return shown if len(words) <= 3 else f"{shown} and {len(words) - 3} more"  # noqa: PLR2004 - as many as are shown


def warnings(decision: Decision) -> tuple[Finding, ...]:
    """What the caller is to hear although the call is made."""
    return tuple(each for each in decision.noted if each.mode is Mode.WARN and each.is_violation)
