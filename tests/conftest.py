"""Which tests are slow (`make check` leaves them out), and which must be run by one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A busy machine is no failed test; what hangs is ended by pytest's own limit.
settings.register_profile("proctor", deadline=None)
settings.load_profile("proctor")

_HERE = Path(__file__).parent
_SLOW = {
    "agent": {"test_failures.py", "test_process.py", "test_with_gateway.py"},
    "conformance": {"test_contract.py"},
    "demo": {"test_crm.py", "test_model_page.py", "test_payments.py", "test_refunds.py"},
    "gateway": {
        "test_callers.py",
        "test_internal.py",
        "test_models.py",
        "test_replicas.py",
        "test_store.py",
        "test_story.py",
        "test_takeover.py",
        "test_tools.py",
        "test_whole.py",
    },
    "sim": {"test_budgets.py", "test_mutations.py", "test_pairs.py", "test_single_faults.py"},
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of the modules above, and says which tests one process must run when several share the work.

    Those on a cluster go to one process, which they keep waiting, and go first: the others run beside them.
    First of all such hooks, but after those of the directories: those who share the work out read the groups next.
    """
    for item in items:
        place = item.path.relative_to(_HERE) if item.path.is_relative_to(_HERE) else None
        if place is not None and place.name in _SLOW.get(place.parts[0], ()):
            item.add_marker(pytest.mark.slow)
        group = "cluster" if item.get_closest_marker("cluster") else str(place)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.get_closest_marker("cluster") is None)


_SIMULATED = pytest.StashKey[list[Any]]()


def tell_simulated(config: pytest.Config, rows: list[tuple[str, str, int, int]]) -> None:
    """What the simulator tried, for the end of the run: told by the process that reports, whichever that is."""
    elsewhere = getattr(config, "workeroutput", None)
    if elsewhere is not None:
        elsewhere["simulated"] = rows
    else:
        config.stash.setdefault(_SIMULATED, []).extend(rows)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes what a process that has ended tried."""
    node.config.stash.setdefault(_SIMULATED, []).extend(getattr(node, "workeroutput", {}).get("simulated", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Scenario by class of faults."""
    rows = terminalreporter.config.stash.get(_SIMULATED, [])
    if not rows:
        return
    from tests.sim.campaign import Table

    table = Table()
    table.take(rows)
    terminalreporter.section("simulated faults")
    for line in table.lines():
        terminalreporter.write_line(line)
