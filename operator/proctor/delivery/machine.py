"""The rollout machine: which revision serves, which is tried, which is refused.

`decide` is the whole of it: a pure function of what is wanted, where the rollout is, what was seen, and the time.
Without steps a revision becomes stable by the readiness of all its pods; with steps, by passing each of them. The
stable revision serves until then, and a revision that was refused stays refused until something else is wanted.
"""

from __future__ import annotations

from datetime import datetime

from proctor.delivery import starting
from proctor.delivery.commands import obeyed
from proctor.delivery.decision import Decision
from proctor.delivery.facts import Command, Evidence, Wanted
from proctor.delivery.phases import (
    Aborting,
    Failed,
    Initial,
    Progressing,
    Reverting,
    Rollout,
    Settled,
    Starting,
    Watching,
)
from proctor.delivery.stepping import mirror_of, stepped, weight_of
from proctor.delivery.withdrawal import aborting, reverting, watching

_LONGEST_WAY = 100
"""More turns than an upgrade can have: each of its steps, and what comes before and after them."""


def decide(
    wanted: Wanted, rollout: Rollout | None, evidence: Evidence, now: datetime, command: Command | None = None
) -> Decision:
    """Where the rollout goes from here. Level-triggered: the same facts give the same answer, however often asked.

    Only a command is an edge: it is given once, and the caller records that it was.
    """
    if command is not None and rollout is not None:
        decision = obeyed(command, rollout, wanted, evidence, now)
    else:
        decision = _next(wanted, rollout, evidence, now)
    further = _next(wanted, decision.rollout, evidence, now)
    # As far as these facts lead: what is ready already will not change any more, so nothing would wake us for it.
    # A way that leads round in a circle is a bug; it must not stop the operator for all other agents.
    for _ in range(_LONGEST_WAY):
        if further.rollout == decision.rollout:
            break
        decision = decision.then(further)
        further = _next(wanted, decision.rollout, evidence, now)
    return decision.then(Decision(further.rollout, wake_at=further.wake_at))


def weight(rollout: Rollout, wanted: Wanted) -> int:
    """The share of new tasks, in percent, that begin on the candidate."""
    match rollout:
        case Initial() | Settled() | Progressing() | Starting() | Aborting() | Watching() | Reverting() | Failed():
            return 0
        case _:
            return weight_of(rollout, wanted)


def mirror(rollout: Rollout, wanted: Wanted) -> int:
    """The share of live tasks, in percent, that are copied to the candidate."""
    match rollout:
        case Initial() | Settled() | Progressing() | Starting() | Aborting() | Watching() | Reverting() | Failed():
            return 0
        case _:
            return mirror_of(rollout, wanted)


def recovered(evidence: Evidence) -> Rollout | None:
    """Where a rollout was whose record was lost, as far as it shows: what has ready pods has served."""
    serving = sorted(name for name, seen in evidence.revisions.items() if seen.ready > 0)
    return Settled(serving[0]) if serving else None


def _next(  # noqa: PLR0911 - one for each phase
    wanted: Wanted, rollout: Rollout | None, evidence: Evidence, now: datetime
) -> Decision:
    match rollout:
        case None:
            return starting.first(wanted, evidence, now)
        case Initial():
            return starting.initial(rollout, wanted, evidence, now)
        case Settled(stable=stable):
            return Decision(rollout) if wanted.revision == stable else starting.tried(stable, wanted, now)
        case Progressing():
            return starting.progressing(rollout, wanted, evidence, now)
        case Starting():
            return starting.starting(rollout, wanted, evidence, now)
        case Aborting():
            return aborting(rollout, wanted, evidence, now)
        case Watching():
            return watching(rollout, wanted, evidence, now)
        case Reverting():
            return reverting(rollout, wanted, evidence, now)
        case Failed():
            return starting.failed(rollout, wanted, evidence, now)
        case _:
            return stepped(rollout, wanted, evidence, now)
