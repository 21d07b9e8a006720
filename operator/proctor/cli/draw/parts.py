"""The parts that every picture is made of. Text of others passes `printable` here, and is never read as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from proctor.cli.views.tone import Tone
from proctor.cli.wording import one_line, printable

_GAP = 2
_LEAST = 16
"""Columns of characters below which a shrunken cell says nothing."""
_MARKS = {
    Tone.GOOD: "●",
    Tone.BUSY: "◐",
    Tone.BAD: "✗",
    Tone.WARN: "▲",
    Tone.OFF: "◌",
    Tone.UNKNOWN: "?",
    Tone.QUIET: "·",
}


def text(value: object, style: str = "") -> Text:
    """A value of anybody's, on one line."""
    return Text(one_line(value), style=style)


def paragraph(value: object, style: str = "") -> Text:
    """A text of anybody's with its line breaks."""
    return Text(printable(value), style=style)


def mark(tone: Tone) -> Text:
    """The sign of a tone: its form says what its colour says, for those who see no colours."""
    return Text(_MARKS[tone], style=tone.value)


def toned(tone: Tone, value: object) -> Text:
    """The sign and a word."""
    return Text.assemble(mark(tone), " ", text(value, tone.value))


def heading(words: str) -> Text:
    """What the lines below are."""
    return Text(words, style="head")


@dataclass(frozen=True)
class Column:
    """One column of a table. Of those that do not fit, the least important goes first; 0 always stays."""

    title: str
    importance: int = 0
    may_break: bool = False
    may_shrink: bool = False
    is_number: bool = False


def table(columns: Sequence[Column], lines: Iterable[Sequence[Text]], width: int) -> Table:
    """A table of at most `width` columns of characters, if leaving out what is less important achieves that."""
    cells = [list(line) for line in lines]
    kept = _fitting(columns, cells, width)
    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="head")
    needs = [_need(column, [line[index] for line in cells]) for index, column in enumerate(columns)]
    spare = width - sum(needs[index] + _GAP for index in kept)
    for index in kept:
        column = columns[index]
        grid.add_column(
            column.title,
            max_width=max(needs[index], needs[index] + spare) if column.may_shrink else None,
            no_wrap=not column.may_break,
            overflow="fold" if column.may_break else "ellipsis",
            justify="right" if column.is_number else "left",
        )
    for line in cells:
        grid.add_row(*(line[index] for index in kept))
    return grid


def _fitting(columns: Sequence[Column], cells: Sequence[Sequence[Text]], width: int) -> list[int]:
    needs = [_need(column, [line[index] for line in cells]) for index, column in enumerate(columns)]
    # A column in which no line says anything is left out however much room there is.
    kept = [
        index
        for index, column in enumerate(columns)
        if column.importance == 0 or any(line[index].plain not in {"", "-"} for line in cells)
    ]
    while sum(needs[index] + _GAP for index in kept) > width:
        least = max(kept, key=lambda index: (columns[index].importance, index))
        if columns[least].importance == 0:
            break
        kept.remove(least)
    return kept


def _need(column: Column, values: Sequence[Text]) -> int:
    longest = max((value.cell_len for value in values), default=0)
    if column.may_break:
        return max(len(column.title), min(longest, 30))
    return max(len(column.title), min(longest, _LEAST) if column.may_shrink else longest)


def fields(pairs: Iterable[tuple[str, RenderableType]]) -> Table:
    """Names and values, the values in line."""
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(style="head", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(name, value)
    return grid
