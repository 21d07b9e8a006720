"""Whatever is done to an exported log, the verifier finds it, and names the first record that is not as it was."""

from __future__ import annotations

import base64

import pytest

from proctor.audit import tiles
from proctor.audit.anchors import Alarm, Anchor, Follows, Same, judge
from proctor.audit.archive import node_of
from proctor.audit.merkle import consistency_proof, frontier_of, leaf_hash
from proctor.audit.notes import Signer, unchecked
from proctor.audit.records import NO_RECORD, Draft, EventType, Place, line, line_hash
from proctor.audit.verifier import verify
from tests.audit.logs import (
    KEY,
    LOG,
    ORIGIN,
    OTHER_KEY,
    SIGNER,
    T0,
    entries_of,
    export_of,
    note_of,
)

TRUSTED = [SIGNER.verifier]
ENTRIES = entries_of(9)
EXPORT = export_of(ENTRIES, at=[4])


def anchor_of(entries, where="proctor-record"):
    """What somebody else remembers of these entries."""
    found = unchecked(note_of(entries))
    return Anchor(found.origin, found.size, found.root, T0, where)


def rewritten(entries, seq, **fields):
    """The log as somebody would have written it who changes one record and everything that follows from it."""
    lines, prev = [], NO_RECORD
    for number in range(len(entries)):
        call = {"id": f"t.{number}", **(fields if number == seq else {})}
        draft = Draft(EventType.TOOL_REQUEST, T0, {"agent": {"namespace": "support", "name": "refunds"}, "call": call})
        kept = number < seq
        lines.append(entries[number] if kept else line(draft, Place(LOG, number, prev)))
        prev = line_hash(lines[-1])
    return lines


def test_a_whole_export_is_found_whole():
    """Nothing is found where nothing was done."""
    report = verify({LOG: EXPORT}, TRUSTED, [anchor_of(ENTRIES[:4])])
    assert report.is_whole
    assert [(each.records, each.checkpoints, each.anchors) for each in report.logs] == [(9, 2, 1)]


def test_nothing_is_not_whole():
    """An export of no log proves nothing."""
    assert not verify({}, TRUSTED).is_whole


def test_every_flipped_byte_of_every_file_is_found():
    """There is no byte in an export that could be another."""
    missed = []
    for path, content in EXPORT.items():
        for at in range(len(content)):
            changed = bytes([*content[:at], content[at] ^ (1 << at % 8), *content[at + 1 :]])
            if verify({LOG: {**EXPORT, path: changed}}, TRUSTED).is_whole:
                missed.append((path, at))
    assert missed == []


def test_a_flipped_byte_of_a_record_names_that_record():
    """The first bad sequence number is the record's own, wherever in it the byte is."""
    path = "tile/entries/000.p/9"
    at = 0
    for seq, entry in enumerate(ENTRIES):
        begin = at + 2
        at = begin + len(entry)
        for place in range(begin, at):
            content = EXPORT[path]
            changed = bytes([*content[:place], content[place] ^ 1, *content[place + 1 :]])
            found = verify({LOG: {**EXPORT, path: changed}}, TRUSTED).first_bad
            assert found is not None
            assert found.seq == seq


@pytest.mark.parametrize("seq", range(9))
@pytest.mark.parametrize(
    ("done", "change"),
    [
        ("dropped", lambda lines, seq: lines[:seq] + lines[seq + 1 :]),
        ("duplicated", lambda lines, seq: [*lines[: seq + 1], lines[seq], *lines[seq + 1 :]]),
        ("truncated", lambda lines, seq: lines[:seq]),
        ("replaced", lambda lines, seq: [*lines[:seq], lines[seq].replace(b"refunds", b"returns"), *lines[seq + 1 :]]),
    ],
)
def test_a_record_that_is_dropped_doubled_cut_off_or_replaced_is_found(done, change, seq):
    """In the entries alone, with all else as it was: the first bad number is the place of the change."""
    content = tiles.pack_entries(change(ENTRIES, seq))
    found = verify({LOG: {**EXPORT, "tile/entries/000.p/9": content}}, TRUSTED).first_bad
    assert found is not None, done
    assert found.seq == (seq + 1 if done == "duplicated" else seq)


@pytest.mark.parametrize("seq", range(8))
def test_two_records_that_changed_places_are_found(seq):
    """The first of the two is named."""
    lines = list(ENTRIES)
    lines[seq], lines[seq + 1] = lines[seq + 1], lines[seq]
    changed = {**EXPORT, "tile/entries/000.p/9": tiles.pack_entries(lines)}
    found = verify({LOG: changed}, TRUSTED).first_bad
    assert found is not None
    assert found.seq == seq


@pytest.mark.parametrize("seq", range(9))
def test_a_log_made_anew_from_one_record_on_is_found_by_the_old_signature(seq):
    """Entries, chain and tiles fit one another, but nobody trusted has signed their root."""
    lines = rewritten(ENTRIES, seq, amount="1")
    forged = {**export_of(lines, at=[4]), **{path: EXPORT[path] for path in ("checkpoint", "checkpoints/4")}}
    found = verify({LOG: forged}, TRUSTED).first_bad
    assert found is not None
    # All that is known is between which two checkpoints it was.
    assert found.seq == (0 if seq < 4 else 4)


@pytest.mark.parametrize("seq", range(9))
def test_a_log_made_anew_and_signed_with_another_key_is_found(seq):
    """A signature of somebody else is none."""
    forged = export_of(rewritten(ENTRIES, seq, amount="1"), at=[4], signer=Signer(ORIGIN, OTHER_KEY))
    report = verify({LOG: forged}, TRUSTED)
    assert {each.reason for each in report.findings} == {"CheckpointInvalid"}


