"""How often each tool was called, as the system itself has seen it: what nobody else can be wrong about."""

from __future__ import annotations

import json
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class CountedCalls:
    """Passes everything on, and counts the tools that were called; `counts` is by tool."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.counts: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counts when the request has been read to its end."""
        read = bytearray()

        async def listen() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                read.extend(message.get("body", b""))
                if not message.get("more_body"):
                    self._count(bytes(read))
            return message

        is_asked = scope["type"] == "http" and scope["method"] == "POST"
        await self._app(scope, listen if is_asked else receive, send)

    def _count(self, body: bytes) -> None:
        try:
            request = json.loads(body)
            if request["method"] == "tools/call":
                self.counts[str(request["params"]["name"])] += 1
        except (ValueError, KeyError, TypeError):
            return
