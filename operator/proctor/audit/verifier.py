"""Is this exported record whole and as it was written? Nothing is asked but the files, public keys and anchors.

An exported log is a set of files: `checkpoint` (the newest), `checkpoints/<size>` (those before), the tiles of
tlog-tiles for exactly the newest size, and `records.jsonl`, which says the entries once more for people. Every byte of
every file is determined by the entries and signed by the checkpoint, so a change of any of them is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from proctor.audit import merkle, tiles
from proctor.audit.anchors import Anchor
from proctor.audit.canonical import NotCanonical
from proctor.audit.merkle import HASH_SIZE, Frontier, leaf_hash
from proctor.audit.notes import BadNote, Checkpoint, Verifier, read_checkpoint, unchecked
from proctor.audit.records import NO_RECORD, EventType, Record, line_hash
from proctor.audit.tiles import CHECKPOINT, ENTRIES, HEIGHT, WIDTH, NoTile, Tile, tiles_of

RECORDS = "records.jsonl"
CHECKPOINTS = "checkpoints/"

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Finding:
    """Something is not as it was written. `seq` is the first record of which that is known, where one is."""

    log: str
    reason: str
    message: str
    seq: int | None = None


@dataclass(frozen=True)
class LogReport:
    """What was found out about one log."""

    log: str
    origin: str
    size: int
    records: int
    checkpoints: int
    anchors: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Report:
    """What was found out about all logs."""

    logs: tuple[LogReport, ...]
    findings: tuple[Finding, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing was found, and there was something to look at."""
        return bool(self.logs) and not self.findings

    @property
    def first_bad(self) -> Finding | None:
        """The finding with the lowest record number, of the first log that has one."""
        numbered = [each for each in self.findings if each.seq is not None]
        if not numbered:
            return None
        log = numbered[0].log
        return min((each for each in numbered if each.log == log), key=lambda each: each.seq or 0)


def verify(logs: Mapping[str, Files], trusted: Sequence[Verifier], anchors: Sequence[Anchor] = ()) -> Report:
    """Check all logs of an export: each for itself, against the anchors, and where one follows another."""
    checked = {name: _Log(name, files) for name, files in sorted(logs.items())}
    reports = [each.check(trusted, [a for a in anchors if a.origin == each.origin]) for each in checked.values()]
    known = {each.origin for each in checked.values()}
    missing = tuple(
        Finding(each.origin, "LogMissing", f"the anchored log {each.origin} of {each.size} records is not here", 0)
        for each in anchors
        if each.origin not in known
    )
    findings = [finding for each in reports for finding in each.findings]
    succession = [finding for each in checked.values() for finding in _succession(each, checked)]
    return Report(tuple(reports), (*findings, *succession, *missing))


def _succession(log: _Log, others: Mapping[str, _Log]) -> Iterator[Finding]:
    """A log names the end of the log before it: that log must end, or have been, so."""
    for seq, record in enumerate(log.records):
        previous = record.fields.get("previous") if record else None
        if not isinstance(previous, dict) or record is None or record.type != EventType.LOG_OPEN:
            continue
        before = others.get(str(previous.get("log")))
        if before is None:
            continue
        root = before.root_at(previous.get("size"))
        if root is None or root.hex() != previous.get("root"):
            message = f"{log.name} follows {before.name} at {previous.get('size')} records with another root"
            yield Finding(log.name, "SuccessionBroken", message, seq)


