"""A judging model is asked for the operator, with the credential that only the gateway has."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.gateway import objects
from tests.gateway.house import House
from tests.gateway.test_upgrades import operator

MESSAGES = [{"role": "user", "content": "hello"}]


async def asked(gateway: House, **body: Any) -> httpx2.Response:
    """Ask the judge."""
    whole = {"connector": "llm", "model": "gpt-5-mini", "messages": MESSAGES, **body}
    async with operator(gateway) as client:
        return await client.post("/judge", json={key: value for key, value in whole.items() if value is not None})


async def test_a_judge_answers(gateway: House):
    """Its words, and what they cost."""
    found = await asked(gateway, temperature=0)
    assert (found.status_code, found.json()["text"]) == (200, "hello to you")
    assert float(found.json()["cost"]) > 0


BAD = {
    "no connector": ({"connector": None}, 400, "InvalidRequest"),
    "no question": ({"messages": []}, 400, "InvalidRequest"),
    "a stream": ({"stream": True}, 400, "InvalidRequest"),
    "another connector": ({"connector": "none"}, 404, "NotFound"),
    "one that is no model": ({"connector": "crm"}, 404, "NotFound"),
    "another model": ({"model": "none"}, 502, "ModelUnavailable"),
}


@pytest.mark.parametrize(("body", "status", "reason"), BAD.values(), ids=BAD)
async def test_what_cannot_be_asked(gateway: House, body, status, reason):
    """Without an answer there is a problem, never an empty judgement."""
    found = await asked(gateway, **body)
    assert (found.status_code, found.json()["reason"]) == (status, reason)


async def test_a_judge_that_is_away(gateway: House):
    """502, to be asked again; the credential is in no word of it."""
    gateway.connect("away", "Model", "http://127.0.0.1:9/v1")
    await gateway.settled()
    found = await asked(gateway, connector="away")
    assert (found.status_code, found.json()["reason"], found.headers["retry-after"]) == (502, "Unreachable", "5")
    assert objects.KEY.decode() not in found.text


async def test_only_the_operator_asks_judges(gateway: House):
    """A caller's token opens no model."""
    url = f"{gateway.internal_url}/internal/agents/{objects.NAMESPACE}/refunds/judge"
    headers = {"authorization": f"Bearer {objects.CALLER_TOKEN}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, verify=False) as http:
        assert (await http.post(url, json={})).status_code == 403
