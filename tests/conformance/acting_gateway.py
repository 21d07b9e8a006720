"""A server that acts as the gateway towards an agent: model and MCP sides, over real HTTP.

It knows a task by its token, answers as the task's scenario says, and keeps what came.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import ToolAnnotations
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.conformance.scenario import Answer, CallTool, Drop, Hang, ModelCall, Refuse, Scenario, ToolCall

CUSTOMER = {"customer_id": "C-1042", "name": "Greta Jensen"}


class ActingGateway:
    """The gateway's agent listener on one port, with the connectors `crm` and `payments` behind it."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._scenarios: dict[str, Scenario] = {}
        self.strays: list[str] = []
        self._connectors: dict[str, ASGIApp] = {
            "crm": _mcp_app(_make_crm(self._scenario_of)),
            "payments": _mcp_app(_make_payments(self._scenario_of)),
        }
        # At the end calls may be open that an agent has given up: they are not waited for.
        quiet = {"log_level": "critical", "access_log": False, "timeout_graceful_shutdown": 1}
        config = uvicorn.Config(self, host=host, port=port, **quiet)  # type: ignore[arg-type]
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    @contextmanager
    def serving(self) -> Iterator[ActingGateway]:
        """Serve until the block ends."""
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        try:
            yield self
        finally:
            self._server.should_exit = True
            self._thread.join(10)

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return port

    @contextmanager
    def acting(self, scenario: Scenario) -> Iterator[Scenario]:
        """Admit the scenario's token for as long as the block lasts, as the gateway does for an attempt."""
        self._scenarios[scenario.token] = scenario
        try:
            yield scenario
        finally:
            del self._scenarios[scenario.token]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of an agent."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http":
            scenario = self._admitted(scope)
            if scenario is None:
                await _problem(401, "Unauthorized", "not the token of a running attempt")(scope, receive, send)
            else:
                await self._serve(scenario, scope, receive, send)

    async def _serve(self, scenario: Scenario, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/v1/chat/completions":
            response = await _complete(scenario, Request(scope, receive))
            await response(scope, receive, send)
        elif path.startswith("/mcp/") and path.removeprefix("/mcp/") in self._connectors:
            body = await Request(scope, receive).body()
            refusal = _refusal(scenario, body)
            app = refusal or self._connectors[path.removeprefix("/mcp/")]
            await app({**scope, "path": "/mcp"}, _again(body, receive), send)
        else:
            await _problem(404, "NotFound", path)(scope, receive, send)

    def _admitted(self, scope: Scope) -> Scenario | None:
        token = _token(Headers(scope=scope))
        if token not in self._scenarios:
            self.strays.append(f"{scope['method']} {scope['path']} with {token or 'no token'}")
        return self._scenarios.get(token)

    def _scenario_of(self, context: Context[Any, Any]) -> Scenario:
        request = context.request_context.request
        assert request is not None, "the server speaks HTTP"
        return self._scenarios[_token(request.headers)]

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Each MCP application starts its session manager in its own lifespan.
        await receive()
        started = [_Lifespan(app, scope) for app in self._connectors.values()]
        for lifespan in started:
            await lifespan.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for lifespan in started:
            await lifespan.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _refusal(scenario: Scenario, body: bytes) -> Response | None:
    """The answer to a tools/call that the scenario has refused; None for anything else."""
    request = json.loads(body) if body else {}
    if scenario.tool_refusal is None or request.get("method") != "tools/call":
        return None
    said = dict(scenario.tool_refusal.body)
    media_type = "application/problem+json"
    if "jsonrpc" in said:
        said["id"], media_type = request["id"], "application/json"
    return JSONResponse(said, scenario.tool_refusal.status, media_type=media_type)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that tells the body that was already read, once."""
    told = False

    async def tell() -> MutableMapping[str, Any]:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return tell


class _Lifespan:
    """The lifespan of an application inside another one."""

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._started = asyncio.Event()
        self._running = asyncio.create_task(self._run(app, {**scope, "state": {}}))

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self._inbox.get, self._said)

    async def _said(self, message: Any) -> None:
        if message["type"] == "lifespan.startup.complete":
            self._started.set()

    async def start(self) -> None:
        await self._inbox.put({"type": "lifespan.startup"})
        await self._started.wait()

    async def stop(self) -> None:
        await self._inbox.put({"type": "lifespan.shutdown"})
        await self._running


async def _complete(scenario: Scenario, request: Request) -> Response:
    call = ModelCall(await request.body(), dict(request.headers))
    scenario.model_calls.append(call)
    number = len(scenario.model_calls)
    turn = scenario.next_turn()
    match turn:
        case Refuse(status, body):
            return JSONResponse(body, status)
        case Hang(seconds):
            scenario.open_calls += 1
            scenario.dropped_calls += await _gone_within(request, seconds)
            scenario.open_calls -= 1
            return _problem(504, "Timeout", "the model hangs")
        case Drop():
            return _Dropped()
        case _:
            return _completion(call, _message(turn, call, number))


class _Dropped(Response):
    """An answer whose connection is closed before it came."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})


async def _gone_within(request: Request, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if await request.is_disconnected():
            return True
        await asyncio.sleep(0.02)
    return False


def _message(turn: CallTool | Answer, call: ModelCall, number: int) -> dict[str, Any]:
    match turn:
        case CallTool(calls, with_ids):
            message = _calls([(name, arguments) for name, arguments in calls], number)
            if not with_ids:
                for tool_call in message["tool_calls"]:
                    del tool_call["id"]
            return message
        case Answer(str() as text):
            return {"role": "assistant", "content": text}
        case Answer(value):
            # An output tool is one that no connector has: connectors' tools are named `<connector>__<tool>`.
            output_tool = next((name for name in call.tools if "__" not in name), None)
            if output_tool is not None and "response_format" not in call.document:
                return _calls([(output_tool, value)], number)
            return {"role": "assistant", "content": json.dumps(value)}


def _calls(calls: list[tuple[str, Any]], number: int) -> dict[str, Any]:
    tool_calls = [
        {
            "id": f"call_{number}_{index}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for index, (name, arguments) in enumerate(calls)
    ]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls}


def _completion(call: ModelCall, message: dict[str, Any]) -> Response:
    finish_reason = "tool_calls" if message.get("tool_calls") else "stop"
    base = {"id": "chatcmpl-1", "created": 1, "model": call.document["model"]}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    if not call.document.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": finish_reason}
        return JSONResponse(base | {"object": "chat.completion", "choices": [choice], "usage": usage})
    indexed = [tool_call | {"index": index} for index, tool_call in enumerate(message.get("tool_calls", ()))]
    delta = message | ({"tool_calls": indexed} if indexed else {})
    chunk = base | {"object": "chat.completion.chunk"}
    events = [
        chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]},
        chunk | {"choices": [], "usage": usage},
    ]
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return Response("".join([*lines, "data: [DONE]\n\n"]), media_type="text/event-stream")


