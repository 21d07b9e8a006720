"""MCP over streamable HTTP, served by hand: stateless 2026-07-28, and the handshake of the versions before it.

There is no session and no stream: each POST is answered with one JSON document. A denial of one call is told as a
tool's error, so that the model can go another way; what ends the whole task is told as a JSON-RPC error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from proctor_gateway.calling import Caller
from proctor_gateway.callpath.call_tool import Answer, call_tool, list_tools
from proctor_gateway.context import Context
from proctor_gateway.rules import protocol
from proctor_gateway.rules.calls import CallState
from proctor_gateway.rules.errors import Denied, Problem
from proctor_gateway.rules.protocol import GATEWAY, HANDSHAKES, META_SERVER, META_VERSION, STATELESS
from proctor_gateway.rules.reasons import OF_THE_CALL, Reason
from proctor_gateway.server.answers import body_of, json_response, parsed_object, problem_of

log = structlog.get_logger(__name__)

_LIST_TTL_MS: Final = 30_000
_CAPABILITIES: Final = {"tools": {"listChanged": False}}
_DENIED: Final = -32003
"""JSON-RPC error of ours: the gateway refuses, `data.reason` says why."""

Json = dict[str, Any]


class RpcError(Exception):
    """An answer other than a result."""

    def __init__(self, code: int, message: str, status: int = 200, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.data = data


class McpEndpoint:
    """Answers MCP requests."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def respond(self, request: Request, caller: Caller, connector: str) -> Response:
        """The answer to one HTTP request."""
        if request.method != "POST":
            return Response(status_code=405, headers={"allow": "POST"})
        message: Json = {}
        try:
            settings = self._context.settings
            message = parsed_object(await body_of(request, settings.max_body, settings.body_timeout))
            _check_message(message)
            if "id" not in message:
                return Response(status_code=202)
            modern = _is_modern(request.headers, message)
            result = await self._result(caller, connector, message)
        except RpcError as exc:
            return _error(message.get("id"), exc)
        except Exception as exc:  # noqa: BLE001 - an agent's client understands nothing but JSON-RPC
            return _error(message.get("id"), _rpc_error(exc))
        if modern:
            result = {"resultType": "complete", **result}
        return json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def refused(self, problem: Problem) -> Response:
        """The answer to someone who may not ask at all."""
        return _error(None, _rpc_error(problem))

    async def _result(self, caller: Caller, connector: str, message: Json) -> Json:
        params = message.get("params") or {}
        match message["method"]:
            case "server/discover":
                return _discovered()
            case "initialize":
                return _initialized(params)
            case "ping":
                return {}
            case "tools/list":
                return await self._listed(caller, connector)
            case "tools/call":
                return await self._called(caller, connector, params)
            case method:
                raise RpcError(protocol.METHOD_NOT_FOUND, f"method {str(method)[:64]!r} is not served", 404)

    async def _listed(self, caller: Caller, connector: str) -> Json:
        await self._context.ledger.check_running(caller.claims)
        tools = await list_tools(self._context, caller, connector)
        return {"tools": tools, "ttlMs": _LIST_TTL_MS, "cacheScope": "private"}

    async def _called(self, caller: Caller, connector: str, params: Mapping[str, Any]) -> Json:
        name, arguments = params.get("name"), params.get("arguments")
        if not isinstance(name, str) or not (arguments is None or isinstance(arguments, dict)):
            raise RpcError(protocol.INVALID_PARAMS, "tools/call needs a name, and arguments that are an object", 400)
        try:
            answer = await call_tool(self._context, caller, connector, name, arguments or {})
        except Denied as exc:
            if exc.reason not in OF_THE_CALL:
                raise
            return _tool_error(exc.reason, exc.message)
        return self._told(answer)

    def _told(self, answer: Answer) -> Json:
        """The result for the agent: the system's own, or why there is none."""
        fault = answer.outcome.fault
        if answer.result is not None and answer.outcome.state is not CallState.UNKNOWN:
            size = len(json.dumps(answer.result, ensure_ascii=False))
            if size <= self._context.settings.max_result:
                return {key: value for key, value in answer.result.items() if key != "resultType"}
            said = f"the call was made ({answer.outcome.state}), but its result of {size} characters is too large"
            return _tool_error(Reason.TOO_LARGE, said)
        if fault is None or answer.outcome.state is CallState.UNKNOWN:
            # An agent must not try again what may have happened: this ends its attempt.
            said = fault.message if fault else "no result"
            said = f"the outcome is unknown: {said}"
            data = {"reason": Reason.OUTCOME_UNKNOWN, "detail": said, "call": answer.call}
            raise RpcError(_DENIED, said, 200, data)
        return _tool_error(fault.reason, fault.message)


