"""Two things go wrong in one run: any two, at any places, found by hypothesis."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.sim.agent_scenarios import SCENARIOS
from tests.sim.campaign import ALSO_ON_ONE, ON_ONE, STAGGERED_ON_ONE, Table, Trial
from tests.sim.faults import OnDelivery, OnWrite, Plan, Strike
from tests.sim.run import Setting, reference
from tests.sim.scenario import Scenario

_SEED = int(os.environ.get("PROCTOR_SEED", random.SystemRandom().randrange(2**32)))
_ATTACKED = [each for each in SCENARIOS if reference(Setting(each)).writes > 1]
_QUICK = settings(
    max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
_LONG = settings(_QUICK, max_examples=5000, derandomize=False)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Scenario, Plan]:
    """A scenario, and two strikes at two places of it."""
    scenario = draw(st.sampled_from(_ATTACKED))
    calm = reference(Setting(scenario))
    writes = st.builds(
        OnWrite, st.integers(0, calm.writes - 1), st.sampled_from(ON_ONE + STAGGERED_ON_ONE + ALSO_ON_ONE)
    )
    events = st.builds(OnDelivery, st.integers(0, calm.events - 1), st.sampled_from([(), (0.0, 0.01), (3.0,)]))
    strikes = st.lists(writes | events, min_size=2, max_size=2, unique_by=_place)
    return scenario, tuple(sorted(draw(strikes), key=_place))


def _place(strike: Strike) -> tuple[str, int]:
    return type(strike).__name__, strike.index


def _attack(scenario: Scenario, plan: Plan, table: Table) -> None:
    alone = Setting(scenario)
    result = Trial(alone, plan, alone, with_history=not scenario.is_stepped).run()
    # The second fault can only strike if the first one leaves something for it.
    findings = [each for each in result.findings if not each.startswith(("no fault struck", "I3", "I11"))]
    table.add("pair", result) if not findings else None
    assert not findings, str(result)


@pytest.mark.slow
@_QUICK
@given(pair=pairs())
def test_two_faults(pair: tuple[Scenario, Plan], table: Table) -> None:
    """It ends as if nothing had gone wrong."""
    _attack(*pair, table)


@pytest.mark.slow
@pytest.mark.nightly
@seed(_SEED)
@_LONG
@given(pair=pairs())
def test_two_faults_by_night(pair: tuple[Scenario, Plan], table: Table) -> None:
    """Others each night; PROCTOR_SEED repeats one."""
    _attack(*pair, table)
