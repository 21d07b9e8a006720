"""What an agent may do with tools, and the truth about what became of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from proctor.api import digest
from proctor_gateway.cluster.port import Kind
from tests.demo.processes import System
from tests.gateway import objects
from tests.gateway.house import House
from tests.gateway.odd_system import HABITS, OddSystem
from tests.gateway.serving import eventually
from tests.gateway.small_agent import SmallAgent

REFUND = {"order_id": "O-50042", "amount": 5.0, "reason": "a test"}


def odd(tool: str, **arguments):
    """A step that calls the odd system."""
    return {"call": ["odd", tool, arguments]}


@pytest.fixture
async def system(gateway: House) -> AsyncIterator[OddSystem]:
    """The odd system as a connector whose tools are all of effect Once."""
    async with OddSystem().serving() as found:
        gateway.connect("odd", "MCP", found.url, limits={"timeout": "4s"})
        gateway.declare(tools=[{"connector": "odd", "allow": list(HABITS)}])
        await gateway.settled()
        yield found


async def running(gateway: House, agent: SmallAgent) -> tuple[str, httpx2.AsyncClient]:
    """A task that runs, and a client that calls out with its token."""
    task = await gateway.held(agent)
    return task, httpx2.AsyncClient(
        base_url=gateway.agents_url, headers=agent.bearer, timeout=30, trust_env=False, verify=False
    )


async def test_only_allowed_tools_are_shown(gateway: House):
    """The list holds what the revision may call, as the system defines it."""
    async with gateway.pod("one") as agent:
        _, http = await running(gateway, agent)
        async with http:
            told = await agent.rpc(http, "crm", "tools/list", {})
    assert [tool["name"] for tool in told["tools"]] == ["get_customer", "get_order"]
    assert (told["resultType"], told["cacheScope"]) == ("complete", "private")
    assert told["tools"][0]["inputSchema"]["type"] == "object"


async def test_the_sdk_is_served(gateway: House):
    """The protocol's own client discovers, lists and calls, in both eras."""
    async with gateway.pod("one") as agent:
        _, http = await running(gateway, agent)
        async with http:
            for mode in ("auto", "legacy", "2026-07-28"):
                transport = streamable_http_client(f"{gateway.agents_url}/mcp/crm", http_client=http)
                async with Client(transport, mode=mode, cache=None) as client:
                    names = [tool.name for tool in (await client.list_tools()).tools]
                    result = await client.call_tool("get_customer", {"customer_id": "C-1042"})
                    assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
                assert names == ["get_customer", "get_order"]
                assert result.structured_content["customer_id"] == "C-1042"


VERSIONS = {"2025-11-25": "2025-11-25", "2025-06-18": "2025-06-18", "2024-11-05": "2025-11-25", "1999": "2025-11-25"}


@pytest.mark.parametrize(("asked", "answered"), VERSIONS.items(), ids=VERSIONS)
async def test_older_versions_are_negotiated(gateway: House, asked: str, answered: str):
    """`initialize` answers with the asked version if it is served, else with the newest of its era."""
    async with gateway.pod("one") as agent:
        _, http = await running(gateway, agent)
        message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": asked}}
        async with http:
            answer = (await http.post("/mcp/crm", json=message)).json()
            ready = await http.post("/mcp/crm", json={"jsonrpc": "2.0", "method": "notifications/initialized"})
            stream = await http.get("/mcp/crm")
    assert answer["result"]["protocolVersion"] == answered
    assert (ready.status_code, stream.status_code) == (202, 405)


