"""What an answer of the API server means for the loop."""

from __future__ import annotations

import json

import pytest

from proctor.shell.client import Conflict, NotFound, _error
from proctor.shell.errors import Blocked, ProctorError, Retry

PATH = "/apis/apps/v1/namespaces/support/deployments/refunds"
TERMINATING = "unable to create new content in namespace support because it is being terminated"


def answer(status: int, reason: str = "", message: str = "", retry_after: str | None = None) -> ProctorError:
    """What becomes of a `metav1.Status`."""
    return _error("PATCH", PATH, status, json.dumps({"reason": reason, "message": message}), retry_after)


REACTIONS: dict[str, tuple[int, str, type[ProctorError]]] = {
    "the object is not there": (404, "NotFound", NotFound),
    "it is another version": (409, "Conflict", Conflict),
    "the token has expired and will be renewed": (401, "Unauthorized", Retry),
    "the server's time was up": (408, "Timeout", Retry),
    "a list took too long to be read page by page": (410, "Expired", Retry),
    "too many requests": (429, "TooManyRequests", Retry),
    "the server failed": (500, "InternalError", Retry),
    "a proxy failed": (502, "", Retry),
    "no server is there": (503, "ServiceUnavailable", Retry),
    "a proxy's time was up": (504, "", Retry),
    "the request is malformed": (400, "BadRequest", Blocked),
    "we may not": (403, "Forbidden", Blocked),
    "admission or validation refuses": (422, "Invalid", Blocked),
    "the object is too large": (413, "RequestEntityTooLarge", Blocked),
}


@pytest.mark.parametrize(("status", "reason", "reaction"), REACTIONS.values(), ids=list(REACTIONS))
def test_each_answer_has_its_reaction(status: int, reason: str, reaction: type[ProctorError]) -> None:
    """Later, or not until somebody changes something."""
    assert type(answer(status, reason)) is reaction


def test_a_conflict_is_tried_again() -> None:
    """By the loop, on a World observed anew."""
    assert issubclass(Conflict, Retry)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), (None, 0.0), ("soon", 0.0), ("Wed, 21 Oct 2026", 0.0)])
def test_the_server_says_how_long_to_wait(header: str | None, seconds: float) -> None:
    """Retry-After in seconds is heeded, anything else is not guessed at."""
    error = answer(429, "TooManyRequests", retry_after=header)
    assert isinstance(error, Retry)
    assert error.after_seconds == seconds


def test_a_namespace_that_goes_blocks_nobody() -> None:
    """Its agents are about to go, too: no condition, only patience."""
    error = answer(403, "Forbidden", TERMINATING)
    assert isinstance(error, Retry)
    assert error.after_seconds >= 5


def test_a_refusal_says_why_in_words_for_a_condition() -> None:
    """Its reason is CamelCase, as a condition's must be, and its message is the server's."""
    error = answer(403, "Forbidden", "exceeded quota: pods")
    assert isinstance(error, Blocked)
    assert (error.obstacle.reason, error.obstacle.message) == ("Forbidden", "exceeded quota: pods")


@pytest.mark.parametrize("text", ["upstream connect error", "", "[]", "null", '"text"', "<html>"])
def test_an_answer_need_not_be_json(text: str) -> None:
    """Proxies answer as they like."""
    assert isinstance(_error("GET", PATH, 503, text, None), Retry)
    blocked = _error("GET", PATH, 418, text, None)
    assert isinstance(blocked, Blocked)
    assert blocked.obstacle.reason == "ApiServerRefused418"
