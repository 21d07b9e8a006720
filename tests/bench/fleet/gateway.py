"""A stand-in for the gateway: it answers every probe at once, so that what is measured is the operator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web


@asynccontextmanager
async def answering() -> AsyncIterator[str]:
    """Runs on a free port of loopback; its URL."""
    app = web.Application()
    app.add_routes([web.post("/internal/connectors/{namespace}/{name}/probe", _probe)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def _probe(_: web.Request) -> web.Response:
    # The bench never changes a Connector, so each is of its first generation.
    answer = {
        "generation": 1,
        "reachable": True,
        "reason": "Reachable",
        "message": "",
        "tools": [],
        "models": ["small"],
        "probedAt": datetime.now(UTC).isoformat(),
    }
    return web.json_response(answer)
