"""The Merkle tree of RFC 9162, section 2.1 (the same as RFC 6962's): hashes, a growing frontier, and both proofs.

Hashes are 32 bytes. `node(level, index)` is the hash of the complete subtree of 2^level leaves that begins at leaf
index * 2^level: whoever keeps leaves and a few of these can prove everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

Node = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbours."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Complete:
    """A complete subtree, and its hash."""

    level: int
    index: int
    hash: bytes


@dataclass(frozen=True)
class Frontier:
    """All that a tree needs to grow: the hashes of its complete subtrees, the largest first; one for each bit of size.

    Frozen: a frontier that was not committed is simply not kept.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def grown(self, leaf: bytes) -> tuple[Frontier, list[Complete]]:
        """The frontier with one leaf more, and the subtrees (of two leaves and more) that it completes."""
        peaks, completed, level = list(self.peaks), [], 0
        current, size = leaf, self.size
        while size >> level & 1:
            current = node_hash(peaks.pop(), current)
            level += 1
            completed.append(Complete(level, size >> level, current))
        return Frontier(size + 1, (*peaks, current)), completed

    def root(self) -> bytes:
        """The hash of the whole tree."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def dump(self) -> str:
        """Text from which `load` makes the frontier again."""
        return b"".join(self.peaks).hex()

    @classmethod
    def load(cls, size: int, text: str) -> Frontier:
        """The frontier of that size. Raises ValueError if the text is of another."""
        whole = bytes.fromhex(text)
        peaks = tuple(whole[at : at + HASH_SIZE] for at in range(0, len(whole), HASH_SIZE))
        if len(whole) != HASH_SIZE * size.bit_count():
            raise ValueError(f"{len(peaks)} subtrees make no tree of {size} leaves")
        return cls(size, peaks)


def frontier_of(leaves: Sequence[bytes]) -> Frontier:
    """The frontier after these leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier, _ = frontier.grown(leaf)
    return frontier


def subtree(begin: int, end: int, node: Node) -> bytes:
    """The hash of the leaves from `begin` up to `end`, which RFC 9162 writes MTH(D[begin:end])."""
    width = end - begin
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return node(level, begin >> level)
    middle = begin + _split(width)
    return node_hash(subtree(begin, middle, node), subtree(middle, end, node))


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """Proof that the leaf is in the tree of that size (RFC 9162, section 2.1.3.1). Raises ValueError outside of it."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    return [subtree(begin, end, node) for begin, end in _path(index, 0, size)]


def _path(index: int, begin: int, end: int) -> Iterator[tuple[int, int]]:
    if end - begin == 1:
        return
    middle = begin + _split(end - begin)
    if index < middle:
        yield from _path(index, begin, middle)
        yield (middle, end)
    else:
        yield from _path(index, middle, end)
        yield (begin, middle)


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """Proof that the tree of `new` leaves begins with that of `old` (RFC 9162, section 2.1.4.1).

    Raises ValueError unless 0 <= old <= new. Nothing is to be proven from an empty tree or to the same one.
    """
    if not 0 <= old <= new:
        raise ValueError(f"no tree of {new} begins with one of {old}")
    if old in {0, new}:
        return []
    return [subtree(begin, end, node) for begin, end in _between(old, 0, new, is_whole=True)]


def _between(old: int, begin: int, end: int, *, is_whole: bool) -> Iterator[tuple[int, int]]:
    if old == end - begin:
        if not is_whole:
            yield (begin, end)
        return
    middle = begin + _split(end - begin)
    if old <= middle - begin:
        yield from _between(old, begin, middle, is_whole=is_whole)
        yield (middle, end)
    else:
        yield from _between(old - (middle - begin), middle, end, is_whole=False)
        yield (begin, middle)


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows the leaf in the tree with that root (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, current = index, size - 1, leaf
    for each in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            current = node_hash(each, current)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            current = node_hash(current, each)
        place, last = place >> 1, last >> 1
    return last == 0 and current == root


def is_consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the new tree begins with the old one (RFC 9162, section 2.1.4.2)."""
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = path[0]
    for each in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = node_hash(each, before), node_hash(each, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, each)
        place, last = place >> 1, last >> 1
    return last == 0 and before == old_root and after == new_root


def _split(width: int) -> int:
    """The largest power of two that is smaller than the width."""
    return 1 << (width - 1).bit_length() - 1
