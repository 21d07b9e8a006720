"""Where a rollout is survives the status: a restarted operator goes on exactly there."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proctor.api.agent import AgentStatus
from proctor.api.progress import OutcomeType, RevisionStatus, RolloutStatus
from proctor.api.rollout import Rollout as Rules
from proctor.delivery.facts import Wanted
from proctor.delivery.phases import (
    Aborting,
    AwaitingApproval,
    Cause,
    Collecting,
    Examining,
    Failed,
    Held,
    Initial,
    Mirroring,
    Paused,
    Place,
    Progressing,
    Promoting,
    Replaying,
    Reverting,
    Rollout,
    Settled,
    Stage,
    Starting,
    Stopped,
    Unanswered,
    Upgrade,
    Watching,
    stable_of,
)
from proctor.plan import progress
from tests.plan.examples import T0, after

STEPS = [{"weight": 10}, {"pause": {}}, {"weight": 50, "approval": {"groups": ["sre"]}}]
WANTED = Wanted("b" * 10, Rules.model_validate({"steps": STEPS}), 2)
TIMES = st.sampled_from([T0, after(minutes=3), after(days=2)])
HASHES = st.sampled_from(["a" * 10, "b" * 10, "c" * 10])
WORDS = st.sampled_from(["", "why", "a longer story: 3 of 4"])
PAIRS = st.tuples(HASHES, HASHES).filter(lambda each: each[0] != each[1])
UPGRADES = st.builds(
    lambda pair, begun, attempts: Upgrade("u-1", pair[0], pair[1], "0123456789", begun, attempts),
    PAIRS,
    TIMES,
    st.integers(0, 3),
)
PLACES = st.builds(Place, UPGRADES, st.integers(0, 3), TIMES, st.integers(0, 500))
CAUSES = st.builds(Cause, st.sampled_from(OutcomeType), st.sampled_from(["Harm", "Aborted"]), WORDS)
ROLLOUTS: st.SearchStrategy[Any] = st.one_of(
    st.builds(Initial, HASHES, st.none() | TIMES),
    st.builds(Settled, HASHES),
    st.builds(lambda pair, since: Progressing(pair[0], pair[1], since), PAIRS, st.none() | TIMES),
    st.builds(Starting, UPGRADES, st.none() | TIMES),
    *(st.builds(kind, PLACES) for kind in (Examining, Replaying, Mirroring, Collecting, Stopped, Unanswered)),
    st.builds(Paused, PLACES, st.none() | TIMES),
    st.builds(AwaitingApproval, PLACES, st.booleans()),
    st.builds(Replaying, PLACES, st.booleans()),
    st.builds(Held, PLACES, st.sampled_from(["Inconclusive", "ExposureSpent"]), WORDS),
    st.builds(Promoting, PLACES, WORDS),
    st.builds(Aborting, UPGRADES, st.sampled_from(Stage), TIMES, CAUSES),
    st.builds(Watching, UPGRADES, TIMES, TIMES, st.booleans()),
    st.builds(Reverting, UPGRADES, TIMES, CAUSES),
    st.builds(
        lambda pair, since, why, attempts: Failed(pair[0], pair[1], since, "RolledBack", why, attempts),
        PAIRS,
        TIMES,
        WORDS,
        st.integers(0, 3),
    ),
)


def kept(rollout: Rollout) -> AgentStatus:
    """The status as it comes back from the API server."""
    told = RolloutStatus(**progress.facts_of(rollout, WANTED))
    status = AgentStatus(revision=progress.revision_status(rollout, RevisionStatus()), rollout=told)
    return AgentStatus.model_validate(json.loads(json.dumps(status.dump())))


@given(ROLLOUTS)
def test_every_phase_comes_back(rollout: Rollout) -> None:
    """Nothing is lost, and nothing is made up."""
    assert progress.rollout_of(kept(rollout)) == rollout


@given(ROLLOUTS)
def test_what_serves_is_told_to_the_gateway(rollout: Rollout) -> None:
    """The gateway reads the stable revision from the status, whatever the phase."""
    assert kept(rollout).revision.stable == stable_of(rollout)


@given(ROLLOUTS, st.sampled_from(["id", "since", "startedAt", "step", "stepsHash", "cause", "stage", "until"]))
def test_half_a_record_is_none_or_the_same(rollout: Rollout, gone: str) -> None:
    """A status that somebody edited is never read as a phase that it does not wholly tell of."""
    body = kept(rollout).dump()
    body["rollout"].pop(gone, None)
    found = progress.rollout_of(AgentStatus.model_validate(body))
    assert found is None or type(found) is type(rollout) or isinstance(found, Progressing | Initial)


def test_those_that_served_are_remembered() -> None:
    """The latest first, each once; one that is being brought back in place of a bad one has not served again yet."""
    first = progress.revision_status(Settled("a" * 10), RevisionStatus())
    second = progress.revision_status(Settled("b" * 10), first)
    assert second.served == ("b" * 10, "a" * 10)
    again = progress.revision_status(Settled("a" * 10), second)
    assert again.served == ("a" * 10, "b" * 10)


def test_a_candidate_gets_the_weight_of_its_phase() -> None:
    """An approval is asked for at the weight before; a withdrawn candidate has none."""
    upgrade = Upgrade("u-1", "a" * 10, "b" * 10, "0123456789", T0)
    weights: dict[Rollout, int | None] = {
        Starting(upgrade, T0): None,
        Collecting(Place(upgrade, 0, T0)): 10,
        Paused(Place(upgrade, 1, T0), None): 10,
        AwaitingApproval(Place(upgrade, 2, T0)): 10,
        Unanswered(Place(upgrade, 2, T0)): 10,
        Collecting(Place(upgrade, 2, T0)): 50,
        Promoting(Place(upgrade, 3, T0), ""): 50,
        Aborting(upgrade, Stage.DRAINING, T0, Cause(OutcomeType.ABORTED, "Aborted", "")): None,
        Watching(upgrade, T0, T0 + timedelta(1), keeps_previous=True): None,
    }
    for rollout, weight in weights.items():
        assert kept(rollout).rollout is not None
        assert progress.facts_of(rollout, WANTED)["weight"] == weight, rollout
