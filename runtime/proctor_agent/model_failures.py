"""Which reason of the contract an exception of the loop stands for."""

from __future__ import annotations

from pydantic_ai import exceptions

from proctor_agent.failures import TaskFailure, from_gateway

_RATE_LIMITED = 429
_TIMED_OUT = (408, 504)
_NOT_FOUND = 404
_SERVER = 500


def explain(error: BaseException) -> TaskFailure:  # noqa: PLR0911 - a table, read from the top
    """The failure to report for `error`; the gateway's own reason, where it gave one."""
    match error:
        case TaskFailure():
            return error
        case BaseExceptionGroup():
            return explain(error.exceptions[0])
        case exceptions.UsageLimitExceeded():
            return TaskFailure("LimitExceeded", str(error))
        case exceptions.ModelHTTPError():
            return from_gateway({"error": error.body}) or _by_status(error.status_code)
        case exceptions.ModelTimeoutError():
            return TaskFailure("Timeout", "the model did not answer in time")
        case exceptions.ModelConnectionError():
            # The one at the other end is the gateway, not the model: the attempt is to be repeated, with what the
            # gateway has recorded of it, and no other model is to be tried.
            return TaskFailure("Interrupted", "the gateway broke off a call of the model")
        case exceptions.ModelAPIError():
            return TaskFailure("ModelUnavailable", "the model's answer was unreadable")
        case exceptions.ContentFilterError():
            return TaskFailure("Refused", "the model refused, or a content filter stopped it")
        case exceptions.UnexpectedModelBehavior():
            return _explain_behaviour(error)
        case _:
            return TaskFailure("AgentError", f"the agent failed: {type(error).__name__}")


def _by_status(status: int) -> TaskFailure:
    if status == _RATE_LIMITED:
        return TaskFailure("RateLimited", "the model's endpoint asks to slow down")
    if status in _TIMED_OUT:
        return TaskFailure("Timeout", f"the model's endpoint answered HTTP {status}")
    if status == _NOT_FOUND or status >= _SERVER:
        return TaskFailure("ModelUnavailable", f"the model's endpoint answered HTTP {status}")
    return TaskFailure("AgentError", f"the model's endpoint answered HTTP {status}")


def _explain_behaviour(error: exceptions.UnexpectedModelBehavior) -> TaskFailure:
    # A failure of the gateway's inside a tool call may arrive as the cause of the loop's own complaint.
    if isinstance(error.__cause__, TaskFailure):
        return error.__cause__
    # The message of the library may quote what the model said: only its kind is told.
    kind = "was cut off" if isinstance(error, exceptions.OutputTokenLimitExceeded) else "is not of the declared form"
    return TaskFailure("InvalidOutput", f"the model's answer {kind}, also after it was told so")
