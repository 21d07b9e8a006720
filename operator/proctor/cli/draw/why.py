"""A story: the headline, the causes with their next steps, and the last events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from proctor.cli.draw.parts import Column, heading, mark, paragraph, table, text
from proctor.cli.views.tone import Tone
from proctor.cli.views.why import Cause, EventView, Story
from proctor.cli.wording import age


def story(told: Story, now: datetime, width: int) -> RenderableType:
    """Everything, in the order in which a person should read it."""
    blocks: list[RenderableType] = [
        Text.assemble(mark(told.tone), " ", text(told.subject, "name"), "  ", text(told.headline, told.tone.value))
    ]
    if told.causes:
        blocks += [Text(), heading("WORTH KNOWING" if told.tone is Tone.GOOD else "BECAUSE")]
    for number, cause in enumerate(told.causes, start=1):
        blocks += [*([Text()] if number > 1 else []), *_cause(number, cause)]
    if not told.causes and told.tone is Tone.GOOD:
        blocks += [Text(), Text("Nothing to do.", style="good")]
    if told.events:
        blocks += [Text(), heading("LAST EVENTS"), Padding(_events(told.events, now, width - 2), (0, 0, 0, 2))]
    blocks += [text(f"not shown: {each}", "warn") for each in told.withheld]
    return Group(*blocks)


def _cause(number: int, cause: Cause) -> Iterator[RenderableType]:
    yield Text.assemble((f"{number}  ", "quiet"), mark(cause.tone), " ", text(cause.title, cause.tone.value))
    yield Padding(paragraph(cause.text), (0, 0, 0, 5))
    for step in cause.steps:
        command, separator, note = step.partition("    ")
        yield Padding(
            Text.assemble(("→ ", "quiet"), text(command, "name"), separator, text(note, "quiet")), (0, 0, 0, 5)
        )


def _events(found: tuple[EventView, ...], now: datetime, width: int) -> RenderableType:
    columns = (
        Column("AGE"),
        Column("REASON"),
        Column("ABOUT", 2),
        Column("MESSAGE", may_break=True),
    )
    lines = (
        [
            text(age(each.at, now) + (f" x{each.count}" if each.count > 1 else ""), "quiet"),
            text(each.reason, "warn" if each.is_warning else ""),
            text(each.subject, "quiet"),
            text(each.message),
        ]
        for each in found
    )
    return table(columns, lines, width)
