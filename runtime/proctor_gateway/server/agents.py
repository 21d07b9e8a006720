"""The listener of agents: models and tools, for the bearer of a task token and nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from proctor_gateway import trace
from proctor_gateway.calling import Caller
from proctor_gateway.callpath import ask_model
from proctor_gateway.callpath.stream_model import Stream
from proctor_gateway.context import Context
from proctor_gateway.ledger import Recorded
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault
from proctor_gateway.server.answers import body_of, json_response, parsed_object, problem_of
from proctor_gateway.server.mcp import McpEndpoint
from proctor_gateway.tokens import TokenError
from proctor_gateway.trace import Span
from proctor_gateway.upstream.model import error_body

log = structlog.get_logger(__name__)

_CHAT: Final = "/v1/chat/completions"
_NO_CACHE: Final = {"cache-control": "no-cache", "x-accel-buffering": "no"}
_STATUS: Final = {
    Reason.RATE_LIMITED: 429,
    Reason.REJECTED: 400,
    Reason.TIMEOUT: 504,
    Reason.MODEL_UNAVAILABLE: 502,
}


class Agents:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._mcp = McpEndpoint(context)

    def application(self) -> ASGIApp:
        """The ASGI application. Questions to models, which are most of all, pass no framework on their way."""
        others = self._routed()

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] == _CHAT and scope["method"] == "POST":
                response = await self.chat(Request(scope, receive))
                await response(scope, receive, send)
            else:
                await others(scope, receive, send)

        return application

    def _routed(self) -> Starlette:
        routes = [
            # Only for the answer to another method: see above.
            Route(_CHAT, self.chat, methods=["POST"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/mcp/{connector}", self.mcp, methods=["POST", "GET", "DELETE"]),
        ]
        handlers: dict[Any, Any] = {Exception: self._on_error, 404: self._on_error, 405: self._on_error}
        return Starlette(routes=routes, exception_handlers=handlers)

    async def chat(self, request: Request) -> Response:
        """A chat completion, whole or as a stream."""
        try:
            caller = await self._caller(request)
            settings = self._context.settings
            body = parsed_object(await body_of(request, settings.max_body, settings.body_timeout))
            asked = await ask_model.begin(self._context, caller, body)
        except Exception as exc:  # noqa: BLE001 - an agent's client understands nothing but OpenAI's errors
            return _openai_error(exc)
        if isinstance(asked, Recorded):
            return self._repeated(caller, asked, is_stream=bool(body.get("stream")))
        if asked.stream:
            return await self._streamed(caller, asked)
        return _replied(await ask_model.answer(self._context, caller, asked))

    async def _streamed(self, caller: Caller, asked: ask_model.Asked) -> Response:
        stream = Stream(self._context, caller, asked)
        refusal = await stream.first()
        if refusal is not None:
            return _replied(refusal)
        return StreamingResponse(stream.events(), 200, _NO_CACHE, media_type="text/event-stream")

    def _repeated(self, caller: Caller, recorded: Recorded, *, is_stream: bool) -> Response:
        reply = ask_model.repeated(self._context, caller, recorded)
        if is_stream and reply.body is not None:
            return Response(reply.body, 200, _NO_CACHE, media_type="text/event-stream")
        return _replied(reply)

    async def models(self, request: Request) -> Response:
        """The one model that the revision declares."""
        try:
            claims = (await self._caller(request)).claims
            await self._context.ledger.check_running(claims)
            bundle = await self._context.bundles.get(claims.namespace, claims.agent, claims.revision)
        except Exception as exc:  # noqa: BLE001 - as above
            return _openai_error(exc)
        model = bundle.behaviour.model
        entry = {"id": model.name, "object": "model", "created": 0, "owned_by": model.connector}
        return json_response({"object": "list", "data": [entry]})

    async def mcp(self, request: Request) -> Response:
        """The tools of one connector."""
        try:
            caller = await self._caller(request)
        except Problem as exc:
            return self._mcp.refused(exc)
        return await self._mcp.respond(request, caller, request.path_params["connector"])

    async def _caller(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Problem(401, Reason.UNAUTHENTICATED, "a task token is needed: Authorization: Bearer <token>")
        clock = self._context.clock
        try:
            claims = await self._context.keyring.read(token.strip())
        except TokenError as exc:
            raise Problem(401, Reason.UNAUTHENTICATED, str(exc)) from exc
        span = trace.parse(request.headers.get("traceparent"))
        trace_id = span.trace_id if span else clock.trace_id()
        return Caller(claims, Span(trace_id, clock.span_id()))

    async def _on_error(self, request: Request, exc: Exception) -> Response:  # noqa: ARG002 - Starlette's signature
        return _openai_error(exc)


def _replied(reply: ask_model.Reply) -> Response:
    if reply.fault is None:
        return Response(reply.body or b"", 200, media_type="application/json")
    headers = {"retry-after": reply.retry_after} if reply.retry_after else {}
    return _error(reply.fault, _STATUS.get(reply.fault.reason, 502), headers)


def _openai_error(exc: Exception) -> Response:
    problem = problem_of(exc)
    if problem.reason is Reason.INTERNAL:
        log.error("a call failed", exc_info=exc)
    # 403 for whatever is denied, limits too: clients repeat a 429 by themselves, which helps only where we say when.
    headers = {} if problem.retry_after is None else {"retry-after": str(problem.retry_after)}
    return _error(Fault(problem.reason, problem.detail), problem.status, headers)


def _error(fault: Fault, status: int, headers: Mapping[str, str]) -> Response:
    return Response(error_body(fault), status, dict(headers), media_type="application/json")
