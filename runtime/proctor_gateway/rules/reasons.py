"""The words with which the gateway says why: one vocabulary for tasks, calls, problems and metrics."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a task or a call did not end well, or was never begun. Callers may match on these; they do not change."""

    # Who asks, and for what.
    UNAUTHENTICATED = "Unauthenticated"
    FORBIDDEN = "Forbidden"
    NOT_FOUND = "NotFound"
    INVALID_REQUEST = "InvalidRequest"
    TOO_LARGE = "TooLarge"
    IDEMPOTENCY_CONFLICT = "IdempotencyConflict"
    METHOD_NOT_ALLOWED = "MethodNotAllowed"

    # What the gateway or the agent cannot do now.
    TOO_MANY_TASKS = "TooManyTasks"
    NO_STABLE_REVISION = "NoStableRevision"
    REVISION_UNKNOWN = "RevisionUnknown"
    AGENT_UNAVAILABLE = "AgentUnavailable"
    SHUTTING_DOWN = "ShuttingDown"
    IDENTITY_UNAVAILABLE = "IdentityUnavailable"
    STORE_UNAVAILABLE = "StoreUnavailable"
    INTERNAL = "Internal"

    # How a task ended.
    TIMEOUT = "Timeout"
    MODEL_UNAVAILABLE = "ModelUnavailable"
    RATE_LIMITED = "RateLimited"
    INVALID_OUTPUT = "InvalidOutput"
    LOW_CONFIDENCE = "LowConfidence"
    BUDGET_EXHAUSTED = "BudgetExhausted"
    LIMIT_EXCEEDED = "LimitExceeded"
    AGENT_ERROR = "AgentError"
    INTERRUPTED = "Interrupted"
    POLICY_DENIED = "PolicyDenied"
    REFUSED = "Refused"
    SUSPENDED = "Suspended"
    CANCELLED = "Cancelled"
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    DIVERGED = "Diverged"

    # Why a call was denied or failed.
    APPROVAL_UNAVAILABLE = "ApprovalUnavailable"
    APPROVAL_REJECTED = "ApprovalRejected"
    APPROVAL_TIMED_OUT = "ApprovalTimedOut"
    SKIPPED = "Skipped"
    DEFINITION_DRIFTED = "DefinitionDrifted"
    PRICE_UNKNOWN = "PriceUnknown"
    TOOL_ERROR = "ToolError"
    TOOL_UNAVAILABLE = "ToolUnavailable"
    INPUT_REQUIRED = "InputRequired"
    REJECTED = "Rejected"
    UNANSWERED = "Unanswered"
    CONNECTOR_UNSUPPORTED = "ConnectorUnsupported"

    # What a probe of a connector found.
    REACHABLE = "Reachable"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - the name of a reason
    SECRET_FORBIDDEN = "SecretForbidden"  # noqa: S105 - the name of a reason
    SECRET_KEY_MISSING = "SecretKeyMissing"  # noqa: S105 - the name of a reason
    UNREACHABLE = "Unreachable"
    UNAUTHORIZED = "Unauthorized"
    PROTOCOL_ERROR = "ProtocolError"
    TLS_ERROR = "TLSError"


ENDINGS = frozenset(
    {
        Reason.TIMEOUT,
        Reason.MODEL_UNAVAILABLE,
        Reason.RATE_LIMITED,
        Reason.INVALID_OUTPUT,
        Reason.BUDGET_EXHAUSTED,
        Reason.LIMIT_EXCEEDED,
        Reason.AGENT_ERROR,
        Reason.POLICY_DENIED,
        Reason.REFUSED,
        Reason.APPROVAL_UNAVAILABLE,
        Reason.DEFINITION_DRIFTED,
        Reason.PRICE_UNKNOWN,
        Reason.TOOL_UNAVAILABLE,
        Reason.CONNECTOR_UNSUPPORTED,
        Reason.REVISION_UNKNOWN,
        Reason.OUTCOME_UNKNOWN,
        Reason.DIVERGED,
        Reason.INPUT_REQUIRED,
    }
)
"""The reasons that an agent may give for not answering. Any other word of its own becomes AgentError."""

OF_THE_CALL = frozenset(
    {
        Reason.POLICY_DENIED,
        Reason.DEFINITION_DRIFTED,
        Reason.TOOL_UNAVAILABLE,
        Reason.RATE_LIMITED,
        Reason.APPROVAL_REJECTED,
        Reason.APPROVAL_TIMED_OUT,
        Reason.SKIPPED,
    }
)
"""Denials that concern one call: the agent is told, and may go another way. Every other one ends the task."""
