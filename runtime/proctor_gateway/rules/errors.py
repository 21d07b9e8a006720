"""The errors of the gateway, a class for each reaction.

GatewayError
├─ Problem       the one who asked gets this answer: status, reason, detail
├─ Denied        a call that may not be made: recorded, told to the agent, never sent
└─ Away          something of ours cannot be reached now: the API server, the store; again later
   ├─ ClusterAway
   └─ StoreAway
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from proctor_gateway.rules.reasons import Reason


class GatewayError(Exception):
    """The root: everything that the gateway raises on purpose."""


class Problem(GatewayError):  # noqa: N818 - RFC 9457 calls it a problem
    """An answer other than success, for a caller as problem+json and for an agent in its protocol's words."""

    def __init__(
        self,
        status: int,
        reason: Reason,
        detail: str,
        *,
        retry_after: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.status = status
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.extra = dict(extra or {})


class Denied(GatewayError):  # noqa: N818 - what happened to the call
    """A call that may not be made. The text says which rule, and what would be allowed.

    `retry_after` is there only if the same call may be made by then.
    """

    def __init__(self, reason: Reason, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class Away(GatewayError):  # noqa: N818 - a state of the other side
    """Something that the gateway needs cannot be reached now."""


class ClusterAway(Away):
    """The Kubernetes API server does not answer, or answers with an error of its own."""


class StoreAway(Away):
    """The database does not answer."""
