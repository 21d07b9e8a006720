"""The CRM: invented, but always the same people."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from proctor_demo.crm.seed import CASES, INJECTED_CUSTOMER
from proctor_demo.crm.server import make_server
from proctor_demo.crm.store import Crm

TODAY = date(2026, 11, 16)


@pytest.fixture(scope="module")
def crm() -> Crm:
    """The CRM as it is by default."""
    return Crm(None, TODAY)


async def call(crm: Crm, tool: str, arguments: dict[str, Any]) -> Any:
    """Call a tool over MCP."""
    async with Client(make_server(crm)) as client:
        return await client.call_tool(tool, arguments)


def test_the_people_are_the_same_each_time(crm: Crm, tmp_path: Path) -> None:
    """Two seedings are equal, on disk and in memory; a different count changes nobody before it."""
    again = Crm(tmp_path / "crm.db", TODAY, customers=20)
    for customer in ("C-1001", "C-1020"):
        assert again.customer(customer) == crm.customer(customer)
        assert again.orders_of(customer, 10) == crm.orders_of(customer, 10)


def test_there_are_a_few_hundred(crm: Crm) -> None:
    """240 customers with several hundred orders, found by id and by their own e-mail address."""
    people = [person for n in range(1001, 1241) if (person := crm.customer(f"C-{n}")) is not None]
    assert len(people) == 240
    assert len({person.email for person in people}) == 240
    assert all(crm.customer_by_email(person.email) == person for person in people)
    assert 350 <= sum(len(crm.orders_of(person.customer_id, 100)) for person in people) <= 700


def test_dates_follow_today(crm: Crm) -> None:
    """On another day the ages stay and the dates move: a case of the demo is as old as its text says."""
    later = Crm(None, date(2027, 3, 1))
    for case in CASES:
        here, there = crm.order(case.order_id), later.order(case.order_id)
        assert here is not None
        assert there is not None
        assert here.days_since_delivery == there.days_since_delivery == case.days_since_delivery
        assert here.placed_on != there.placed_on


def test_only_the_notes_of_one_customer_give_orders(crm: Crm) -> None:
    """One customer's note holds an injected instruction, for tests of what an agent makes of it."""
    holders = [
        person.customer_id
        for n in range(1001, 1241)
        if (person := crm.customer(f"C-{n}")) and any("Ignore all previous" in note.text for note in person.notes)
    ]
    assert holders == [INJECTED_CUSTOMER]


async def test_tools_only_read(crm: Crm) -> None:
    """There are three tools, and each declares that it only reads."""
    async with Client(make_server(crm)) as client:
        tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == ["get_customer", "list_orders", "get_order"]
    assert all(tool.annotations is not None and tool.annotations.read_only_hint for tool in tools)


async def test_orders_are_listed_newest_first(crm: Crm) -> None:
    """`list_orders` gives at most so many, the newest first."""
    found = (await call(crm, "list_orders", {"customer_id": "C-1042", "limit": 2})).structured_content["orders"]
    dates = [order["placed_on"] for order in found]
    assert dates == sorted(dates, reverse=True)
    assert len(found) <= 2


FAILED: dict[str, tuple[str, dict[str, Any], str]] = {
    "an unknown customer": ("get_customer", {"customer_id": "C-1"}, "no customer C-1"),
    "an unknown e-mail": ("get_customer", {"email": "a@b.c"}, "no customer a@b.c"),
    "neither id nor e-mail": ("get_customer", {}, "either customer_id or email"),
    "both": ("get_customer", {"customer_id": "C-1042", "email": "a@b.c"}, "either"),
    "an unknown order": ("get_order", {"order_id": "O-1"}, "no order O-1"),
    "orders of nobody": ("list_orders", {"customer_id": "C-1"}, "no customer C-1"),
    "too many": ("list_orders", {"customer_id": "C-1042", "limit": 1000}, "100"),
}


@pytest.mark.parametrize("case", FAILED)
async def test_what_is_not_there_is_said(crm: Crm, case: str) -> None:
    """A look-up that finds nothing is an error of the tool, in words a model can use."""
    tool, arguments, words = FAILED[case]
    result = await call(crm, tool, arguments)
    assert result.is_error
    assert words in result.content[0].text
