"""What can go wrong, by what the caller does about it.

ClusterError      exit 1: something was tried and failed; the text says what, and where the log is
└─ NoClusterError      exit 69 (EX_UNAVAILABLE): nothing was tried, no cluster can be had here; tests skip on it
"""

from __future__ import annotations


class ClusterError(Exception):
    """Something was tried and failed. The text is for the person at the terminal."""

    exit_code = 1


class NoClusterError(ClusterError):
    """No cluster can be had on this machine. The text lists what each way of having one lacks."""

    exit_code = 69
