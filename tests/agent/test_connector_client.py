"""The client of a connector's tools, against servers of the MCP SDK and against broken ones."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import httpx2
import pytest
import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import ToolAnnotations
from pydantic import Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proctor_agent.connector_client import ConnectorClient, ToolError
from proctor_agent.failures import TaskFailure


def a_server() -> MCPServer:
    """Tools that answer in all the ways a tool can."""
    server: MCPServer = MCPServer("tools", log_level="CRITICAL")

    @server.tool()
    def structured(x: int) -> dict[str, int]:
        """Answer with structured content."""
        return {"x": x}

    @server.tool(structured_output=False)
    def text(x: int) -> str:
        """Answer with text."""
        return f"x is {x}"

    @server.tool()
    def broken() -> str:
        """Fail."""
        raise ValueError("inside")

    @server.tool()
    def mirrored(
        region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
        urgent: Annotated[bool, Field(json_schema_extra={"x-mcp-header": "Urgent"})],
    ) -> str:
        """Want two arguments in headers as well."""
        return f"{region} {urgent}"

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def only_reads() -> str:
        """Read."""
        return "read"

    return server


ODD_ANSWERS: dict[str, tuple[int, str, str]] = {
    "problem": (
        403,
        "application/problem+json",
        '{"type": "https://proctor.dev/problems/PolicyDenied", "title": "Policy denied", "detail": "not this tool"}',
    ),
    "openai": (429, "application/json", '{"error": {"code": "BudgetExhausted", "message": "no budget"}}'),
    "rpc-with-reason": (
        200,
        "application/json",
        '{"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "no", "data": {"reason": "Suspended"}}}',
    ),
    "html": (502, "text/html", "<h1>Bad gateway</h1>"),
    "nothing": (200, "application/json", ""),
    "events": (
        200,
        "text/event-stream",
        'event: message\ndata: {"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}\n\n'
        'data: {"jsonrpc": "2.0", "id": 1,\ndata: "result": {"structuredContent": {"ok": true}, "content": []}}\n\n',
    ),
    "endless": (200, "application/json", '{"jsonrpc": "2.0", "id": 1, "result": {"tools": [], "nextCursor": "again"}}'),
    "blocks": (
        200,
        "application/json",
        '{"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "seen"},'
        ' {"type": "image", "mimeType": "image/png", "data": "AAAA"},'
        ' {"type": "resource", "resource": {"uri": "a:b", "text": "inside"}}]}}',
    ),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A gateway with the connectors `plain` and `streams` of the SDK, and the odd ones of the table."""
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    plain, streams = (
        a_server().streamable_http_app(
            streamable_http_path=f"/mcp/{name}",
            stateless_http=True,
            json_response=name == "plain",
            transport_security=security,
        )
        for name in ("plain", "streams")
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with plain.router.lifespan_context(plain), streams.router.lifespan_context(streams):
            yield

    async def odd(request: Request) -> Response:
        status, media_type, body = ODD_ANSWERS[request.path_params["name"]]
        return Response(body, status, media_type=media_type)

    routes = [*plain.routes, *streams.routes, Route("/mcp/odd/{name:path}", odd, methods=["POST"])]
    with serving(Starlette(routes=routes, lifespan=lifespan)) as base:
        yield base


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """`app` on a thread of its own; its URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@asynccontextmanager
async def connected(url: str, connector: str) -> AsyncIterator[ConnectorClient]:
    """A client of one connector."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield ConnectorClient(http, url, connector)


@pytest.mark.parametrize("connector", ["plain", "streams"])
async def test_tools_are_listed(url: str, connector: str) -> None:
    """A listing is read whether it comes as JSON or as a stream of events."""
    async with connected(url, connector) as client:
        listed = await client.list_tools()
    assert [tool.name for tool in listed] == ["structured", "text", "broken", "mirrored", "only_reads"]
    assert [tool.read_only for tool in listed] == [False, False, False, False, True]


CALLS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "structured content": ("structured", {"x": 1}, {"x": 1}),
    "text": ("text", {"x": 1}, "x is 1"),
    "arguments in headers": ("mirrored", {"region": "Größe", "urgent": True}, {"result": "Größe True"}),
}


@pytest.mark.parametrize("connector", ["plain", "streams"])
@pytest.mark.parametrize("case", CALLS)
async def test_a_tool_answers(url: str, connector: str, case: str) -> None:
    """A tool's answer is its structured content, or else its text; arguments go into headers where it wants them."""
    tool, arguments, answer = CALLS[case]
    async with connected(url, connector) as client:
        await client.list_tools()
        assert await client.call_tool(tool, arguments) == answer


async def test_a_tool_that_fails_is_an_error_for_the_model(url: str) -> None:
    """`isError` is a ToolError with the tool's own words."""
    async with connected(url, "plain") as client:
        with pytest.raises(ToolError, match="broken"):
            await client.call_tool("broken", {})


async def test_an_unknown_tool_is_an_error_for_the_model(url: str) -> None:
    """A call that the server does not understand may be corrected by the model."""
    async with connected(url, "plain") as client:
        with pytest.raises(ToolError):
            await client.call_tool("no_such_tool", {})


REFUSALS = {
    "problem": ("PolicyDenied", "not this tool"),
    "openai": ("BudgetExhausted", "no budget"),
    "rpc-with-reason": ("Suspended", "Suspended"),
    "html": ("AgentError", "tools/call of odd/html got HTTP 502"),
    "nothing": ("AgentError", "tools/call of odd/nothing got HTTP 200"),
}


@pytest.mark.parametrize("answer", REFUSALS)
async def test_a_refusal_ends_the_task(url: str, answer: str) -> None:
    """What is no answer of a tool ends the task, with the gateway's reason where it gives one."""
    async with odd_connector(url, answer) as client:
        with pytest.raises(TaskFailure) as failure:
            await client.call_tool("any", {})
    assert (failure.value.reason, failure.value.detail) == REFUSALS[answer]


async def test_an_answer_is_found_in_a_stream(url: str) -> None:
    """Of several events, one over several lines, the one that answers counts."""
    async with odd_connector(url, "events") as client:
        assert await client.call_tool("any", {}) == {"ok": True}


async def test_what_is_no_text_is_named(url: str) -> None:
    """Content that cannot be shown to the model is named to it."""
    async with odd_connector(url, "blocks") as client:
        assert await client.call_tool("any", {}) == "seen\n[image image/png, not shown]\ninside"


async def test_a_listing_without_end_is_given_up(url: str) -> None:
    """A server that always has another page does not hold the task up for ever."""
    async with odd_connector(url, "endless") as client:
        with pytest.raises(TaskFailure, match="without end"):
            await client.list_tools()


@asynccontextmanager
async def odd_connector(url: str, name: str) -> AsyncIterator[ConnectorClient]:
    """A client of a connector that answers as the table says."""
    async with connected(url, f"odd/{name}") as client:
        yield client
