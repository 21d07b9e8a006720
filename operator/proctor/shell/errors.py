"""What the loop does with a failure: one class for each reaction.

ProctorError
├─ Retry      later, with back-off: conflict, timeout, 429, 5xx, a connection that broke
├─ Blocked    until somebody changes something: refused by admission, quota or RBAC -> a condition, and with back-off
└─ Lost       we may no longer act: the lease is not ours -> the process ends

Everything else is a bug: it is logged with its traceback, and retried with back-off like Retry.
"""

from __future__ import annotations

from proctor.plan.findings import Obstacle


class ProctorError(Exception):
    """The root of what the shell raises on purpose."""


class Retry(ProctorError):  # noqa: N818 - named after the reaction
    """Try again. `after_seconds` is the least wait that the server asked for."""

    def __init__(self, message: str, after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class Blocked(ProctorError):  # noqa: N818 - named after the reaction
    """Trying again is no use until somebody changes something."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.obstacle = Obstacle(reason, message)


class Lost(ProctorError):  # noqa: N818 - named after the reaction
    """The lease is not ours, or not surely: nothing may be written any more."""
