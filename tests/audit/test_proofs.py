"""Every proof of what is so holds; none with a bit changed does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.audit import canonical
from proctor.audit.archive import node_of, proof_of
from proctor.audit.canonical import NotCanonical
from proctor.audit.merkle import Frontier, consistency_proof, frontier_of, inclusion_proof, is_consistent, is_included
from proctor.audit.notes import BadNote
from proctor.audit.proofs import Proof
from proctor.audit.records import Draft, EventType, Place, line, spelling
from tests.audit.logs import OTHER_KEY, SIGNER, Signer, draft, entries_of, note_of

HASHES = [bytes([number % 256, number // 256]) * 16 for number in range(700)]
ROOTS = [frontier_of(HASHES[:size]).root() for size in range(701)]
sizes = st.integers(1, 700)


def flipped(value: bytes, bit: int) -> bytes:
    """The bytes with one bit turned."""
    at = bit % (len(value) * 8)
    return bytes(each ^ (1 << at % 8 if number == at // 8 else 0) for number, each in enumerate(value))


@given(sizes, st.data())
def test_a_leaf_is_proven_to_be_where_it_is_and_nowhere_else(size, data):
    """An inclusion proof holds for its leaf, place, size and root, and fails when any bit of any of them turns."""
    index = data.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(index, size, node_of(HASHES)), ROOTS[size]
    assert is_included(HASHES[index], index, size, proof, root)
    bit = data.draw(st.integers(0, 100_000))
    assert not is_included(flipped(HASHES[index], bit), index, size, proof, root)
    assert not is_included(HASHES[index], index, size, proof, flipped(root, bit))
    assert not is_included(HASHES[index], index, size, [*proof, root], root)
    elsewhere = data.draw(st.integers(0, size - 1).filter(lambda each: each != index) if size > 1 else st.just(size))
    assert not is_included(HASHES[index], elsewhere, size, proof, root)
    if proof:
        at = bit % len(proof)
        wrong = [*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]]
        assert not is_included(HASHES[index], index, size, wrong, root)
        assert not is_included(HASHES[index], index, size, proof[:-1], root)


@given(sizes, st.data())
def test_a_log_is_proven_to_begin_with_what_it_was(new, data):
    """A consistency proof holds between its two trees, and fails when any bit of it or of a root turns."""
    old = data.draw(st.integers(1, new))
    proof = consistency_proof(old, new, node_of(HASHES))
    assert is_consistent(old, ROOTS[old], new, ROOTS[new], proof)
    bit = data.draw(st.integers(0, 100_000))
    assert not is_consistent(old, flipped(ROOTS[old], bit), new, ROOTS[new], proof)
    assert not is_consistent(old, ROOTS[old], new, flipped(ROOTS[new], bit), proof)
    if proof:
        at = bit % len(proof)
        wrong = [*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]]
        assert not is_consistent(old, ROOTS[old], new, ROOTS[new], wrong)
        assert not is_consistent(old, ROOTS[old], new, ROOTS[new], proof[:-1])
        assert not is_consistent(old, ROOTS[old], new, ROOTS[new], [*proof, proof[0]])


@given(st.integers(0, 700))
def test_a_frontier_goes_on_from_its_text(size):
    """What was written down of a tree grows like the tree itself."""
    first = frontier_of(HASHES[:size])
    again = Frontier.load(size, first.dump())
    assert again == first
    assert again.grown(b"x" * 32)[0].root() == frontier_of([*HASHES[:size], b"x" * 32]).root()


def test_a_frontier_of_another_size_is_refused():
    """A text with too few hashes for the size makes no tree."""
    with pytest.raises(ValueError, match="make no tree"):
        Frontier.load(8, frontier_of(HASHES[:7]).dump())


def test_one_record_is_proven_with_nothing_but_the_public_key():
    """A proof is a text; it names the record's place and holds only for this record and a trusted key."""
    entries = entries_of(11)
    text = str(proof_of(entries, 6, note_of(entries)))
    proof = Proof.parse(text)
    assert proof.check(entries[6], [SIGNER.verifier]).size == 11
    with pytest.raises(BadNote, match="not shown"):
        proof.check(entries[7], [SIGNER.verifier])
    with pytest.raises(BadNote, match="no trusted key"):
        proof.check(entries[6], [Signer(SIGNER.name, OTHER_KEY).verifier])


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json)
@settings(max_examples=200)
def test_a_value_has_one_spelling(value):
    """What is encoded is decoded to the same value; and a text is accepted only as it would be encoded."""
    text = canonical.encode(value)
    assert canonical.decode(text) == value


def as_others_hold_it(value):
    """The same value, in types that are no dict and no list."""
    if isinstance(value, dict):
        return MappingProxyType({key: as_others_hold_it(each) for key, each in value.items()})
    return tuple(map(as_others_hold_it, value)) if isinstance(value, list) else value


@given(json)
def test_a_value_is_spelt_alike_whatever_holds_it(value):
    """Plain dicts and lists go a quicker way than other mappings and sequences, to the same text."""
    assert canonical.encode(value) == canonical.encode(as_others_hold_it(value))


@given(st.dictionaries(st.sampled_from(["agent", "run", "tool", "usage"]), json))
def test_a_field_that_was_spelt_before_is_not_spelt_otherwise(fields):
    """What many records have in common is spelt once, and each of them is the line that it would be."""
    place, at = Place("log", 7, "0" * 64), datetime(2026, 11, 23, tzinfo=UTC)
    known = spelling({key: fields[key] for key in sorted(fields)[:2]})
    plain = Draft(EventType.TOOL_REQUEST, at, fields)
    assert line(replace(plain, spelt=known), place) == line(plain, place)


@pytest.mark.parametrize(
    "value", [1.0, float("nan"), {"a": [0.5]}, 2**53, -(2**53), {1: "a"}, b"bytes", "\ud800", {"\ud800": 1}, {1, 2}]
)
def test_what_has_no_one_spelling_is_refused(value):
    """Floats above all: no record ever holds one."""
    with pytest.raises(NotCanonical):
        canonical.encode(value)


@pytest.mark.parametrize(
    "text", [b'{"b":1,"a":2}', b'{"a": 1}', b"1.0", b"1e3", b'"\\u0041"', b'{"a":1,"a":1}', b"\xff"]
)
def test_another_spelling_is_refused(text):
    """White space, another order, another escape, a key twice: not the text that was hashed."""
    with pytest.raises(NotCanonical):
        canonical.decode(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"usage": {"cost": 0.1}}, "no float"),
        ({"secret": "x"}, "no field 'secret'"),
        ({"result": {"words": ["x" * 500] * 200}}, "too many"),
    ],
)
def test_a_record_that_can_never_be_written_is_refused_at_once(fields, message):
    """Before it has a place: it must not hold up the records of others."""
    with pytest.raises(NotCanonical, match=message):
        draft(**fields).checked()