@pytest.mark.parametrize("seq", range(8))
def test_a_log_made_anew_and_signed_with_its_own_key_is_found_by_the_anchor(seq):
    """Whoever holds the key can make every signature, but not what another has remembered."""
    forged = export_of(rewritten(ENTRIES, seq, amount="1"), at=[4])
    assert verify({LOG: forged}, TRUSTED).is_whole
    report = verify({LOG: forged}, TRUSTED, [anchor_of(ENTRIES[:8])])
    assert [each.reason for each in report.findings] == ["RootMismatch"]


def test_a_log_rolled_back_to_an_older_copy_is_found_by_the_anchor():
    """The copy is whole and signed; only the anchor knows that there was more."""
    older = export_of(ENTRIES[:5])
    assert verify({LOG: older}, TRUSTED).is_whole
    report = verify({LOG: older}, TRUSTED, [anchor_of(ENTRIES)])
    assert [(each.reason, each.seq) for each in report.findings] == [("Truncated", 5)]


def test_an_anchored_log_that_is_not_in_the_export_is_missed():
    """Leaving out a whole log is a truncation too."""
    report = verify({}, TRUSTED, [anchor_of(ENTRIES)])
    assert [each.reason for each in report.findings] == ["LogMissing"]


@pytest.mark.parametrize("path", [*EXPORT, "checkpoints/5", "notes.txt", "tile/0/001"])
def test_a_file_that_is_missing_or_too_much_is_found(path):
    """Except what only says again for people, and older checkpoints, which prove no more than the newest."""
    files = {**EXPORT, path: EXPORT["checkpoint"]} if path not in EXPORT else dict(EXPORT)
    if path in EXPORT:
        del files[path]
    assert verify({LOG: files}, TRUSTED).is_whole == (path in {"records.jsonl", "checkpoints/4"})


def test_a_large_log_verifies_through_all_its_tiles():
    """Over more than one full tile, and one level of tiles above."""
    entries = entries_of(600)
    export = export_of(entries, at=[256, 300])
    assert verify({LOG: export}, TRUSTED).is_whole
    for path, content in export.items():
        changed = bytes(
            [*content[: len(content) // 2], content[len(content) // 2] ^ 1, *content[len(content) // 2 + 1 :]]
        )
        assert not verify({LOG: {**export, path: changed}}, TRUSTED).is_whole, path


def test_a_log_that_follows_another_names_its_end():
    """The end of the log before is in the record that opens the next; another end does not fit it."""
    root = frontier_of([leaf_hash(each) for each in ENTRIES]).root().hex()
    origin = "proctor.dev/record/next"
    signer = Signer(origin, KEY)
    for named, whole in ((root, True), ("0" * 64, False)):
        previous = {"log": LOG, "size": 9, "root": named}
        opening = line(Draft(EventType.LOG_OPEN, T0, {"previous": previous}), Place("next", 0, NO_RECORD))
        note = note_of([opening], signer, origin)
        following = {
            "checkpoint": note.encode(),
            "tile/entries/000.p/1": tiles.pack_entries([opening]),
            "tile/0/000.p/1": leaf_hash(opening),
        }
        assert verify({LOG: EXPORT, "next": following}, TRUSTED).is_whole == whole


def proof(old, new, entries=ENTRIES):
    return consistency_proof(old, new, node_of([leaf_hash(each) for each in entries]))


FORGED = rewritten(ENTRIES, 2, amount="1")


@pytest.mark.parametrize(
    ("last", "note", "given", "expected"),
    [
        (None, note_of(ENTRIES), [], Follows),
        (ENTRIES[:4], note_of(ENTRIES), proof(4, 9), Follows),
        (ENTRIES, note_of(ENTRIES), [], Same),
        (ENTRIES[:4], note_of(ENTRIES), [], "Inconsistent"),
        (ENTRIES[:4], note_of(FORGED), proof(4, 9, FORGED), "Inconsistent"),
        (ENTRIES, note_of(ENTRIES[:8]), [], "Truncated"),
        (ENTRIES, note_of(FORGED), [], "Rewritten"),
        (ENTRIES[:4], note_of(ENTRIES, Signer(ORIGIN, OTHER_KEY)), proof(4, 9), "SignatureInvalid"),
        (ENTRIES[:4], "nothing", [], "SignatureInvalid"),
        (ENTRIES[:4], note_of(ENTRIES, Signer("proctor.dev/x", KEY), "proctor.dev/x"), proof(4, 9), "OriginChanged"),
    ],
)
def test_what_may_follow_an_anchor(last, note, given, expected):
    """Only a signed checkpoint of the same log, with a proof that it begins as it did, is anchored."""
    found = judge(unchecked(note_of(last)) if last else None, note, TRUSTED, given)
    assert (found.reason if isinstance(found, Alarm) else type(found)) == expected


def test_base64_has_no_free_bits():
    """A signature's spelling cannot be changed without changing the signature."""
    head, _, last = EXPORT["checkpoint"].decode().rstrip("\n").rpartition(" ")
    loose = last.rstrip("=")[:-1] + chr(ord(last.rstrip("=")[-1]) + 1) + "=" * (len(last) - len(last.rstrip("=")))
    if base64.b64decode(loose) == base64.b64decode(last):
        report = verify({LOG: {**EXPORT, "checkpoint": f"{head} {loose}\n".encode()}}, TRUSTED)
        assert not report.is_whole
