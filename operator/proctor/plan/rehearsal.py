"""Trials of a candidate without live tasks: which batch the gateway is to run, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from proctor.api import digest, names
from proctor.api.agent import Agent, Eval
from proctor.api.progress import ExamStatus, ReplayStatus, Test
from proctor.delivery import exam
from proctor.delivery.evidence.replay import Pair, Run, replayed
from proctor.delivery.exam import CaseReport, Report, Required, Suite, SuiteError
from proctor.delivery.facts import Result, Trial
from proctor.delivery.phases import Examining, Mirroring, Place, Replaying, Rollout, Upgrade
from proctor.plan.children import owned_by
from proctor.plan.judged import as_e
from proctor.plan.said import Batch, Judgements, NoAnswer, TrialItem, Trials
from proctor.plan.world import Manifest

_MOST_AT_ONCE = 8
_SHORTEST = 16


@dataclass(frozen=True)
class Rehearsed:
    """What came of the trials of a step so far."""

    trial: Trial | None = None
    """None while nothing is known of them."""
    exams: tuple[ExamStatus, ...] = ()
    replay: ReplayStatus | None = None
    reports: tuple[tuple[str, Report], ...] = ()
    """Of an exam that is over: by the name of the suite."""


def batch_of(agent: Agent, rollout: Rollout | None, suites: Mapping[str, Manifest | None]) -> Batch | None:
    """The trials that the step needs; None if it needs none, or if what they are made of is missing."""
    match rollout:
        case Examining(place=place):
            return _exam_batch(agent, place, suites)
        case Replaying(place=place):
            step = _step_of(agent, place)
            if step is None or step.replay is None:
                return None
            revisions = [place.upgrade.stable, place.upgrade.candidate]
            return _named("replay", place, {"purpose": "Replay", "revisions": revisions, "tasks": step.replay.tasks})
        case _:
            return None


def rehearsed(
    agent: Agent,
    rollout: Rollout | None,
    suites: Mapping[str, Manifest | None],
    said: Trials | NoAnswer | None,
    baseline: Manifest | None,
    judgements: Judgements | NoAnswer | None = None,
) -> Rehearsed:
    """What the trials of the step have come to."""
    match rollout:
        case Examining():
            needed = questions(rollout, suites, said)
            if needed and not isinstance(judgements, dict):
                # Without the judges' word nothing is passed, and nothing is failed.
                return Rehearsed(None, tuple(_waiting(each, None) for each in agent.spec.evals))
            words = judgements if isinstance(judgements, dict) else {}
            return _examined(agent, suites, said, baseline, words)
        case Replaying(place=place):
            return _replayed(agent, place.upgrade, said)
        case Mirroring(place=place):
            return _mirrored(agent, place, said)
        case _:
            return Rehearsed()


def batch_to_read(agent: Agent, rollout: Rollout | None, suites: Mapping[str, Manifest | None]) -> str | None:
    """The name of the batch of which the gateway is asked; None if it has nothing to say about the step.

    A mirror's batch is the gateway's own: it begins when the status says which share of the tasks is copied.
    """
    if isinstance(rollout, Mirroring):
        return f"mirror-{rollout.place.upgrade.id}"
    batch = batch_of(agent, rollout, suites)
    return batch.name if batch else None


def questions(
    rollout: Rollout | None, suites: Mapping[str, Manifest | None], said: Trials | NoAnswer | None
) -> tuple[tuple[str, exam.Question], ...]:
    """What judging models are to be asked about an exam that is over, each with the name of its suite."""
    if not isinstance(rollout, Examining) or not isinstance(said, Trials) or not said.done:
        return ()
    return tuple(
        (name, asked)
        for name, suite in sorted(_read(suites).items())
        if isinstance(suite, Suite)
        for asked in exam.questions(suite, _of_suite(name, said.items))
    )


def make_baseline(agent: Agent, upgrade: Upgrade, reports: Iterable[tuple[str, Report]]) -> Manifest:
    """The ConfigMap of what a revision did in its exam: the next one is compared with it."""
    metadata = agent.metadata
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name_of_baseline(agent, upgrade.candidate),
            "namespace": metadata.namespace,
            "labels": {**names.revision_labels(metadata.name, upgrade.candidate), names.MEASURED: "baseline"},
            "ownerReferences": [owned_by(agent)],
        },
        "data": {name: json.dumps(_kept(report), separators=(",", ":")) for name, report in sorted(reports)},
    }


def name_of_baseline(agent: Agent, revision: str) -> str:
    """The name of the ConfigMap of a revision's exam."""
    return names.of_record(agent.metadata.name, "baseline", revision)