def _problem(status: int, reason: str, detail: str) -> Response:
    body = {"type": f"https://proctor.dev/problems/{reason}", "title": reason, "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")


def _token(headers: Any) -> str:
    return str(headers.get("authorization", "")).removeprefix("Bearer ").strip()


def _mcp_app(server: MCPServer) -> ASGIApp:
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    return server.streamable_http_app(stateless_http=True, json_response=True, transport_security=security)


def _make_crm(scenario_of: Any) -> MCPServer:
    server: MCPServer = MCPServer("crm", log_level="CRITICAL")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def get_customer(customer_id: str, context: Context[Any, Any]) -> dict[str, Any]:
        """Look up a customer."""
        return await _tool(
            scenario_of(context), ToolCall("crm", "get_customer", {"customer_id": customer_id}), CUSTOMER
        )

    @server.tool()
    async def delete_customer(customer_id: str, context: Context[Any, Any]) -> dict[str, Any]:
        """Delete a customer: listed here, but never declared for the agent."""
        call = ToolCall("crm", "delete_customer", {"customer_id": customer_id})
        return await _tool(scenario_of(context), call, {"deleted": True})

    return server


def _make_payments(scenario_of: Any) -> MCPServer:
    server: MCPServer = MCPServer("payments", log_level="CRITICAL")

    @server.tool()
    async def refund(order_id: str, amount: float, context: Context[Any, Any]) -> dict[str, Any]:
        """Pay money back."""
        call = ToolCall("payments", "refund", {"order_id": order_id, "amount": amount})
        return await _tool(scenario_of(context), call, {"payment_id": "P-1", "amount": amount})

    return server


async def _tool(scenario: Scenario, call: ToolCall, answer: dict[str, Any]) -> dict[str, Any]:
    scenario.tool_calls.append(call)
    scenario.tools_under_way.append(call.tool)
    scenario.tool_overlaps.append(tuple(scenario.tools_under_way))
    try:
        await asyncio.sleep(scenario.tool_seconds)
    finally:
        scenario.tools_under_way.remove(call.tool)
    if scenario.tool_error is not None:
        raise ToolError(scenario.tool_error)
    return answer
