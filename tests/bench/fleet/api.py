"""The bench's own way to the API server: create, change, list and watch, nothing more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.bench.fleet.control_plane import ControlPlane
from tests.bench.fleet.errors import RunError

_IN_FLIGHT = 16
_LONGEST_LINE = 4 * 2**20

Body = dict[str, Any]


class Api:
    """One client. Every call raises RunError when the API server refuses."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._slots = asyncio.Semaphore(_IN_FLIGHT)

    async def request(self, method: str, path: str, body: Body | None = None, **headers: str) -> Body:
        """The answer's JSON."""
        content = {
            "Content-Type": "application/json",
            **{key.replace("_", "-"): value for key, value in headers.items()},
        }
        async with (
            self._slots,
            self._session.request(
                method, self._url + path, data=json.dumps(body) if body else None, headers=content
            ) as got,
        ):
            answer: Body = await got.json(content_type=None)
            if got.status >= 300:
                raise RunError(f"{method} {path}: {got.status} {answer.get('message', answer)}")
            return answer

    async def merge(self, path: str, patch: Body) -> Body:
        """Changes an object by a JSON merge patch."""
        return await self.request("PATCH", path, patch, Content_Type="application/merge-patch+json")

    async def all(self, calls: Iterable[Any]) -> None:
        """Awaits all calls, a few in flight at a time."""
        async with asyncio.TaskGroup() as group:
            for each in calls:
                group.create_task(each)

    async def count(self, path: str, selector: str = "") -> int:
        """How many objects a collection holds, of those that the label selector names."""
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        listed = await self.request("GET", f"{path}?labelSelector={selector}", Accept=accept)
        return len(listed["items"] or ())

    async def version(self, path: str) -> str:
        """The resource version of a collection now."""
        listed = await self.request("GET", f"{path}?limit=1")
        return str(listed["metadata"]["resourceVersion"])

    async def watch(self, path: str, version: str, selector: str = "") -> AsyncIterator[tuple[str, Body]]:
        """What changes from that version on, as (type, object)."""
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "7200", "labelSelector": selector}
        async with self._session.get(self._url + path, params=query) as stream:
            async for line in stream.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise RunError(f"the watch of {path} broke: {event['object'].get('message')}")
                yield event["type"], event["object"]
        raise RunError(f"the watch of {path} ended")


@asynccontextmanager
async def connected(plane: ControlPlane, user: str = "bench") -> AsyncIterator[Api]:
    """A client that acts as the user."""
    connector = aiohttp.TCPConnector(ssl=plane.tls(), limit=0)
    headers = {"Authorization": f"Bearer {plane.tokens[user]}", "User-Agent": "proctor-bench"}
    async with aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=None, connect=10),
        read_bufsize=_LONGEST_LINE,
    ) as session:
        yield Api(session, plane.url)
