"""From a log's entries and checkpoints to the files of an export, and back to proofs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proctor.audit import tiles
from proctor.audit.merkle import Node, frontier_of, inclusion_proof, leaf_hash
from proctor.audit.proofs import Proof
from proctor.audit.tiles import CHECKPOINT, ENTRIES, HEIGHT, tiles_of
from proctor.audit.verifier import CHECKPOINTS, RECORDS


def files_of(entries: Sequence[bytes], notes: Mapping[int, str]) -> dict[str, bytes]:
    """All files of an exported log. `notes` are its signed checkpoints by size; the largest is as long as the log."""
    newest = max(notes)
    leaves = [leaf_hash(each) for each in entries]
    files = {CHECKPOINT: notes[newest].encode(), RECORDS: b"".join(each + b"\n" for each in entries)}
    files |= {f"{CHECKPOINTS}{size}": note.encode() for size, note in notes.items() if size != newest}
    node = node_of(leaves)
    for tile in tiles_of(newest):
        if tile.level == ENTRIES:
            files[tile.path] = tiles.pack_entries(entries[tile.begin : tile.begin + tile.width])
        else:
            hashes = (node(tile.level * HEIGHT, tile.begin + at) for at in range(tile.width))
            files[tile.path] = b"".join(hashes)
    return files


def entries_of(files: Mapping[str, bytes], size: int) -> list[bytes]:
    """The entries in the files of a log of that size. Raises KeyError or NoTile if one is missing or broken."""
    found = [tiles.unpack_entries(files[tile.path]) for tile in tiles_of(size) if tile.level == ENTRIES]
    return [each for part in found for each in part]


def node_of(leaves: Sequence[bytes]) -> Node:
    """The hashes of complete subtrees over these leaves; those of the height of tiles are computed once."""
    known: dict[tuple[int, int], bytes] = {}

    def node(level: int, index: int) -> bytes:
        if level == 0:
            return leaves[index]
        if level % HEIGHT:
            return _over(node, level % HEIGHT, level - level % HEIGHT, index)
        if (level, index) not in known:
            known[level, index] = _over(node, HEIGHT, level - HEIGHT, index)
        return known[level, index]

    return node


def _over(node: Node, up: int, level: int, index: int) -> bytes:
    """The hash `up` levels above the 2^up nodes from number index * 2^up on."""
    return frontier_of([node(level, (index << up) + at) for at in range(1 << up)]).root()


def proof_of(entries: Sequence[bytes], index: int, checkpoint: str) -> Proof:
    """That entry number `index` is in the log whose entries these are. Raises ValueError outside of it."""
    path = inclusion_proof(index, len(entries), node_of([leaf_hash(each) for each in entries]))
    return Proof(index, tuple(path), checkpoint)
