"""What is known of an upgrade: the pods, what the gateway said, what people answered. And what is to be asked next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from proctor.api.agent import Agent
from proctor.delivery import facts, phases
from proctor.delivery.evidence.record import UnreadableError
from proctor.delivery.facts import Evidence
from proctor.delivery.phases import (
    Aborting,
    AwaitingApproval,
    Examining,
    Mirroring,
    Replaying,
    Rollout,
    Starting,
    Upgrade,
    Watching,
)
from proctor.plan import baseline, comparison, evidence, examination, question, rehearsal, route
from proctor.plan.comparison import Ledger
from proctor.plan.examination import Examination, Examined
from proctor.plan.progress import rollout_of
from proctor.plan.rehearsal import Rehearsed
from proctor.plan.said import Batch, Finished, NoAnswer, Outcomes, Traffic, Watched
from proctor.plan.vigil import Vigil, vigil_of, watched
from proctor.plan.vigil import kept as keep
from proctor.plan.world import Manifest, World

POLL = timedelta(seconds=2)
"""Between two looks at an upgrade that is under way."""

_WATCH_POLL = timedelta(seconds=30)
NOT_ASKED = "the gateway has not been asked yet"


@dataclass(frozen=True)
class Questions:
    """What has to be asked of the gateway before an agent can be planned; nothing while no upgrade is under way."""

    outcomes: tuple[str, int] | None = None
    """The id of the upgrade, and the last assignment that is known."""
    traffic: bool = False
    finished: Watched | None = None
    """Of a promoted revision that is watched: its tasks."""
    suites: tuple[tuple[str, str], ...] = ()
    """Of an exam: each suite's name and its ConfigMap."""


def questions(agent: Agent, owned: tuple[Manifest, ...]) -> Questions:
    """What to ask, by where the status says that the upgrade is."""
    rollout = rollout_of(agent.status)
    if rollout is None or isinstance(rollout, Starting):
        return Questions()
    upgrade = phases.upgrade_of(rollout)
    if upgrade is None:
        return Questions()
    if isinstance(rollout, Aborting):
        return Questions(traffic=True)
    if isinstance(rollout, Watching):
        return Questions(finished=Watched(upgrade.candidate, rollout.since, _cursor(agent, upgrade, owned)))
    if phases.place_of(rollout) is None:
        return Questions()
    suites = tuple((each.name, each.config_map_ref.name) for each in agent.spec.evals)
    after = max(0, _watermark(agent, upgrade, owned))
    return Questions((upgrade.id, after), traffic=True, suites=suites if isinstance(rollout, Examining) else ())


def _watermark(agent: Agent, upgrade: Upgrade, owned: tuple[Manifest, ...]) -> int:
    try:
        return comparison.ledger_of(_record(agent, upgrade, owned), upgrade, agent.spec).capital.watermark
    except UnreadableError:
        return -1


def _cursor(agent: Agent, upgrade: Upgrade, owned: tuple[Manifest, ...]) -> str:
    vigil = _vigil(agent, upgrade, _record(agent, upgrade, owned))
    return vigil[1].cursor if vigil else ""


def _vigil(agent: Agent, upgrade: Upgrade, kept: Manifest | None) -> tuple[Ledger, Vigil] | None:
    """The watch as it was kept; None without evidence to go by, as of a revision that only went back to its place."""
    if kept is None:
        return None
    try:
        ledger = comparison.ledger_of(kept, upgrade, agent.spec)
    except UnreadableError:
        return None
    return ledger, vigil_of(kept, ledger, agent.spec)


def _record(agent: Agent, upgrade: Upgrade, owned: tuple[Manifest, ...]) -> Manifest | None:
    name = comparison.name_of_record(agent, upgrade)
    return next((each for each in owned if each["kind"] == "ConfigMap" and each["metadata"]["name"] == name), None)


@dataclass(frozen=True)
class Known:
    """All that is known of the upgrade that the status tells of."""

    evidence: Evidence
    ledger: Ledger | None = None
    record: Manifest | None = None
    """The ledger as it was read, before what the gateway said was added."""
    watch: str | None = None
    """The watch over a promoted revision, as it is to be kept."""
    rehearsed: Rehearsed = field(default_factory=Rehearsed)
    examined: Examined = field(default_factory=Examined)
    batches: tuple[Batch, ...] = ()
    """Trials that the gateway does not know of yet."""


def known_of(world: World, rollout: Rollout | None, now: datetime) -> Known:
    """The evidence about the rollout."""
    seen = evidence.gather(world)
    upgrade = phases.upgrade_of(rollout) if rollout else None
    if rollout is None or upgrade is None:
        return Known(seen)
    seen = replace(seen, traffic=_traffic(world, upgrade), outage=_outage(world))
    if isinstance(rollout, AwaitingApproval):
        seen = replace(seen, answer=question.answer_of(world, rollout, now))
    if isinstance(rollout, Watching):
        return _with_vigil(world, upgrade, seen)
    known = _with_ledger(world, rollout, upgrade, seen)
    return _with_trials(world, rollout, upgrade, known)


