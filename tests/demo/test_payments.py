"""Payments: the same key pays once, and the ledger says so."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client

from proctor_demo.bearer import KeyRequired
from proctor_demo.mcp_app import make_mcp_app
from proctor_demo.payments.ledger import KeyReused, Ledger
from proctor_demo.payments.server import IDEMPOTENCY_KEY, make_routes, make_server
from tests.demo.processes import running

REFUND = {"order_id": "O-1", "amount": 12.5, "reason": "broken"}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger."""
    return Ledger(tmp_path / "ledger.db")


async def refund(ledger: Ledger, key: str | None, **changes: Any) -> Any:
    """Call the tool, over MCP, with an idempotency key or without."""
    async with Client(make_server(ledger)) as client:
        meta: Any = {IDEMPOTENCY_KEY: key} if key else None
        return await client.call_tool("refund", {**REFUND, **changes}, meta=meta)


async def test_the_same_key_pays_once(ledger: Ledger) -> None:
    """A repeated call with its key gets the first payment again, and the ledger counts both requests."""
    first, again = await refund(ledger, "key-1"), await refund(ledger, "key-1")
    assert first.structured_content == again.structured_content
    assert [(entry.payment_id, entry.requests) for entry in ledger.entries()] == [("P-000001", 2)]


async def test_without_a_key_each_call_pays(ledger: Ledger) -> None:
    """Two calls without a key are two payments: this is what a blind retry does."""
    await refund(ledger, None)
    await refund(ledger, None)
    assert len(ledger.entries()) == 2


async def test_a_key_is_for_one_payment_only(ledger: Ledger) -> None:
    """A key with other arguments is an error, and pays nothing."""
    await refund(ledger, "key-1")
    other = await refund(ledger, "key-1", amount=13.0)
    assert other.is_error
    assert "key-1 was used for another refund" in other.content[0].text
    assert len(ledger.entries()) == 1


def test_requests_at_the_same_moment_pay_once(ledger: Ledger) -> None:
    """Many threads with one key make one payment."""
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: ledger.refund("O-1", 1250, "broken", "key-1"), range(64)))
    assert len({payment.payment_id for payment in made}) == 1
    assert [entry.requests for entry in ledger.entries()] == [64]


def test_a_payment_outlives_the_process(tmp_path: Path) -> None:
    """A ledger opened again knows its payments and their keys."""
    Ledger(tmp_path / "ledger.db").refund("O-1", 1250, "broken", "key-1")
    again = Ledger(tmp_path / "ledger.db")
    assert again.refund("O-1", 1250, "broken", "key-1").payment_id == "P-000001"
    with pytest.raises(KeyReused):
        again.refund("O-2", 1250, "broken", "key-1")


WRONG: dict[str, dict[str, Any]] = {
    "nothing": {"amount": 0},
    "a negative amount": {"amount": -5},
    "too much": {"amount": 10_001},
    "fractions of a cent": {"amount": 1.005},
    "no order": {"order_id": "4711"},
    "no reason": {"reason": ""},
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_makes_no_sense_is_refused(ledger: Ledger, case: str) -> None:
    """Amounts and orders that cannot be are an error of the tool, and pay nothing."""
    assert (await refund(ledger, "key-1", **WRONG[case])).is_error
    assert ledger.entries() == []


async def test_payments_are_listed(ledger: Ledger) -> None:
    """`list_payments` shows the newest first, of one order if asked."""
    await refund(ledger, "a")
    await refund(ledger, "b", order_id="O-2")
    async with Client(make_server(ledger)) as client:
        listed: Any = (await client.call_tool("list_payments", {})).structured_content
        of_one: Any = (await client.call_tool("list_payments", {"order_id": "O-1"})).structured_content
    assert [payment["order_id"] for payment in listed["payments"]] == ["O-2", "O-1"]
    assert [payment["order_id"] for payment in of_one["payments"]] == ["O-1"]


@asynccontextmanager
async def over_http(ledger: Ledger) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the whole application with the key `k`, which it does not send by itself."""
    app = KeyRequired(make_mcp_app(make_server(ledger), make_routes(ledger)), "k", frozenset({"/", "/ledger"}))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://payments") as client:
        yield client


BASIC = base64.b64encode(b"anyone:k").decode()
ADMITTED = {
    "no key": ("GET", "/ledger", None, 401),
    "another key": ("GET", "/ledger", "Bearer x", 401),
    "the key": ("GET", "/ledger", "Bearer k", 200),
    "the key as a browser sends it": ("GET", "/", f"Basic {BASIC}", 200),
    "a browser's key for tools": ("POST", "/mcp", f"Basic {BASIC}", 401),
    "no key for tools": ("POST", "/mcp", None, 401),
    "garbage": ("GET", "/", "Basic %%%", 401),
    "the health": ("GET", "/healthz", None, 200),
}


@pytest.mark.parametrize("case", ADMITTED)
async def test_only_the_key_lets_in(ledger: Ledger, case: str) -> None:
    """Everything but /healthz wants the key; a page in a browser takes it as a password."""
    method, path, authorization, status = ADMITTED[case]
    async with over_http(ledger) as client:
        headers = {"Authorization": authorization} if authorization else {}
        assert (await client.request(method, path, headers=headers)).status_code == status


async def test_the_page_is_readable_and_safe(ledger: Ledger) -> None:
    """The page shows each payment, and a reason cannot smuggle in a script."""
    ledger.refund("O-1", 1250, "<script>alert(1)</script>", "key-1")
    async with over_http(ledger) as client:
        page = (await client.get("/", headers={"Authorization": "Bearer k"})).text
    assert "P-000001" in page
    assert "12.50" in page
    assert "<script>" not in page


def test_an_empty_key_admits_nobody() -> None:
    """A system without a key does not start, rather than let everyone in."""
    with pytest.raises(ValueError, match="empty"):
        KeyRequired(lambda *_: None, "")  # type: ignore[arg-type]


def test_an_answer_may_be_lost(tmp_path: Path) -> None:
    """With `--lose-answers 1` the first refund is paid without an answer; its key then gets that payment."""
    call = {"name": "refund", "arguments": REFUND, "_meta": {IDEMPOTENCY_KEY: "key-1"}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
    with running("payments", "--database", str(tmp_path / "ledger.db"), "--lose-answers", "1") as system:
        with pytest.raises(httpx2.RemoteProtocolError):
            system.request("POST", "/mcp", json=request, headers=headers)
        entries = system.request("GET", "/ledger").json()["entries"]
        assert [(entry["payment_id"], entry["requests"]) for entry in entries] == [("P-000001", 1)]
        answer = system.request("POST", "/mcp", json=request, headers=headers).json()
    assert answer["result"]["structuredContent"]["payment_id"] == "P-000001"
