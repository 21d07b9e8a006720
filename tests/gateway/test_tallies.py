"""Objectives as a whole gateway counts them: for the operator that asks, and for Prometheus."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from tests.gateway import objects
from tests.gateway.house import House

SLOS = [
    {"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "99"},
    {"name": "own", "indicator": {"type": "Custom", "good": "task.output == 1", "total": "true"}, "target": "99"},
]
QUESTION = {
    "agents": [
        {
            "namespace": objects.NAMESPACE,
            "name": "refunds",
            "indicators": [{"name": each["name"], **each["indicator"]} for each in SLOS],
            "windows": ["1h"],
        }
    ]
}


async def asked(gateway: House, body: Any = None, token: str = objects.OPERATOR_TOKEN) -> httpx2.Response:
    """What the operator is told."""
    async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
        url = f"{gateway.internal_url}/internal/indicators"
        return await http.post(
            url, json=QUESTION if body is None else body, headers={"authorization": f"Bearer {token}"}
        )


async def metrics(gateway: House) -> str:
    """What Prometheus reads."""
    async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
        return (await http.get(f"{gateway.internal_url}/metrics")).text


async def test_tasks_are_counted_for_the_operator_and_for_prometheus(gateway: House):
    """Two good, one that failed: by the store and by the counters alike, which begin at zero."""
    gateway.declare(slos=SLOS)
    await gateway.settled()
    before = await metrics(gateway)
    assert 'proctor_slo_events_total{agent="refunds",namespace="support",slo="answered"} 0.0' in before
    async with gateway.pod("one"):
        await gateway.done({"answer": 1})
        await gateway.done({"answer": 2})
        await gateway.done({"refuse": [500, {"reason": "AgentError"}]})
    found = (await asked(gateway)).json()["agents"][0]
    assert found["counts"]["answered"]["1h"] == {"good": 2, "total": 3}
    assert found["counts"]["own"]["1h"] == {"good": 1, "total": 3}
    assert found["usage"]["tasksToday"] == 3
    for _ in range(50):
        text = await metrics(gateway)
        if 'proctor_slo_events_total{agent="refunds",namespace="support",slo="own"} 3.0' in text:
            break
        await asyncio.sleep(0.05)
    for line in (
        'proctor_slo_events_total{agent="refunds",namespace="support",slo="answered"} 3.0',
        'proctor_slo_bad_events_total{agent="refunds",namespace="support",slo="answered"} 1.0',
        'proctor_slo_bad_events_total{agent="refunds",namespace="support",slo="own"} 2.0',
    ):
        assert line in text, line


@pytest.mark.parametrize("body", ["", {}, {"agents": 1}, {"agents": [1]}], ids=str)
async def test_a_question_that_is_none_is_refused(gateway: House, body: Any):
    """With the field at fault."""
    response = await asked(gateway, body)
    assert (response.status_code, response.json()["reason"]) == (400, "InvalidRequest"), response.text


ODD = {
    "an unknown type": {"indicators": [{"name": "x", "type": "Odd"}]},
    "no windows": {"windows": []},
    "a window that is none": {"windows": ["soon"]},
    "a latency without a threshold": {"indicators": [{"name": "x", "type": "Latency"}]},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_an_agent_that_cannot_be_read_blinds_no_other(gateway: House, odd: dict[str, Any]):
    """It is left out of the answer, and all others are in it."""
    body = {"agents": [{**QUESTION["agents"][0], "name": "odd", **odd}, *QUESTION["agents"]]}
    response = await asked(gateway, body)
    assert [each["name"] for each in response.json()["agents"]] == ["refunds"], response.text


async def test_many_objectives_have_many_windows(gateway: House):
    """As many as sixteen objectives with rows of their own can have."""
    windows = [f"{minutes}m" for minutes in range(1, 400)]
    response = await asked(gateway, {"agents": [{**QUESTION["agents"][0], "windows": windows}]})
    assert len(response.json()["agents"][0]["counts"]["answered"]) == 399, response.text


async def test_only_the_operator_may_ask(gateway: House):
    """How an agent does is not for its callers."""
    assert (await asked(gateway, token=objects.CALLER_TOKEN)).status_code == 403
