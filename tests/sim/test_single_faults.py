"""Whatever goes wrong once, at whichever place: in the end all is as if nothing had."""

from __future__ import annotations

import pytest

from tests.sim.agent_scenarios import SCENARIOS
from tests.sim.campaign import Table, attack, single_faults
from tests.sim.run import Setting, reference
from tests.sim.scenario import Scenario

_SHOWN = 5
SHORT = [each for each in SCENARIOS if not each.is_nightly]
EVERY_SCENARIO = pytest.mark.parametrize("scenario", SCENARIOS, ids=[each.name for each in SCENARIOS])


@EVERY_SCENARIO
def test_without_faults_every_invariant_holds(scenario: Scenario) -> None:
    """Otherwise there is nothing to compare with."""
    result = reference(Setting(scenario))
    assert not result.findings, str(result)


@EVERY_SCENARIO
def test_a_second_operator_that_waits_changes_nothing(scenario: Scenario) -> None:
    """It watches, and writes nothing."""
    result = reference(Setting(scenario, operators=2))
    assert not result.findings, str(result)
    assert result.ending == reference(Setting(scenario)).ending
    assert result.story.endings or len({write.by for write in result.story.writes}) <= 1


@pytest.mark.parametrize("scenario", SHORT, ids=[each.name for each in SHORT])
@pytest.mark.slow
def test_one_fault(scenario: Scenario, table: Table) -> None:
    """At every write and every event, one of every class; people and doubled events at every third place."""
    bad = attack(single_faults(scenario), table)
    assert not bad, "\n\n".join(map(str, bad[:_SHOWN]))


@EVERY_SCENARIO
@pytest.mark.slow
@pytest.mark.nightly
def test_one_fault_thoroughly(scenario: Scenario, table: Table) -> None:
    """The whole grid: also errors that the client takes alike, and people at every place."""
    bad = attack(single_faults(scenario, thorough=True), table)
    assert not bad, "\n\n".join(map(str, bad[:_SHOWN]))
