"""How a task ends without an answer: a reason from the contract, and the HTTP status that goes with it."""

from __future__ import annotations

import re
from typing import Any

STATUSES = {
    "InvalidRequest": 400,
    "Unauthorized": 401,
    "PolicyDenied": 403,
    "InvalidOutput": 422,
    "LimitExceeded": 422,
    "Refused": 422,
    "BudgetExhausted": 429,
    "RateLimited": 429,
    "AgentError": 500,
    "ModelUnavailable": 502,
    "AgentUnavailable": 503,
    "Interrupted": 503,
    "Suspended": 503,
    "Timeout": 504,
}
"""The reasons this agent knows. Another one, given by the gateway, is passed on with status 500."""

_REASON = re.compile(r"[A-Z][A-Za-z]{2,63}")
_DETAIL_LIMIT = 500


class TaskFailure(Exception):  # noqa: N818 - it names what happened
    """The task ends without an answer.

    `detail` is for people who run the agent. What is written here holds no prompt, answer, argument or token; what
    the gateway gave as its reason is passed on as it is.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail[:_DETAIL_LIMIT]

    @property
    def status(self) -> int:
        """The HTTP status of the answer to `/invoke`."""
        return STATUSES.get(self.reason, 500)

    def problem(self) -> dict[str, Any]:
        """The failure as problem+json (RFC 9457)."""
        return {
            "type": f"https://proctor.dev/problems/{self.reason}",
            "title": re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.reason).capitalize(),
            "status": self.status,
            "reason": self.reason,
            "detail": self.detail,
        }


def from_gateway(body: Any) -> TaskFailure | None:
    """The failure that a gateway's error body tells, or None if it tells none.

    It understands problem+json (`reason`, or the last part of `type`) and OpenAI's `{"error": {"code"}}`.
    """
    if not isinstance(body, dict):
        return None
    inner = body.get("error")
    error = inner if isinstance(inner, dict) else body
    candidates = (error.get("reason"), error.get("code"), str(error.get("type", "")).rpartition("/problems/")[2])
    reason = next((c for c in candidates if isinstance(c, str) and _REASON.fullmatch(c)), None)
    if reason is None:
        return None
    detail = error.get("detail") or error.get("message") or error.get("title") or reason
    return TaskFailure(reason, str(detail))
