"""One agent in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from proctor.cli.draw.fleet import pod_count
from proctor.cli.draw.parts import Column, fields, heading, mark, paragraph, table, text, toned
from proctor.cli.draw.revisions import revisions
from proctor.cli.views.agent import AgentView, ConditionView, ConnectorView, SandboxView
from proctor.cli.views.pods import PodView
from proctor.cli.views.tone import Tone
from proctor.cli.wording import age, counted

_INDENT = 2
_NETWORK = {"Verified": Tone.GOOD, "NotEnforced": Tone.WARN}


def agent(view: AgentView, now: datetime, width: int) -> RenderableType:
    """Everything of the view, the most important first."""
    inner = width - _INDENT
    blocks: list[RenderableType] = [_title(view), _indented(_facts(view, now))]
    for name, block in _sections(view, now, inner):
        blocks += [Text(), heading(name), _indented(block)]
    return Group(*blocks)


def _sections(view: AgentView, now: datetime, width: int) -> Iterator[tuple[str, RenderableType]]:
    yield "CONDITIONS", _conditions(view.conditions, now, width) if view.conditions else _nothing("none reported yet")
    if view.objectives:
        yield "OBJECTIVES", _objectives(view, now, width)
    if view.revisions:
        yield "REVISIONS", revisions(view.revisions, now, width)
    yield "PODS", _pods(view.pods, now, width) if view.pods else _nothing("none")
    yield "CONNECTORS", _connectors(view.connectors, now, width)
    if view.not_acted_on:
        yield "NOT ACTED ON BY THIS VERSION", text(", ".join(view.not_acted_on), "warn")
    if view.withheld:
        yield "NOT SHOWN", Group(*(text(each, "warn") for each in view.withheld))


def _title(view: AgentView) -> Text:
    row = view.summary
    title = Text.assemble(mark(row.tone), " ", text(f"{row.namespace}/", "quiet"), text(row.name, "name"), "  ")
    title.append_text(text(row.reason, row.tone.value))
    if row.message and row.tone is not Tone.GOOD:
        title.append_text(Text.assemble("  ", text(row.message)))
    return title


def _facts(view: AgentView, now: datetime) -> RenderableType:
    return Group(paragraph(view.purpose, "quiet"), Text(), fields(_pairs(view, now)))


def _pairs(view: AgentView, now: datetime) -> Iterator[tuple[str, RenderableType]]:
    row = view.summary
    yield "owner", Text.assemble(text(row.owner), "  ", text(view.contact, "quiet"))
    yield "risk", text(view.risk)
    yield "model", Text.assemble(text(row.model), "  ", text(f"via {view.model_connector}", "quiet"))
    yield "sandbox", _sandbox(view.sandbox, now)
    yield "rollout", _rollout(view, now)
    yield "pods", text(f"{pod_count(row)} ready")
    yield (
        "callers",
        text(", ".join(view.callers)) if view.callers else text("nobody: spec.access.callers is empty", "warn"),
    )
    if view.invoke and view.tasks:
        yield "invoke", text(view.invoke)
        yield "tasks", text(view.tasks)
    yield "generation", _generation(view)
    yield "age", text(age(row.created, now))


def _sandbox(sandbox: SandboxView, now: datetime) -> Text:
    line = Text.assemble("asked ", text(sandbox.asked), "  pods ")
    is_weaker = sandbox.pods is not None and sandbox.pods != sandbox.asked
    line.append_text(text(sandbox.pods or "-", "bad" if is_weaker else ""))
    network = _NETWORK.get(sandbox.network, Tone.UNKNOWN)
    line.append_text(Text.assemble("  network ", text(sandbox.network, network.value)))
    if sandbox.probed:
        line.append(f" {age(sandbox.probed, now)} ago", style="quiet")
    return line.append_text(Text.assemble("\n", text(sandbox.message, "quiet"))) if sandbox.message else line


def _rollout(view: AgentView, now: datetime) -> Text:
    row = view.summary
    line = text(row.phase or "-")
    if view.rollout_since:
        line.append(f" for {age(view.rollout_since, now)}", style="quiet")
    if row.stable:
        line.append_text(Text.assemble("  stable ", text(row.stable, "hash")))
    if row.candidate:
        line.append_text(Text.assemble("  candidate ", text(row.candidate, "busy")))
    return line


def _generation(view: AgentView) -> Text:
    if view.observed_generation >= view.generation:
        return text(f"{view.generation}, observed", "quiet")
    return text(f"{view.generation}; the operator has seen {view.observed_generation}", "warn")


def _conditions(conditions: Iterable[ConditionView], now: datetime, width: int) -> RenderableType:
    columns = (
        Column("TYPE"),
        Column("STATUS"),
        Column("FOR", 1),
        Column("REASON"),
        Column("MESSAGE", may_break=True),
    )
    lines = (
        [
            toned(each.tone, each.type),
            text(each.status),
            text(age(each.since, now), "quiet"),
            text(each.reason, each.tone.value),
            text(each.message),
        ]
        for each in conditions
    )
    return table(columns, lines, width)


def _objectives(view: AgentView, now: datetime, width: int) -> RenderableType:
    columns = (
        Column("NAME"),
        Column("STATE"),
        Column("GOOD", is_number=True),
        Column("TARGET", 2, is_number=True),
        Column("BUDGET", is_number=True),
        Column("LEFT", 3, is_number=True),
        Column("WINDOW", 4),
        Column("SEEN", 5),
        Column("MESSAGE", 1, may_break=True),
    )
    lines = (
        [
            text(each.name),
            toned(each.tone, each.state),
            text(each.good),
            text(each.target, "quiet"),
            text(each.budget, each.tone.value),
            text("-" if each.events_left is None else each.events_left, "quiet"),
            text(each.window, "quiet"),
            text(age(each.as_of, now), "quiet"),
            text(each.message, "quiet" if each.tone is Tone.GOOD else each.tone.value),
        ]
        for each in view.objectives
    )
    told = (Text.assemble(("▲ ", "warn"), text(view.release_gate, "warn")),) if view.release_gate else ()
    return Group(table(columns, lines, width), *told)


def _pods(pods: Sequence[PodView], now: datetime, width: int) -> RenderableType:
    columns = (
        Column("NAME"),
        Column("REVISION", 2),
        Column("STATE"),
        Column("RESTARTS", 3, is_number=True),
        Column("PROFILE", 4),
        Column("NODE", 5),
        Column("AGE", 1),
    )
    lines = (
        [
            text(each.name),
            text(each.revision, "hash"),
            toned(each.tone, each.state),
            text(each.restarts, "warn" if each.restarts else "quiet"),
            text(each.profile.value, "quiet"),
            text(each.node or "-", "quiet"),
            text(age(each.created, now), "quiet"),
        ]
        for each in pods
    )
    return Group(table(columns, lines, width), *_problems(pods))


def _problems(pods: Sequence[PodView]) -> Iterator[RenderableType]:
    """Each problem once: the pods of one revision mostly share it."""
    counts = Counter(f"{each.state}: {each.problem}" for each in pods if each.problem)
    for problem, count in counts.items():
        whose = f"{counted(count, 'pod')}: " if len(pods) > 1 else ""
        yield Text.assemble(("✗ ", "bad"), (whose, "quiet"), text(problem, "bad"))


def _connectors(connectors: Iterable[ConnectorView], now: datetime, width: int) -> RenderableType:
    columns = (
        Column("NAME"),
        Column("TYPE", 3),
        Column("STATE"),
        Column("PROBED", 4),
        Column("USED FOR", 2, may_break=True),
        Column("MESSAGE", 1, may_break=True),
    )
    lines = (
        [
            text(each.name),
            text(each.type or "-", "quiet"),
            toned(each.tone, each.reason),
            text(age(each.probed, now), "quiet"),
            text(each.use),
            text(each.message, "quiet" if each.tone is Tone.GOOD else each.tone.value),
        ]
        for each in connectors
    )
    return table(columns, lines, width)


def _nothing(words: str) -> Text:
    return Text(words, style="quiet")


def _indented(block: RenderableType) -> RenderableType:
    return Padding(block, (0, 0, 0, _INDENT))
