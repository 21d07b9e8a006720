"""What a tool is answered in a task that is not live."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.api.connector import Effect
from proctor_gateway.calling import Caller
from proctor_gateway.callpath.rehearsal import check_may_leave, judged
from proctor_gateway.rules.errors import Denied
from proctor_gateway.rules.judgement import Allow, Ask
from proctor_gateway.rules.stubs import Asked, Script, Send, Stub, Unanswered, answer, sample
from proctor_gateway.rules.tasks import Purpose
from proctor_gateway.tokens import Claims
from proctor_gateway.trace import Span
from tests.gateway.still_clock import T0

EFFECTS = st.sampled_from(sorted(set(Effect) - {Effect.READ}))
TRIALS = st.sampled_from(sorted(set(Purpose) - {Purpose.LIVE}))
RECORDED = {"content": [{"type": "text", "text": "as it was"}]}
JSON = st.sampled_from(
    [None, True, 0, "object", "x", [], ["a", 1], [{"type": "string"}], {}, {"a": {"enum": 3}}, {"b": 1}]
)
WORDS = ["type", "properties", "required", "enum", "anyOf", "const", "minimum"]
SCRIPTS = st.builds(
    Script,
    st.none() | st.just(RECORDED),
    st.dictionaries(st.sampled_from(["payments/refund", "crm/other"]), JSON),
    st.none() | st.dictionaries(st.sampled_from(WORDS), JSON, max_size=4),
)


def asked(effect: Effect, **arguments: Any) -> Asked:
    """A call."""
    return Asked("payments", "refund", effect, arguments)


@given(TRIALS, EFFECTS, SCRIPTS)
def test_no_effect_is_ever_sent(purpose: Purpose, effect: Effect, script: Script):
    """Whatever is recorded, declared or missing: an effect of a trial is answered here or ends the trial."""
    assert not isinstance(answer(purpose, asked(effect), script), Send)


@given(SCRIPTS, st.sampled_from(sorted(Effect)))
def test_a_replay_sends_nothing_at_all(script: Script, effect: Effect):
    """Its Reads, too, are answered as they were: the world has changed since."""
    assert not isinstance(answer(Purpose.REPLAY, asked(effect), script), Send)


@given(SCRIPTS, st.sampled_from(sorted(Effect)))
def test_a_live_call_is_always_sent(script: Script, effect: Effect):
    """No stub stands between a live task and the system."""
    assert answer(Purpose.LIVE, asked(effect), script) == Send()


NAME = "payments/refund"
ANSWERS = {
    "as the original was answered": (Purpose.REPLAY, Effect.ONCE, Script(RECORDED, {NAME: 1}), Stub(RECORDED)),
    "not asked by the original": (Purpose.REPLAY, Effect.READ, Script(), Unanswered()),
    "but declared": (
        Purpose.REPLAY,
        Effect.READ,
        Script(None, {NAME: {"a": 1}}),
        Stub({"content": [{"type": "text", "text": '{"a": 1}'}], "structuredContent": {"a": 1}}, is_unanswered=True),
    ),
    "a Read of an exam": (Purpose.EVALS, Effect.READ, Script(), Send()),
    "a Read of a copy": (Purpose.MIRROR, Effect.READ, Script(), Send()),
    "a declared Read": (
        Purpose.EVALS,
        Effect.READ,
        Script(None, {NAME: "nothing"}),
        Stub({"content": [{"type": "text", "text": "nothing"}]}),
    ),
    "an effect": (
        Purpose.EVALS,
        Effect.ONCE,
        Script(),
        Stub({"content": [{"type": "text", "text": '{"stubbed": true}'}], "structuredContent": {"stubbed": True}}),
    ),
}


@pytest.mark.parametrize(("purpose", "effect", "script", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_how_a_call_is_answered(purpose, effect, script, expected):
    """What was recorded first, then what was declared, then the real system for a Read and a sample for an effect."""
    assert answer(purpose, asked(effect), script) == expected


SCHEMAS = {
    "a receipt": {
        "type": "object",
        "required": ["id", "order_id", "amount", "state", "lines", "ok"],
        "properties": {
            "id": {"type": "string"},
            "order_id": {"type": "string"},
            "amount": {"type": "number", "minimum": 1},
            "state": {"enum": ["done", "open"]},
            "lines": {"type": "array", "items": {"type": "string"}},
            "ok": {"type": "boolean"},
            "note": {"type": "string"},
        },
        "additionalProperties": False,
    },
    "nested": {
        "type": "object",
        "required": ["payment"],
        "properties": {"payment": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}},
    },
    "a choice": {
        "type": "object",
        "required": ["x"],
        "properties": {"x": {"anyOf": [{"type": "null"}, {"type": "string"}]}},
    },
    "anything": {},
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_sample_has_the_declared_form(schema):
    """An agent's client that checks the form of results finds nothing wrong."""
    jsonschema.validate(sample(schema, {}), schema)


def test_a_sample_repeats_what_was_asked():
    """The order that was to be refunded is the one that the answer speaks of, where its form fits."""
    found = sample(SCHEMAS["a receipt"], {"order_id": "O-1", "amount": 40.5, "id": 7})
    assert (found["order_id"], found["amount"], found["id"]) == ("O-1", 40.5, "stubbed")


@pytest.mark.parametrize("purpose", sorted(Purpose))
def test_the_last_fence(purpose: Purpose):
    """Right before sending, an effect of a task that is not live is refused; a question to people becomes none."""
    caller = Caller(Claims("t", 1, "support", "refunds", "r", T0, purpose), Span("a" * 32, "b" * 16))
    check_may_leave(caller, Effect.READ)
    if purpose is Purpose.LIVE:
        check_may_leave(caller, Effect.ONCE)
        assert judged(caller, Ask("may it?")) == Ask("may it?")
        return
    for effect in (Effect.IDEMPOTENT, Effect.VERIFY, Effect.ONCE):
        with pytest.raises(Denied):
            check_may_leave(caller, effect)
    assert judged(caller, Ask("may it?")) == Allow()
