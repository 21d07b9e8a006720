"""The client of the gateway's internal API, against a server that answers as told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from proctor.plan.said import Batch, NoAnswer, Outcomes, Traffic
from proctor.shell.gateway import GatewayClient


class _Gateway:
    """Answers every request with what `status` and `text` say, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.text = "{}"
        self.asked: list[tuple[str, str, str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.asked.append((request.method, request.path_qs, request.headers.get("Authorization", ""), body))
        return web.Response(status=self.status, text=self.text)


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[_Gateway, str]]:
    """A gateway on a port of its own, and its address."""
    told = _Gateway()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", told.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield told, f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.fixture
async def client(gateway: tuple[_Gateway, str], tmp_path: Path) -> AsyncIterator[GatewayClient]:
    """A client with a token."""
    token = tmp_path / "token"
    token.write_text("of-the-operator\n")
    async with aiohttp.ClientSession() as session:
        yield GatewayClient(session, gateway[1], str(token))


async def test_outcomes_are_asked_for_after_an_assignment(gateway: tuple[_Gateway, str], client: GatewayClient) -> None:
    """The rollout, the last known assignment and the token go along; a task that still runs has no end."""
    told, _ = gateway
    told.text = (
        '{"items":[{"assignment":8,"task":"t8","revision":"aa","arm":"Candidate","propensity":"0.10",'
        '"assignedAt":"2026-11-02T08:00:00Z","finishedAt":null,"phase":"Running"}],"asOf":"2026-11-02T08:00:01Z"}'
    )
    said = await client.outcomes("support", "refunds", "r/1", 7)
    assert isinstance(said, Outcomes)
    assert (said.items[0].assignment, said.items[0].finished_at) == (8, None)
    assert told.asked == [
        (
            "GET",
            "/internal/agents/support/refunds/outcomes?rollout=r/1&after=7&limit=1000",
            "Bearer of-the-operator",
            "",
        )
    ]


async def test_a_batch_is_put_under_its_name(gateway: tuple[_Gateway, str], client: GatewayClient) -> None:
    """A batch that is taken answers nothing."""
    told, _ = gateway
    told.status = 202
    assert await client.begin("support", "refunds", Batch("exam-1", {"purpose": "Evals"})) is None
    assert told.asked[0][:2] == ("PUT", "/internal/agents/support/refunds/trials/exam-1")
    assert told.asked[0][3] == '{"purpose": "Evals"}'


@pytest.mark.parametrize(
    ("status", "text", "is_refused", "is_missing"),
    [
        (404, "no such agent", False, True),
        (409, "another body", True, False),
        (403, "not you", True, False),
        (429, "later", False, False),
        (503, "not ready", False, False),
        (200, "not json", False, False),
        (200, '{"items":[]}', False, False),
    ],
)
async def test_what_is_no_answer(
    gateway: tuple[_Gateway, str], client: GatewayClient, status: int, text: str, is_refused: bool, is_missing: bool
) -> None:
    """An error, and an answer that cannot be read, are told apart from an answer, and never raised."""
    told, _ = gateway
    told.status, told.text = status, text
    said = await client.traffic("support", "refunds")
    assert isinstance(said, NoAnswer)
    assert (said.is_refused, said.is_missing) == (is_refused, is_missing)
    assert "of-the-operator" not in said.reason


async def test_a_gateway_that_is_away_is_no_answer(client: GatewayClient, gateway: tuple[_Gateway, str]) -> None:
    """Nobody listens, or there is no token: the reason says which kind of failure, and nothing of the token."""
    nobody = GatewayClient(client._session, "http://127.0.0.1:1", str(client._token_file))
    said = await nobody.traffic("support", "refunds")
    assert isinstance(said, NoAnswer)
    assert "ClientConnector" in said.reason
    without = GatewayClient(client._session, gateway[1], "/nowhere/token")
    assert isinstance(await without.traffic("support", "refunds"), NoAnswer)


async def test_traffic_of_a_later_gateway_is_read(gateway: tuple[_Gateway, str], client: GatewayClient) -> None:
    """Unknown fields do not matter."""
    told, _ = gateway
    told.text = '{"asOf":"2026-11-02T08:00:01Z","gateways":2,"agreed":true,"inFlight":{"aa":3},"later":1}'
    said = await client.traffic("support", "refunds")
    assert isinstance(said, Traffic)
    assert (said.agreed, said.in_flight) == (True, {"aa": 3})
