"""Why a run ends without figures."""

from __future__ import annotations


class RunError(Exception):
    """The run itself failed: a process ended, or something did not happen within its time."""
