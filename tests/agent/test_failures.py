"""How a task ends when the model fails, and what it survives."""

from __future__ import annotations

import pytest

from tests.conformance.agent_process import Agent
from tests.demo.processes import KEY

FAILURES = {
    "rate limited": ("RateLimited", 429),
    "server error": ("ModelUnavailable", 502),
    "overloaded": ("ModelUnavailable", 502),
    "unknown model": ("ModelUnavailable", 502),
    "rejected": ("AgentError", 500),
    "gateway refuses": ("PolicyDenied", 403),
    "malformed body": ("ModelUnavailable", 502),
    "cut off": ("Interrupted", 503),
    "refusal": ("Refused", 422),
    "content filter": ("Refused", 422),
    "too long": ("InvalidOutput", 422),
    "wrong form forever": ("InvalidOutput", 422),
    "plain text forever": ("InvalidOutput", 422),
    "unknown tool forever": ("InvalidOutput", 422),
    "loops forever": ("LimitExceeded", 422),
    "huge": ("LimitExceeded", 422),
    "slow": ("Timeout", 504),
}


@pytest.mark.parametrize("what", FAILURES)
async def test_a_failure_has_its_reason(agent: Agent, what: str) -> None:
    """Each failure of a model ends the task with the reason of the contract, as problem+json."""
    response = await agent.invoke(KEY, f"Please do: {what}.", seconds=3)
    problem = response.json()
    assert (problem["reason"], response.status_code) == FAILURES[what]
    assert problem["type"] == f"https://proctor.dev/problems/{problem['reason']}"


SURVIVED = [
    "malformed arguments",
    "wrong form once",
    "empty once",
    "wrong finish reason",
    "missing usage",
    "answers at once",
]


@pytest.mark.parametrize("what", SURVIVED)
async def test_what_can_be_corrected_is(agent: Agent, what: str) -> None:
    """A slip that the model can correct, and a sloppy endpoint, do not fail the task."""
    response = await agent.invoke(KEY, f"Please do: {what}.")
    assert response.json() == {"output": {"decision": "approve", "confidence": 0.9}, "confidence": 0.9}


async def test_the_gateway_says_why(agent: Agent) -> None:
    """What the gateway gave as the detail of its refusal is the detail of the failure."""
    response = await agent.invoke(KEY, "Please do: gateway refuses.")
    assert response.json()["detail"] == "the model gpt-9 is not allowed"
