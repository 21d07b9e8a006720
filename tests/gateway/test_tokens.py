"""Task tokens, traces, and the usage in a stream."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor_gateway import trace
from proctor_gateway.clock import SystemClock
from proctor_gateway.tokens import Claims, SigningKey, TokenError, Tokens
from proctor_gateway.upstream.sse import Cutter, Tally

T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY, OTHER = SigningKey.generate(), SigningKey.generate()
CLAIMS = Claims("task-1", 2, "support", "refunds", "r1", T0 + timedelta(seconds=60))


def tokens(*keys: SigningKey) -> Tokens:
    """Tokens that know these keys, the last one the newest."""
    return Tokens({key.id: key for key in keys}, keys[-1].id)


def test_a_token_says_what_it_was_minted_for():
    """Task, attempt, agent and revision come back; the time with some leeway for clocks."""
    token = tokens(KEY).mint(CLAIMS, T0)
    for reader in (tokens(KEY), tokens(KEY, OTHER)):
        claims = reader.read(token, T0)
        assert (claims.task, claims.attempt, claims.agent, claims.revision) == ("task-1", 2, "refunds", "r1")
        assert claims.expires_at == CLAIMS.expires_at + timedelta(seconds=10)
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": KEY.id, "typ": "JWT"}


def test_a_token_ends():
    """Also one that was read before."""
    reader = tokens(KEY)
    token = reader.mint(CLAIMS, T0)
    reader.read(token, T0)
    with pytest.raises(TokenError, match="expired"):
        reader.read(token, T0 + timedelta(seconds=71))


PAYLOAD = {
    "iss": "proctor-gateway",
    "aud": "proctor-agents",
    "iat": 0,
    "exp": 9_999_999_999,
    "task": "t",
    "attempt": 1,
    "namespace": "s",
    "agent": "a",
    "revision": "r",
}
HEADERS = {"kid": KEY.id}
FORGED = {
    "signed by someone else": jwt.encode(PAYLOAD, OTHER.private, "EdDSA", HEADERS),
    "signed with the public key as a secret": jwt.encode(
        PAYLOAD, KEY.private.public_key().public_bytes_raw() * 2, "HS256", HEADERS
    ),
    "not signed": jwt.encode(PAYLOAD, None, "none", HEADERS),
    "with another key's name": jwt.encode(PAYLOAD, KEY.private, "EdDSA", {"kid": "x"}),
    "for another audience": jwt.encode({**PAYLOAD, "aud": "x"}, KEY.private, "EdDSA", HEADERS),
    "of another issuer": jwt.encode({**PAYLOAD, "iss": "x"}, KEY.private, "EdDSA", HEADERS),
    "without a task": jwt.encode({k: v for k, v in PAYLOAD.items() if k != "task"}, KEY.private, "EdDSA", HEADERS),
    "without an end": jwt.encode({k: v for k, v in PAYLOAD.items() if k != "exp"}, KEY.private, "EdDSA", HEADERS),
    "nothing": "",
    "nonsense": "a.b.c",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
def test_forged_tokens_are_refused(token: str):
    """Nothing but our own signature over our own words will do, and the refusal does not quote it."""
    with pytest.raises(TokenError) as caught:
        tokens(KEY).read(token, T0)
    assert token == "" or token not in str(caught.value)


def test_a_key_comes_back_from_its_text():
    """The store keeps a key as PEM."""
    assert SigningKey.load(KEY.pem).id == KEY.id


TRACES = {
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": "0af7651916cd43dd8448eb211c80319c",
    " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00 ": "0af7651916cd43dd8448eb211c80319c",
    "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more": "0af7651916cd43dd8448eb211c80319c",
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": None,
    "00-00000000000000000000000000000000-b7ad6b7169203331-01": None,
    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": None,
    "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01": None,
    "": None,
}


@pytest.mark.parametrize(("header", "trace_id"), TRACES.items())
def test_traceparent(header: str, trace_id: str | None):
    """W3C Trace Context, and nothing else, is continued."""
    span = trace.parse(header)
    assert (span.trace_id if span else None) == trace_id
    if span:
        assert trace.parse(span.child("1" * 16).traceparent) == trace.Span(span.trace_id, "1" * 16)


def test_ids_sort_by_time():
    """A task id is a UUID of version 7."""
    clock = SystemClock()
    first = clock.task_id()
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", first)
    assert len({clock.task_id() for _ in range(1000)}) == 1000


EVENT = st.sampled_from(
    [b'data: {"a": 1}', b": ping", b"event: x\ndata: 1\ndata: 2", b"data: [DONE]", b"data: \xc3\xa4"]
)


@given(
    events=st.lists(EVENT, min_size=1), breaks=st.lists(st.integers(1, 30)), newline=st.sampled_from([b"\n", b"\r\n"])
)
def test_events_are_cut_however_they_come(events: list[bytes], breaks: list[int], newline: bytes):
    """In whatever pieces a stream arrives, the same whole events come out, byte for byte."""
    whole = [event.replace(b"\n", newline) + newline * 2 for event in events]
    stream, cutter, found = b"".join(whole), Cutter(), []
    for size in [*breaks, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        found += cutter.feed(piece)
    assert found == whole
    assert cutter.rest() == b""


def test_a_tally_reads_along():
    """Usage, reasons and the end are noted; only a chunk without choices is nothing but usage."""
    tally = Tally()
    assert not tally.read(b'data: {"choices": [{"delta": {"content": "hi"}}]}\n\n')
    assert not tally.read(b'data: {"choices": [{"finish_reason": "stop"}], "usage": null}\n\n')
    assert tally.read(b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}\n\n')
    assert not tally.read(b"data: [DONE]\n\n")
    assert (tally.usage, tally.done, tally.finish_reasons) == (
        {"prompt_tokens": 1, "completion_tokens": 2},
        True,
        {"stop"},
    )