@dataclass
class _Log:
    """One log on its way through the checks."""

    name: str
    files: Files
    entries: list[bytes] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    records: list[Record | None] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    origin: str = ""
    size: int = 0

    def __post_init__(self) -> None:
        if CHECKPOINT not in self.files:
            self._found("CheckpointMissing", f"there is no {CHECKPOINT}: nothing of this log is signed")
            return
        try:
            claimed = unchecked(_text(self.files[CHECKPOINT]))
        except BadNote as exc:
            self._found("CheckpointInvalid", f"{CHECKPOINT}: {exc}")
            return
        self.origin, self.size = claimed.origin, claimed.size

    def check(self, trusted: Sequence[Verifier], anchors: Sequence[Anchor]) -> LogReport:
        """All that can be said of this log: without a checkpoint nobody knows how long it should be."""
        if self.findings:
            return LogReport(self.name, self.origin, 0, 0, 0, len(anchors), tuple(self.findings))
        signed = self._checkpoints(trusted)
        self._read()
        self._chain()
        self._tiles()
        self._roots(signed, anchors)
        self._copies()
        return LogReport(
            self.name, self.origin, self.size, len(self.entries), len(signed), len(anchors), tuple(self.findings)
        )

    def root_at(self, size: object) -> bytes | None:
        """The root of the first `size` entries; None if there are not so many."""
        if not isinstance(size, int) or not 0 <= size <= len(self.leaves):
            return None
        return merkle.frontier_of(self.leaves[:size]).root()

    def _found(self, reason: str, message: str, seq: int | None = None) -> None:
        self.findings.append(Finding(self.name, reason, message, seq))

    def _checkpoints(self, trusted: Sequence[Verifier]) -> list[Checkpoint]:
        """The checkpoints that a trusted key has signed, by size."""
        signed: list[Checkpoint] = []
        for path, content in self.files.items():
            if path != CHECKPOINT and not path.startswith(CHECKPOINTS):
                continue
            try:
                note = _text(content)
                found = read_checkpoint(note, [each.called(unchecked(note).origin) for each in trusted])
            except BadNote as exc:
                self._found("CheckpointInvalid", f"{path}: {exc}")
                continue
            is_named = path in {CHECKPOINT, f"{CHECKPOINTS}{found.size}"}
            if not is_named or found.origin != self.origin or found.size > self.size:
                self._found("CheckpointMisplaced", f"{path} is a checkpoint of {found.origin} at {found.size} records")
                continue
            signed.append(found)
        if self.origin.rpartition("/")[2] != self.name:
            self._found("OriginChanged", f"the checkpoint is of {self.origin or 'no log'}, not of {self.name}")
        return sorted(signed, key=lambda each: each.size)

    def _read(self) -> None:
        for tile in tiles_of(self.size):
            if tile.level != ENTRIES:
                break
            content = self.files.get(tile.path)
            try:
                entries = tiles.unpack_entries(content) if content is not None else []
            except NoTile as exc:
                self._found("EntriesInvalid", f"{tile.path}: {exc}", len(self.entries))
                break
            self.entries += entries
            if len(entries) != tile.width:
                what = f"holds {len(entries)} of {tile.width} records" if content is not None else "is not there"
                self._found("Truncated", f"{tile.path} {what}", min(len(self.entries), tile.begin + tile.width))
                break
        self.leaves = [leaf_hash(each) for each in self.entries]

    def _chain(self) -> None:
        prev = NO_RECORD
        for seq, entry in enumerate(self.entries):
            try:
                record = Record.parse(entry)
            except NotCanonical as exc:
                self._found("RecordInvalid", f"record {seq}: {exc}", seq)
                record = None
            self.records.append(record)
            if record is not None:
                place = record.place
                if (place.log, place.seq) != (self.name, seq):
                    self._found("OutOfOrder", f"where record {seq} was, is {place.log} {place.seq}", seq)
                elif place.prev != prev:
                    self._found("ChainBroken", f"record {seq} does not follow the record before it", seq)
            prev = line_hash(entry)

    def _tiles(self) -> None:
        """Every tile of hashes against the hashes of the entries, as far as there are entries."""
        known = self.leaves
        expected = {tile.path for tile in tiles_of(self.size)}
        for tile in tiles_of(self.size):
            if tile.level == ENTRIES:
                continue
            if tile.index == 0 and tile.level > 0:
                known = [_root(known[at : at + WIDTH]) for at in range(0, len(known) - WIDTH + 1, WIDTH)]
            self._tile(tile, known[tile.begin : tile.begin + tile.width])
        for path in self.files:
            if path.startswith("tile/") and path not in expected:
                self._found("FileUnknown", f"{path} is no part of a log of {self.size} records")

    def _tile(self, tile: Tile, hashes: Sequence[bytes]) -> None:
        content = self.files.get(tile.path, b"")
        known = b"".join(hashes)
        if content == known or (len(hashes) < tile.width and content[: len(known)] == known):
            return
        ours, theirs = (_split(each) for each in (known, content))
        wrong = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), len(theirs))
        seq = (tile.begin + min(wrong, tile.width - 1)) << HEIGHT * tile.level
        self._found("TileMismatch", f"{tile.path} does not hash record {seq} as it is here", seq)

    def _roots(self, signed: Sequence[Checkpoint], anchors: Sequence[Anchor]) -> None:
        """The tree of the entries against every size at which somebody vouched for a root."""
        wanted = [(each.size, each.root, "signed") for each in signed]
        wanted += [(each.size, each.root, f"anchored in {each.where or 'another place'}") for each in anchors]
        frontier, good = Frontier(), 0
        for size, root, how in sorted(wanted, key=lambda each: each[0]):
            if size > len(self.leaves):
                self._found("Truncated", f"{size} records were {how}, {len(self.leaves)} are here", len(self.leaves))
                return
            for leaf in self.leaves[frontier.size : size]:
                frontier, _ = frontier.grown(leaf)
            if frontier.root() != root:
                message = f"the root {how} at {size} records is another: something from record {good} on was changed"
                self._found("RootMismatch", message, self._first_known_bad(good))
                return
            good = size

    def _first_known_bad(self, good: int) -> int:
        """The first record after the good ones that something else was found about; else the first of them."""
        known = [each.seq for each in self.findings if each.seq is not None and each.seq >= good]
        return min(known, default=good)

    def _copies(self) -> None:
        """What says again, for people, what the tiles say; and what does not belong here."""
        copy = self.files.get(RECORDS)
        if copy is not None and copy != b"".join(each + b"\n" for each in self.entries):
            lines = copy.split(b"\n")
            seq = next((at for at, each in enumerate(self.entries) if lines[at : at + 1] != [each]), len(self.entries))
            self._found("CopyMismatch", f"{RECORDS} differs from the entries at record {seq}", seq)
        for path in self.files:
            if path not in {CHECKPOINT, RECORDS} and not path.startswith(("tile/", CHECKPOINTS)):
                self._found("FileUnknown", f"{path} is no part of an exported log")


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        raise BadNote("not UTF-8") from exc


def _root(leaves: Sequence[bytes]) -> bytes:
    return merkle.frontier_of(leaves).root()


def _split(content: bytes) -> list[bytes]:
    return [content[at : at + HASH_SIZE] for at in range(0, len(content), HASH_SIZE)]
