"""What the simulator tried, for the end of the run; and the nightly run, only when it is asked for."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.conftest import tell_simulated
from tests.sim.campaign import Table


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The nightly run takes too long for every change: `pytest tests/sim -m nightly`."""
    if "nightly" in config.option.markexpr:
        return
    nightly = [item for item in items if item.get_closest_marker("nightly")]
    if nightly:
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if item not in nightly]


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
