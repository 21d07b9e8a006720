"""The tools of one connector, spoken to through the gateway: MCP 2026-07-28, stateless.

An agent speaks MCP to nobody but the gateway, which speaks this version, so that nothing has to be negotiated
and the two methods below are all there is. The SDK's client does the same at the price of 24 MiB and 0.4 s of
CPU at the start of each pod, and hides the body of an HTTP error, which is where the gateway says why it refused.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2

from proctor_agent.failures import TaskFailure, from_gateway

PROTOCOL_VERSION = "2026-07-28"
_ACCEPT = "application/json, text/event-stream"
_META = {
    "io.modelcontextprotocol/protocolVersion": PROTOCOL_VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "proctor-agent", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
_PAGES = 50
"""A listing that has more pages than this is taken to be endless."""


class ToolError(Exception):
    """A tool call failed in a way the model may see and react to."""


@dataclass(frozen=True)
class ToolDescription:
    """A tool as the gateway lists it."""

    name: str
    description: str
    input_schema: Mapping[str, Any]
    read_only: bool


class ConnectorClient:
    """The tools of `connector`, called with the credentials and headers of `http`."""

    def __init__(self, http: httpx2.AsyncClient, gateway_url: str, connector: str) -> None:
        self._http = http
        self._url = f"{gateway_url}/mcp/{quote(connector, safe='')}"
        self._connector = connector
        self._ids = itertools.count(1)
        self._mirrored: dict[str, dict[tuple[str, ...], str]] = {}

    async def list_tools(self) -> list[ToolDescription]:
        """The tools this task may use.

        Raises:
            TaskFailure: the gateway refuses or cannot be reached.
        """
        found: list[ToolDescription] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            result = await self._call("tools/list", {"cursor": cursor} if cursor else {})
            for tool in result.get("tools", ()):
                self._mirrored[tool["name"]] = dict(_mirrored_arguments(tool.get("inputSchema", {})))
                found.append(_description(tool))
            cursor = result.get("nextCursor")
            if not cursor:
                return found
        raise TaskFailure("AgentError", f"connector {self._connector} lists tools without end")

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The tool's answer: its structured content, or else its text.

        Raises:
            ToolError: the tool failed; the model may try something else.
            TaskFailure: the gateway refuses, for the whole task, or cannot be reached.
        """
        headers = {"Mcp-Name": _header_value(name), **self._argument_headers(name, arguments)}
        result = await self._call("tools/call", {"name": name, "arguments": arguments}, headers)
        if result.get("isError"):
            raise ToolError(_text(result) or "the tool failed without saying why")
        if result.get("resultType", "complete") != "complete":
            raise ToolError(f"the tool answered {result['resultType']!r}, which an agent cannot go on from")
        structured = result.get("structuredContent")
        return _text(result) if structured is None else structured

    async def _call(self, method: str, params: dict[str, Any], headers: Mapping[str, str] = {}) -> Mapping[str, Any]:
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params | {"_meta": _META}}
        sent = {"Accept": _ACCEPT, "MCP-Protocol-Version": PROTOCOL_VERSION, "Mcp-Method": method, **headers}
        try:
            response = await self._http.post(self._url, json=request, headers=sent)
        except httpx2.TimeoutException as exc:
            raise TaskFailure("Timeout", f"the gateway did not answer {method} of {self._connector} in time") from exc
        except httpx2.HTTPError as exc:
            # Whether the call was carried out is not known here. The gateway's journal knows, so that the attempt
            # ends and the next one is answered from there.
            raise TaskFailure("Interrupted", f"the gateway broke off {method} of {self._connector}") from exc
        return self._result(method, response)

    def _result(self, method: str, response: httpx2.Response) -> Mapping[str, Any]:
        message = _message(response)
        if isinstance(message, dict) and isinstance(result := message.get("result"), dict):
            return result
        if isinstance(message, dict) and message.get("jsonrpc") and isinstance(message.get("error"), dict):
            raise self._refused(method, message["error"])
        known = from_gateway(message)
        raise known or TaskFailure("AgentError", f"{method} of {self._connector} got HTTP {response.status_code}")

    def _refused(self, method: str, error: Mapping[str, Any]) -> Exception:
        # A reason of the gateway's ends the task; without one the tool's server did not like the call, and the
        # model may correct it. A listing cannot be corrected.
        if (known := from_gateway(error.get("data"))) is not None:
            return known
        text = str(error.get("message", "the call was refused"))
        return ToolError(text) if method == "tools/call" else TaskFailure("AgentError", f"{self._connector}: {text}")

    def _argument_headers(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, str]:
        found = {}
        for path, header in self._mirrored.get(tool, {}).items():
            value: Any = arguments
            for name in path:
                value = value.get(name) if isinstance(value, Mapping) else None
            if isinstance(value, bool | int | str):
                text = json.dumps(value) if isinstance(value, bool | int) else value
                found[f"Mcp-Param-{header}"] = _header_value(text)
        return found


def _description(tool: Mapping[str, Any]) -> ToolDescription:
    return ToolDescription(
        name=tool["name"],
        description=tool.get("description") or "",
        input_schema=tool.get("inputSchema") or {"type": "object", "properties": {}},
        read_only=(tool.get("annotations") or {}).get("readOnlyHint") is True,
    )


def _message(response: httpx2.Response) -> Any:
    """The JSON document of a response; of an event stream the answer in it; None if there is none."""
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        return _parsed(response.text)
    events = (_parsed(_data(event)) for event in re.split(r"\r?\n\r?\n", response.text))
    return next((event for event in events if isinstance(event, dict) and "id" in event), None)


def _data(event: str) -> str:
    return "\n".join(line[len("data:") :].strip() for line in event.splitlines() if line.startswith("data:"))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _text(result: Mapping[str, Any]) -> str:
    """The content of a tool's answer as text; what is no text is named, so that the model knows of it."""
    return "\n".join(_block(block) for block in result.get("content", ()))


def _block(block: Mapping[str, Any]) -> str:
    match block.get("type"):
        case "text":
            return str(block.get("text", ""))
        case "resource" if isinstance(text := (block.get("resource") or {}).get("text"), str):
            return text
        case "resource_link":
            return f"[resource {block.get('uri', '')}]"
        case kind:
            return f"[{kind} {block.get('mimeType', '')}, not shown]"


def _mirrored_arguments(schema: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The arguments that the protocol wants in a header as well, by their place in the arguments."""
    for name, inner in (schema.get("properties") or {}).items():
        if isinstance(inner, Mapping):
            if isinstance(header := inner.get("x-mcp-header"), str):
                yield (*path, name), header
            yield from _mirrored_arguments(inner, (*path, name))


def _header_value(text: str) -> str:
    if re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", text) and not text.startswith("=?base64?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="
