"""What became of a call, from what came back of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from proctor.api.connector import Effect
from proctor_gateway.rules.calls import CallState, Outcome
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault

_COMPLETE = "complete"
_INPUT_REQUIRED = "input_required"
_QUOTED = 500


def of_tool_result(result: Mapping[str, Any], effect: Effect, most_shown: int) -> Outcome:
    """The server answered. It says itself whether the tool failed; a promise to do it later is not an outcome."""
    kind = result.get("resultType", _COMPLETE)
    seen = shown(result, most_shown)
    if kind == _INPUT_REQUIRED:
        fault = Fault(Reason.INPUT_REQUIRED, "the system asks for input, which nobody can give yet")
        return Outcome(CallState.FAILED, result=seen, fault=fault)
    if kind != _COMPLETE:
        return unknown(effect, Fault(Reason.OUTCOME_UNKNOWN, f"the system answers with a {str(kind)[:32]!r} result"))
    if result.get("isError"):
        return Outcome(CallState.FAILED, result=seen, fault=Fault(Reason.TOOL_ERROR, _text(result)))
    return Outcome(CallState.SUCCEEDED, result=seen)


def of_failure(effect: Effect, fault: Fault, *, touched: bool) -> Outcome:
    """No result came. What may have reached the other side and could change something has an unknown outcome."""
    if not touched:
        return Outcome(CallState.FAILED, touched=False, fault=fault)
    return unknown(effect, fault)


def unknown(effect: Effect, fault: Fault) -> Outcome:
    """Nobody can say what happened. For a Read that is a failure like any other: it may be asked again."""
    state = CallState.FAILED if effect is Effect.READ else CallState.UNKNOWN
    return Outcome(state, fault=fault)


def shown(value: Any, most: int) -> Any:
    """As much of a result as people are shown: the whole, or its beginning and its size."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= most:
        return value
    return {"truncated": True, "characters": len(text), "beginning": text[:most]}


def _text(result: Mapping[str, Any]) -> str:
    blocks = result.get("content")
    texts = [str(each.get("text", "")) for each in blocks or () if isinstance(each, Mapping)]
    return " ".join(texts).strip()[:_QUOTED] or "the tool failed without a message"