def _exam_batch(agent: Agent, place: Place, suites: Mapping[str, Manifest | None]) -> Batch | None:
    trials = [
        {"key": f"{name}/{trial.key}", "input": trial.input}
        for name, suite in sorted(_read(suites).items())
        if isinstance(suite, Suite)
        for trial in exam.trials(suite)
    ]
    if not trials:
        return None
    limits = agent.spec.limits
    body = {
        "purpose": "Evals",
        "revision": place.upgrade.candidate,
        "timeoutSeconds": int(limits.timeout.total_seconds()),
        "concurrency": min(_MOST_AT_ONCE, agent.spec.runtime.concurrency),
        "trials": trials,
    }
    return _named("exam", place, body)


def _named(kind: str, place: Place, body: dict[str, Any]) -> Batch:
    # The name says what is asked: a suite that is edited meanwhile is another batch, never a conflict.
    content = [place.upgrade.id, place.step, int(place.since.timestamp()), body]
    return Batch(f"{kind}-{digest.short(content, _SHORTEST)}", body)


def _step_of(agent: Agent, place: Place) -> Any:
    steps = agent.spec.rollout.steps
    return steps[place.step] if place.step < len(steps) else None


def _read(suites: Mapping[str, Manifest | None]) -> dict[str, Suite | str]:
    """Each suite, or why it cannot be read."""
    read: dict[str, Suite | str] = {}
    for name, found in suites.items():
        if found is None:
            read[name] = "its ConfigMap does not exist"
            continue
        try:
            read[name] = exam.parse(exam.text_of(found.get("data") or {}))
        except SuiteError as exc:
            read[name] = str(exc)
    return read


def _examined(
    agent: Agent,
    suites: Mapping[str, Manifest | None],
    said: Trials | NoAnswer | None,
    baseline: Manifest | None,
    judgements: Judgements,
) -> Rehearsed:
    read = _read(suites)
    evals = [each for each in agent.spec.evals if each.name in read]
    missing = {each.name: read[each.name] for each in evals if isinstance(read[each.name], str)}
    if any(each.required and each.name in missing for each in evals) or not isinstance(said, Trials):
        # What is needed for the exam is not there yet: that is no answer, and so neither passed nor failed.
        return Rehearsed(None, tuple(_waiting(each, missing.get(each.name)) for each in evals))
    items = said.items
    reports = {each.name: _report(each.name, read[each.name], items, judgements) for each in evals}
    before = _baseline(baseline)
    exams = tuple(_exam_status(each, reports[each.name], missing.get(each.name), before, said) for each in evals)
    if not said.done:
        return Rehearsed(Trial(Result.RUNNING), exams)
    asked = [
        Required(each.name, each.min_pass, each.required, reports[each.name], _text(missing.get(each.name)))
        for each in evals
    ]
    over = exam.examined(asked)
    kept = tuple((name, report) for name, report in reports.items() if report is not None)
    return Rehearsed(Trial(Result.PASSED if over.is_passed else Result.FAILED, over.message), exams, None, kept)


def _report(name: str, suite: Suite | str, items: Iterable[TrialItem], judgements: Judgements) -> Report | None:
    if isinstance(suite, str):
        return None
    words = {(key, check): exam.judgement(text) for (of, key, check), text in judgements.items() if of == name}
    return exam.grade(suite, _of_suite(name, items), words)


def _of_suite(name: str, items: Iterable[TrialItem]) -> list[TrialItem]:
    """The trials of one suite that have ended, by the names that it gives them."""
    prefix = f"{name}/"
    mine = (each for each in items if each.key.startswith(prefix) and each.phase in _ENDED)
    return [each.model_copy(update={"key": each.key.removeprefix(prefix)}) for each in mine]


_NOT_AS_IT_WAS = {"Unanswered", "RevisionUnknown", "Cancelled"}
"""Why a run says nothing of the revision: it was not the task that it was meant to be."""
_ENDED = {"Succeeded", "Failed", "Cancelled", "Indeterminate"}


def _waiting(each: Eval, problem: Suite | str | None) -> ExamStatus:
    return ExamStatus(name=each.name, state="Unknown" if problem else "Running", message=_text(problem))


def _text(problem: Suite | str | None) -> str | None:
    return problem if isinstance(problem, str) else None


