"""Trials of a candidate by tasks of others: which batch the gateway is to run, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from math import log
from typing import Any

from proctor.api.agent import Agent
from proctor.api.objectives import IndicatorType
from proctor.api.progress import ReplayStatus, Test
from proctor.delivery.evidence.figures import written
from proctor.delivery.evidence.replay import Pair, Run, replayed
from proctor.delivery.facts import Result, Trial
from proctor.delivery.phases import Mirroring, Place, Replaying, Rollout, Upgrade
from proctor.plan.comparison import Ledger
from proctor.plan.examination import named_batch
from proctor.plan.judged import as_e
from proctor.plan.said import Batch, NoAnswer, TrialItem, Trials

_PAIRS = 200
"""Of a replay that nobody planned: enough for a margin of ten points, at the cost of four hundred runs."""
_NOT_AS_IT_WAS = {"Unanswered", "RevisionUnknown", "Cancelled"}
"""Why a run says nothing of the revision: it was not the task that it was meant to be."""


@dataclass(frozen=True)
class Rehearsed:
    """What came of the trials of a step so far."""

    trial: Trial | None = None
    """None while nothing is known of them."""
    replay: ReplayStatus | None = None


def batch_of(agent: Agent, rollout: Rollout | None) -> Batch | None:
    """The trials that the step needs; None if it needs none."""
    if not isinstance(rollout, Replaying):
        return None
    place = rollout.place
    step = _step_of(agent, place)
    tasks = step.replay.tasks if step is not None and step.replay is not None else None
    if rollout.is_about_evidence:
        tasks = _PAIRS
    if tasks is None:
        return None
    revisions = [place.upgrade.stable, place.upgrade.candidate]
    return named_batch("replay", place, {"purpose": "Replay", "revisions": revisions, "tasks": tasks})


def rehearsed(
    agent: Agent, rollout: Rollout | None, said: Trials | NoAnswer | None, ledger: Ledger | None = None
) -> Rehearsed:
    """What the trials of the step have come to; `ledger` is what live tasks have left open."""
    match rollout:
        case Replaying(place=place, is_about_evidence=True):
            return _decided(agent, place.upgrade, said, ledger)
        case Replaying(place=place):
            return _replayed(agent, place.upgrade, said)
        case Mirroring(place=place):
            return _mirrored(agent, place, said)
        case _:
            return Rehearsed()


def batch_to_read(agent: Agent, rollout: Rollout | None) -> str | None:
    """The name of the batch of which the gateway is asked; None if it has nothing to say about the step.

    A mirror's batch is the gateway's own: it begins when the status says which share of the tasks is copied.
    """
    if isinstance(rollout, Mirroring):
        return f"mirror-{rollout.place.upgrade.id}"
    batch = batch_of(agent, rollout)
    return batch.name if batch else None


def _step_of(agent: Agent, place: Place) -> Any:
    steps = agent.spec.rollout.steps
    return steps[place.step] if place.step < len(steps) else None


def _replayed(agent: Agent, upgrade: Upgrade, said: Trials | NoAnswer | None) -> Rehearsed:
    if not isinstance(said, Trials):
        return Rehearsed()
    return _compared(agent, upgrade, said, is_over=said.done, least=1)


def _decided(agent: Agent, upgrade: Upgrade, said: Trials | NoAnswer | None, ledger: Ledger | None) -> Rehearsed:
    """A replay that stands in for live tasks: it passes only if the candidate is shown to be no worse by the margin.

    A pair tells whether a task succeeded, and nothing else: its tools are answered from a record, at once.
    """
    if not isinstance(said, Trials) or ledger is None:
        return Rehearsed()
    found = _compared(agent, upgrade, said, is_over=said.done, least=1)
    if found.trial is None or found.trial.result is not Result.PASSED:
        return found
    beta = float(agent.spec.rollout.analysis.beta)
    open_ = [each for each in ledger.measures if ledger.capital.accounts[each.name].log_noninferior < -log(beta)]
    mute = [each.name for each in open_ if each.indicator.type is not IndicatorType.TASK_SUCCESS]
    margin = float(min((each.margin for each in open_), default=Decimal("0.5")))
    pairs = replayed(_pairs(upgrade, said)[0], _EARLY)
    evidence = pairs.log_no_worse(margin)
    words = f"{found.trial.message}; no worse by {margin:g}: evidence {written(evidence)} of {1 / beta:g}"
    if mute:
        words = f"{words}; a replay says nothing of {', '.join(mute)}"
    is_shown = evidence >= -log(beta) and not mute
    return replace(found, trial=Trial(Result.PASSED if is_shown else Result.UNDECIDED, words))


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
    return Rehearsed(Trial(result, words), status)


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
        ended = [each for each in both if each is not None and each.has_ended]
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
