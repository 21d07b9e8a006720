"""Where an upgrade is: what a person and a pipeline want to know of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from proctor.api import names
from proctor.api.agent import Agent
from proctor.api.progress import ExamStatus, LastOutcome, OutcomeType, Phase, ReplayStatus, RolloutStatus, Verdict
from proctor.api.rollout import Step
from proctor.cli.errors import Code
from proctor.cli.views import objectives
from proctor.cli.views.fleet import readiness
from proctor.cli.views.tone import Tone
from proctor.cli.wording import counted, span
from proctor.plan.world import Manifest, label_of

_SETTLED = {Phase.SETTLED, Phase.WATCHING}
_WAITS_FOR_SOMEBODY = {Phase.AWAITING_APPROVAL, Phase.HELD}
_GOES_BACK = {Phase.ABORTING, Phase.REVERTING, Phase.FAILED}


@dataclass(frozen=True)
class StepView:
    """One step of the way."""

    number: int
    words: str
    state: str
    """`done`, `now` or `next`."""


@dataclass(frozen=True)
class RolloutView:
    """An upgrade, or that there is none."""

    namespace: str
    name: str
    phase: str
    tone: Tone
    headline: str
    code: Code
    """What `rollout status` ends with."""
    has_ended: bool
    """Whether nothing more will come of it by itself."""
    stable: str | None
    candidate: str | None
    blocked: tuple[str, ...]
    undone_to: str | None
    weight: int
    mirror: int
    started_at: datetime | None
    since: datetime | None
    until: datetime | None
    exposed: int
    in_flight: int | None
    steps: tuple[StepView, ...]
    exams: tuple[ExamStatus, ...]
    replay: ReplayStatus | None
    verdict: Verdict | None
    approval: str | None
    gate: str
    """What the error budgets mean for it; empty while they leave it alone."""
    frozen: str
    """Why it does not begin or go on; empty while it may."""
    last_outcome: LastOutcome | None
    hints: tuple[str, ...]
    """What a person may do next."""


def view(agent: Agent) -> RolloutView:
    """The upgrade as the status shows it."""
    metadata, revision, rollout = agent.metadata, agent.status.revision, agent.status.rollout
    is_observed = agent.status.observed_generation >= metadata.generation
    phase = rollout.phase if rollout else None
    code = _code(agent, rollout, is_observed=is_observed)
    return RolloutView(
        namespace=metadata.namespace,
        name=metadata.name,
        phase=str(phase) if phase else "Unknown",
        tone=_tone(code, phase),
        headline=_headline(agent, rollout, is_observed=is_observed),
        code=code,
        has_ended=is_observed and phase is not None and (phase in _SETTLED or phase is Phase.FAILED),
        stable=revision.stable,
        candidate=revision.candidate,
        blocked=revision.blocked,
        undone_to=revision.undone_to,
        weight=(rollout.weight or 0) if rollout else 0,
        mirror=(rollout.mirror or 0) if rollout else 0,
        started_at=rollout.started_at if rollout else None,
        since=rollout.since if rollout else None,
        until=rollout.until if rollout else None,
        exposed=(rollout.exposed or 0) if rollout else 0,
        in_flight=rollout.traffic.in_flight if rollout and rollout.traffic else None,
        steps=tuple(_steps(agent, rollout)),
        exams=rollout.exams if rollout else (),
        replay=rollout.replay if rollout else None,
        verdict=rollout.verdict if rollout else None,
        approval=rollout.approval if rollout else None,
        gate=objectives.release_gate(agent),
        frozen=objectives.frozen(agent),
        last_outcome=rollout.last_outcome if rollout else None,
        hints=tuple(_hints(agent, rollout)),
    )


def _code(agent: Agent, rollout: RolloutStatus | None, *, is_observed: bool) -> Code:
    if rollout is None or not is_observed:
        return Code.UNDER_WAY
    if rollout.phase in _SETTLED:
        # A revision that was refused, or that somebody went back from, is not what the spec asks for.
        return Code.NOT_SO if agent.status.revision.undone_to else Code.OK
    if rollout.phase in _GOES_BACK:
        return Code.NOT_SO
    if rollout.phase in _WAITS_FOR_SOMEBODY or (rollout.phase is Phase.PAUSED and rollout.until is None):
        return Code.WAITS
    return Code.UNDER_WAY


def _tone(code: Code, phase: Phase | None) -> Tone:
    if phase is None:
        return Tone.UNKNOWN
    return {Code.OK: Tone.GOOD, Code.NOT_SO: Tone.BAD, Code.WAITS: Tone.WARN}.get(code, Tone.BUSY)


def _headline(agent: Agent, rollout: RolloutStatus | None, *, is_observed: bool) -> str:
    if rollout is None:
        return readiness(agent)[2]
    if not is_observed:
        seen = agent.status.observed_generation
        return f"the operator has seen generation {seen} of {agent.metadata.generation}"
    if rollout.phase in _SETTLED and agent.status.revision.undone_to:
        return f"somebody went back to {agent.status.revision.undone_to}; the spec asks for another revision"
    if rollout.message:
        return rollout.message
    return rollout.verdict.text if rollout.verdict and rollout.phase not in _SETTLED else (rollout.reason or "")


def _steps(agent: Agent, rollout: RolloutStatus | None) -> Iterator[StepView]:
    now = rollout.step if rollout else None
    is_under_way = agent.status.revision.candidate is not None
    for index, step in enumerate(agent.spec.rollout.steps):
        state = "next"
        if is_under_way and now is not None:
            state = "done" if index < now else "now" if index == now else "next"
        yield StepView(index + 1, step_words(step), state)


def step_words(step: Step) -> str:
    """A step in a few words."""
    if step.weight is not None:
        until = f" until {counted(step.until.min_tasks, 'task')}, {span(step.until.min_duration)}" if step.until else ""
        asked = f", after {' or '.join(step.approval.groups)} approved" if step.approval else ""
        return f"{step.weight} % of the tasks{until}{asked}"
    if step.evals is not None:
        return "exam"
    if step.replay is not None:
        return f"replay of {counted(step.replay.tasks, 'task')}"
    if step.mirror is not None:
        return f"copies of {step.mirror.percent} % of the tasks, at least {step.mirror.min_tasks}"
    if step.pause is not None:
        return f"pause of {span(step.pause.duration)}" if step.pause.duration else "pause until somebody promotes"
    return f"approval by {' or '.join(step.approval.groups)}" if step.approval else "nothing"


def _hints(agent: Agent, rollout: RolloutStatus | None) -> Iterator[str]:
    place = f"{agent.metadata.name} -n {agent.metadata.namespace}"
    match rollout.phase if rollout else None:
        case Phase.FAILED:
            yield f"kubectl proctor rollout retry {place}    tries it again, with the evidence there is"
        case Phase.HELD:
            yield f"kubectl proctor rollout promote {place}    goes on in spite of that"
            yield f"kubectl proctor rollout abort {place}    withdraws it"
        case Phase.PAUSED:
            yield f"kubectl proctor rollout resume {place}"
        case Phase.AWAITING_APPROVAL:
            yield f"kubectl get approvals -n {agent.metadata.namespace}"
        case _:
            return


@dataclass(frozen=True)
class Change:
    """What a line of `--watch` tells."""

    phase: str
    step: int | None
    weight: int
    verdict: str | None
    headline: str


def change(seen: RolloutView) -> Change:
    """What of a view makes it worth a line: not the times, nor every figure."""
    now = next((step.number for step in seen.steps if step.state == "now"), None)
    verdict = seen.verdict.state if seen.verdict and seen.verdict.tasks else None
    counts = seen.verdict is not None and seen.headline == seen.verdict.text
    return Change(seen.phase, now, seen.weight, verdict, "" if counts else seen.headline)


def was_promoted(seen: RolloutView) -> bool:
    """Whether the last upgrade ended well."""
    return seen.last_outcome is not None and seen.last_outcome.type is OutcomeType.PROMOTED


def numbered(items: Iterable[Manifest]) -> dict[int, str]:
    """The kept revisions' hashes by their numbers."""
    found = ((each.get("revision"), label_of(each, names.REVISION)) for each in items)
    return {int(number): revision for number, revision in found if number and revision}
