"""Tasks, calls and answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.highlighter import JSONHighlighter
from rich.padding import Padding
from rich.text import Text

from proctor.cli.draw.parts import Column, fields, heading, mark, paragraph, table, text, toned
from proctor.cli.dump import as_json
from proctor.cli.tasks import Call, Task
from proctor.cli.views import task as views
from proctor.cli.views.tone import Tone
from proctor.cli.wording import age, counted, seconds, short

_INPUT = 100
_FAULT = 240


def answer(output: Any) -> RenderableType:
    """What the agent said: a text as text, everything else as JSON."""
    if isinstance(output, str):
        return paragraph(output)
    return JSONHighlighter()(Text(as_json(output)))


def ending(task: Task, now: datetime) -> RenderableType:
    """How it ended, on a line, and what to do about it if it ended badly."""
    tone = views.tone_of(task)
    line = Text.assemble(toned(tone, task.phase.value), "  ", text(views.summary(task, now), "quiet"))
    line.append_text(Text.assemble("  ", text(f"task {task.id}", "quiet")))
    if task.error is None:
        return line
    fault = Text.assemble(text(task.error.reason, tone.value), "  ", paragraph(task.error.message))
    advice = views.advice(task)
    return Group(line, fault, Text.assemble(("→ ", "quiet"), text(advice))) if advice else Group(line, fault)


def progress(task: Task, now: datetime) -> Text:
    """What a person sees while waiting."""
    return Text.assemble(
        text(task.phase.value, views.tone_of(task).value), "  ", text(views.summary(task, now), "quiet")
    )


def tasks(found: Sequence[Task], now: datetime, width: int) -> RenderableType:
    """The tasks, a line each."""
    columns = (
        Column("ID"),
        Column("PHASE"),
        Column("REASON", 1),
        Column("REVISION", 4),
        Column("CALLS", 3, is_number=True),
        Column("TOKENS", 5, is_number=True),
        Column("COST", 3, is_number=True),
        Column("TOOK", 1, is_number=True),
        Column("AGE", 1),
        Column("INPUT", 2, may_shrink=True),
    )
    lines = (
        [
            text(each.id, "hash"),
            toned(views.tone_of(each), each.phase.value),
            text(each.error.reason if each.error else "-", views.tone_of(each).value if each.error else "quiet"),
            text(each.revision or "-", "quiet"),
            text(each.usage.steps + each.usage.tool_calls),
            text(f"{each.usage.tokens:,}"),
            text(views.money(each.usage.cost)),
            text(seconds(each.seconds(now))),
            text(age(each.created_at, now), "quiet"),
            text(short(each.input if isinstance(each.input, str) else json.dumps(each.input), _INPUT), "quiet"),
        ]
        for each in found
    )
    return table(columns, lines, width)


def _revision(each: Task) -> Text:
    about = [word for word in (each.arm and f"{each.arm.lower()} of an upgrade", _purpose(each)) if word]
    return Text.assemble(text(each.revision or "-", "hash"), text(f"  {', '.join(about)}" if about else "", "quiet"))


def _purpose(each: Task) -> str:
    return "" if each.purpose == "Live" else f"for {each.purpose}: its effects went nowhere"


def task(each: Task, made: Sequence[Call], now: datetime, width: int) -> RenderableType:
    """One task with its calls."""
    tone = views.tone_of(each)
    title = Text.assemble(mark(tone), " ", text(each.id, "name"), "  ", text(each.phase.value, tone.value))
    pairs: list[tuple[str, RenderableType]] = [
        ("agent", text(f"{each.agent.namespace}/{each.agent.name}")),
        ("revision", _revision(each)),
        ("caller", text(each.caller)),
        ("conversation", text(each.conversation or "-", "quiet")),
        *((("served by", text(each.served_by, "warn")),) if each.served_by else ()),
        ("took", text(f"{seconds(each.seconds(now))} in {each.attempts or 'no'} attempt{'s' * (each.attempts != 1)}")),
        ("created", text(f"{age(each.created_at, now)} ago")),
        ("trace", text(each.trace_id or "-", "quiet")),
    ]
    blocks: list[RenderableType] = [
        title,
        _indented(fields(pairs)),
        Text(),
        heading("INPUT"),
        _indented(answer(each.input)),
    ]
    if each.error:
        blocks += [Text(), heading("FAULT"), _indented(_fault(each))]
    if each.output is not None:
        blocks += [Text(), heading("OUTPUT"), _indented(answer(each.output))]
    blocks += [Text(), heading("CALLS"), _indented(calls(each, made, width - 2))]
    return Group(*blocks)


def calls(each: Task, made: Sequence[Call], width: int) -> RenderableType:
    """The calls as a table, with their sum below: the gateway's own, for it knows what was billed."""
    if not made:
        return Text("none", style="quiet")
    columns = (
        Column("NO", is_number=True),
        Column("KIND", 4),
        Column("CONNECTOR", 2),
        Column("TOOL/MODEL"),
        Column("EFFECT", 3),
        Column("STATE"),
        Column("TOOK", 1, is_number=True),
        Column("TOKENS", 3, is_number=True),
        Column("COST", 3, is_number=True),
        Column("ARGUMENTS", 2, may_shrink=True),
    )
    grid = table(columns, (_call(one) for one in made), width)
    tail = f"{counted(len(made), 'call')} · {counted(each.usage.tokens, 'token')} · cost {views.money(each.usage.cost)}"
    faults = [_call_fault(one) for one in made if one.error and one.state != "Waiting"]
    waits = [_call_waits(each, one) for one in made if one.state == "Waiting" and one.approval]
    return Group(grid, *faults, *waits, Text(tail, style="quiet"))


def _call(each: Call) -> list[Text]:
    tokens = (each.input_tokens or 0) + (each.output_tokens or 0)
    return [
        text(each.sequence),
        text(each.kind, "quiet"),
        text(each.connector),
        text(each.name, "name"),
        text(each.effect if each.kind == "Tool" else "-", "warn" if each.effect == "Once" else "quiet"),
        toned(views.tone_of_call(each), each.state),
        text(seconds(each.duration_seconds)),
        text(f"{tokens:,}" if tokens else "-", "" if tokens else "quiet"),
        text(views.money(each.cost), "" if each.cost else "quiet"),
        text(short(json.dumps(each.arguments), _INPUT) if each.kind == "Tool" else "", "quiet"),
    ]


def _call_fault(each: Call) -> RenderableType:
    fault = each.error
    said = f"{fault.reason}: {fault.message}" if fault else ""
    return Text.assemble(("✗ ", "bad"), (f"call {each.sequence} ", "quiet"), text(short(said, _FAULT), "bad"))


def _call_waits(task: Task, each: Call) -> RenderableType:
    name = each.approval.name if each.approval else ""
    said = f"waits for people: kubectl proctor approvals {name} -n {task.agent.namespace}"
    return Text.assemble(mark(Tone.BUSY), f" call {each.sequence} ", text(said))


def _fault(each: Task) -> RenderableType:
    fault = each.error
    said = Text.assemble(text(fault.reason, "bad"), "  ", paragraph(fault.message)) if fault else Text()
    advice = views.advice(each)
    return Group(said, Text.assemble(("→ ", "quiet"), text(advice))) if advice else said


def _indented(block: RenderableType) -> RenderableType:
    return Padding(block, (0, 0, 0, 2))


def change(each: Task, now: datetime) -> Text:
    """One line about a task that changed."""
    parts: Iterable[str] = (now.astimezone().strftime("%H:%M:%S"), each.id, each.phase.value, views.summary(each, now))
    return text("  ".join(parts), views.tone_of(each).value)
