"""The exam of a candidate: which revision is asked what, what came of it, and how that stands beside what serves.

The candidate is asked first. The stable revision is asked only where that makes a difference: when nothing is known of
it on this version of a suite, or when what is known would refuse the candidate. A kept result may have been a lucky
one, for a revision became stable by it, and a model behind it may have changed since: nobody is refused by that alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from proctor.api import digest
from proctor.api.agent import Agent, Eval
from proctor.api.progress import ExamStatus
from proctor.delivery import exam
from proctor.delivery.decision import Outcome
from proctor.delivery.exam import Report, Required, Suite, SuiteError
from proctor.delivery.exam.comparison import named
from proctor.delivery.facts import Result, Trial
from proctor.delivery.phases import Place
from proctor.plan.baseline import Kept, Marks, kept_of, name_of_baseline
from proctor.plan.said import Batch, Sitting, TrialItem, Trials
from proctor.plan.world import Manifest

_MOST_AT_ONCE = 8
_MOST_BESIDE_LIVE = 2
"""The stable revision has live tasks to do, too."""
_SHORTEST = 16
_MOST_REGRESSED = 16
_NOT_AS_ASKED = {"RevisionUnknown", "Cancelled"}
"""Why a run says nothing of the stable revision: nobody answered."""


@dataclass(frozen=True)
class Seat:
    """One revision at the exam."""

    revision: str
    batch: Batch | None
    """What it is asked; None if no suite can be read."""
    suites: frozenset[str]
    kept: Mapping[str, Kept]
    said: Sitting

    @property
    def open_batch(self) -> str | None:
        """The batch of which the gateway is to be asked; None if what came of it is kept already."""
        return self.batch.name if self.batch and not self.results else None

    @property
    def results(self) -> dict[str, Report]:
        """What is kept of this very sitting."""
        name = self.batch.name if self.batch else None
        return {suite: each.report for suite, each in self.kept.items() if each.batch == name}


@dataclass(frozen=True)
class Examined:
    """What came of the exam so far, and what is to be done for it."""

    trial: Trial | None = None
    """None while nothing is known."""
    exams: tuple[ExamStatus, ...] = ()
    results: tuple[Marks, ...] = ()
    begins: tuple[Batch, ...] = ()
    """Trials that the gateway does not know of yet."""


@dataclass(frozen=True)
class Examination:
    """One exam, by what is known of it."""

    agent: Agent
    place: Place
    suites: Mapping[str, Manifest | None]
    owned: tuple[Manifest, ...] = ()
    """Objects of the agent: among them what its revisions did before."""
    of_candidate: Sitting = field(default_factory=Sitting)
    of_stable: Sitting = field(default_factory=Sitting)

    @cached_property
    def read(self) -> dict[str, Suite | str]:
        """Each suite, or why it cannot be read."""
        return {name: _parsed(found) for name, found in self.suites.items()}

    @cached_property
    def evals(self) -> tuple[Eval, ...]:
        """What the spec names."""
        return tuple(each for each in self.agent.spec.evals if each.name in self.read)

    @cached_property
    def candidate(self) -> Seat:
        """The candidate takes every suite."""
        return self._seat(self.place.upgrade.candidate, self.read, _MOST_AT_ONCE, self.of_candidate)

    @cached_property
    def stable(self) -> Seat:
        """The stable revision takes what it is compared by."""
        compared = {each.name for each in self.evals if each.required and each.max_regression < 1}
        suites = {name: suite for name, suite in self.read.items() if name in compared}
        return self._seat(self.place.upgrade.stable, suites, _MOST_BESIDE_LIVE, _answered(self.of_stable))

    def _seat(self, revision: str, suites: Mapping[str, Suite | str], most: int, said: Sitting) -> Seat:
        name = name_of_baseline(self.agent, revision)
        kept = next((each for each in self.owned if _is_config(each, name)), None)
        batch = _batch(self.agent, self.place, revision, suites, most)
        return Seat(revision, batch, frozenset(suites), kept_of(kept), said)

    def results(self, seat: Seat) -> dict[str, Report] | None:
        """Of all its suites; None while they are not known."""
        if seat.batch is None:
            return None
        if seat.results:
            return seat.results
        said = seat.said
        if not isinstance(said.trials, Trials) or not said.trials.done:
            return None
        if self.questions(said.trials) and not isinstance(said.judgements, dict):
            # Without the judges' word nothing is passed, and nothing is failed.
            return None
        return self.graded(seat)

    def graded(self, seat: Seat) -> dict[str, Report]:
        """What the answers that there are come to."""
        said = seat.said
        items = said.trials.items if isinstance(said.trials, Trials) else ()
        words = said.judgements if isinstance(said.judgements, dict) else {}
        found = {}
        for name, suite in self.read.items():
            if isinstance(suite, Suite) and name in seat.suites:
                own = {(key, check): exam.judgement(text) for (of, key, check), text in words.items() if of == name}
                found[name] = exam.grade(suite, _of_suite(name, items), own)
        return found

    def questions(self, said: Trials) -> tuple[tuple[str, exam.Question], ...]:
        """What judging models are to be asked about trials that are over, each with the name of its suite."""
        if not said.done:
            return ()
        return tuple(
            (name, asked)
            for name, suite in sorted(self.read.items())
            if isinstance(suite, Suite)
            for asked in exam.questions(suite, _of_suite(name, said.items))
        )

    def asked(self, reports: Mapping[str, Report], baselines: Mapping[str, Report]) -> tuple[Required, ...]:
        """What is demanded of the candidate, with what it did and what stable did."""
        alpha = float(self.agent.spec.rollout.analysis.alpha)
        return tuple(
            Required(
                each.name,
                each.min_pass,
                each.required,
                reports.get(each.name),
                self.problem(each),
                baselines.get(each.name),
                each.max_regression,
                alpha,
            )
            for each in self.evals
        )

    def problem(self, each: Eval) -> str | None:
        """Why the suite cannot be read, if so."""
        found = self.read[each.name]
        return found if isinstance(found, str) else None

    @property
    def baselines(self) -> dict[str, Report]:
        """What is kept of the stable revision, of whichever sitting."""
        return {name: each.report for name, each in self.stable.kept.items()}

    @property
    def needs_stable(self) -> bool:
        """Whether the stable revision is to be asked, too: the candidate's own answers are well, and that decides."""
        reports = self.results(self.candidate)
        if reports is None or self.stable.batch is None or self.stable.results:
            return False
        asked = self.asked(reports, self.baselines)
        if not all(each.reaches for each in asked if each.is_required):
            return False
        return any(each.is_compared and (each.comparison is None or each.is_worse) for each in asked)


