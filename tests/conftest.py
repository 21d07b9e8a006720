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
    "audit": {"test_verifier.py"},
    "cli": {"test_extras.py", "test_rollout_commands.py", "test_voting.py"},
    "conformance": {"test_contract.py"},
    "demo": {"test_crm.py", "test_model_page.py", "test_payments.py", "test_refunds.py", "test_refunds_upgrade.py"},
    "gateway": {
        "test_approvals.py",
        "test_budgets.py",
        "test_callers.py",
        "test_doors.py",
        "test_fallback.py",
        "test_hot.py",
        "test_indicators.py",
        "test_internal.py",
        "test_journal.py",
        "test_judge.py",
        "test_kills.py",
        "test_known.py",
        "test_kubernetes.py",
        "test_midstream.py",
        "test_models.py",
        "test_modes.py",
        "test_objectives_end_to_end.py",
        "test_paying.py",
        "test_planted_secrets.py",
        "test_policies.py",
        "test_record.py",
        "test_record_crashes.py",
        "test_record_failures.py",
        "test_replicas.py",
        "test_resolution.py",
        "test_screening.py",
        "test_sheets.py",
        "test_store.py",
        "test_store_connection.py",
        "test_story.py",
        "test_takeover.py",
        "test_tallies.py",
        "test_tools.py",
        "test_trials.py",
        "test_upgrades.py",
        "test_whole.py",
    },
    "sim": {
        "test_budgets.py",
        "test_images.py",
        "test_mutations.py",
        "test_objectives.py",
        "test_pairs.py",
        "test_rollout_mutations.py",
        "test_rollouts.py",
        "test_routes.py",
        "test_single_faults.py",
        "test_transitions.py",
        "test_walks.py",
    },
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the tests of the modules above; those on a cluster go first, for others can run while they wait.

    Nightly runs take too long for every change: they run when they are named, as with `-m nightly`.
    """
    nightly = [item for item in items if item.get_closest_marker("nightly")]
    if nightly and "nightly" not in config.option.markexpr:
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if item not in nightly]
    for item in items:
        place = item.path.relative_to(_HERE) if item.path.is_relative_to(_HERE) else None
        if place is not None and place.name in _SLOW.get(place.parts[0], ()):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("cluster") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Several processes share the work by files, and one of them has all that is on the cluster."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "the cluster" if file.startswith("tests/e2e/") else file

    return ByFile(config, log)


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
