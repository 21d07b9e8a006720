"""People outside of the cluster are told that they are asked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web

from proctor.plan.world import Event
from proctor.shell.notifier import Notifier, notices

T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)
APPROVAL = {
    "metadata": {"namespace": "support", "name": "refunds-1", "uid": "u"},
    "spec": {
        "question": "May it?",
        "subject": {"digest": "sha256:x", "toolCall": {"arguments": {"iban": "DE02"}}},
        "approvers": {"groups": ["leads"]},
        "deadline": "2026-11-23T12:00:00Z",
    },
    "status": {"decision": "Approve", "decidedBy": ["alice"]},
}


def test_a_notice_is_a_cloud_event_without_the_arguments():
    """It names the question and where it is; what is asked about stays in the cluster."""
    (told,) = notices(APPROVAL, [Event("Decided", "Approve by alice"), Event("Other", "x")], T0)
    assert (told["specversion"], told["type"], told["id"]) == ("1.0", "dev.proctor.approval.decided", "u/Decided")
    assert told["source"] == "/apis/proctor.dev/v1alpha1/namespaces/support/approvals/refunds-1"
    assert told["data"]["decidedBy"] == ["alice"]
    assert "DE02" not in str(told)


async def test_a_receiver_that_fails_once_is_told_again():
    """The same notice under the same id."""
    got: list[dict[str, Any]] = []
    twice = asyncio.Event()

    async def hear(request: web.Request) -> web.Response:
        got.append(await request.json())
        if len(got) == 2:
            twice.set()
        assert request.content_type == "application/cloudevents+json"
        return web.Response(status=500 if len(got) == 1 else 202)

    application = web.Application()
    application.router.add_post("/", hear)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        notifier = Notifier(session, f"http://127.0.0.1:{port}/")
        running = asyncio.create_task(notifier.run())
        notifier.tell(APPROVAL, [Event("Asked", "people are asked")], T0)
        await asyncio.wait_for(twice.wait(), 10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await runner.cleanup()
    assert got[0] == got[1]
    assert got[0]["id"] == "u/Asked"


def test_without_a_receiver_nothing_is_kept():
    """And nothing fails."""
    Notifier().tell(APPROVAL, [Event("Asked", "people are asked")], T0)
