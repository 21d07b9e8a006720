"""The table of what the simulator tried, at the end of the run; and the nightly run, only when it is asked for."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.sim.campaign import Table

TABLE = pytest.StashKey[Table]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The nightly run takes too long for every change: `pytest tests/sim -m nightly`."""
    if "nightly" in config.option.markexpr:
        return
    nightly = [item for item in items if item.get_closest_marker("nightly")]
    if nightly:
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if item not in nightly]


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    """What was tried in this session."""
    return pytestconfig.stash.setdefault(TABLE, Table())


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Thousands of little worlds: what is left of them is collected once a test, not in the middle of it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Scenario by class of faults."""
    table = terminalreporter.config.stash.get(TABLE, None)
    if table is not None and table.tried:
        terminalreporter.section("simulated faults")
        for line in table.lines():
            terminalreporter.write_line(line)
