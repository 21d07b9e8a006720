"""`audit` without a cluster: an export on disk is verified, and one record of it proven, with the public key alone."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from proctor.audit import memory
from proctor.audit.archive import files_of
from proctor.audit.notes import unchecked
from proctor.audit.proofs import Proof
from proctor.cli import exports
from proctor.cli.draw import record as draw
from proctor.cli.errors import Misused
from proctor.cli.main import app
from proctor.cli.terminal import Terminal
from tests.audit.logs import KEY as SIGNING_KEY
from tests.audit.logs import LOG, ORIGIN, OTHER_KEY, SIGNER, Signer, entries_of, export_of, note_of

ENTRIES = entries_of(9)
EXPORT = export_of(ENTRIES, at=[4])
KEY = str(SIGNER.verifier)
Run = Callable[..., Any]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `audit` with these words; fails on any exception that is not an exit."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def start(*words: str) -> Any:
        result = CliRunner().invoke(app, ("audit", *map(str, words)))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return start


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """An exported record."""
    place = tmp_path / "record"
    exports.write(place, {LOG: EXPORT})
    return place


@pytest.fixture
def anchors(tmp_path: Path) -> Path:
    """What the operator remembers of it."""
    file = tmp_path / "anchors.json"
    seen = memory.first(LOG, KEY, note_of(ENTRIES[:6]), "2026-11-22T12:00:00+00:00", is_closed=False)
    file.write_text(json.dumps({"data": dict([memory.entry(seen)])}))
    return file


def test_a_whole_export_is_whole(run: Run, export: Path, anchors: Path):
    """Exit code 0, and it is said whether anchors were looked at."""
    result = run("verify", export, "--key", KEY)
    assert (result.exit_code, "no anchors were given" in result.output) == (0, True)
    result = run("verify", export, "--key", KEY, "--anchors", anchors)
    assert (result.exit_code, "as it was anchored" in result.output) == (0, True)


def test_the_first_bad_record_is_named(run: Run, export: Path):
    """Exit code 3, for people and for programs."""
    file = export / LOG / "tile" / "entries" / "000.p" / "9"
    file.write_bytes(file.read_bytes().replace(b"t.5", b"t.7"))
    result = run("verify", export, "--key", KEY)
    assert (result.exit_code, f"the first bad record is 5 of {LOG}" in result.output) == (3, True)
    found = json.loads(run("verify", export, "--key", KEY, "-o", "json").output)
    assert (found["whole"], found["firstBad"]) == (False, {"log": LOG, "seq": 5})


def test_a_log_that_its_own_writer_rewrote_is_found_by_the_anchors(run: Run, tmp_path: Path, anchors: Path):
    """The signature is right, and the operator remembers another root."""
    other = [each.replace(b"refunds", b"returns") for each in entries_of(9)]
    place = tmp_path / "rewritten"
    exports.write(place, {LOG: export_of([other[0]])})
    assert run("verify", place, "--key", KEY).exit_code == 0
    assert run("verify", place, "--key", KEY, "--anchors", anchors).exit_code == 3


def test_a_key_that_did_not_sign_it(run: Run, export: Path):
    """Whoever trusts another key is told that nobody they trust has signed this."""
    result = run("verify", export, "--key", str(Signer(ORIGIN, OTHER_KEY).verifier))
    assert (result.exit_code, "no trusted key has signed it" in result.output) == (3, True)


def test_an_archive_is_an_export_too(run: Run, export: Path, tmp_path: Path):
    """The same files in a .tar."""
    file = tmp_path / "record.tar"
    exports.write(file, {LOG: EXPORT})
    with tarfile.open(file) as archive:
        assert len(archive.getnames()) == len(EXPORT)
    assert run("verify", file, "--key", KEY).exit_code == 0
    assert exports.read(file) == exports.read(export)


def test_an_export_is_not_mixed_with_another(export: Path):
    """Neither in a directory nor in an archive."""
    with pytest.raises(Misused, match="exists"):
        exports.write(export, {LOG: EXPORT})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify", "/nowhere", "--key", KEY], "neither a directory nor a .tar archive"),
        (["verify", "{empty}", "--key", KEY], "{empty} is neither a directory nor a .tar archive"),
        (["verify", "{export}", "--key", "keys.txt"], "--key keys.txt is no file, and no key: a verifier key is"),
        (["verify", "{export}", "--key", "{empty}"], "--key {empty} holds no key"),
        (["verify", "{export}", "--key", "{binary}"], "--key {binary}: "),
        (["verify", "{export}", "--key", KEY, "--anchors", "{empty}"], "--anchors {empty} is not JSON"),
        (["verify", "{export}", "--key", KEY, "--anchors", "{nobody}"], "--anchors {nobody} holds no anchor"),
        (["show", "--type", "tool.called"], "--type tool.called is no type of record"),
        (["verify", "{export}", "--key", KEY.replace("+", "+0", 1)], "the key's id is"),
        (["verify", "{export}", "--key", KEY, "--anchors", "/nowhere"], "--anchors /nowhere"),
    ],
)
def test_what_cannot_be_read_is_a_mistake_of_the_command_line(
    run: Run, export: Path, tmp_path: Path, words: list[str], said: str
):
    """Exit code 2: nothing was found out about the record. The option is named, and what writes such a file."""
    files = {"empty": b"", "binary": b"\xff\xfe", "nobody": b'{"data": {}}'}
    places = {"export": export, **{name: tmp_path / name for name in files}}
    for name, content in files.items():
        places[name].write_bytes(content)
    result = run(*(each.format(**places) for each in words))
    assert result.exit_code == 2
    assert said.format(**places) in result.output


@pytest.mark.parametrize("is_there", [True, False])
def test_a_log_without_a_checkpoint_is_one_fault(run: Run, export: Path, is_there: bool):
    """What else is in its files says nothing: nobody knows how long it should be."""
    (export / LOG / "checkpoint").unlink()
    if is_there:
        (export / LOG / "checkpoint").write_text("nothing")
    result = run("verify", export, "--key", KEY)
    assert result.exit_code == 3
    assert ("CheckpointInvalid" if is_there else "CheckpointMissing: ") in result.output
    assert result.output.count(f"{LOG}: ") == 1


def test_a_log_of_which_nothing_is_anchored_is_named(run: Run, tmp_path: Path, anchors: Path):
    """It is whole, and nobody claims that it is as it was seen before."""
    place, other = tmp_path / "two", f"{LOG[:-1]}0"
    origin, entries = ORIGIN.replace(LOG, other), entries_of(3, log=other)
    signed = note_of(entries, Signer(origin, SIGNING_KEY), origin)
    exports.write(place, {LOG: EXPORT, other: files_of(entries, {3: signed})})
    result = run("verify", place, "--key", KEY, "--anchors", anchors)
    assert f"there is no anchor of {other}" in result.output


def test_one_record_is_proven_and_the_proof_checked(run: Run, export: Path, tmp_path: Path):
    """The proof is a text that holds for this record, and for no other."""
    result = run("prove", export, LOG, "6", "--key", KEY)
    assert result.exit_code == 0
    proof = tmp_path / "6.tlog-proof"
    proof.write_text(result.stdout)
    assert run("prove", export, LOG, "6", "--key", KEY, "--check", proof).exit_code == 0
    assert run("prove", export, LOG, "5", "--key", KEY, "--check", proof).exit_code == 3
    assert run("prove", export, LOG, "9", "--key", KEY).exit_code == 4
    assert run("prove", export, "other", "0", "--key", KEY).exit_code == 4


def test_anchors_of_a_memory(anchors: Path):
    """The file is what `audit anchors -o json` or kubectl prints."""
    (found,) = exports.anchors(anchors)
    assert (found.origin, found.size, found.root) == (ORIGIN, 6, unchecked(note_of(ENTRIES[:6])).root)


def test_a_report_carries_the_proof_of_each_claim(run: Run, export: Path, tmp_path: Path):
    """As a page and as JSON; a claim's proof and record are enough to check it."""
    page = run("report", export, "support/refunds", "--key", KEY)
    assert (page.exit_code, "# What the record says of support/refunds" in page.output) == (0, True)
    document = json.loads(run("report", export, "support/refunds", "--key", KEY, "--json").output)
    for claim in document["claims"]:
        proof = Proof.parse(claim["proof"])
        assert proof.check(claim["record"].encode(), [SIGNER.verifier]).size == 9


