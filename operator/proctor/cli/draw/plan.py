"""What would be done, manifest by manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from proctor.cli.draw.changes import changes
from proctor.cli.draw.parts import heading, text
from proctor.cli.manifests import Fault
from proctor.cli.views.changeset import ChangeSet, ManifestForecast
from proctor.cli.views.differences import Difference
from proctor.cli.views.forecast import AgentForecast, ObjectChange, RevisionForecast
from proctor.cli.wording import counted

_STATES = {"new": ("+", "added"), "changed": ("~", "warn"), "same": ("=", "quiet")}
_VERBS = {"create": ("+", "added"), "change": ("~", "warn"), "delete": ("-", "removed")}
_BRANCH = 4


def plan(change_set: ChangeSet) -> RenderableType:
    """The whole plan, with a line at the end that says it in short."""
    blocks: list[RenderableType] = []
    for each in change_set.manifests:
        blocks += [*_manifest(each), Text()]
    for forecast in change_set.affected:
        title = Text.assemble(("~ ", "warn"), "Agent ", text(f"{forecast.namespace}/{forecast.name}", "name"))
        blocks += [title.append("  not in these manifests, but changes with what it uses", style="quiet")]
        blocks += [*_indented(_agent(forecast)), *_indented(_cautions(forecast.cautions)), Text()]
    blocks += (
        [Text.assemble(("not looked into: ", "quiet"), text(", ".join(change_set.others)))] if change_set.others else []
    )
    blocks += [Text.assemble(("▲ ", "warn"), text(note, "warn")) for note in change_set.notes]
    return Group(*blocks, _summary(change_set))


def faults(found: Sequence[Fault]) -> RenderableType:
    """Every fault, with the place in the file."""
    lines = [
        Text.assemble(
            text(each.place, "quiet"),
            " ",
            text(each.subject, "name"),
            " " if each.path else "",
            text(each.path),
            ("  ✗ ", "bad"),
            text(each.message, "bad"),
        )
        for each in found
    ]
    return Group(*lines, Text(f"{counted(len(found), 'fault')}; nothing was looked at further", style="bad"))


def _manifest(each: ManifestForecast) -> Iterator[RenderableType]:
    sign, style = _STATES[each.state]
    words = {"new": "new", "changed": "changed", "same": "as it is"}[each.state]
    place = f"{each.namespace}/{each.name}" if each.namespace else each.name
    title = Text.assemble((f"{sign} ", style), f"{each.kind} ", text(place, "name"), "  ", (words, style))
    yield title.append_text(Text.assemble("  ", text(each.place, "quiet")))
    if each.agent:
        yield from _indented(_agent(each.agent, each.differences))
    elif each.differences:
        yield Padding(changes(each.differences), (0, 0, 0, _BRANCH))
    yield from _indented(_cautions(each.cautions))


def _agent(forecast: AgentForecast, beside: Sequence[Difference] = ()) -> Iterator[RenderableType]:
    yield _revision(forecast.revision)
    if forecast.revision.behaviour:
        yield Padding(changes(forecast.revision.behaviour), (0, 0, 0, 2))
    if beside:
        yield Text("beside the revision" if forecast.revision.after else "the spec", style="quiet")
        yield Padding(changes(beside), (0, 0, 0, 2))
    for obstacle in forecast.obstacles:
        yield Text.assemble(("✗ ", "bad"), text(obstacle.reason, "bad"), "  ", text(obstacle.message))
    if forecast.now:
        yield from _objects("now", forecast.now)
    if forecast.later:
        yield from _objects("once its pods are ready", forecast.later)
    for number, line in enumerate(forecast.story):
        yield Text.assemble(("→ " if not number else "  then ", "quiet"), text(line))


def _revision(revision: RevisionForecast) -> Text:
    line = Text("revision ", style="quiet")
    if revision.after is None:
        return line.append_text(text(revision.before or "none")).append(
            " stays: an obstacle is in the way", style="warn"
        )
    number = f" (number {revision.number})" if revision.number else ""
    if not revision.is_new:
        return line.append_text(text(revision.after, "hash")).append(f"{number}, the same", style="quiet")
    age = "kept from before" if revision.is_kept else "new"
    before = Text.assemble(text(revision.before, "hash"), " → ") if revision.before else Text()
    return line.append_text(before).append_text(text(revision.after, "added")).append(f"{number}, {age}", style="quiet")


def _objects(when: str, found: Sequence[ObjectChange]) -> Iterator[RenderableType]:
    yield heading(when)
    for each in found:
        sign, style = _VERBS[each.verb]
        yield Padding(Text.assemble((f"{sign} ", style), text(each.kind, "quiet"), " ", text(each.name)), (0, 0, 0, 2))
        if each.differences:
            yield Padding(changes(each.differences), (0, 0, 0, 6))


def _cautions(found: Iterable[str]) -> Iterator[RenderableType]:
    for each in found:
        yield Text.assemble(("▲ ", "warn"), text(each))


def _indented(blocks: Iterable[RenderableType]) -> Iterator[RenderableType]:
    for each in blocks:
        yield Padding(each, (0, 0, 0, _BRANCH))


def _summary(change_set: ChangeSet) -> Text:
    counts = [
        f"{sum(each.state == state for each in change_set.manifests)} {words}"
        for state, words in (("new", "new"), ("changed", "changed"), ("same", "as it is"))
        if any(each.state == state for each in change_set.manifests)
    ]
    agents = [each.agent for each in change_set.manifests if each.agent] + list(change_set.affected)
    rollouts = sum(each.revision.is_new for each in agents)
    blocked = sum(bool(each.obstacles) for each in agents)
    counts += [f"{len(change_set.affected)} more affected"] if change_set.affected else []
    counts += [counted(rollouts, "new revision")] if rollouts else []
    line = Text("plan: " + (" · ".join(counts) or "nothing of proctor's"), style="bold")
    if blocked:
        line.append(f" · {blocked} would stall", style="bold bad")
    return line if change_set.changes_something else line.append(" · nothing to do", style="good")
