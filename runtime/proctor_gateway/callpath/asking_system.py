"""How is a system asked over MCP? With the connector's credential, in time; that it fails is an answer, too."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from proctor.api.connector import Connector
from proctor_gateway.calling import Caller, with_credential
from proctor_gateway.context import Context
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.state.credentials import Credential, Credentials
from proctor_gateway.upstream.mcp import Mcp
from proctor_gateway.upstream.outcome import McpFailed, Target


async def ask_tool(
    context: Context,
    caller: Caller,
    connector: Connector,
    tool: str,
    arguments: Mapping[str, Any],
    seconds: float,
    *,
    key: str | None = None,
    fresh: bool = False,
) -> Mapping[str, Any] | McpFailed:
    """The tool's result, or why there is none. `fresh`: on a connection of its own. Raises SecretUnusable.

    By `key` a repeated call is recognised: a server of MCP finds it in `_meta`, what stands before one in a header.
    """
    trace = {"traceparent": caller.span.traceparent}
    headers_of_key = {} if key is None else {"idempotency-key": key}
    meta = trace if key is None else {"proctor.dev/idempotency-key": key, **trace}

    async def send(credential: Credential | None) -> Mapping[str, Any] | McpFailed:
        headers = {**(credential.headers if credential else {}), **trace, **headers_of_key}
        try:
            async with asyncio.timeout(seconds + 1):
                target = Target(connector.spec.url, headers, seconds, fresh=fresh)
                found = await context.mcp.call(target, tool, arguments, meta)
        except McpFailed as exc:
            return McpFailed(exc.reason, _hidden(credential, exc.message), sent=exc.sent, ran=exc.ran)
        except TimeoutError:
            return McpFailed(Reason.TIMEOUT, "no answer in time", sent=True)
        else:
            shown: Mapping[str, Any] = _hidden(credential, found)
            return shown

    return await with_credential(context.credentials, connector, send, _is_refused)


async def list_tools(
    mcp: Mcp, credentials: Credentials, connector: Connector, seconds: float
) -> Sequence[dict[str, Any]]:
    """The tools that the system offers. Raises McpFailed or SecretUnusable."""

    async def send(credential: Credential | None) -> Sequence[dict[str, Any]] | McpFailed:
        headers = credential.headers if credential else {}
        try:
            return await mcp.tools(Target(connector.spec.url, headers, seconds))
        except McpFailed as exc:
            return exc

    found = await with_credential(credentials, connector, send, _is_refused)
    if isinstance(found, McpFailed):
        raise found
    return found


def _hidden(credential: Credential | None, said: Any) -> Any:
    return said if credential is None else credential.hidden(said)


def _is_refused(found: object) -> bool:
    """Whether the system refused the credential: then, and only then, a newer one is tried."""
    return isinstance(found, McpFailed) and found.reason is Reason.UNAUTHORIZED
