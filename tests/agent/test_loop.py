"""The loop of one task, in this process, against real servers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from proctor_agent.config import AgentConfig
from proctor_agent.failures import TaskFailure
from proctor_agent.loop import Loop
from proctor_agent.tasks import Assignment, Task
from tests.conformance.acting_gateway import ActingGateway
from tests.conformance.agent_process import CONFIG
from tests.conformance.scenario import Answer, CallTool, Scenario, Turn

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def gateway() -> Iterator[ActingGateway]:
    """Model and tools."""
    with ActingGateway().serving() as gateway:
        yield gateway


def a_loop(url: str, **changes: Any) -> Loop:
    """A loop for the agent of the conformance suite, changed where the test says."""
    return Loop(AgentConfig.model_validate({**CONFIG, **changes}), url, f"{url}/v1")


def an_assignment(scenario: Scenario, task_input: Any = "Decide.") -> Assignment:
    """A task for the scenario's token."""
    deadline = datetime.now(UTC) + timedelta(seconds=15)
    return Assignment(Task(id="t", attempt=1, deadline=deadline, input=task_input), scenario.token, TRACEPARENT)


def url_of(gateway: ActingGateway) -> str:
    """Where the gateway is."""
    return f"http://127.0.0.1:{gateway.port}"


OUTPUTS: dict[str, tuple[dict[str, Any] | None, Any, Any]] = {
    "no schema: text": (None, "Just do it.", "Just do it."),
    "a string": ({"type": "string"}, {"value": "yes"}, "yes"),
    "a list": ({"type": "array", "items": {"type": "integer"}}, {"value": [1, 2]}, [1, 2]),
    "a choice": ({"enum": ["a", "b"]}, {"value": "a"}, "a"),
    "an object": ({"type": "object", "required": ["x"]}, {"x": 1}, {"x": 1}),
}


@pytest.mark.parametrize("form", OUTPUTS)
async def test_an_output_has_the_declared_form(gateway: ActingGateway, form: str) -> None:
    """Whatever the schema's type, the output is of it; without a schema it is the model's text."""
    schema, said, output = OUTPUTS[form]
    loop = a_loop(url_of(gateway), output=None if schema is None else {"schema": schema})
    with gateway.acting(Scenario([Answer(said)])) as scenario:
        result = await loop.run(an_assignment(scenario))
    assert result.output == output


async def test_the_trace_goes_along(gateway: ActingGateway) -> None:
    """Each call carries the task's `traceparent`."""
    with gateway.acting(Scenario([Answer({"decision": "approve", "confidence": 1})])) as scenario:
        await a_loop(url_of(gateway)).run(an_assignment(scenario))
    assert [call.headers["traceparent"] for call in scenario.model_calls] == [TRACEPARENT]


async def test_what_only_reads_runs_at_once_and_effects_run_in_order(gateway: ActingGateway) -> None:
    """Of several calls in one turn a read runs beside others; an effect waits for all that was asked for before it."""
    read = ("crm__get_customer", {"customer_id": "C-1"})
    other_read = ("crm__get_customer", {"customer_id": "C-2"})
    effects = [("payments__refund", {"order_id": f"O-{n}", "amount": 1.0}) for n in (1, 2)]
    turns: list[Turn] = [CallTool([read, other_read, *effects]), Answer({"decision": "approve", "confidence": 1})]
    with gateway.acting(Scenario(turns, tool_seconds=0.4)) as scenario:
        await a_loop(url_of(gateway)).run(an_assignment(scenario))
    assert [call.arguments["order_id"] for call in scenario.tool_calls[2:]] == ["O-1", "O-2"]
    reads = ("get_customer", "get_customer")
    assert scenario.tool_overlaps == [reads[:1], reads, ("refund",), ("refund",)]


async def test_the_same_call_twice_keeps_its_order(gateway: ActingGateway) -> None:
    """Two equal calls at once come one after the other: the gateway tells them apart by that."""
    same = ("crm__get_customer", {"customer_id": "C-1"})
    turns: list[Turn] = [CallTool([same, same]), Answer({"decision": "approve", "confidence": 1})]
    with gateway.acting(Scenario(turns, tool_seconds=0.3)) as scenario:
        await a_loop(url_of(gateway)).run(an_assignment(scenario))
    assert scenario.tool_overlaps == [("get_customer",), ("get_customer",)]


async def test_calls_without_an_id_get_the_same_one_each_time(gateway: ActingGateway) -> None:
    """An endpoint that gives tool calls no ids does not make a repeated attempt differ."""
    bodies = []
    for token in ("one", "two"):
        turns: list[Turn] = [
            CallTool([("crm__get_customer", {"customer_id": "C-1"})], with_ids=False),
            Answer({"decision": "approve", "confidence": 1}),
        ]
        with gateway.acting(Scenario(turns, token=token)) as scenario:
            await a_loop(url_of(gateway)).run(an_assignment(scenario))
        bodies.append([call.body for call in scenario.model_calls])
    assert bodies[0] == bodies[1]


UNREACHABLE: dict[str, Any] = {
    "for its tools": CONFIG["tools"],
    "for its model": [],
}


@pytest.mark.parametrize("case", UNREACHABLE)
async def test_a_gateway_out_of_reach_fails_the_task(case: str) -> None:
    """When the gateway cannot be reached the attempt ends with the reason that lets it be repeated."""
    tools = UNREACHABLE[case]
    with pytest.raises(TaskFailure) as failure:
        await a_loop("http://127.0.0.1:1", tools=tools).run(an_assignment(Scenario([])))
    assert failure.value.reason == "Interrupted"


async def test_a_deadline_that_has_passed_is_a_timeout(gateway: ActingGateway) -> None:
    """A task that comes too late makes no call at all."""
    with gateway.acting(Scenario([Answer("late")])) as scenario:
        task = Task(id="t", attempt=1, deadline=datetime.now(UTC) - timedelta(seconds=1), input="Decide.")
        with pytest.raises(TaskFailure, match="Timeout"):
            await a_loop(url_of(gateway)).run(Assignment(task, scenario.token, None))
    assert scenario.model_calls == []


async def test_the_token_limit_ends_a_task(gateway: ActingGateway) -> None:
    """More tokens than `maxTokens` end the task as LimitExceeded."""
    loop = a_loop(url_of(gateway), limits={"timeoutSeconds": 10, "maxSteps": 50, "maxTokens": 250})
    turn = CallTool([("crm__get_customer", {"customer_id": "C-1"})])
    with gateway.acting(Scenario([turn])) as scenario, pytest.raises(TaskFailure, match="LimitExceeded"):
        await loop.run(an_assignment(scenario))
    assert len(scenario.model_calls) == 3


def test_an_assignment_does_not_show_its_token() -> None:
    """Printed, as in a traceback, an assignment shows its task only."""
    assignment = an_assignment(Scenario([], token="secret-token"))
    assert "secret-token" not in f"{assignment} {assignment!r}"
