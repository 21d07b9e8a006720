"""A model behind an OpenAI-compatible endpoint: how a request is prepared and an answer is read. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from proctor.api.agent import Model
from proctor.api.connector import Price
from proctor_gateway.rules.limits import cost_of
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault

_UNAUTHORIZED = {401, 403}
_RATE_LIMITED = 429
_CLIENT_ERROR = range(400, 500)
_OK = range(200, 300)
_QUOTED = 500
_TYPES = {
    Reason.UNAUTHENTICATED: "authentication_error",
    Reason.POLICY_DENIED: "permission_error",
    Reason.INVALID_REQUEST: "invalid_request_error",
    Reason.REJECTED: "invalid_request_error",
    Reason.RATE_LIMITED: "rate_limit_error",
}
_THE_AGENTS = {"model", "messages", "tools", "stream", "stream_options"}
"""What makes the request rather than tunes the model: no default of the revision replaces it."""


def prepared(body: Mapping[str, Any], declared: Model) -> dict[str, Any]:
    """The body that is sent: what the revision declares where the agent says nothing; a stream says its usage."""
    defaults = {key: value for key, value in declared.parameters.items() if key not in _THE_AGENTS}
    whole = {**defaults, **body}
    if whole.get("stream"):
        options = whole.get("stream_options")
        whole["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return whole


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether the agent itself asked for the usage chunk of a stream."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


@dataclass(frozen=True)
class Consumed:
    """What a call took, as the model says; None where it does not say."""

    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None


def consumed(usage: object, price: Price | None) -> Consumed:
    """The tokens and their cost from an answer's `usage`."""
    if not isinstance(usage, dict):
        return Consumed(None, None, None)
    tokens_in, tokens_out = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    return Consumed(tokens_in, tokens_out, cost_of(price, tokens_in, tokens_out, cached or 0))


def fault_of(status: int, body: bytes, secret: str | None) -> Fault | None:
    """What an answer other than success means; None for success. Quotes the model's words, never the credential."""
    if status in _OK:
        return None
    if status in _UNAUTHORIZED:
        return Fault(Reason.MODEL_UNAVAILABLE, f"the model refuses the connector's credential ({status})")
    if status == _RATE_LIMITED:
        return Fault(Reason.RATE_LIMITED, "the model's rate limit is reached")
    said = _said(body, secret)
    if status in _CLIENT_ERROR:
        return Fault(Reason.REJECTED, f"the model rejects the request ({status}): {said}")
    return Fault(Reason.MODEL_UNAVAILABLE, f"the model answers {status}: {said}")


def parsed(body: bytes) -> dict[str, Any] | None:
    """The answer as JSON, or None if it is none."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and isinstance(answer.get("choices"), list) else None


def text_of(completion: Mapping[str, Any] | None) -> str | None:
    """What a chat completion says in words; None if it says none."""
    try:
        found = completion["choices"][0]["message"]["content"] if completion else None
    except (KeyError, IndexError, TypeError):
        return None
    return found if isinstance(found, str) else None


def error_body(fault: Fault) -> bytes:
    """A fault as OpenAI's clients read errors; `code` is our reason."""
    kind = _TYPES.get(fault.reason, "api_error")
    return json.dumps({"error": {"message": fault.message, "type": kind, "code": fault.reason, "param": None}}).encode()


def _said(body: bytes, secret: str | None) -> str:
    try:
        error = json.loads(body).get("error", {})
        message = str(error.get("message", "") if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        message = ""
    if secret:
        message = message.replace(secret, "***")
    return message[:_QUOTED] or "without a message"


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
