"""An answer cut into the chunks of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from proctor_demo.model.replies import CREATED, Reply

PIECE = 24
"""Characters of text or arguments in one chunk: small, so that every client has to put pieces together."""


def chunks(reply: Reply, *, include_usage: bool) -> Iterator[bytes]:
    """The server-sent events of a stream, `[DONE]` at its end; usage in a last chunk if asked for."""
    for delta in _deltas(reply.message):
        yield _event(reply, [_choice(delta, None)])
    yield _event(reply, [_choice({}, reply.finish_reason)])
    if include_usage and reply.usage is not None:
        yield _event(reply, [], reply.usage)
    yield b"data: [DONE]\n\n"


def _deltas(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for piece in _pieces(message["content"] or ""):
        yield {"content": piece}
    for piece in _pieces(message["refusal"] or ""):
        yield {"refusal": piece}
    for index, call in enumerate(message.get("tool_calls") or ()):
        head = {"index": index, **call, "function": {**call["function"], "arguments": ""}}
        yield {"tool_calls": [head]}
        for piece in _pieces(call["function"]["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + PIECE] for start in range(0, len(text), PIECE))


def _choice(delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}


def _event(reply: Reply, choices: list[dict[str, Any]], usage: Mapping[str, int] | None = None) -> bytes:
    chunk: dict[str, Any] = {
        "id": reply.id,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": reply.model,
        "choices": choices,
    }
    if usage is not None:
        chunk["usage"] = usage
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"
