"""Which tests are slow: those that start processes, or wait for real time to pass. `make check` leaves them out."""

from __future__ import annotations

from pathlib import Path

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of the modules above."""
    for item in items:
        place = item.path.relative_to(_HERE) if item.path.is_relative_to(_HERE) else None
        if place is not None and place.name in _SLOW.get(place.parts[0], ()):
            item.add_marker(pytest.mark.slow)
