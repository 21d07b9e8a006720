"""Serving an ASGI application until the process is told to stop."""

from __future__ import annotations

import uvicorn
from starlette.types import ASGIApp


def serve(app: ASGIApp, host: str, port: int) -> None:
    """Serve `app` until SIGTERM or SIGINT; requests in flight have ten seconds to end."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        # Callers close idle connections, not we: a request sent at the moment of closing would have no answer.
        timeout_keep_alive=75,
    )
    uvicorn.Server(config).run()