def _with_vigil(world: World, upgrade: Upgrade, seen: Evidence) -> Known:
    kept = _record(world.agent, upgrade, world.children)
    begun = _vigil(world.agent, upgrade, kept)
    if begun is None:
        return Known(seen)
    ledger, vigil = begun
    if isinstance(world.heard.finished, Finished):
        vigil = watched(vigil, world.heard.finished)
    run_length = world.agent.spec.rollout.rollback.watch.run_length
    return Known(replace(seen, alarm=vigil.alarm(run_length)), ledger, kept, keep(vigil))


def examination_of(
    agent: Agent, rollout: Rollout | None, suites: Mapping[str, Manifest | None], owned: tuple[Manifest, ...]
) -> Examination | None:
    """The exam that is under way, before anything was heard of it."""
    return Examination(agent, rollout.place, suites, owned) if isinstance(rollout, Examining) else None


def _with_trials(world: World, rollout: Rollout, upgrade: Upgrade, known: Known) -> Known:
    taken = examination_of(world.agent, rollout, world.suites, world.children)
    if taken is not None:
        heard = replace(taken, of_candidate=world.heard.exam, of_stable=world.heard.baseline)
        found = examination.examined(heard, is_stable_away=known.evidence.is_away(upgrade.stable))
        seen = replace(known.evidence, exam=found.trial)
        return replace(known, evidence=seen, examined=found, batches=found.begins)
    said = world.heard.trials
    batch = rehearsal.batch_of(world.agent, rollout)
    again = rehearsal.rehearsed(world.agent, rollout, said, known.ledger)
    is_unknown = isinstance(said, NoAnswer) and said.is_missing
    seen = replace(
        known.evidence,
        replay=again.trial if isinstance(rollout, Replaying) else None,
        mirror=again.trial if isinstance(rollout, Mirroring) else None,
    )
    return replace(known, evidence=seen, rehearsed=again, batches=(batch,) if batch and is_unknown else ())


def _with_ledger(world: World, rollout: Rollout, upgrade: Upgrade, seen: Evidence) -> Known:
    # While the candidate is started, too: what a retry goes on with counts from its first step on.
    if phases.place_of(rollout) is None and not isinstance(rollout, Starting):
        return Known(seen)
    kept = _record(world.agent, upgrade, world.children)
    try:
        ledger = comparison.ledger_of(kept, upgrade, world.agent.spec)
    except UnreadableError as exc:
        return Known(replace(seen, outage=str(exc)))
    if isinstance(world.heard.outcomes, Outcomes):
        ledger = comparison.added(ledger, world.heard.outcomes, world.agent.spec)
    return Known(replace(seen, capital=ledger.capital), ledger, kept)


def _traffic(world: World, upgrade: Upgrade) -> facts.Traffic | None:
    said = world.heard.traffic
    if not isinstance(said, Traffic):
        return None
    is_seen = said.rollout == upgrade.id
    # A revision that was promoted and is taken back is withdrawn when all know that another one is stable.
    is_stable = said.stable == upgrade.stable
    begun = said.begun.get(upgrade.candidate, 0) if is_seen else 0
    return facts.Traffic(
        is_withdrawn=said.agreed and is_seen and is_stable and said.weight == 0 and route.is_withdrawn(world),
        in_flight=said.in_flight.get(upgrade.candidate, 0),
        begun=begun,
    )


def _outage(world: World) -> str | None:
    silence = world.heard.silence
    if silence is not None:
        return silence.reason
    is_heard = isinstance(world.heard.outcomes, Outcomes) or isinstance(world.heard.finished, Finished)
    return None if is_heard else NOT_ASKED


def make_records(world: World, rollout: Rollout, known: Known) -> tuple[Manifest, ...]:
    """What was measured, to be written before anything that rests on it; nothing that is as it was read."""
    upgrade = phases.upgrade_of(rollout)
    if upgrade is None or (phases.place_of(rollout) is None and not isinstance(rollout, Watching)):
        return ()
    made = []
    if known.ledger is not None:
        record = comparison.make_record(world.agent, upgrade, known.ledger, known.record, known.watch)
        made.append((record, known.record))
    for marks in known.examined.results:
        old = world.child("ConfigMap", baseline.name_of_baseline(world.agent, marks.revision))
        made.append((baseline.make_baseline(world.agent, marks, old), old))
    return tuple(new for new, old in made if old is None or old.get("data") != new["data"])


def replicas_of(rollout: Rollout, revision: str, replicas: int, weight: int, there: int | None) -> int:
    """Pods of a revision that is live; `there` is how many it has been given so far.

    Of a candidate one is enough to compare, and its share of the traffic needs its share of the pods. One that is about
    to be stable has all of them before it is. It keeps what it has, whatever its weight becomes: they may have tasks.
    """
    if revision != phases.candidate_of(rollout):
        return replicas
    match rollout:
        case phases.Initial() | phases.Progressing() | phases.Promoting() | phases.Reverting():
            return replicas
        case Aborting():
            return min(replicas, there or 1)
        case _:
            return min(replicas, max(there or 1, -(-replicas * weight // 100)))


def is_followed(rollout: Rollout) -> bool:
    """Whether the gateway has something to say about the rollout that nothing else would wake us for."""
    return phases.place_of(rollout) is not None or isinstance(rollout, Aborting)


def look_after(rollout: Rollout) -> timedelta | None:
    """After how long the gateway is to be asked again; None while it has nothing to say about the rollout."""
    if is_followed(rollout):
        return POLL
    return min(_WATCH_POLL, (rollout.until - rollout.since) / 4) if isinstance(rollout, Watching) else None
