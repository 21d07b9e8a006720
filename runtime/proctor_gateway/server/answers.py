"""How requests are read and answers are written, the same for every listener."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from proctor_gateway.rules.errors import Away, Denied, Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.wire import written

log = structlog.get_logger(__name__)

_TYPE: Final = "https://proctor.dev/problems/"
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_DEEPEST: Final = 100
_ROUTING: Final = {
    404: (Reason.NOT_FOUND, "there is nothing under this path"),
    405: (Reason.METHOD_NOT_ALLOWED, "the path does not know this method"),
}


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON in UTF-8."""
    return Response(written(body), status, headers, media_type="application/json")


def problem_response(problem: Problem) -> Response:
    """The problem as RFC 9457 has it."""
    body = {
        "type": _TYPE + problem.reason,
        "title": _WORDS.sub(" ", problem.reason).capitalize(),
        "status": problem.status,
        "reason": problem.reason,
        "detail": problem.detail,
        **problem.extra,
    }
    headers = {}
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return Response(written(body), problem.status, headers, media_type="application/problem+json")


def problem_of(exc: Exception) -> Problem:
    """What an exception means to whoever asked. An unexpected one is told as ours, without its text."""
    match exc:
        case Problem():
            return exc
        case Denied(retry_after=timedelta() as wait):
            return Problem(429, exc.reason, exc.message, retry_after=max(1, math.ceil(wait.total_seconds())))
        case Denied():
            return Problem(403, exc.reason, exc.message)
        case Away():
            return Problem(503, Reason.STORE_UNAVAILABLE, "the gateway cannot reach what it needs", retry_after=2)
        case HTTPException():
            reason, detail = _ROUTING.get(exc.status_code, (Reason.INVALID_REQUEST, str(exc.detail)))
            return Problem(exc.status_code, reason, detail)
        case _:
            return Problem(500, Reason.INTERNAL, "the gateway failed; its log says why")


async def on_problem(request: Request, exc: Exception) -> Response:
    """The exception handler of an application whose answers are problems."""
    problem = problem_of(exc)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        unexpected = problem.reason is Reason.INTERNAL
        log.error("request failed", path=request.url.path, reason=problem.reason, exc_info=exc if unexpected else None)
    return problem_response(problem)


HANDLERS: Final[Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]]] = {
    Problem: on_problem,
    Denied: on_problem,
    Away: on_problem,
    HTTPException: on_problem,
    Exception: on_problem,
}


async def body_of(request: Request, most: int, seconds: float) -> bytes:
    """The whole body. Raises Problem 413 if it is larger than that, 408 if it does not come in time."""
    declared = request.headers.get("content-length", "")
    too_large = Problem(413, Reason.TOO_LARGE, f"the body has more than {most} bytes")
    if declared.isdigit() and int(declared) > most:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
    except TimeoutError as exc:
        raise Problem(408, Reason.TIMEOUT, f"the body was not there within {seconds:g} s") from exc
    except ClientDisconnect as exc:
        raise Problem(400, Reason.INVALID_REQUEST, "the request ended before its body did") from exc
    return b"".join(parts)


def parsed(body: bytes) -> Any:
    """The JSON document. Raises Problem 400 for what is not JSON as RFC 8259 has it, or nested too deeply."""
    try:
        value = _DECODER.decode(body.decode("utf-8-sig"))
        if body.count(b"[") + body.count(b"{") > _DEEPEST:
            _measure(value)
        if b"\\u" in body:
            # A lone surrogate cannot be written as UTF-8: neither hashed, nor kept, nor passed on. It comes escaped.
            written(value)
    except (ValueError, RecursionError) as exc:
        raise Problem(400, Reason.INVALID_REQUEST, f"the body is not JSON: {type(exc).__name__}") from exc
    return value


def parsed_object(body: bytes) -> dict[str, Any]:
    """The JSON object. Raises Problem 400."""
    value = parsed(body)
    if not isinstance(value, dict):
        raise Problem(400, Reason.INVALID_REQUEST, "the body is not a JSON object")
    return value


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)


def _measure(value: Any, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        for each in value.values():
            _measure(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            _measure(each, depth + 1)
