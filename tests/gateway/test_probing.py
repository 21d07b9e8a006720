"""Was an effect applied? What a probe is asked, and what its answer says."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.api.connector import Verification
from proctor_gateway.callpath.probing import Applied, NotApplied, Unclear, arguments_of, read

VERIFY = Verification.model_validate(
    {
        "tool": "list_payments",
        "arguments": [{"name": "order", "from": "args.order.id"}, {"name": "key", "from": "key"}],
        "applied": "result.payments.exists(p, p.amount == args.amount)",
    }
)
ARGUMENTS = {"order": {"id": "O-1"}, "amount": 5.0}

ASKED: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "a path into the call": (ARGUMENTS, {"order": "O-1", "key": "k"}),
    "the call lacks it": ({"amount": 5.0}, None),
    "the path goes through a text": ({"order": "O-1"}, None),
    "a value that is null": ({"order": {"id": None}}, {"order": None, "key": "k"}),
}


@pytest.mark.parametrize(("arguments", "expected"), ASKED.values(), ids=ASKED)
def test_a_probe_is_asked_about_the_call(arguments, expected):
    """By the call's own arguments and its key, and not at all if one is missing."""
    assert arguments_of(VERIFY, arguments, "k") == expected


def structured(*amounts: float) -> dict[str, Any]:
    """The system lists payments of these amounts."""
    return {"structuredContent": {"payments": [{"amount": amount} for amount in amounts]}}


ANSWERS: dict[str, tuple[dict[str, Any], type]] = {
    "it is there": (structured(1.0, 5.0), Applied),
    "it is not there": (structured(1.0), NotApplied),
    "there is nothing": (structured(), NotApplied),
    "as JSON in a text": ({"content": [{"type": "text", "text": '{"payments": [{"amount": 5.0}]}'}]}, Applied),
    "the probe failed": ({**structured(), "isError": True}, Unclear),
    "an answer of another form": ({"structuredContent": {"items": []}}, Unclear),
    "a text that says nothing": ({"content": [{"type": "text", "text": "none"}]}, Unclear),
    "no answer": ({}, Unclear),
}


@pytest.mark.parametrize(("result", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_only_what_is_said_is_believed(result, expected):
    """An answer that cannot be read says neither yes nor no: a person has to look."""
    assert isinstance(read(VERIFY, result, ARGUMENTS, "k"), expected)


def test_what_was_applied_is_adopted():
    """The probe's answer stands for the one that was lost."""
    assert read(VERIFY, structured(5.0), ARGUMENTS, "k") == Applied(structured(5.0))
