"""The answer a rule gives to a request: what is said, with deterministic ids and usage. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proctor_demo.model.request import Seen
from proctor_demo.model.rules import Call, Rule, RuleSet, Then
from proctor_demo.model.templates import Sources, Unfilled, fill

CREATED = 1_767_225_600
"""`created` of every answer (2026-01-01T00:00:00Z): an answer must not depend on the clock."""
CHARACTERS_PER_TOKEN = 4


class Unanswerable(Exception):  # noqa: N818 - it names what happened
    """A rule holds, but cannot be carried out; the message names the rule and why."""


@dataclass(frozen=True)
class Reply:
    """One answer of the assistant, before it is put into a body or into chunks."""

    id: str
    model: str
    message: Mapping[str, Any]
    finish_reason: str
    usage: Mapping[str, int] | None

    def body(self) -> dict[str, Any]:
        """The answer as one chat.completion."""
        choice = {"index": 0, "message": self.message, "finish_reason": self.finish_reason, "logprobs": None}
        found = {
            "id": self.id,
            "object": "chat.completion",
            "created": CREATED,
            "model": self.model,
            "choices": [choice],
        }
        return found if self.usage is None else {**found, "usage": self.usage}


def make_reply(rules: RuleSet, rule: Rule, seen: Seen, captures: Mapping[str, str]) -> Reply:
    """What `rule` says to the request.

    Raises:
        Unanswerable: a placeholder has no value, or a tool to be called is not offered.
    """
    try:
        message, finish_reason = _message(rules, rule.then, seen, Sources(captures, seen.last_result))
    except Unfilled as exc:
        raise Unanswerable(f"rule {rule.name!r}: {exc}") from exc
    return Reply(
        id=f"chatcmpl-{seen.digest[:24]}",
        model=seen.model,
        message=message,
        finish_reason=rule.then.finish_reason or finish_reason,
        usage=_usage(seen, message) if rule.then.usage == "Counted" else None,
    )


def tokens(text: str) -> int:
    """A count that depends on the text alone: a token is four characters, begun ones count."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def _message(rules: RuleSet, then: Then, seen: Seen, sources: Sources) -> tuple[dict[str, Any], str]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    if then.refusal is not None:
        return message | {"refusal": fill(then.refusal, sources)}, "stop"
    if then.answer is not None:
        return _answer(rules, message, fill(then.answer, sources), seen)
    if then.text is not None:
        message["content"] = str(fill(then.text, sources)) * then.repeat_text
    if not then.calls:
        return message, "stop"
    message["tool_calls"] = [
        _tool_call(seen, index, _offered(seen, call), _arguments(call, sources))
        for index, call in enumerate(then.calls)
    ]
    return message, "tool_calls"


def _answer(rules: RuleSet, message: dict[str, Any], answer: Any, seen: Seen) -> tuple[dict[str, Any], str]:
    """A structured answer in the form asked for: `response_format`, an output tool, or JSON in the text."""
    text = json.dumps(answer, ensure_ascii=False)
    tool = next((name for name in seen.tools if re.fullmatch(rules.answer_tools, name)), None)
    if seen.wants_json_content or tool is None:
        return message | {"content": text}, "stop"
    return message | {"tool_calls": [_tool_call(seen, 0, tool, text)]}, "tool_calls"


def _offered(seen: Seen, call: Call) -> str:
    name = seen.offered(call.tool)
    # A tool under its full name is called even if it is not offered: a model may hallucinate, and callers must cope.
    if name is None and "__" not in call.tool:
        raise Unfilled(f"no tool {call.tool} is offered, only {', '.join(seen.tools) or 'none'}")
    return name or call.tool


def _arguments(call: Call, sources: Sources) -> str:
    return call.raw_arguments if call.raw_arguments is not None else json.dumps(fill(call.arguments, sources))


def _tool_call(seen: Seen, index: int, name: str, arguments: str) -> dict[str, Any]:
    # The digest covers the whole conversation, so that no two turns of one share an id.
    call_id = f"call_{seen.digest[:20]}_{index}"
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _usage(seen: Seen, message: Mapping[str, Any]) -> dict[str, int]:
    asked = json.dumps([seen.messages, seen.body.get("tools") or []], ensure_ascii=False, sort_keys=True)
    said = json.dumps([message["content"], message["refusal"], message.get("tool_calls")], ensure_ascii=False)
    prompt, completion = tokens(asked), tokens(said)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
