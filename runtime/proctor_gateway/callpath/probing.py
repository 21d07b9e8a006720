"""Was an effect applied? The system itself is asked, by the tool that its Connector declares for that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from proctor.api.cel import ExpressionError, Language, Type
from proctor.api.connector import Connector, Effect, Verification
from proctor_gateway.calling import Caller, seconds_left
from proctor_gateway.callpath.asking_system import ask_tool
from proctor_gateway.cluster.port import SecretUnusable
from proctor_gateway.context import Context
from proctor_gateway.ledger import Entry
from proctor_gateway.upstream.outcome import McpFailed

_APPLIED: Final = Language(result=Type.ANY, args=Type.OBJECT, key=Type.TEXT)


@dataclass(frozen=True)
class Applied:
    """It was. `result` is what the probe was answered, which stands for the answer that was lost."""

    result: Mapping[str, Any]


@dataclass(frozen=True)
class NotApplied:
    """It was not, at the time of the probe."""

    why: str = "the call may still be under way"


@dataclass(frozen=True)
class Unclear:
    """Nobody can say."""

    why: str


def arguments_of(verify: Verification, arguments: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """What the probe is asked; None if the call lacks an argument that it needs."""
    found: dict[str, Any] = {}
    for each in verify.arguments:
        value: Any = {"key": key, "args": arguments}
        for step in each.from_.split("."):
            if not isinstance(value, Mapping) or step not in value:
                return None
            value = value[step]
        found[each.name] = value
    return found


def read(
    verify: Verification, result: Mapping[str, Any], arguments: Mapping[str, Any], key: str
) -> Applied | NotApplied | Unclear:
    """What the probe's answer says. A failure of the probe says nothing."""
    if result.get("isError"):
        return Unclear(f"{verify.tool} failed")
    try:
        applied = _APPLIED.holds(verify.applied, {"result": _value(result), "args": dict(arguments), "key": key})
    except ExpressionError as exc:
        return Unclear(f"verify.applied: {exc}")
    return Applied(result) if applied else NotApplied()


def _value(result: Mapping[str, Any]) -> Any:
    """What an expression sees: the structured content, or the text, as JSON if it is."""
    if "structuredContent" in result:
        return result["structuredContent"]
    blocks = result.get("content") or ()
    text = "".join(str(each.get("text", "")) for each in blocks if isinstance(each, Mapping))
    try:
        return json.loads(text)
    except ValueError:
        return text


async def ask(
    context: Context, caller: Caller, connector: Connector, entry: Entry, key: str
) -> Applied | NotApplied | Unclear:
    """Ask the system. Never raises for what goes wrong there."""
    verify = connector.spec.tool(entry.intent.name).verify
    if verify is None:
        return Unclear("no probe is declared")
    if connector.spec.tool(verify.tool).effect is not Effect.READ:
        return Unclear(f"its tool {verify.tool} is not declared with effect Read")
    arguments = arguments_of(verify, entry.arguments, key)
    if arguments is None:
        return Unclear("the call lacks an argument that the probe needs")
    seconds = seconds_left(connector, entry.deadline, context.clock.now())
    try:
        found = await ask_tool(context, caller, connector, verify.tool, arguments, seconds)
    except SecretUnusable as exc:
        return Unclear(exc.message)
    if isinstance(found, McpFailed):
        return Unclear(f"{verify.tool}: {found.message}")
    return read(verify, found, entry.arguments, key)
