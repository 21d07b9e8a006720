"""Approvals: the list, and one with everything that a person needs to answer it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.highlighter import JSONHighlighter
from rich.text import Text

from proctor.api.approval import Approval, ApprovalPhase, ApprovalSpec, OnTimeout, Vote
from proctor.cli.draw.parts import Column, fields, paragraph, table, text, toned
from proctor.cli.dump import as_json
from proctor.cli.views.approval import people
from proctor.cli.views.tone import Tone
from proctor.cli.wording import age, short, span

_ASKED = 70
_EFFECTS = {
    "Read": "it only reads",
    "Idempotent": "it changes something; the same call a second time changes nothing more",
    "Verify": "it changes something; whether it did can be found out",
    "Once": "it changes something, and must not happen twice",
}


def listed(found: Sequence[Approval], now: datetime, width: int, *, is_wide: bool) -> RenderableType:
    """The Approvals, a line each."""
    columns = (
        *((Column("NAMESPACE"),) if is_wide else ()),
        Column("NAME"),
        Column("STATE"),
        Column("ABOUT", 1),
        Column("QUESTION", 2, may_shrink=True),
        Column("VOTES", 3),
        Column("LEFT", 1),
        Column("AGE", 4),
    )
    return table(columns, [_line(each, now, is_wide=is_wide) for each in found], width)


def _line(approval: Approval, now: datetime, *, is_wide: bool) -> list[Text]:
    spec, metadata = approval.spec, approval.metadata
    created = metadata.creation_timestamp
    return [
        *([text(metadata.namespace)] if is_wide else []),
        text(metadata.name, "name"),
        state(approval, now),
        text(about(approval)),
        text(short(spec.question, _ASKED)),
        text(f"{len(approval.status.votes)}/{spec.quorum}"),
        text(left(approval, now)),
        text(age(created, now) if created else "-"),
    ]


def state(approval: Approval, now: datetime) -> Text:
    """What became of it."""
    status = approval.status
    if status.decision is not None:
        return toned(Tone.GOOD if status.decision == "Approve" else Tone.BAD, status.decision)
    if status.phase in {ApprovalPhase.TIMED_OUT, ApprovalPhase.WITHDRAWN}:
        return toned(Tone.OFF, status.phase)
    return toned(Tone.WARN if now > approval.spec.deadline else Tone.BUSY, "waits")


def about(approval: Approval) -> str:
    """What is asked about, in a few words."""
    subject = approval.spec.subject
    if subject.tool_call is not None:
        return f"{subject.tool_call.agent}: {subject.tool_call.connector}/{subject.tool_call.tool}"
    if subject.rollout is not None:
        return f"{subject.rollout.agent}: step {subject.rollout.step} to {subject.rollout.revision}"
    if subject.override is not None:
        upgraded = f"{subject.override.agent}: {subject.override.revision}"
        return f"{upgraded} without error budget, for {span(subject.override.for_)}"
    return f"{subject.step.run}: step {subject.step.step}" if subject.step is not None else "?"


def left(approval: Approval, now: datetime) -> str:
    """How much time there is for an answer."""
    if approval.status.decision is not None:
        return "-"
    rest = approval.spec.deadline - now
    return span(rest) if rest.total_seconds() > 0 else "over"


def whole(approval: Approval, effect: str | None, now: datetime) -> RenderableType:
    """Everything that a person needs: what is asked, by whom, what it would do, with what, until when."""
    spec = approval.spec
    pairs: list[tuple[str, RenderableType]] = [("Question", paragraph(spec.question)), ("State", state(approval, now))]
    call = spec.subject.tool_call
    if call is not None:
        pairs += [
            ("Agent", text(f"{approval.metadata.namespace}/{call.agent}, revision {call.revision}")),
            ("Task", text(call.task)),
            ("Call", text(f"{call.connector}/{call.tool}", "name")),
            ("Effect", text(_EFFECTS.get(effect or "", "nobody says what a repetition of it does"))),
            ("Arguments", JSONHighlighter()(Text(as_json(call.arguments)))),
        ]
    elif spec.subject.step is not None:
        pairs += [
            ("Step", text(f"{spec.subject.step.step} of {spec.subject.step.run}")),
            ("Input", JSONHighlighter()(Text(as_json(spec.subject.step.input)))),
        ]
        pairs += _form(spec)
    else:
        pairs.append(("About", text(about(approval))))
    if approval.status.withdrawn:
        pairs.insert(2, ("Because", paragraph(approval.status.withdrawn)))
    pairs += [
        ("Digest", text(spec.subject.digest, "hash")),
        ("On behalf of", text(spec.requested_by or "-")),
        ("Asked are", text(people(spec))),
        ("Deadline", text(f"{spec.deadline:%Y-%m-%d %H:%M} UTC{_then(approval, now)}")),
    ]
    votes = [_vote(each) for each in approval.status.votes]
    return Group(fields([*pairs, ("Votes", Group(*votes) if votes else text("none"))]))


def _form(spec: ApprovalSpec) -> Iterator[tuple[str, RenderableType]]:
    """The form of the answer, if it must have one."""
    output = (spec.answer_schema or {}).get("properties", {}).get("output")
    if output:
        yield "Answer in", JSONHighlighter()(Text(as_json(output)))


def _then(approval: Approval, now: datetime) -> str:
    if approval.status.decision is not None or approval.status.phase is ApprovalPhase.WITHDRAWN:
        return ""
    follows = "then it is denied" if approval.spec.on_timeout is OnTimeout.DENY else "after that it goes on waiting"
    return f", in {left(approval, now)}; {follows}" if now < approval.spec.deadline else ", which is over"


def _vote(vote: Vote) -> RenderableType:
    said = text(f"{vote.user}: {vote.decision} {vote.comment}".strip())
    return said if vote.answer is None else Group(said, JSONHighlighter()(Text(as_json(vote.answer))))
