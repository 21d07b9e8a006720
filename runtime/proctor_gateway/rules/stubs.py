"""What a tool is answered in a task that is not live. Pure.

No effect leaves for such a task: an effect is answered here, always, and a system never hears of it. A replay is
answered from what its original was answered; what that does not hold is said, so that the trial can be told apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from proctor.api.connector import Effect
from proctor_gateway.rules.tasks import Purpose

_MOST_DEEP: Final = 16


@dataclass(frozen=True)
class Script:
    """What is at hand to answer a call with: the original's own answer to it, and what was declared for its tool."""

    recorded: Mapping[str, Any] | None = None
    declared: Mapping[str, Any] = field(default_factory=dict)
    """Values by `connector/tool`."""
    output_schema: Mapping[str, Any] | None = None
    """Of the tool, as its system defines it."""


@dataclass(frozen=True)
class Asked:
    """The call."""

    connector: str
    tool: str
    effect: Effect
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Send:
    """Ask the system itself. Only ever for a Read."""


@dataclass(frozen=True)
class Stub:
    """Answer with this result. `is_unanswered`: the original had asked nothing like it."""

    result: Mapping[str, Any]
    is_unanswered: bool = False


@dataclass(frozen=True)
class Unanswered:
    """Nothing at hand answers it: the trial cannot be used."""


def answer(purpose: Purpose, asked: Asked, script: Script) -> Send | Stub | Unanswered:
    """How a call of a task of this purpose is answered. A live one is always sent."""
    if purpose is Purpose.LIVE:
        return Send()
    name = f"{asked.connector}/{asked.tool}"
    is_declared = name in script.declared
    if purpose is Purpose.REPLAY:
        if script.recorded is not None:
            return Stub(script.recorded)
        return Stub(result_of(script.declared[name]), is_unanswered=True) if is_declared else Unanswered()
    if is_declared:
        return Stub(result_of(script.declared[name]))
    if asked.effect is Effect.READ:
        return Send()
    return Stub(result_of(sample(script.output_schema, asked.arguments)))


def result_of(value: Any) -> dict[str, Any]:
    """A tool's result with this value."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    structured = {"structuredContent": dict(value)} if isinstance(value, Mapping) else {}
    return {"content": [{"type": "text", "text": text}], **structured}


def sample(schema: Mapping[str, Any] | None, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """An answer of the form that the tool's output schema declares, with `stubbed` where that is allowed.

    What was asked is repeated where the answer has a field of the same name: an agent that looks whether the right
    order was refunded is to find that order.
    """
    found = _sample(schema or {}, arguments, None, 0)
    value = dict(found) if isinstance(found, Mapping) else {}
    if schema is None or schema.get("additionalProperties", True) is not False:
        value["stubbed"] = True
    return value


def _sample(schema: Any, arguments: Mapping[str, Any], name: str | None, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _MOST_DEEP:
        return None
    kind = _kind(schema)
    if name is not None and name in arguments and _is(arguments[name], kind):
        return arguments[name]
    given = [schema[word] for word in ("const", "default") if word in schema]
    given += [each[0] for each in (_list(schema, "enum"), _list(schema, "examples")) if each]
    if given:
        return given[0]
    choices = [each for word in ("anyOf", "oneOf", "allOf") for each in _list(schema, word)]
    if choices:
        return _sample(choices[0], arguments, name, depth + 1)
    return _built(schema, arguments, kind, depth)


def _built(schema: Mapping[str, Any], arguments: Mapping[str, Any], kind: str, depth: int) -> Any:
    if kind == "object" or "properties" in schema:
        wanted = [each for each in _list(schema, "required") if isinstance(each, str)]
        parts = schema.get("properties")
        known = parts if isinstance(parts, Mapping) else {}
        return {each: _sample(known.get(each, {}), arguments, each, depth + 1) for each in wanted}
    plain: dict[str, Any] = {
        "string": "stubbed",
        "integer": schema.get("minimum", 0),
        "number": schema.get("minimum", 0),
        "boolean": True,
        "array": [],
    }
    return plain.get(kind)


def _list(schema: Mapping[str, Any], word: str) -> list[Any]:
    # The schema is what a system says of itself: it may be wrong in any way.
    found = schema.get(word)
    return found if isinstance(found, list) else []


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "")
    return str(kind[0]) if isinstance(kind, list) and kind else str(kind)


def _is(value: Any, kind: str) -> bool:
    if kind in {"integer", "number"}:
        return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    types: dict[str, type] = {"string": str, "boolean": bool, "array": list, "object": dict}
    return isinstance(value, types[kind]) if kind in types else kind == ""