def examined(examination: Examination, *, is_stable_away: bool) -> Examined:
    """What the exam has come to."""
    it = examination
    begins = _unknown(it.candidate)
    if any(each.required and it.problem(each) for each in it.evals):
        # What is needed for the exam is not there yet: that is no answer, and so neither passed nor failed.
        return Examined(None, tuple(_waiting(each, it.problem(each)) for each in it.evals), begins=begins)
    reports = it.results(it.candidate)
    if reports is None:
        return replace(_under_way(it), begins=begins)
    own = _to_keep(it.candidate, reports)
    if not it.needs_stable:
        return _over(it, it.asked(reports, it.baselines), own, None)
    if is_stable_away:
        return _over(it, it.asked(reports, {}), own, "it has no ready pod")
    fresh = it.results(it.stable)
    if fresh is None:
        waiting = "reached minPass; the stable revision is asked the same, to compare them"
        exams = (_status(each, Result.RUNNING, None) for each in it.asked(reports, it.baselines))
        told = tuple(each.model_copy(update={"message": waiting}) for each in exams)
        return Examined(Trial(Result.RUNNING, waiting), told, own, _unknown(it.stable))
    whole = {name: report for name, report in fresh.items() if report.is_complete}
    # Of what it was asked now, nothing older counts.
    baselines = {name: each for name, each in it.baselines.items() if name not in fresh} | whole
    marks = (*own, *_to_keep(it.stable, whole))
    return _over(it, it.asked(reports, baselines), marks, "its own exam did not run whole")


def _over(it: Examination, asked: tuple[Required, ...], results: tuple[Marks, ...], uncompared: str | None) -> Examined:
    over = exam.examined(asked)
    states = {True: Result.PASSED, False: Result.FAILED}
    exams = tuple(_status(each, states[each.reaches and not each.is_worse], uncompared) for each in asked)
    told = tuple(_told(asked, it.place.upgrade.candidate, uncompared))
    return Examined(Trial(states[over.is_passed], over.message, told), exams, results)


