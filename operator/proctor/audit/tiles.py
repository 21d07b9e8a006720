"""The files in which a log is published: paths and contents of C2SP's tlog-tiles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 256
"""Hashes or entries in a full tile."""
HEIGHT: Final = 8
"""Levels of the tree from one tile to the next."""
LARGEST_ENTRY: Final = 0xFFFF
CHECKPOINT: Final = "checkpoint"
ENTRIES: Final = -1
"""The level that stands for the entries themselves."""

_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)
_GROUP: Final = 1000


class NoTile(ValueError):  # noqa: N818 - a fact about a path or a content
    """The path names no tile, or the content is none."""


@dataclass(frozen=True)
class Tile:
    """The `width` hashes from number index * 256 on at a level of tiles; with level ENTRIES, entries instead."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def begin(self) -> int:
        """The number of the first."""
        return self.index * WIDTH

    @property
    def path(self) -> str:
        """Where it is, below the log."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{_number(self.index)}{partial}"

    @classmethod
    def parse(cls, path: str) -> Tile:
        """The tile of a path. Raises NoTile for any path that is not the one of a tile."""
        found = _PATH.fullmatch(path)
        if found is None:
            raise NoTile(f"{path[:200]!r} is no tile")
        level, groups, partial = found.groups()
        index = int(groups.replace("x", "").replace("/", ""))
        tile = cls(ENTRIES if level == "entries" else int(level), index, int(partial) if partial else WIDTH)
        if tile.path != path:
            raise NoTile(f"{path[:200]!r} is no tile")
        return tile


def tiles_of(size: int) -> Iterator[Tile]:
    """All tiles of a log of that size: entries, then hashes from the leaves up; full ones, then the partial one."""
    for level in (ENTRIES, *range(64)):
        count = size if level == ENTRIES else size >> HEIGHT * level
        if not count:
            return
        yield from (Tile(level, index) for index in range(count // WIDTH))
        if count % WIDTH:
            yield Tile(level, count // WIDTH, count % WIDTH)


def pack_entries(entries: Sequence[bytes]) -> bytes:
    """The content of a tile of entries: each with its length in two bytes before it. Raises NoTile if one is long."""
    if any(len(each) > LARGEST_ENTRY for each in entries):
        raise NoTile(f"an entry is longer than {LARGEST_ENTRY} bytes")
    return b"".join(len(each).to_bytes(2, "big") + each for each in entries)


def unpack_entries(content: bytes) -> list[bytes]:
    """The entries of a tile's content. Raises NoTile if it ends in the middle of one."""
    entries, at = [], 0
    while at < len(content):
        end = at + 2 + int.from_bytes(content[at : at + 2], "big")
        if at + 2 > len(content) or end > len(content):
            raise NoTile("the tile ends in the middle of an entry")
        entries.append(content[at + 2 : end])
        at = end
    return entries


def _number(index: int) -> str:
    groups = [f"{index % _GROUP:03}"]
    while index := index // _GROUP:
        groups.append(f"x{index % _GROUP:03}")
    return "/".join(reversed(groups))
