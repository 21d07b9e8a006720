"""An MCP server as an ASGI application at /mcp, with /healthz and /calls beside it."""

from __future__ import annotations

from collections.abc import Sequence

from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from proctor_demo.counting import CountedCalls
from proctor_demo.health import healthz


def make_mcp_app(server: MCPServer, routes: Sequence[Route] = ()) -> ASGIApp:
    """Streamable HTTP without sessions at /mcp, `/healthz`, `/calls` by tool, and `routes` beside them."""
    # The key decides who may speak, and in a cluster the Host header is the name of a Service: the check of the
    # Host that protects an unauthenticated server on a developer's machine would refuse every request.
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app = server.streamable_http_app(stateless_http=True, json_response=True, transport_security=security)
    app.routes.append(Route("/healthz", healthz))
    app.routes.extend(routes)
    counted = CountedCalls(app)

    async def calls(_: Request) -> JSONResponse:
        return JSONResponse(dict(counted.counts))

    app.routes.append(Route("/calls", calls))
    return counted
