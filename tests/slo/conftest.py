"""Programs that check what others will read."""

from __future__ import annotations

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' own checker. Where it is not installed its tests are skipped, but not by continuous integration."""
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("continuous integration needs promtool: apt-get install prometheus")
        pytest.skip("promtool is not installed: apt-get install prometheus")
    return found
