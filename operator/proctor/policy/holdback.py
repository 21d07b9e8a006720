"""What of a text that comes piece by piece may be passed on already: no half of a key, and no half of a word.

A piece is held back until it can neither be the beginning of a key nor of a word that stands for personal data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proctor.policy import keys, masks
from proctor.policy.masks import Masks

_CONTEXT: Final = 96
"""Characters already passed on that are looked at again: they may call what follows a key."""
_LAST_WORD: Final = re.compile(r"\S*\Z")
_PEM: Final = "-----BEGIN"


@dataclass
class Window:
    """One text. With neither keys to look for nor words to turn back nothing is held back."""

    masks: Masks | None
    is_searched: bool
    in_json: bool = False
    """Whether the text is JSON: then what is put in is escaped."""
    _before: str = ""
    _held: str = ""

    def feed(self, piece: str) -> str:
        """What may be passed on now. Raises KeyFound."""
        self._held += piece
        self._search()
        return self._released(self._safe())

    def end(self) -> str:
        """The rest. Raises KeyFound."""
        self._search()
        return self._released(len(self._held))

    def _search(self) -> None:
        if self.is_searched:
            found = keys.find(self._before + self._held)
            if found:
                raise KeyFound(found[0].kind)

    def _safe(self) -> int:
        """How many characters cannot be the beginning of anything."""
        size = len(self._held)
        if self.masks is not None:
            start = self._held.rfind("<", max(0, size - masks.LONGEST))
            if start >= 0 and ">" not in self._held[start:]:
                size = start
        if self.is_searched:
            word = _LAST_WORD.search(self._held)
            size = min(size, max(word.start() if word else size, len(self._held) - keys.LONGEST))
            opening = self._held.rfind(_PEM)
            if opening >= 0:
                size = min(size, max(opening, len(self._held) - keys.LONGEST))
        return size

    def _released(self, size: int) -> str:
        passed, self._held = self._held[:size], self._held[size:]
        self._before = (self._before + passed)[-_CONTEXT:]
        if self.masks is None:
            return passed
        return self.masks.unmask_json(passed) if self.in_json else self.masks.unmask(passed)


class KeyFound(ValueError):  # noqa: N818 - names what was found
    """There is a key. The text says which kind, never the key."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind
