"""Where the program writes: answers to standard output, everything else to standard error."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from rich.console import Console, RenderableType
from rich.theme import Theme

_UNBROKEN = 100_000
"""Columns of a pipe: no program that reads ours should find a line broken or a name cut."""

_THEME = Theme(
    {
        "good": "green",
        "busy": "cyan",
        "bad": "red",
        "warn": "yellow",
        "off": "magenta",
        "unknown": "yellow",
        "quiet": "bright_black",
        "name": "bold",
        "head": "bold bright_black",
        "hash": "cyan",
        "added": "green",
        "removed": "red",
    }
)


class Format(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


@dataclass(frozen=True)
class Terminal:
    """The two consoles of one run. Colours only where a person looks, and never against NO_COLOR."""

    out: Console
    err: Console

    @classmethod
    def here(cls) -> Terminal:
        """The terminal of this process, as its streams are now."""
        for stream in (sys.stdout, sys.stderr):
            # Where a terminal knows no sign of ours it shows a question mark; that is no reason to fail.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        return cls(_console(sys.stdout), _console(sys.stderr))

    @classmethod
    def on(cls, out: TextIO, err: TextIO, *, width: int, is_terminal: bool = False) -> Terminal:
        """A terminal of that width on other streams."""
        return cls(_console(out, width, is_terminal=is_terminal), _console(err, width, is_terminal=is_terminal))

    @property
    def is_watched(self) -> bool:
        """Whether a person sees standard output as it is written, so that it may be redrawn."""
        return self.out.is_terminal

    def say(self, what: RenderableType) -> None:
        """Part of the answer."""
        _print(self.out, what)

    def note(self, what: RenderableType) -> None:
        """Something about the answer: progress, a summary, a warning."""
        _print(self.err, what)

    def write(self, text: str) -> None:
        """Text for other programs: as it is, without colours or breaks. No text is no line either."""
        self.out.file.write(text if not text or text.endswith("\n") else f"{text}\n")
        self.out.file.flush()


def _print(console: Console, what: RenderableType) -> None:
    if console.is_terminal:
        console.print(what)
        return
    # Cells are filled up to their column's width, which nobody wants at the end of a line in a file.
    with console.capture() as captured:
        console.print(what)
    console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
    console.file.flush()


def _console(stream: TextIO, width: int | None = None, *, is_terminal: bool | None = None) -> Console:
    if width is None and not stream.isatty() and "COLUMNS" not in os.environ:
        width = _UNBROKEN
    return Console(
        file=stream,
        width=width,
        theme=_THEME,
        force_terminal=is_terminal,
        highlight=False,
        markup=False,
        emoji=False,
    )