def _check_message(message: Json) -> None:
    if message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        raise RpcError(protocol.INVALID_REQUEST, "not a JSON-RPC 2.0 request", 400)
    if "id" in message and (not isinstance(message["id"], str | int) or isinstance(message["id"], bool)):
        raise RpcError(protocol.INVALID_REQUEST, "id must be text or an integer", 400)
    if not isinstance(message.get("params", {}), dict):
        raise RpcError(protocol.INVALID_PARAMS, "params must be an object", 400)


def _is_modern(headers: Mapping[str, str], message: Json) -> bool:
    """Whether the request is of 2026-07-28. Its headers must say what its body says, or it is refused."""
    params = message.get("params") or {}
    meta = params.get("_meta")
    version = meta.get(META_VERSION) if isinstance(meta, dict) else None
    header = headers.get("mcp-protocol-version")
    if version is None:
        if header == STATELESS:
            raise RpcError(protocol.HEADER_MISMATCH, f"_meta names no protocol version, the header {header}", 400)
        return False
    if version != STATELESS:
        data = {"supported": [STATELESS], "requested": version}
        raise RpcError(protocol.UNSUPPORTED_PROTOCOL_VERSION, "the protocol version is not served", 400, data)
    said = {"mcp-protocol-version": version, "mcp-method": message["method"]}
    if message["method"] == "tools/call":
        said["mcp-name"] = params.get("name")
    for name, value in said.items():
        if protocol.from_header(headers.get(name)) != value:
            raise RpcError(protocol.HEADER_MISMATCH, f"header {name} does not say what the body says", 400)
    return True


def _discovered() -> Json:
    return {
        "supportedVersions": [STATELESS, *reversed(HANDSHAKES)],
        "capabilities": _CAPABILITIES,
        "ttlMs": _LIST_TTL_MS,
        "cacheScope": "private",
        "_meta": {META_SERVER: GATEWAY},
    }


def _initialized(params: Mapping[str, Any]) -> Json:
    wanted = params.get("protocolVersion")
    version = wanted if wanted in HANDSHAKES else HANDSHAKES[-1]
    return {"protocolVersion": version, "capabilities": _CAPABILITIES, "serverInfo": GATEWAY}


def _tool_error(reason: Reason, message: str) -> Json:
    text = f"{reason}: {message}"
    return {"content": [{"type": "text", "text": text}], "isError": True, "_meta": {"proctor.dev/reason": reason}}


def _rpc_error(exc: Exception) -> RpcError:
    problem = problem_of(exc)
    if problem.reason is Reason.INTERNAL:
        log.error("a call failed", exc_info=exc)
        return RpcError(
            protocol.INTERNAL_ERROR, problem.detail, 500, {"reason": problem.reason, "detail": problem.detail}
        )
    if problem.reason is Reason.INVALID_REQUEST:
        return RpcError(protocol.PARSE_ERROR, problem.detail, 400)
    return RpcError(_DENIED, problem.detail, problem.status, {"reason": problem.reason, "detail": problem.detail})


def _error(identifier: object, exc: RpcError) -> Response:
    error: Json = {"code": exc.code, "message": exc.message}
    if exc.data is not None:
        error["data"] = dict(exc.data)
    known = identifier if isinstance(identifier, str | int) else None
    headers = {"www-authenticate": "Bearer"} if exc.status == 401 else {}  # noqa: PLR2004 - Unauthorized
    return json_response({"jsonrpc": "2.0", "id": known, "error": error}, exc.status, headers)
