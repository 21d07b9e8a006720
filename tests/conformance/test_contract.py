"""The contract of an agent pod, clause by clause."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from jsonschema import validate

from tests.conformance.acting_gateway import CUSTOMER, ActingGateway
from tests.conformance.agent_process import MAX_STEPS, SCHEMA, Agent, started
from tests.conformance.scenario import Answer, CallTool, Drop, Hang, Refuse, Scenario

LOOK_UP = CallTool([("crm__get_customer", {"customer_id": "C-1042"})])
PAY = CallTool([("payments__refund", {"order_id": "O-1", "amount": 50.0})])
APPROVE = Answer({"decision": "approve", "confidence": 0.9})


def reason_of(response: httpx2.Response) -> str:
    """The reason of a failed task."""
    assert response.headers["content-type"].startswith("application/problem+json")
    reason: str = response.json()["reason"]
    return reason


def test_a_ready_agent_says_so(agent: Agent) -> None:
    """GET /healthz answers 200 when the agent takes tasks."""
    assert agent.is_ready()


async def test_a_task_is_answered(agent: Agent, acting_gateway: ActingGateway) -> None:
    """The answer is 200 with `output` of the declared schema, after the tools the model asked for."""
    with acting_gateway.acting(Scenario([LOOK_UP, APPROVE])) as scenario:
        response = await agent.invoke(scenario.token)
    assert response.status_code == 200
    assert response.json()["output"] == {"decision": "approve", "confidence": 0.9}
    assert [call.tool for call in scenario.tool_calls] == ["get_customer"]


async def test_an_input_may_be_any_json(agent: Agent, acting_gateway: ActingGateway) -> None:
    """An input that is an object reaches the model, too."""
    with acting_gateway.acting(Scenario([APPROVE])) as scenario:
        response = await agent.invoke(scenario.token, {"order": "O-4711", "amount": 50})
    assert response.status_code == 200
    assert "O-4711" in scenario.model_calls[0].body.decode()


async def test_the_result_of_a_tool_reaches_the_model(agent: Agent, acting_gateway: ActingGateway) -> None:
    """What a tool answered is in the next request to the model."""
    with acting_gateway.acting(Scenario([LOOK_UP, APPROVE])) as scenario:
        await agent.invoke(scenario.token)
    assert CUSTOMER["name"] in scenario.model_calls[1].body.decode()


async def test_only_declared_tools_are_offered(agent: Agent, acting_gateway: ActingGateway) -> None:
    """The model is offered `<connector>__<tool>` for each allowed tool, and no other tool of a connector."""
    with acting_gateway.acting(Scenario([APPROVE])) as scenario:
        await agent.invoke(scenario.token)
    offered = [name for name in scenario.model_calls[0].tools if "__" in name]
    assert offered == ["crm__get_customer", "payments__refund"]


async def test_the_declared_model_and_parameters_are_used(agent: Agent, acting_gateway: ActingGateway) -> None:
    """The request names the declared model and carries its parameters."""
    with acting_gateway.acting(Scenario([APPROVE])) as scenario:
        await agent.invoke(scenario.token)
    document = scenario.model_calls[0].document
    assert (document["model"], document["temperature"]) == ("conformance-model", 0)


async def test_without_a_token_nothing_is_done(agent: Agent, acting_gateway: ActingGateway) -> None:
    """A task without a token is refused with 401, and no call is made for it (no_strays looks)."""
    response = await agent.invoke(None)
    assert response.status_code == 401


async def test_an_idle_agent_calls_nobody(agent: Agent, acting_gateway: ActingGateway) -> None:
    """After the answer the token is not used any more: an attempt that is over can call nothing."""
    with acting_gateway.acting(Scenario([LOOK_UP, APPROVE])) as scenario:
        await agent.invoke(scenario.token)
    await asyncio.sleep(0.3)
    assert acting_gateway.strays == []


async def test_a_failed_tool_is_told_to_the_model(agent: Agent, acting_gateway: ActingGateway) -> None:
    """An `isError` result goes back to the model, which may answer nonetheless."""
    scenario = Scenario([LOOK_UP, Answer({"decision": "decline", "confidence": 0.5})], tool_error="no such customer")
    with acting_gateway.acting(scenario):
        response = await agent.invoke(scenario.token)
    assert response.json()["output"]["decision"] == "decline"
    assert "no such customer" in scenario.model_calls[1].body.decode()


async def test_an_answer_of_the_wrong_form_is_never_passed_on(agent: Agent, acting_gateway: ActingGateway) -> None:
    """An answer that breaks the schema is corrected by the model or fails as InvalidOutput."""
    with acting_gateway.acting(Scenario([Answer({"decision": "maybe"}), APPROVE])) as scenario:
        response = await agent.invoke(scenario.token)
    if response.status_code == 200:
        validate(response.json()["output"], SCHEMA)
    else:
        assert reason_of(response) == "InvalidOutput"


async def test_a_model_that_never_gets_the_form_right_fails(agent: Agent, acting_gateway: ActingGateway) -> None:
    """A model that goes on breaking the schema ends the task as InvalidOutput or at the step limit."""
    with acting_gateway.acting(Scenario([Answer({"decision": "maybe"})])) as scenario:
        response = await agent.invoke(scenario.token)
    assert reason_of(response) in ("InvalidOutput", "LimitExceeded")
    assert len(scenario.model_calls) <= MAX_STEPS


EXHAUSTED = {"reason": "BudgetExhausted", "detail": "no budget is left"}
RPC_REFUSAL = {"jsonrpc": "2.0", "error": {"code": -32003, "message": "no budget is left", "data": EXHAUSTED}}
PROBLEM = {"type": "https://proctor.dev/problems/BudgetExhausted", "title": "Budget exhausted", "status": 429}
REFUSALS: dict[str, Scenario] = {
    "the model call, in OpenAI's form": Scenario(
        [Refuse(429, {"error": {"code": "BudgetExhausted", "message": "no budget is left", "type": "proctor"}})]
    ),
    "the tool call, in JSON-RPC": Scenario([LOOK_UP, APPROVE], tool_refusal=Refuse(200, RPC_REFUSAL)),
    "the tool call, in JSON-RPC with a status": Scenario([LOOK_UP, APPROVE], tool_refusal=Refuse(429, RPC_REFUSAL)),
    "the tool call, as a problem": Scenario([LOOK_UP, APPROVE], tool_refusal=Refuse(429, PROBLEM | EXHAUSTED)),
}


@pytest.mark.parametrize("refused", REFUSALS)
async def test_a_refusal_of_the_gateway_is_passed_on(agent: Agent, acting_gateway: ActingGateway, refused: str) -> None:
    """What the gateway gives as the reason is the reason of the failed task."""
    template = REFUSALS[refused]
    scenario = replace(template, token=refused, model_calls=[], tool_calls=[])
    with acting_gateway.acting(scenario):
        response = await agent.invoke(scenario.token)
    assert reason_of(response) == "BudgetExhausted"


async def test_a_connection_that_breaks_off_is_an_interruption(agent: Agent, acting_gateway: ActingGateway) -> None:
    """When the gateway goes away in the middle of a call the reason is Interrupted: the attempt can be repeated."""
    with acting_gateway.acting(Scenario([LOOK_UP, Drop()])) as scenario:
        response = await agent.invoke(scenario.token)
    assert reason_of(response) == "Interrupted"


async def test_an_endless_loop_of_tools_is_ended(agent: Agent, acting_gateway: ActingGateway) -> None:
    """A model that only calls tools is stopped after `maxSteps` requests, as LimitExceeded."""
    with acting_gateway.acting(Scenario([LOOK_UP])) as scenario:
        response = await agent.invoke(scenario.token)
    assert reason_of(response) == "LimitExceeded"
    assert len(scenario.model_calls) == MAX_STEPS


async def test_the_deadline_ends_a_task(agent: Agent, acting_gateway: ActingGateway) -> None:
    """At the deadline the task fails as Timeout, whatever the model is doing."""
    with acting_gateway.acting(Scenario([Hang()])) as scenario:
        began = time.monotonic()
        response = await agent.invoke(scenario.token, seconds=1)
    assert reason_of(response) == "Timeout"
    assert time.monotonic() - began < 5


async def test_a_caller_that_leaves_cancels(agent: Agent, acting_gateway: ActingGateway) -> None:
    """When the connection is closed the call that is open is dropped, and no further one is made."""
    with acting_gateway.acting(Scenario([Hang(10)])) as scenario:
        invocation = asyncio.create_task(agent.invoke(scenario.token))
        await until(lambda: scenario.open_calls == 1)
        invocation.cancel()
        await until(lambda: scenario.dropped_calls == 1)
    assert len(scenario.model_calls) == 1


async def test_tasks_at_once_keep_their_tokens(agent: Agent, acting_gateway: ActingGateway) -> None:
    """Of many tasks at the same time each one calls with its own token only."""
    scenarios = [Scenario([LOOK_UP, APPROVE], tool_seconds=0.1) for _ in range(8)]

    async def invoke(index: int, scenario: Scenario) -> httpx2.Response:
        with acting_gateway.acting(scenario):
            return await agent.invoke(scenario.token, f"This is task number {index}.", task_id=f"task-{index}")

    responses = await asyncio.gather(*(invoke(index, scenario) for index, scenario in enumerate(scenarios)))
    assert [response.status_code for response in responses] == [200] * 8
    for index, scenario in enumerate(scenarios):
        assert len(scenario.model_calls) == 2
        assert all(f"task number {index}." in call.body.decode() for call in scenario.model_calls)


REPEATED: dict[str, Scenario] = {
    "calls one after the other": Scenario([LOOK_UP, PAY, APPROVE]),
    "calls at once": Scenario([CallTool([*LOOK_UP.calls, *LOOK_UP.calls, *PAY.calls]), APPROVE], tool_seconds=0.05),
    "a tool that fails": Scenario([LOOK_UP, PAY, APPROVE], tool_error="not now"),
    "an answer of the wrong form": Scenario([Answer({"decision": "maybe"}), APPROVE]),
}


@pytest.mark.parametrize("case", REPEATED)
async def test_a_repeated_attempt_sends_the_same_bytes(agent: Agent, acting_gateway: ActingGateway, case: str) -> None:
    """The same input and the same answers lead to byte-identical model requests and the same tool calls."""
    template = REPEATED[case]
    runs = [replace(template, token=f"{case}-{n}", model_calls=[], tool_calls=[]) for n in range(3)]
    for attempt, scenario in enumerate(runs, start=1):
        with acting_gateway.acting(scenario):
            await agent.invoke(scenario.token, {"b": 1, "a": [2, 3]}, attempt=attempt)
    first, *others = [([call.body for call in run.model_calls], run.tool_calls) for run in runs]
    assert all(other == first for other in others)


async def test_the_token_is_in_no_prompt(agent: Agent, acting_gateway: ActingGateway) -> None:
    """The task token is sent as the bearer, never to the model."""
    with acting_gateway.acting(Scenario([LOOK_UP, APPROVE])) as scenario:
        await agent.invoke(scenario.token)
    assert all(scenario.token not in call.body.decode() for call in scenario.model_calls)


async def test_sigterm_drains(command: list[str] | None, acting_gateway: ActingGateway, workplace: Path) -> None:
    """After SIGTERM a task in flight is finished, /healthz is not 200, no task is taken, and the process ends."""
    if command is None:
        pytest.skip("a running agent is not ours to stop; name it by --agent-command")
    with started(command, f"http://127.0.0.1:{acting_gateway.port}", workplace) as own:
        scenario = Scenario([LOOK_UP, APPROVE], tool_seconds=1.0)
        with acting_gateway.acting(scenario):
            invocation = asyncio.create_task(own.invoke(scenario.token))
            await until(lambda: len(scenario.tool_calls) == 1)
            own.stop()
            await asyncio.sleep(0.2)
            assert not own.is_ready()
            assert not await _takes_a_task(own)
            assert (await invocation).status_code == 200
        assert own.process is not None
        # Ended by itself, or as many servers do by the signal once all was done.
        assert await asyncio.to_thread(own.process.wait, 10) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)


async def _takes_a_task(agent: Agent) -> bool:
    try:
        return (await agent.invoke("another-token")).status_code not in (503, 401)
    except httpx2.HTTPError:
        return False


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for `condition`, at most `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens on another thread
            await asyncio.sleep(0.01)
