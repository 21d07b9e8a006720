"""Does a connector's system answer, and what does it offer? Measured now, in a bounded time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, assert_never

from proctor.api import digest
from proctor.api.connector import Connector, ConnectorType
from proctor.api.fields import format_time
from proctor_gateway.calling import with_credential
from proctor_gateway.callpath.asking_system import list_tools
from proctor_gateway.cluster.port import SecretUnusable
from proctor_gateway.context import Context
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.state.credentials import Credential
from proctor_gateway.upstream.http import Patience, UpstreamFailed

_LONGEST_SECONDS: Final = 10.0
_MOST_MODELS: Final = 256
_MOST_DESCRIPTION: Final = 1024
_OK: Final = 200
_UNAUTHORIZED: Final = (401, 403)


@dataclass(frozen=True)
class Finding:
    """What the probe found."""

    reason: Reason
    message: str
    tools: Sequence[dict[str, str]] = ()
    models: Sequence[str] = ()


async def probe(context: Context, connector: Connector) -> dict[str, Any]:
    """What the operator writes into the Connector's status."""
    now = context.clock.now()
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            finding = await _measured(context, connector)
    except TimeoutError:
        finding = Finding(Reason.TIMEOUT, f"no answer within {_LONGEST_SECONDS:g} s")
    except (UpstreamFailed, SecretUnusable) as exc:
        finding = Finding(_word(exc.reason), exc.message)
    context.metrics.probes.labels(finding.reason).inc()
    return shown(connector, finding, now)


def shown(connector: Connector, finding: Finding, now: datetime) -> dict[str, Any]:
    """The finding as the operator reads it."""
    return {
        "generation": connector.metadata.generation,
        "reachable": finding.reason is Reason.REACHABLE,
        "reason": finding.reason,
        "message": finding.message,
        "tools": list(finding.tools),
        "models": list(finding.models),
        "probedAt": format_time(now),
    }


async def _measured(context: Context, connector: Connector) -> Finding:
    match connector.spec.type:
        case ConnectorType.MODEL:
            return await _models(context, connector)
        case ConnectorType.MCP:
            return await _tools(context, connector)
        case ConnectorType.HTTP | ConnectorType.A2A:
            return Finding(Reason.PROTOCOL_ERROR, f"connectors of type {connector.spec.type} are not probed yet")
        case _:
            assert_never(connector.spec.type)


async def _models(context: Context, connector: Connector) -> Finding:
    url = connector.spec.url.rstrip("/") + "/models"
    patience = Patience(context.settings.connect_timeout, _seconds(connector))

    async def send(credential: Credential | None) -> tuple[int, bytes]:
        headers = {"accept": "application/json", **(credential.headers if credential else {})}
        async with context.models.request("GET", url, headers, None, patience) as response:
            return response.status, await response.body(context.settings.max_answer)

    status, body = await with_credential(context.credentials, connector, send, lambda found: found[0] in _UNAUTHORIZED)
    if status in _UNAUTHORIZED:
        return Finding(Reason.UNAUTHORIZED, f"it refuses the credential ({status})")
    if status != _OK:
        return Finding(Reason.PROTOCOL_ERROR, f"GET {url} answers {status}")
    models = _ids(body)
    if models is None:
        return Finding(Reason.PROTOCOL_ERROR, f"GET {url} does not answer with a list of models")
    return Finding(Reason.REACHABLE, f"{len(models)} models", models=models[:_MOST_MODELS])


def _ids(body: bytes) -> list[str] | None:
    try:
        return sorted(str(each["id"]) for each in json.loads(body)["data"])
    except (ValueError, KeyError, TypeError):
        return None


async def _tools(context: Context, connector: Connector) -> Finding:
    found = await list_tools(context.mcp, context.credentials, connector, _seconds(connector))
    tools = [
        {
            "name": each["name"],
            "description": str(each.get("description") or "")[:_MOST_DESCRIPTION],
            "digest": digest.of_tool(each),
        }
        for each in sorted(found, key=lambda each: str(each["name"]))
    ]
    return Finding(Reason.REACHABLE, f"{len(tools)} tools", tools=tools)


def _seconds(connector: Connector) -> float:
    return min(connector.spec.limits.timeout.total_seconds(), _LONGEST_SECONDS)


def _word(reason: Reason) -> Reason:
    """The reasons that a Connector's status knows."""
    known = {
        Reason.SECRET_NOT_FOUND,
        Reason.SECRET_FORBIDDEN,
        Reason.SECRET_KEY_MISSING,
        Reason.UNREACHABLE,
        Reason.UNAUTHORIZED,
        Reason.TIMEOUT,
        Reason.TLS_ERROR,
    }
    return reason if reason in known else Reason.PROTOCOL_ERROR
