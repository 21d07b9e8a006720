"""Payments whose answers come late or never: what a caller must be able to live with."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class UnreliableAnswers:
    """Carries out every refund, but answers it after `delay` seconds, and the first `lost` ones not at all.

    A lost answer is a dropped connection: the money is paid, and the caller cannot know.
    """

    def __init__(self, app: ASGIApp, delay: float, lost: int) -> None:
        self._app = app
        self._delay = delay
        self._lost = lost

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and hold back what is answered."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        if not _asks_for_a_refund(body):
            await self._app(scope, _again(body, receive), send)
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._app(scope, _again(body, receive), keep)
        await asyncio.sleep(self._delay)
        if self._lost > 0:
            self._lost -= 1
            # Headers without a body: the server then closes the connection in the middle of the answer.
            await send(answer[0])
            return
        for message in answer:
            await send(message)


def _asks_for_a_refund(body: bytes) -> bool:
    try:
        request = json.loads(body)
        return bool(request["method"] == "tools/call" and request["params"]["name"] == "refund")
    except (ValueError, KeyError, TypeError):
        return False


async def _body(receive: Receive) -> bytes:
    parts = bytearray()
    while True:
        message = await receive()
        parts += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that tells the body that was already read, once."""
    told = False

    async def tell() -> dict[str, Any]:
        nonlocal told
        if told:
            return dict(await receive())
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return tell
