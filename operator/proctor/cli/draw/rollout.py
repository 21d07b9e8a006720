"""An upgrade: where it is on its way, and what the evidence says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from proctor.api.progress import ExamStatus, MetricVerdict, Test, Verdict
from proctor.cli.draw.parts import Column, fields, heading, mark, table, text, toned
from proctor.cli.views.rollout import Change, RolloutView
from proctor.cli.views.tone import Tone
from proctor.cli.wording import age, counted, span

_BAR = 30
_STATES = {"done": Tone.GOOD, "now": Tone.BUSY, "next": Tone.QUIET}
_OF_EXAM = {"Passed": Tone.GOOD, "Running": Tone.BUSY, "Failed": Tone.BAD}
_OF_METRIC = {"NotWorse": Tone.GOOD, "Harmful": Tone.BAD}


def rollout(seen: RolloutView, now: datetime, width: int) -> RenderableType:
    """All of it."""
    title = Text.assemble(mark(seen.tone), " ", text(f"{seen.namespace}/", "quiet"), text(seen.name, "name"), "  ")
    title.append_text(text(seen.phase, seen.tone.value))
    if seen.headline:
        title.append_text(Text.assemble("  ", text(seen.headline)))
    blocks: list[RenderableType] = [title, Padding(fields(_pairs(seen, now)), (0, 0, 0, 2))]
    for name, block in _sections(seen, width - 2):
        blocks += [Text(), heading(name), Padding(block, (0, 0, 0, 2))]
    for hint in seen.hints:
        command, separator, note = hint.partition("    ")
        blocks.append(Text.assemble(("→ ", "quiet"), text(command, "name"), separator, text(note, "quiet")))
    return Group(*blocks)


def _pairs(seen: RolloutView, now: datetime) -> Iterator[tuple[str, RenderableType]]:
    yield "stable", text(seen.stable or "-", "hash")
    if seen.candidate:
        yield "candidate", Text.assemble(text(seen.candidate, "busy"), "  ", _traffic(seen))
    if seen.blocked:
        yield "blocked", text(", ".join(seen.blocked), "bad")
    if seen.undone_to:
        yield "gone back to", text(seen.undone_to, "warn")
    if seen.started_at and seen.candidate:
        yield "under way", text(f"for {age(seen.started_at, now)}, here for {age(seen.since, now)}", "quiet")
    if seen.until:
        left = span(seen.until - now) if seen.until > now else "no time"
        yield ("watched" if seen.phase == "Watching" else "paused"), text(f"for {left} more")
    if seen.approval:
        yield "approval", text(seen.approval)
    if seen.frozen:
        yield "frozen", text(seen.frozen, "warn")
    elif seen.gate:
        yield "error budget", text(seen.gate, "warn")
    if seen.last_outcome:
        last = seen.last_outcome
        # What the headline says already is not said again.
        why = f": {last.message}" if last.message and last.message not in seen.headline else ""
        told = f"{last.type} {last.revision}, {last.reason}{why} ({age(last.at, now)} ago)"
        yield "last outcome", text(told, "good" if last.type == "Promoted" else "warn")


def _traffic(seen: RolloutView) -> Text:
    filled = round(_BAR * seen.weight / 100)
    bar = Text.assemble(("█" * filled, "busy"), ("░" * (_BAR - filled), "quiet"), f" {seen.weight} % of new tasks")
    if seen.mirror:
        bar.append(f", copies of {seen.mirror} %")
    if seen.exposed:
        bar.append(f", {counted(seen.exposed, 'task')} so far", style="quiet")
    if seen.in_flight is not None:
        bar.append(f", {seen.in_flight} under way", style="quiet")
    return bar


def _sections(seen: RolloutView, width: int) -> Iterator[tuple[str, RenderableType]]:
    if seen.steps and seen.candidate:
        lines = (Text.assemble(f"{each.number} ", toned(_STATES[each.state], each.words)) for each in seen.steps)
        yield "STEPS", Group(*lines)
    if seen.exams:
        exams = (
            Text.assemble(
                toned(_OF_EXAM.get(each.state, Tone.UNKNOWN), each.name),
                f"  {each.state}  {each.passed} of {each.cases} cases ",
                text(_beside_stable(each)),
                "  ",
                text(each.message if each.message and each.message not in seen.headline else "", "quiet"),
            )
            for each in seen.exams
        )
        yield "EXAM", Group(*exams)
    if seen.replay:
        told = seen.replay
        test = f"  harm {_test(told.test)}" if told.test else ""
        only = f"{told.candidate_only} failed by the candidate alone, {told.stable_only} by stable alone"
        yield "REPLAY", text(f"{told.state}  {told.pairs} pairs: {only}{test}")
    if seen.verdict and seen.verdict.tasks:
        yield "EVIDENCE", _evidence(seen.verdict, width)


def _beside_stable(exam: ExamStatus) -> str:
    """What the stable revision did, and which cases are lost."""
    if exam.baseline is None:
        return ""
    lost = f", lost: {', '.join(exam.regressed)}, by chance {exam.chance}" if exam.regressed else ""
    return f"(stable {exam.baseline}{lost})"


def _evidence(verdict: Verdict, width: int) -> RenderableType:
    words = verdict.text if verdict.text != verdict.state else ""
    said = ", ".join(part for part in (verdict.state, words, f"after {counted(verdict.tasks, 'task')}") if part)
    lines: list[RenderableType] = [text(said)]
    lines.append(fields(_tests(verdict)))
    if verdict.metrics:
        lines.append(_metrics(verdict.metrics, width))
    return Group(*lines)


def _tests(verdict: Verdict) -> Iterator[tuple[str, RenderableType]]:
    if verdict.harm:
        yield "worse than stable?", text(f"{_test(verdict.harm)}, then it is rolled back")
    if verdict.non_inferior:
        eta = verdict.non_inferior.eta_tasks
        more = f"; about {counted(eta, 'task')} more if it is no worse" if eta else ""
        yield "shown no worse?", text(f"{_test(verdict.non_inferior)}, then it is promoted{more}")


def _test(test: Test) -> str:
    return f"{test.e} of {test.threshold}"


def _metrics(found: tuple[MetricVerdict, ...], width: int) -> RenderableType:
    columns = (
        Column("METRIC"),
        Column("CANDIDATE BAD", is_number=True),
        Column("STABLE BAD", is_number=True),
        Column("HARM", 1, is_number=True),
        Column("NO WORSE", 1, is_number=True),
        Column("MARGIN", 2, is_number=True),
    )
    lines = (
        [
            toned(_OF_METRIC.get(each.state, Tone.BUSY), each.name),
            text(f"{each.candidate.bad} of {each.candidate.tasks}" if each.candidate else "-"),
            text(f"{each.stable.bad} of {each.stable.tasks}" if each.stable else "-"),
            text(each.e or "-"),
            text(each.promotion or "-"),
            text(each.margin or "-", "quiet"),
        ]
        for each in found
    )
    return table(columns, lines, width)


def change(told: Change, seen: RolloutView, now: datetime) -> Text:
    """A line for what changed."""
    line = Text.assemble((f"{now:%H:%M:%S}  ", "quiet"), toned(seen.tone, told.phase))
    if told.step is not None:
        line.append(f"  step {told.step} of {len(seen.steps)}")
    if seen.candidate:
        line.append(f"  {told.weight} %")
    if told.verdict:
        line.append(f"  {told.verdict}")
    return line.append_text(Text.assemble("  ", text(told.headline))) if told.headline else line
