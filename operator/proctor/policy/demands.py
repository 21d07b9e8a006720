"""Demands in CEL: which hold for an agent, and which compile at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from proctor.api.agent import Agent
from proctor.api.cel import ExpressionError, Language, Type
from proctor.api.connector import Connector
from proctor.api.policy import CheckedAt, PolicyExpression
from proctor.policy import seclusion
from proctor.policy.effective import Effective
from proctor.policy.finding import Finding, found
from proctor.policy.selection import AnyPolicy

_CALL: Final = Language(agent=Type.OBJECT, task=Type.OBJECT, call=Type.OBJECT)
_ARGUMENTS: Final = Language(args=Type.OBJECT, tool=Type.TEXT, connector=Type.TEXT)
_VALUE: Final = Language(value=Type.TEXT, pattern=Type.TEXT)
_LANGUAGES: Final = {
    CheckedAt.ADMISSION: Language(agent=Type.OBJECT, connectors=Type.LIST),
    CheckedAt.ROLLOUT: Language(agent=Type.OBJECT, connectors=Type.LIST, rollout=Type.OBJECT),
    CheckedAt.MODEL_CALL: _CALL,
    CheckedAt.TOOL_CALL: _CALL,
}


def findings(
    agent: Agent,
    connectors: Mapping[str, Connector],
    effective: Effective,
    at: frozenset[CheckedAt] = frozenset({CheckedAt.ADMISSION, CheckedAt.ROLLOUT}),
) -> Iterator[Finding]:
    """The demands at Admission and at Rollout that the agent does not meet. What cannot be evaluated is not met."""
    rules = [each for each in effective.of("expressions", PolicyExpression) if each.content.at in at]
    if not rules:
        return
    body = dumped(agent)
    variables = {
        "agent": body,
        "connectors": [dumped(each) for _, each in sorted(connectors.items())],
        "rollout": body["spec"]["rollout"],
    }
    for rule in rules:
        fault = unmet(rule.content, variables)
        if fault is not None:
            yield found(rule, "", fault, severity=rule.content.severity)


def unmet(demand: PolicyExpression, variables: Mapping[str, Any]) -> str | None:
    """Why the demand is not met; None if it is."""
    names = {
        CheckedAt.ADMISSION: ("agent", "connectors"),
        CheckedAt.ROLLOUT: ("agent", "connectors", "rollout"),
        CheckedAt.MODEL_CALL: ("agent", "task", "call"),
        CheckedAt.TOOL_CALL: ("agent", "task", "call"),
    }[demand.at]
    try:
        holds = _LANGUAGES[demand.at].holds(demand.expression, {name: variables[name] for name in names})
    except ExpressionError as exc:
        return f"{demand.message} (the expression cannot be evaluated: {exc})"
    return None if holds else demand.message


def applies(when: str, arguments: Mapping[str, Any], tool: str, connector: str) -> bool:
    """Whether a rule's condition on a call holds. One that cannot be evaluated holds: it asks for more care."""
    try:
        return _ARGUMENTS.holds(when, {"args": arguments, "tool": tool, "connector": connector})
    except ExpressionError:
        return True


def fault_of_condition(when: str) -> str | None:
    """Why a rule's condition on a call does not compile; None if it does."""
    return _ARGUMENTS.fault(when)


def is_like(value: str, pattern: str) -> bool:
    """Whether the whole value is as the pattern (RE2) says. A pattern that is none matches nothing."""
    try:
        return _VALUE.holds("value.matches(pattern)", {"value": value, "pattern": f"^(?:{pattern})$"})
    except ExpressionError:
        return False


def faults(policy: AnyPolicy) -> Iterator[tuple[str, str]]:
    """The expressions of the policy that do not compile: the field, and what is wrong."""
    for each in policy.spec.expressions:
        fault = _LANGUAGES[each.at].fault(each.expression)
        if fault is not None:
            yield f"spec.expressions[{each.name}]", fault
    tools = policy.spec.tools
    for index, approval in enumerate(tools.approval if tools else ()):
        fault = fault_of_condition(approval.when) if approval.when else None
        if fault is not None:
            yield f"spec.tools.approval[{index}].when", fault
    for index, rule in enumerate(tools.quarantine if tools else ()):
        for wrong in seclusion.faults(rule.schema_):
            yield f"spec.tools.quarantine[{index}]", wrong


def dumped(item: Agent | Connector) -> dict[str, Any]:
    """The object as expressions see it: with its defaults, without its status, and with all its labels' keys."""
    body = item.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"status"})
    kept = ("name", "namespace", "labels", "annotations", "generation")
    body["metadata"] = {key: value for key, value in body["metadata"].items() if key in kept}
    return body
