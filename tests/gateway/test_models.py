"""What an agent may ask of a model, and what it is told."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest

from tests.demo.processes import System
from tests.gateway import objects
from tests.gateway.house import House


def asking(text: str, **body):
    """A step that asks the model this."""
    return {"chat": {"messages": [{"role": "user", "content": text}], **body}}


async def requests_of(model: System) -> list[dict]:
    """What the model got to see."""
    return (await asyncio.to_thread(model.request, "GET", "/requests")).json()["requests"]


async def test_the_revision_declares_the_model(gateway: House):
    """Another model is denied, written down as such, and not a step."""
    async with gateway.pod("one"):
        task = await gateway.done(asking("hello", model="gpt-9"))
        (told,) = task["output"]
        assert (told["status"], told["error"]["code"]) == (403, "PolicyDenied")
        assert told["error"]["type"] == "permission_error"
        (call,) = await gateway.calls(task["id"])
        assert (call["state"], call["error"]["reason"], call["name"]) == ("Denied", "PolicyDenied", "gpt-9")
        assert task["usage"]["steps"] == 0


async def test_declared_parameters_are_defaults(gateway: House, model: System):
    """What the revision declares is sent unless the agent says otherwise."""
    gateway.declare(model={"connector": "llm", "name": "gpt-5-mini", "parameters": {"temperature": 0, "seed": 7}})
    async with gateway.pod("one"):
        await gateway.done(asking("hello defaults", temperature=0.5))
    sent = (await requests_of(model))[-1]
    sent = sent.get("body", sent)
    assert (sent["temperature"], sent["seed"]) == (0.5, 7)


async def test_the_cost_is_what_the_connector_declares(gateway: House):
    """Tokens as the model says, money as the connector says, exactly."""
    async with gateway.pod("one"):
        task = await gateway.done(asking("hello"), asking("hello"))
    usage = task["usage"]
    expected = (usage["inputTokens"] * Decimal("0.25") + usage["outputTokens"] * 2) / 1_000_000
    assert Decimal(usage["cost"]) == expected > 0
    calls = await gateway.calls(task["id"])
    assert sum(Decimal(call["cost"]) for call in calls) == expected


async def test_an_unknown_price_is_an_unknown_cost(gateway: House, model: System):
    """Without a price the cost is null, not zero."""
    gateway.connect("llm", "Model", f"{model.url}/v1")
    await gateway.settled()
    async with gateway.pod("one"):
        task = await gateway.done(asking("hello"))
    assert task["usage"]["cost"] is None
    assert task["usage"]["inputTokens"] > 0


async def test_a_limit_that_cannot_be_measured_denies(gateway: House, model: System):
    """`maxCost` without a price for the model: no call is made."""
    gateway.connect("llm", "Model", f"{model.url}/v1")
    gateway.declare(limits={"timeout": "20s", "maxCost": "1"})
    async with gateway.pod("one"):
        task = await gateway.done(asking("hello"))
    assert task["output"][0]["error"]["code"] == "PriceUnknown"


LIMITS = {
    "steps": ({"maxSteps": 2}, "LimitExceeded"),
    "tokens": ({"maxTokens": 1100}, "LimitExceeded"),
    "cost": ({"maxCost": "0.00073"}, "BudgetExhausted"),
}


@pytest.mark.parametrize(("limits", "reason"), LIMITS.values(), ids=LIMITS)
async def test_limits_hold(gateway: House, limits, reason):
    """A call that might go beyond a limit of the task is denied; clients do not repeat a 403 by themselves."""
    gateway.declare(limits={"timeout": "20s", **limits})
    async with gateway.pod("one"):
        task = await gateway.done(*[asking("hello " * 100)] * 3)
    last = task["output"][-1]
    assert (last["status"], last["error"]["code"]) == (403, reason)
    assert task["output"][0]["status"] == 200


async def test_limits_hold_when_calls_come_together(gateway: House):
    """Twenty calls at the same time make no more steps than are allowed."""
    gateway.declare(limits={"timeout": "20s", "maxSteps": 3})
    async with gateway.pod("one") as agent:
        task = await gateway.held(agent)
        body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hello"}]}
        async with httpx2.AsyncClient(
            base_url=gateway.agents_url, headers=agent.bearer, trust_env=False, verify=False, timeout=30
        ) as http:
            answers = await asyncio.gather(*(http.post("/v1/chat/completions", json=body) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [403] * 17
        await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")


FAULTS = {
    "its rate limit": ("rate limited", 429, "RateLimited"),
    "its own failure": ("server error", 502, "ModelUnavailable"),
    "a request that it rejects": ("rejected", 400, "Rejected"),
    "an answer that is none": ("malformed body", 502, "ModelUnavailable"),
}


@pytest.mark.parametrize(("text", "status", "code"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_models_failures_have_reasons(gateway: House, text, status, code, stream):
    """Whatever goes wrong at the model is told in OpenAI's form, with a reason of ours."""
    async with gateway.pod("one"):
        task = await gateway.done(asking(text, stream=stream))
    (told,) = task["output"]
    assert (told["status"], told["error"]["code"]) == (status, code)
    (call,) = await gateway.calls(task["id"])
    assert call["state"] == "Failed"


