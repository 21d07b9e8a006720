"""The scripted model's HTTP side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from proctor_demo.health import healthz
from proctor_demo.model.replies import Reply, Unanswerable, make_reply
from proctor_demo.model.request import InvalidRequest, Seen, parse
from proctor_demo.model.rulebook import Rulebook
from proctor_demo.model.rules import Failure, Then
from proctor_demo.model.script import Chosen, NoRuleMatched, Script
from proctor_demo.model.streaming import chunks


def make_app(rulebook: Rulebook) -> Starlette:
    """The model as an ASGI application; it does not ask for the key itself."""
    script = Script(rulebook)

    async def complete(request: Request) -> Response:
        return await _complete(script, request)

    async def models(_: Request) -> JSONResponse:
        entries = [
            {"id": name, "object": "model", "created": 0, "owned_by": "script"} for name in script.rules().models
        ]
        return JSONResponse({"object": "list", "data": entries})

    async def stats(request: Request) -> Response:
        if request.method == "DELETE":
            script.reset()
            return Response(status_code=204)
        return JSONResponse(script.stats())

    async def requests(_: Request) -> JSONResponse:
        return JSONResponse({"requests": list(script.last_requests)})

    return Starlette(
        routes=[
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/v1/models", models),
            Route("/stats", stats, methods=["GET", "DELETE"]),
            Route("/requests", requests),
            Route("/healthz", healthz),
        ]
    )


async def _complete(script: Script, request: Request) -> Response:
    try:
        seen = parse(json.loads(await request.body()))
        if (known := script.rules().models) and seen.model not in known:
            return _error(404, "model_not_found", f"there is no model {seen.model!r}, only {', '.join(known)}")
        return await _answer(script.choose(seen), seen, request)
    except (ValueError, InvalidRequest) as exc:
        return _error(400, "invalid_request_error", f"not a chat/completions request: {exc}")
    except (NoRuleMatched, Unanswerable) as exc:
        # 400, because every client takes it as final: a retry would only hide that the script has a gap.
        return _error(400, type(exc).__name__, str(exc))


async def _answer(chosen: Chosen, seen: Seen, request: Request) -> Response:
    then = chosen.rule.then
    if then.delay_seconds and await _gone_within(then.delay_seconds, request):
        return Response(status_code=499)
    if then.error is not None:
        return _scripted_error(then.error)
    if then.malformed_body:
        return Response(b'{"id": "chatcmpl-', media_type="application/json")
    return _deliver(make_reply(chosen.rules, chosen.rule, seen, chosen.captures), then, seen)


async def _gone_within(seconds: float, request: Request) -> bool:
    """Wait; True at once when the caller leaves meanwhile, so that nothing is kept open for nobody."""
    try:
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


def _deliver(reply: Reply, then: Then, seen: Seen) -> Response:
    if seen.body.get("stream"):
        include_usage = bool((seen.body.get("stream_options") or {}).get("include_usage"))
        return _Pieces("text/event-stream", chunks(reply, include_usage=include_usage), then)
    if then.cut_after_chunks is None:
        return Response(_encode(reply.body()), media_type="application/json")
    body = _encode(reply.body())
    return _Pieces("application/json", iter([body[: len(body) // 2], body[len(body) // 2 :]]), then)


class _Pieces(Response):
    """A body sent piece by piece, with the rule's pauses, and broken off where the rule says so."""

    def __init__(self, media_type: str, pieces: Iterator[bytes], then: Then) -> None:
        super().__init__(media_type=media_type, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        # The length is not known yet; with none announced the server sends chunks.
        del self.headers["content-length"]
        self._pieces = pieces
        self._then = then

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send the body."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for piece in self._paced():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        # Without this last message the server closes the connection in the middle of the body: a cut stream.
        if self._then.cut_after_chunks is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _paced(self) -> AsyncIterator[bytes]:
        for index, piece in enumerate(self._pieces):
            if self._then.cut_after_chunks is not None and index >= self._then.cut_after_chunks:
                return
            if self._then.chunk_delay_seconds:
                await asyncio.sleep(self._then.chunk_delay_seconds)
            yield piece


def _scripted_error(failure: Failure) -> Response:
    code = failure.code or ("rate_limit_exceeded" if failure.status == 429 else "server_error")  # noqa: PLR2004 - HTTP
    response = _error(failure.status, code, failure.message)
    if failure.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(failure.retry_after_seconds)
    return response


def _error(status: int, code: str, message: str) -> Response:
    kind = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004 - HTTP
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return JSONResponse(body, status_code=status)


def _encode(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