def _told(asked: tuple[Required, ...], candidate: str, uncompared: str | None) -> Iterable[Outcome]:
    for each in asked:
        comparison = each.comparison if each.is_required else None
        if comparison is not None and comparison.broken:
            lost = f"{candidate} no longer passes {named(comparison.broken)} of {each.name}, which stable does"
            told = f"{lost}; {comparison.verdict(each.margin, each.alpha)}"
            yield Outcome("ExamRegressed", told, is_warning=True)
    alone = ", ".join(each.name for each in asked if each.is_compared and each.comparison is None)
    if uncompared is not None and alone:
        words = f"{candidate} is not compared with the stable revision in {alone}: {uncompared}"
        yield Outcome("ExamNotCompared", words, is_warning=True)


def _under_way(it: Examination) -> Examined:
    """As far as it is: what has been answered counts, what has not is open."""
    said = it.candidate.said
    if not isinstance(said.trials, Trials) or said.trials.done:
        return Examined(None, tuple(_waiting(each, it.problem(each)) for each in it.evals))
    asked = it.asked(it.graded(it.candidate), it.baselines)
    return Examined(Trial(Result.RUNNING), tuple(_status(each, Result.RUNNING, None) for each in asked))


def _waiting(each: Eval, problem: str | None) -> ExamStatus:
    return ExamStatus(name=each.name, state="Unknown" if problem else "Running", message=problem)


def _status(each: Required, result: Result, uncompared: str | None) -> ExamStatus:
    if each.report is None:
        return ExamStatus(name=each.name, state="Unknown", message=each.problem)
    comparison, is_over = each.comparison, result is not Result.RUNNING
    absent = f"; not compared with stable: {uncompared}" if uncompared and each.is_compared and not comparison else ""
    return ExamStatus(
        name=each.name,
        state=str(result),
        passed=each.report.passed,
        cases=len(each.report.cases),
        baseline=f"{comparison.before:.3g}" if comparison else None,
        regressed=comparison.broken[:_MOST_REGRESSED] if comparison else (),
        chance=f"{comparison.chance:.3g}" if comparison else None,
        message=f"{each.words}{absent}" if is_over else None,
    )


def _batch(agent: Agent, place: Place, revision: str, suites: Mapping[str, Suite | str], most: int) -> Batch | None:
    trials = [
        {"key": f"{name}/{trial.key}", "input": trial.input}
        for name, suite in sorted(suites.items())
        if isinstance(suite, Suite)
        for trial in exam.trials(suite)
    ]
    if not trials:
        return None
    body = {
        "purpose": "Evals",
        "revision": revision,
        "timeoutSeconds": int(agent.spec.limits.timeout.total_seconds()),
        "concurrency": min(most, agent.spec.runtime.concurrency),
        "trials": trials,
    }
    return named_batch("exam", place, body)


def named_batch(kind: str, place: Place, body: dict[str, Any]) -> Batch:
    """A batch of the step. The name says what is asked: what is edited meanwhile is another batch, never a conflict."""
    content = [place.upgrade.id, place.step, int(place.since.timestamp()), body]
    return Batch(f"{kind}-{digest.short(content, _SHORTEST)}", body)


def _unknown(seat: Seat) -> tuple[Batch, ...]:
    return (seat.batch,) if seat.batch and seat.said.is_unknown else ()


def _to_keep(seat: Seat, reports: Mapping[str, Report]) -> tuple[Marks, ...]:
    return (Marks(seat.revision, seat.batch.name, reports),) if seat.batch and reports and not seat.results else ()


def _parsed(found: Manifest | None) -> Suite | str:
    if found is None:
        return "its ConfigMap does not exist"
    try:
        return exam.parse(exam.text_of(found.get("data") or {}))
    except SuiteError as exc:
        return str(exc)


def _of_suite(name: str, items: Iterable[TrialItem]) -> list[TrialItem]:
    """The trials of one suite that have ended, by the names that it gives them."""
    prefix = f"{name}/"
    mine = (each for each in items if each.key.startswith(prefix) and each.has_ended)
    return [each.model_copy(update={"key": each.key.removeprefix(prefix)}) for each in mine]


def _answered(said: Sitting) -> Sitting:
    """Without the runs that nobody answered: they say nothing of the revision."""
    if not isinstance(said.trials, Trials):
        return said
    items = tuple(each for each in said.trials.items if each.reason not in _NOT_AS_ASKED)
    return replace(said, trials=said.trials.model_copy(update={"items": items}))


def _is_config(found: Manifest, name: str) -> bool:
    return bool(found["kind"] == "ConfigMap" and found["metadata"]["name"] == name)
