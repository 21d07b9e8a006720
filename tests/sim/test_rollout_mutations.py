"""An upgrade that is broken on purpose is found out: a test that cannot fail is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from proctor.delivery import machine, stepping
from proctor.delivery.decision import Decision
from proctor.delivery.facts import Evidence, Result, Wanted
from proctor.delivery.phases import Aborting, Failed, Watching
from proctor.plan import progress, upgrade
from tests.sim.rollout_scenarios import SCENARIOS, Upgrading
from tests.sim.test_rollouts import played


def _pods_go_first(patch: pytest.MonkeyPatch) -> None:
    def aborting(rollout: Aborting, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
        own, cause = rollout.upgrade, rollout.cause
        return Decision(Failed(own.stable, own.candidate, now, "RolledBack", cause.message))

    patch.setattr(machine, "aborting", aborting)


def _old_pods_go_at_once(patch: pytest.MonkeyPatch) -> None:
    def watching(*facts: Any) -> Watching:
        return Watching(facts[0], facts[1], facts[2], keeps_previous=False)

    patch.setattr(stepping, "Watching", watching)


def _weight_runs_ahead(patch: pytest.MonkeyPatch) -> None:
    original = progress.facts_of

    def facts_of(*facts: Any) -> dict[str, Any]:
        found = original(*facts)
        return {**found, "weight": 50} if found.get("step") is not None else found

    patch.setattr(progress, "facts_of", facts_of)


def _harm_is_not_seen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stepping, "_danger", lambda *_: None)


def _exam_always_passes(patch: pytest.MonkeyPatch) -> None:
    original = stepping._tried

    def tried(*facts: Any) -> Decision:
        rollout, trial, *rest = facts
        return original(rollout, trial and replace(trial, result=Result.PASSED), *rest)

    patch.setattr(stepping, "_tried", tried)


def _watch_is_blind(patch: pytest.MonkeyPatch) -> None:
    original = upgrade._with_vigil

    def with_vigil(*facts: Any) -> upgrade.Known:
        found = original(*facts)
        return replace(found, evidence=replace(found.evidence, alarm=None))

    patch.setattr(upgrade, "_with_vigil", with_vigil)


MUTATIONS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "a candidate's pods go before its tasks": (_pods_go_first, "fails live tasks"),
    "the old pods go with the promotion": (_old_pods_go_at_once, "good candidate"),
    "the weight runs ahead of its step": (_weight_runs_ahead, "good candidate"),
    "harm is not seen": (_harm_is_not_seen, "fails live tasks"),
    "an exam always passes": (_exam_always_passes, "flunks its exam"),
    "the watch is blind": (_watch_is_blind, "decays once it is stable"),
}


@pytest.mark.parametrize(("mutate", "name"), MUTATIONS.values(), ids=list(MUTATIONS))
@pytest.mark.slow
def test_a_broken_upgrade_is_found_out(
    monkeypatch: pytest.MonkeyPatch, mutate: Callable[[pytest.MonkeyPatch], None], name: str
) -> None:
    """The scenario that is about it ends otherwise, or an invariant is broken on the way."""
    scenario: Upgrading = next(each for each in SCENARIOS if each.name == name)
    # The stage is of the sound operator.
    scenario.stage()
    mutate(monkeypatch)
    assert played(scenario, patience=60).findings
