"""The least that stands between an agent and the demo's systems: it takes a task token and adds the systems' key."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.demo.processes import KEY

TOKEN = "token-of-a-task"
_NOT_PASSED_ON = ("host", "authorization", "content-length", "accept-encoding", "connection")


@contextmanager
def forwarding(upstreams: Mapping[str, str]) -> Iterator[str]:
    """Forward by the beginning of the path (`/v1`, `/mcp/crm`) to a URL; the URL of the gateway."""

    @asynccontextmanager
    async def connected(app: Starlette) -> AsyncIterator[None]:
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            app.state.client = client
            yield

    async def forward(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Response(status_code=401)
        prefix = next(prefix for prefix in upstreams if request.url.path.startswith(prefix))
        headers = {name: value for name, value in request.headers.items() if name not in _NOT_PASSED_ON}
        answer = await request.app.state.client.post(
            upstreams[prefix] + request.url.path.removeprefix(prefix),
            content=await request.body(),
            headers=headers | {"authorization": f"Bearer {KEY}"},
        )
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

    app = Starlette(routes=[Route("/{path:path}", forward, methods=["POST"])], lifespan=connected)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