async def test_retry_after_is_passed_on(gateway: House):
    """A client learns how long the model wants it to wait."""
    async with gateway.pod("one") as agent:
        task = await gateway.held(agent)
        body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "rate limited"}]}
        async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
            answer = await http.post(
                f"{gateway.agents_url}/v1/chat/completions",
                json=body,
                headers=agent.bearer,
            )
        assert answer.headers["retry-after"] == "7"
        await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")


async def test_a_silent_model_is_not_waited_for(gateway: House, model: System):
    """The connector's timeout ends the call; the task may go on."""
    gateway.connect("llm", "Model", f"{model.url}/v1", prices=objects.PRICES, limits={"timeout": "300ms"})
    await gateway.settled()
    async with gateway.pod("one"):
        task = await gateway.done(asking("slow"), {"answer": "went on"})
    assert task["output"] == "went on"
    (call,) = await gateway.calls(task["id"])
    assert (call["state"], call["error"]["reason"]) == ("Failed", "Timeout")
    assert task["usage"]["cost"] is None


async def test_a_model_that_is_away(gateway: House):
    """No connection: ModelUnavailable, and nothing that could have cost anything."""
    gateway.connect("llm", "Model", "http://127.0.0.1:9/v1", prices=objects.PRICES)
    await gateway.settled()
    async with gateway.pod("one"):
        task = await gateway.done(asking("hello"))
    assert (task["output"][0]["status"], task["output"][0]["error"]["code"]) == (502, "ModelUnavailable")
    assert task["usage"]["cost"] == "0"


async def test_a_stream_is_passed_on_as_it_comes(gateway: House):
    """Chunks arrive while the model still speaks; what it took is written down at the end."""
    async with gateway.pod("one") as agent:
        task = await gateway.held(agent)
        body = {"model": "gpt-5-mini", "stream": True, "messages": [{"role": "user", "content": "drip"}]}
        events, arrivals = [], []
        async with (
            httpx2.AsyncClient(trust_env=False, verify=False) as http,
            http.stream("POST", f"{gateway.agents_url}/v1/chat/completions", json=body, headers=agent.bearer) as answer,
        ):
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    events.append(line[6:])
                    arrivals.append(asyncio.get_running_loop().time())
        assert events[-1] == "[DONE]"
        chunks = [json.loads(event) for event in events[:-1]]
        # The agent did not ask for the usage, and clients read choices[0] of each chunk.
        assert all(chunk["choices"] for chunk in chunks)
        assert arrivals[-1] - arrivals[0] > 0.5
        await gateway.settled_calls(task)
        (call,) = await gateway.calls(task)
        assert (call["state"], call["result"]) == ("Succeeded", {"finishReasons": ["stop"]})
        assert call["inputTokens"] > 0
        assert Decimal(call["cost"]) > 0
        await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")


async def test_a_stream_that_breaks_off_is_a_failure(gateway: House):
    """The agent is told in the stream; the cost is unknown."""
    async with gateway.pod("one"):
        task = await gateway.done(asking("cut off", stream=True))
    stream = task["output"][0]["stream"]
    last = json.loads(stream.strip().splitlines()[-1].removeprefix("data: "))
    assert last["error"]["code"] == "ModelUnavailable"
    (call,) = await gateway.calls(task["id"])
    assert (call["state"], call["cost"]) == ("Failed", None)
    assert task["usage"]["cost"] is None


async def test_usage_is_shown_to_those_who_ask(gateway: House):
    """`include_usage` of the agent's own is honoured."""
    async with gateway.pod("one"):
        task = await gateway.done(asking("hello", stream=True, stream_options={"include_usage": True}))
    assert '"usage":' in task["output"][0]["stream"].replace('"usage": null', "")


async def test_an_agent_that_stops_reading_ends_the_call(gateway: House, model: System):
    """Nobody pays for what nobody reads."""
    async with gateway.pod("one") as agent:
        task = await gateway.held(agent)
        body = {"model": "gpt-5-mini", "stream": True, "messages": [{"role": "user", "content": "drip"}]}
        async with (
            httpx2.AsyncClient(trust_env=False, verify=False) as http,
            http.stream("POST", f"{gateway.agents_url}/v1/chat/completions", json=body, headers=agent.bearer) as answer,
        ):
            await anext(answer.aiter_lines())
        await gateway.settled_calls(task)
        (call,) = await gateway.calls(task)
        assert (call["state"], call["error"]["reason"]) == ("Failed", "Interrupted")
        await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")


async def test_a_model_that_does_not_say_what_it_took(gateway: House):
    """Missing usage: unknown tokens, unknown cost."""
    async with gateway.pod("one"):
        task = await gateway.done(asking("missing usage"))
    (call,) = await gateway.calls(task["id"])
    assert (call["state"], call["inputTokens"], call["cost"]) == ("Succeeded", None, None)
    assert task["usage"]["cost"] is None


