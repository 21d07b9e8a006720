"""Kinds and fields, explained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.text import Text

from proctor.cli import dump
from proctor.cli.draw.parts import Column, heading, table, text
from proctor.cli.views.lexicon import Explanation, FieldView, KindView, Rule

_THEME = "ansi_dark"


def kinds(found: Iterable[KindView], width: int) -> RenderableType:
    """All kinds, a line each."""
    columns = (Column("KIND"), Column("SHORT", 1), Column("SCOPE", 2), Column("IS", may_break=True))
    lines = (
        [
            text(each.name, "name"),
            text(each.short, "quiet"),
            text("namespace" if each.is_namespaced else "cluster", "quiet"),
            text(each.summary),
        ]
        for each in found
    )
    return Group(
        table(columns, lines, width),
        Text(),
        Text.assemble(("→ ", "quiet"), "kubectl proctor explain agent.spec", ("    what a field means", "quiet")),
        Text.assemble(("→ ", "quiet"), "kubectl proctor explain agent/NAME", ("    why an agent is as it is", "quiet")),
    )


def explanation(told: Explanation, example: Mapping[str, Any] | None, width: int) -> RenderableType:
    """One field: what it is, what it may be, what is below it, and how it is written."""
    blocks: list[RenderableType] = [_title(told), _indented(text(told.description))]
    if told.bounds:
        blocks += [Text(), heading("BOUNDS"), *(_indented(text(each)) for each in told.bounds)]
    if told.rules:
        blocks += [Text(), heading("RULES"), *_rules(told.rules)]
    if told.fields:
        blocks += [Text(), heading("FIELDS"), _indented(_fields(told.fields, width - 2))]
    if example:
        written = Syntax(dump.as_yaml(dict(example)).rstrip(), "yaml", theme=_THEME, background_color="default")
        blocks += [Text(), heading("EXAMPLE"), _indented(written)]
    return Group(*blocks)


def _title(told: Explanation) -> Text:
    line = Text.assemble(text(told.path, "name"), "  ", text(f"<{told.type}>", "hash"))
    if told.is_required and "." in told.path:
        line.append("  required", style="warn")
    if told.default is not None:
        line.append("  default ", style="quiet").append_text(text(_written(told.default), "good"))
    return line


def _rules(found: Iterable[Rule]) -> Iterator[RenderableType]:
    for each in found:
        yield _indented(Text.assemble("· ", text(each.message)))
        yield Padding(text(each.expression, "quiet"), (0, 0, 0, 6))


def _fields(found: Iterable[FieldView], width: int) -> RenderableType:
    columns = (
        Column("NAME"),
        Column("TYPE"),
        Column("DEFAULT", 1),
        Column("IS", may_break=True),
    )
    lines = (
        [
            text(each.name + ("*" if each.is_required else ""), "name"),
            text(each.type, "hash"),
            text("-" if each.default is None else _written(each.default), "quiet" if each.default is None else "good"),
            _meaning(each),
        ]
        for each in found
    )
    return table(columns, lines, width)


def _meaning(each: FieldView) -> Text:
    meaning = text(each.summary)
    if each.choices:
        meaning.append(": " if each.summary else "").append_text(text(", ".join(each.choices), "hash"))
    return meaning


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _indented(block: RenderableType) -> RenderableType:
    return Padding(block, (0, 0, 0, 2))