def test_nothing_is_claimed_of_what_is_not_whole_or_not_there(run: Run, export: Path):
    """A broken export makes no report, and neither does an agent of which nothing is recorded."""
    other = run("report", export, "support/other", "--key", KEY)
    assert (other.exit_code, "it tells of support/refunds" in other.output) == (4, True)
    assert run("report", export, "support", "--key", KEY).exit_code == 2
    (export / LOG / "checkpoint").write_text("nothing")
    assert run("report", export, "support/refunds", "--key", KEY).exit_code == 1


def told(**fields: Any) -> dict[str, Any]:
    """A record as `show` gets it."""
    agent = {"namespace": "support", "name": "returns"}
    who = {"sub": "system:serviceaccount:shop:web"}
    return {
        "ts": 1_795_394_000_000,
        "log": "20261123-13760710d1a70bf4",
        "seq": 7,
        "agent": agent,
        "principal": who,
    } | fields


SHOWN = {
    "a question": (
        told(type="approval.decided", approval={"approval": "returns-1", "decision": "Approve", "decidedBy": ["lena"]}),
        ("returns-1", "Approve by lena"),
    ),
    "a denial": (
        told(
            type="policy.decision",
            tool={"server": "payments", "name": "refund"},
            decision={"outcome": "deny", "reason": "PolicyDenied"},
            call={"state": "Denied"},
        ),
        ("payments/refund", "deny PolicyDenied"),
    ),
    "an effect that a person settled": (
        told(type="approval.decided", approval={"call": "t.3", "action": "Redo"}),
        ("call=t.3 action=Redo",),
    ),
}


@pytest.mark.parametrize(("record", "words"), SHOWN.values(), ids=SHOWN)
def test_a_record_can_be_read_on_a_terminal_of_a_hundred_columns(record: dict[str, Any], words: tuple[str, ...]):
    """When, what, of what, and what was decided: none of it is cut; where it stands is left out first."""
    out = StringIO()
    Terminal.on(out, out, width=100).say(draw.records([record], 100))
    shown = out.getvalue()
    assert "…" not in shown
    for each in (record["type"], *words):
        assert each in shown
    assert record["log"] not in shown