async def test_models_lists_the_declared_one(gateway: House):
    """GET /v1/models shows what may be asked."""
    async with gateway.pod("one") as agent:
        task = await gateway.held(agent)
        async with httpx2.AsyncClient(trust_env=False, verify=False, headers=agent.bearer) as http:
            models = (await http.get(f"{gateway.agents_url}/v1/models")).json()
            assert [model["id"] for model in models["data"]] == ["gpt-5-mini"]
            await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")
            await gateway.ended(task)
            late = await http.get(f"{gateway.agents_url}/v1/models")
        assert (late.status_code, late.json()["error"]["code"]) == (401, "Unauthenticated")


async def test_a_token_opens_nothing_after_its_attempt(gateway: House):
    """What an agent keeps is worth nothing once its attempt has ended."""
    async with gateway.pod("one") as agent:
        await gateway.done({"answer": 1})
        body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hello"}]}
        async with httpx2.AsyncClient(
            base_url=gateway.agents_url, headers=agent.bearer, trust_env=False, verify=False
        ) as http:
            chat = await http.post("/v1/chat/completions", json=body)
            tools = await agent.rpc(http, "crm", "tools/list", {})
            call = await agent.rpc(http, "crm", "tools/call", {"name": "get_customer", "arguments": {}})
    assert (chat.status_code, chat.json()["error"]["code"]) == (401, "Unauthenticated")
    assert (tools["status"], tools["error"]["data"]["reason"]) == (401, "Unauthenticated")
    assert (call["status"], call["error"]["data"]["reason"]) == (401, "Unauthenticated")


@pytest.mark.parametrize("token", ["", "nonsense", "e30.e30.e30", objects.CALLER_TOKEN])
async def test_only_task_tokens_open_the_agents_listener(gateway: House, token: str):
    """Neither a caller's token nor anything else will do."""
    async with httpx2.AsyncClient(trust_env=False, verify=False, headers={"authorization": f"Bearer {token}x"}) as http:
        chat = await http.post(f"{gateway.agents_url}/v1/chat/completions", json={})
        tools = await http.post(f"{gateway.agents_url}/mcp/crm", json={})
    assert (chat.status_code, tools.status_code) == (401, 401)


async def test_the_credential_is_rotated_without_a_failure(gateway: House):
    """A refused credential is read anew and the call is sent once more."""
    name = (objects.NAMESPACE, "llm")
    gateway.cluster.secrets[name] = {"token": b"an-old-key"}
    gateway.connect("other", "Model", "http://127.0.0.1:9")
    async with gateway.pod("one"):
        first = await gateway.done(asking("hello"))
        gateway.cluster.secrets[name] = {"token": objects.KEY}
        second = await gateway.done(asking("hello"))
    assert first["output"][0]["error"]["code"] == "ModelUnavailable"
    assert second["output"][0]["status"] == 200


SECRETS = {
    "there is none": (None, "SecretNotFound"),
    "it may not be read": ("forbidden", "SecretForbidden"),
    "it has no such key": ({"other": b"x"}, "SecretKeyMissing"),
    "it cannot be sent": ({"token": b"a\nb"}, "SecretKeyMissing"),
    "it is empty": ({"token": b" \n"}, "SecretKeyMissing"),
}


@pytest.mark.parametrize(("data", "reason"), SECRETS.values(), ids=SECRETS)
async def test_without_a_credential_nothing_is_sent(gateway: House, data, reason):
    """A Secret that cannot be used is named with the reason, never with a value."""
    name = (objects.NAMESPACE, "llm")
    del gateway.cluster.secrets[name]
    if data == "forbidden":
        gateway.cluster.forbidden.add(name)
    elif data:
        gateway.cluster.secrets[name] = data
    async with gateway.pod("one"):
        task = await gateway.done(asking("hello"))
    told = task["output"][0]["error"]
    assert (told["code"], reason in told["message"]) == ("ModelUnavailable", True)
    assert task["usage"]["cost"] == "0"


def store_of(directory):
    """All that the gateway has written; the record's keys are in a directory of their own."""
    return b"".join(path.read_bytes() for path in directory.iterdir() if path.is_file())


async def test_no_secret_is_said_or_kept(gateway: House, directory: Path, capsys: pytest.CaptureFixture[str]):
    """Neither the log nor the store nor an answer holds a credential or a token."""
    async with gateway.pod("one") as agent:
        task = await gateway.done(
            asking("hello"), asking("rejected"), {"call": ["crm", "get_customer", {"customer_id": "C-1042"}]}
        )
        calls = await gateway.calls(task["id"])
        token = agent.tokens[0]
    said = capsys.readouterr()
    kept = await asyncio.to_thread(store_of, directory)
    for secret in (objects.KEY.decode(), token, objects.CALLER_TOKEN):
        assert secret not in said.out + said.err + json.dumps(task) + json.dumps(calls)
        assert secret.encode() not in kept