META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
HEADERS = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}
MESSAGES = {
    "no JSON-RPC": ({"id": 1, "method": "tools/list"}, {}, 400, -32600),
    "an id that is none": ({"jsonrpc": "2.0", "id": 1.5, "method": "tools/list"}, {}, 400, -32600),
    "params that are none": ({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": []}, {}, 400, -32602),
    "an unknown method": ({"jsonrpc": "2.0", "id": 1, "method": "resources/list"}, {}, 404, -32601),
    "a version to come": (
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/list",
            "params": {"_meta": {"io.modelcontextprotocol/protocolVersion": "2030-01-01"}},
        },
        {},
        400,
        -32022,
    ),
    "no headers": ({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}, {}, 400, -32020),
    "a header that says something else": (
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}},
        {**HEADERS, "mcp-method": "tools/call"},
        400,
        -32020,
    ),
    "a header without a body": ({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, HEADERS, 400, -32020),
    "a call without a name": ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {}}, {}, 400, -32602),
    "no JSON": (None, {}, 400, -32700),
}


@pytest.mark.parametrize(("message", "headers", "status", "code"), MESSAGES.values(), ids=MESSAGES)
async def test_what_is_no_request_is_refused(gateway: House, message, headers, status, code):
    """Errors are those that the protocol names."""
    async with gateway.pod("one") as agent:
        _, http = await running(gateway, agent)
        async with http:
            content = b"{" if message is None else json.dumps(message).encode()
            answer = await http.post("/mcp/crm", content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_tool_that_is_not_allowed_is_denied(gateway: House):
    """The model is told, so that it can go another way; the call is written down."""
    async with gateway.pod("one"):
        task = await gateway.done({"call": ["crm", "list_orders", {"customer_id": "C-1042"}]}, {"answer": "went on"})
    assert task["output"] == "went on"
    (call,) = await gateway.calls(task["id"])
    assert (call["state"], call["error"]["reason"], call["effect"]) == ("Denied", "PolicyDenied", "Once")
    assert task["usage"]["toolCalls"] == 0


async def test_a_connector_that_is_not_granted_is_denied(gateway: House):
    """Neither its list nor its tools."""
    gateway.declare(tools=[])
    async with gateway.pod("one") as agent:
        _, http = await running(gateway, agent)
        async with http:
            tools = await agent.rpc(http, "crm", "tools/list", {})
            call = await agent.call(http, "crm", "get_customer", {})
    assert (tools["status"], tools["error"]["data"]["reason"]) == (403, "PolicyDenied")
    assert call["isError"]
    assert call["_meta"]["proctor.dev/reason"] == "PolicyDenied"


async def test_rules_on_arguments(gateway: House, payments: System):
    """A rule that holds stops the call before anything is sent; one that wants people asked lets the task wait."""
    rules = [
        {"when": "args.amount > 100.0", "then": "Deny", "message": "the limit is 100"},
        {"when": "args.amount > 50.0", "then": "RequireApproval"},
    ]
    gateway.declare(tools=[{"connector": "payments", "allow": ["refund"], "rules": rules}])
    async with gateway.pod("one") as agent:
        task = await gateway.task(
            {"call": ["payments", "refund", {**REFUND, "order_id": "O-77001", "amount": 101}]},
            {"call": ["payments", "refund", {**REFUND, "order_id": "O-77001", "amount": 51}]},
        )
        await gateway.in_phase(task.json()["id"], "InputRequired")
    denied, waits = agent.told
    assert denied["isError"]
    assert "the limit is 100" in denied["content"][0]["text"]
    assert (waits["status"], waits["error"]["data"]["reason"]) == (403, "InputRequired")
    assert payments.request("GET", "/ledger?order_id=O-77001").json()["entries"] == []


async def test_an_effect_happens_once_and_is_recognised(gateway: House, payments: System):
    """A call carries a key of its own: equal calls of one task differ by it, and so are two."""
    step = {"call": ["payments", "refund", {**REFUND, "order_id": "O-77002"}]}
    async with gateway.pod("one"):
        task = await gateway.done(step, step)
    entries = payments.request("GET", "/ledger?order_id=O-77002").json()["entries"]
    assert [entry["requests"] for entry in entries] == [1, 1]
    first, second = await gateway.calls(task["id"])
    assert {first["state"], second["state"]} == {"Succeeded"}
    assert first["result"]["structuredContent"]["payment_id"] != second["result"]["structuredContent"]["payment_id"]


async def test_the_key_is_the_same_in_every_attempt(gateway: House, system: OddSystem):
    """Whatever is sent again for the same call carries the same key and the task's trace, also on another pod."""
    gateway.connect("odd", "MCP", system.url, tools=[{"name": "breaks_off", "effect": "Idempotent"}])
    await gateway.settled()
    async with gateway.pod("one"):
        response = await gateway.task(odd("breaks_off", n=1))
        await eventually(lambda: system.calls)
        gateway.cluster.delete(Kind.POD, objects.NAMESPACE, "one")
        async with gateway.pod("two", "127.0.0.2"):
            ended = await gateway.ended(response.json()["id"])
    assert (ended["phase"], ended["attempts"]) == ("Indeterminate", 2)
    assert len(system.calls) > 5
    assert len({call["_meta"]["proctor.dev/idempotency-key"] for call in system.calls}) == 1
    assert {each["idempotency-key"] for each in system.headers} == {
        call["_meta"]["proctor.dev/idempotency-key"] for call in system.calls
    }
    first = system.calls[0]
    assert ended["traceId"] in first["_meta"]["traceparent"]
    assert ended["traceId"] in system.headers[0]["traceparent"]


async def test_arguments_in_headers_are_sent_when_a_server_wants_them(gateway: House, system: OddSystem):
    """A server that refuses a call for want of a header has not run it; it is sent once more, as its list describes."""
    async with gateway.pod("one"):
        task = await gateway.done(odd("wants_header", n=7))
    assert task["output"][0]["content"][0]["text"] == "done"
    assert [headers["mcp-param-number"] for headers in system.headers] == ["7"]


async def test_the_credential_is_added(gateway: House, system: OddSystem):
    """The system sees the connector's key, never the task token."""
    async with gateway.pod("one"):
        await gateway.done(odd("works"))
    assert system.headers[0]["authorization"] == f"Bearer {objects.KEY.decode()}"


OUTCOMES = {
    "works": ("Succeeded", None, "Succeeded"),
    "says_no": ("Failed", "ToolError", "Succeeded"),
    "wants_input": ("Failed", "InputRequired", "Succeeded"),
    "fails_400": ("Failed", "Rejected", "Succeeded"),
    "rejects_arguments": ("Failed", "Rejected", "Succeeded"),
    "hangs": ("Unknown", "Timeout", "Indeterminate"),
    "resets": ("Unknown", "ToolUnavailable", "Indeterminate"),
    "breaks_off": ("Unknown", "ToolUnavailable", "Indeterminate"),
    "fails_500": ("Unknown", "ToolUnavailable", "Indeterminate"),
    "answers_202": ("Unknown", "ToolUnavailable", "Indeterminate"),
    "answers_text": ("Unknown", "ToolUnavailable", "Indeterminate"),
    "answers_nonsense": ("Unknown", "ToolUnavailable", "Indeterminate"),
    "answers_error": ("Unknown", "ToolError", "Indeterminate"),
    "streams": ("Succeeded", None, "Succeeded"),
    "ends_its_stream": ("Unknown", "ToolUnavailable", "Indeterminate"),
    "breaks_its_stream": ("Unknown", "ToolUnavailable", "Indeterminate"),
}


ERAS = {
    f"{tool}-{era}": (tool, era == "2026-07-28", *expected)
    for tool, expected in OUTCOMES.items()
    for era in ("2026-07-28", "2025-11-25")
    if (tool, era) != ("wants_input", "2025-11-25")  # older versions cannot ask for input this way
}


@pytest.mark.parametrize(("tool", "modern", "state", "reason", "phase"), ERAS.values(), ids=ERAS)
async def test_the_truth_about_an_effect(gateway: House, system: OddSystem, tool, modern, state, reason, phase):
    """What may have happened and was not confirmed is Unknown, and the task Indeterminate; it is sent once."""
    system.modern = modern
    async with gateway.pod("one"):
        task = await gateway.done(odd(tool), {"answer": "went on"})
    (call,) = await gateway.calls(task["id"])
    assert (call["state"], call["error"]["reason"] if call["error"] else None) == (state, reason), call
    assert (task["phase"], task["output"]) == (phase, "went on")
    assert system.times(tool) == 1
    if phase == "Indeterminate":
        assert task["error"]["reason"] == "OutcomeUnknown"
        assert f"odd/{tool} outcome unknown (call {call['id']})" in task["error"]["message"]


async def test_an_agent_is_told_that_nobody_knows(gateway: House, system: OddSystem):
    """An unknown outcome is no tool error that a model might try again: it ends the attempt."""
    async with gateway.pod("one"):
        task = await gateway.done(odd("resets"))
    assert task["output"][0]["error"]["data"]["reason"] == "OutcomeUnknown"


async def test_a_read_that_broke_off_may_be_tried_again(gateway: House, system: OddSystem):
    """A Read changes nothing: it has failed, the model is told, and the task ends well."""
    gateway.connect("odd", "MCP", system.url, tools=[{"name": "resets", "effect": "Read"}])
    await gateway.settled()
    async with gateway.pod("one"):
        task = await gateway.done(odd("resets"), odd("works"))
    broken, fine = task["output"]
    assert broken["isError"]
    assert fine["content"][0]["text"] == "done"
    assert (task["phase"], [call["state"] for call in await gateway.calls(task["id"])]) == (
        "Succeeded",
        ["Failed", "Succeeded"],
    )


async def test_a_system_that_is_away_was_not_touched(gateway: House):
    """No connection: the call failed for certain, and nothing is indeterminate."""
    system = OddSystem()
    gateway.declare(tools=[{"connector": "odd", "allow": list(HABITS)}])
    async with gateway.pod("one"):
        async with system.serving():
            gateway.connect("odd", "MCP", system.url, limits={"timeout": "2s"})
            await gateway.settled()
            await gateway.done(odd("works"))
        task = await gateway.done(odd("works"), {"answer": 1})
    (call,) = await gateway.calls(task["id"])
    assert (task["phase"], call["state"], call["error"]["reason"]) == ("Succeeded", "Failed", "ToolUnavailable")


async def test_a_drifted_tool_is_hidden_and_denied(gateway: House, system: OddSystem):
    """A definition that nobody has admitted is neither shown to the model nor called."""
    pinned = digest.of_tool({"name": "works", "description": "Another tool.", "inputSchema": {"type": "object"}})
    gateway.connect("odd", "MCP", system.url, tools=[{"name": "works", "effect": "Read", "definitionDigest": pinned}])
    await gateway.settled()
    async with gateway.pod("one") as agent:
        _, http = await running(gateway, agent)
        async with http:
            tools = await agent.rpc(http, "odd", "tools/list", {})
            call = await agent.call(http, "odd", "works", {})
    assert "works" not in [tool["name"] for tool in tools["tools"]]
    assert len(tools["tools"]) == len(HABITS) - 1
    assert call["_meta"]["proctor.dev/reason"] == "DefinitionDrifted"
    assert system.times("works") == 0


async def test_a_pinned_tool_is_called_while_it_is_as_pinned(gateway: House, system: OddSystem):
    """The digest is that of proctor.api.digest."""
    pinned = digest.of_tool({"name": "works", "description": "A tool.", "inputSchema": {"type": "object"}})
    gateway.declare(
        {"odd": {"works": {"effect": "Once", "definitionDigest": pinned}}},
        tools=[{"connector": "odd", "allow": ["works"]}],
    )
    async with gateway.pod("one"):
        task = await gateway.done(odd("works"))
    assert task["output"][0]["content"][0]["text"] == "done"


async def test_a_result_that_is_too_large(gateway: House, system: OddSystem):
    """It is not handed on, and not taken for a failure of the call."""
    async with gateway.pod("one"):
        task = await gateway.done(odd("is_huge"))
    told = task["output"][0]
    assert told["isError"]
    assert "too large" in told["content"][0]["text"]
    (call,) = await gateway.calls(task["id"])
    assert (call["state"], call["result"]["truncated"]) == ("Succeeded", True)
    assert task["phase"] == "Succeeded"


LOST_ANSWERS = {
    "a system that honours keys is asked again": ("Idempotent", [2], "Succeeded", None),
    "any other is not": ("Once", [1], "Indeterminate", "OutcomeUnknown"),
}


@pytest.mark.parametrize(("effect", "requests", "phase", "reason"), LOST_ANSWERS.values(), ids=LOST_ANSWERS)
async def test_a_lost_answer(
    gateway: House, tmp_path_factory: pytest.TempPathFactory, effect: str, requests: list[int], phase: str, reason: str
):
    """The real payment service pays and does not answer: paid once, and what is known of it is said."""
    from tests.demo.processes import running as demo

    ledger = str(tmp_path_factory.mktemp("lossy") / "ledger.db")
    with demo("payments", "--database", ledger, "--lose-answers", "1") as lossy:
        gateway.connect(
            "payments",
            "MCP",
            f"{lossy.url}/mcp",
            limits={"timeout": "5s"},
            tools=[{"name": "refund", "effect": effect}],
        )
        await gateway.settled()
        async with gateway.pod("one"):
            task = await gateway.done({"call": ["payments", "refund", REFUND]}, {"answer": 1})
        entries = lossy.request("GET", "/ledger").json()["entries"]
    assert [entry["requests"] for entry in entries] == requests
    assert (task["phase"], task["error"] and task["error"]["reason"]) == (phase, reason)


async def test_suspending_stops_calls_under_way(gateway: House, system: OddSystem):
    """The stop button: no call goes on, and what was under way is said to be unknown."""
    gateway.connect("odd", "MCP", system.url, limits={"timeout": "20s"})
    await gateway.settled()
    async with gateway.pod("one"):
        task = (await gateway.task(odd("hangs"))).json()["id"]
        await eventually(lambda: system.calls)
        gateway.live(suspend=True)
        ended = await gateway.ended(task, 10)
    assert (ended["phase"], ended["error"]["reason"]) == ("Indeterminate", "Suspended")
    (call,) = await gateway.calls(task)
    assert call["state"] == "Unknown"


async def test_a_cancelled_task_waits_for_the_truth(gateway: House, system: OddSystem):
    """An effect under way is not broken off by a cancellation of the task: its outcome is learnt when it can be."""
    system.hang_seconds = 0.5
    gateway.connect("odd", "MCP", system.url, limits={"timeout": "20s"})
    await gateway.settled()
    async with gateway.pod("one"):
        task = (await gateway.task(odd("hangs"), {"sleep": 20})).json()["id"]
        await eventually(lambda: system.calls)
        await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")
        ended = await gateway.ended(task, 10)
    (call,) = await gateway.calls(task)
    assert (ended["phase"], call["state"]) == ("Cancelled", "Succeeded")
    assert "odd/hangs succeeded" in ended["error"]["message"]


async def test_a_connector_is_asked_no_wider_than_it_says(gateway: House, system: OddSystem):
    """`limits.concurrency` calls are under way at once; who would wait too long is told."""
    system.hang_seconds = 6
    gateway.connect(
        "odd",
        "MCP",
        system.url,
        limits={"concurrency": 1, "timeout": "20s"},
        tools=[{"name": "hangs", "effect": "Read"}],
    )
    await gateway.settled()
    async with gateway.pod("one") as agent:
        _, http = await running(gateway, agent)
        async with http:
            first = asyncio.create_task(agent.call(http, "odd", "hangs", {}))
            await eventually(lambda: system.calls)
            second = await agent.call(http, "odd", "hangs", {"n": 2})
            assert "RateLimited" in second["content"][0]["text"]
            assert system.times("hangs") == 1
            assert not (await first).get("isError")
