"""The bring-your-own samples of the repository, each in its own locked environment."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "samples"
LANGGRAPH = SAMPLES / "langgraph-agent"


@functools.cache
def command_of(sample: Path) -> list[str]:
    """The command that starts the sample; its environment is made from its lock file first.

    The test is skipped where that cannot be done, as without uv or a package index.
    """
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    synced = subprocess.run(
        ["uv", "sync", "--frozen", "--project", str(sample)], env=environment, capture_output=True, check=False
    )
    if synced.returncode != 0:
        pytest.skip(f"uv cannot make the environment of {sample.name}: {synced.stderr.decode()[-300:]}")
    return [str(sample / ".venv" / "bin" / "python"), str(sample / "agent.py")]