def _exam_status(
    each: Eval, report: Report | None, problem: Suite | str | None, before: Mapping[str, Report], said: Trials
) -> ExamStatus:
    if report is None:
        return ExamStatus(name=each.name, state="Unknown", message=_text(problem))
    comparison = exam.compare(report, before[each.name]) if each.name in before else None
    state = "Running"
    if said.done:
        state = "Passed" if report.is_passed(each.min_pass) else "Failed"
    told = report.words(each.min_pass) if said.done else None
    compared = f"{told}; {comparison.words}" if told and comparison else told
    return ExamStatus(
        name=each.name,
        state=state,
        passed=report.passed,
        cases=len(report.cases),
        baseline=f"{comparison.before:.3g}" if comparison else None,
        message=compared,
    )


def _replayed(agent: Agent, upgrade: Upgrade, said: Trials | NoAnswer | None) -> Rehearsed:
    if not isinstance(said, Trials):
        return Rehearsed()
    return _compared(agent, upgrade, said, is_over=said.done, least=1)


def _mirrored(agent: Agent, place: Place, said: Trials | NoAnswer | None) -> Rehearsed:
    """Copies come for as long as the step lasts; it is over when enough of them have ended."""
    step = _step_of(agent, place)
    if isinstance(said, NoAnswer) and said.is_missing:
        said = Trials(batch="", purpose="Mirror")
    if not isinstance(said, Trials) or step is None or step.mirror is None:
        return Rehearsed()
    least = step.mirror.min_tasks
    return _compared(agent, place.upgrade, said, is_over=len(_pairs(place.upgrade, said)[0]) >= least, least=least)


def _compared(agent: Agent, upgrade: Upgrade, said: Trials, *, is_over: bool, least: int) -> Rehearsed:
    alpha = float(agent.spec.rollout.analysis.alpha)
    pairs, unusable = _pairs(upgrade, said)
    replay = replayed(pairs, _EARLY)
    words = replay.words(alpha) + (f"; {unusable} pairs were of no use" if unusable else "")
    result = Result.RUNNING
    if replay.is_worse(alpha):
        result = Result.FAILED
    elif is_over:
        result = Result.PASSED if replay.pairs >= least else Result.UNDECIDED
    status = ReplayStatus(
        state=str(result),
        pairs=replay.pairs,
        unusable=unusable,
        candidate_only=replay.candidate_only,
        stable_only=replay.stable_only,
        test=Test(e=as_e(replay.peak), threshold=f"{1 / alpha:.3g}"),
    )
    return Rehearsed(Trial(result, words), (), status)


_EARLY = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
"""Stands for the end of a run that has ended: it keeps to its own timeout, so its lateness is in its phase."""


def _pairs(upgrade: Upgrade, said: Trials) -> tuple[list[Pair], int]:
    """The pairs in the order in which they were begun, up to the first that is under way; and how many are of no use.

    What has ended is not counted before an earlier pair that has not: where stable fails slowly and the candidate fast,
    the pairs that end first are those that speak against the candidate.
    """
    halves: dict[str, dict[str, TrialItem]] = {}
    for each in said.items:
        halves.setdefault(each.key, {}).setdefault(each.revision, each)
    # A mirror's batch says that it is done whenever it is asked: copies go on coming.
    pairs, unusable, is_over = [], 0, said.done and said.purpose != "Mirror"
    for found in halves.values():
        both = [found.get(revision) for revision in (upgrade.stable, upgrade.candidate)]
        ended = [each for each in both if each is not None and each.phase in _ENDED]
        if len(ended) != len(both):
            if None not in both and not is_over:
                break
            unusable += is_over
        elif any(each.unanswered or each.reason in _NOT_AS_IT_WAS for each in ended):
            unusable += 1
        else:
            stable, candidate = (Run(each.phase != "Succeeded", _EARLY, _EARLY) for each in ended)
            pairs.append(Pair(stable, candidate))
    return pairs, unusable


def _kept(report: Report) -> dict[str, Any]:
    cases = [[each.name, each.repeats, each.passed, each.ran] for each in report.cases]
    return {"suite": report.suite, "digest": report.digest, "cases": cases}


def _baseline(kept: Manifest | None) -> dict[str, Report]:
    found: dict[str, Report] = {}
    for name, text in ((kept or {}).get("data") or {}).items():
        data = json.loads(text)
        cases = tuple(CaseReport(str(a), int(b), int(c), int(d)) for a, b, c, d in data["cases"])
        found[name] = Report(data["suite"], data["digest"], cases)
    return found
