"""What the simulator tried, for the end of the run."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.conftest import tell_simulated
from tests.sim.campaign import Table


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Iterator[Table]:
    """What was tried in this session."""
    table = Table()
    yield table
    tell_simulated(pytestconfig, table.rows())


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Thousands of little worlds: what is left of them is collected once a test, not in the middle of it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
