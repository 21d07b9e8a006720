"""Whether a demo system serves."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse


async def healthz(_: Request) -> JSONResponse:
    """Answer 200: the process serves."""
    return JSONResponse({"status": "ok"})
