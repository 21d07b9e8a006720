"""A connection to the simulated API server."""

from __future__ import annotations

import asyncio
from typing import Any

from proctor.shell.client import Client, _error
from proctor.shell.errors import Retry
from tests.sim.cluster.api import Answer, ApiServer, Request


class Wire(Client):
    """A connection to the simulated API server, which can be cut."""

    def __init__(self, api: ApiServer, name: str = "operator") -> None:
        self._api_server = api
        self._name = name
        self.is_cut = False
        self.next_answers: list[Answer] = []
        """What is answered instead of what the server would."""
        self.seen: list[Request] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        content: str = "application/json",
    ) -> dict[str, Any]:
        """As the real one."""
        await asyncio.sleep(0.005)
        if self.is_cut:
            await asyncio.sleep(3)
            raise Retry("no route to host")
        self.seen.append(Request(method, path, dict(query or {}), body, content, self._name))
        answer = self.next_answers.pop(0) if self.next_answers else self._api_server.handle(self.seen[-1])
        if answer.status >= 300:
            raise _error(method, path, answer.status, answer.text, answer.retry_after)
        return answer.body or {}
