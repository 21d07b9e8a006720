"""Tells somebody outside of the cluster that people are asked, and what they decided: CloudEvents 1.0 over HTTP.

A notice is a courtesy: what waits for people is in the Approvals, whoever was told. So it is tried for a minute and
then dropped, and the number of those that wait to be told is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import aiohttp
import structlog

from proctor.api import names
from proctor.api.fields import format_time
from proctor.plan.world import Event, Manifest

_MOST: Final = 1000
_SECONDS: Final = 10.0
_PAUSES: Final = (1.0, 4.0, 15.0, 40.0)
_ACCEPTED: Final = range(200, 300)
_TYPES: Final = {
    "Asked": "dev.proctor.approval.asked",
    "Decided": "dev.proctor.approval.decided",
    "TimedOut": "dev.proctor.approval.timedout",
    "Withdrawn": "dev.proctor.approval.withdrawn",
}

log = structlog.get_logger()


def notices(approval: Manifest, events: Iterable[Event], now: datetime) -> list[dict[str, Any]]:
    """The CloudEvents of what happened to an Approval. They hold no arguments: whoever answers looks at the Approval.

    The id is the same for the same fact, so that a receiver can tell a repetition.
    """
    metadata, spec = approval["metadata"], approval["spec"]
    status = approval.get("status", {})
    place = f"/apis/{names.API_VERSION}/namespaces/{metadata['namespace']}/approvals/{metadata['name']}"
    data = {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "question": spec["question"],
        "digest": spec["subject"]["digest"],
        "approvers": spec["approvers"],
        "deadline": spec["deadline"],
        "decision": status.get("decision"),
        "decidedBy": status.get("decidedBy", []),
    }
    return [
        {
            "specversion": "1.0",
            "id": f"{metadata['uid']}/{event.reason}",
            "source": place,
            "type": _TYPES[event.reason],
            "subject": metadata["name"],
            "time": format_time(now),
            "datacontenttype": "application/json",
            "data": data,
        }
        for event in events
        if event.reason in _TYPES
    ]


class Notifier:
    """Sends notices to one URL, one after the other; with none it sends nothing."""

    def __init__(self, session: aiohttp.ClientSession | None = None, url: str | None = None) -> None:
        self._session = session
        self._url = url
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_MOST)

    def tell(self, approval: Manifest, events: Iterable[Event], now: datetime) -> None:
        """Have it told. Never waits, never raises: a notice too many is dropped."""
        if self._url is None or self._session is None:
            return
        for notice in notices(approval, events, now):
            try:
                self._queue.put_nowait(notice)
            except asyncio.QueueFull:
                log.warning("a notice is dropped, too many wait", id=notice["id"])

    async def run(self) -> None:
        """Never returns."""
        while True:
            notice = await self._queue.get()
            if not await self._sent(notice):
                log.warning("nobody could be told", id=notice["id"], type=notice["type"])

    async def _sent(self, notice: dict[str, Any]) -> bool:
        for pause in (*_PAUSES, None):
            if await self._once(notice):
                return True
            if pause is not None:
                await asyncio.sleep(pause)
        return False

    async def _once(self, notice: dict[str, Any]) -> bool:
        if self._session is None or self._url is None:
            return False
        headers = {"content-type": "application/cloudevents+json"}
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            async with self._session.post(self._url, json=notice, headers=headers, timeout=timeout) as answer:
                return answer.status in _ACCEPTED
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
