"""The operator's own question, answered by a real gateway, judged by the operator: both sides mean the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from proctor.api.agent import Agent
from proctor.api.objectives import ObjectiveState
from proctor.plan.indications import Indications, IndicatorsAnswer, Subject, measured, question
from proctor.plan.objectives import report
from proctor.shell.gateway import GatewayClient
from tests.gateway import objects
from tests.gateway.house import House

SLOS = [
    {"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "50", "window": "1h", "minEvents": 4},
    {"name": "fast", "indicator": {"type": "Latency", "threshold": "30s"}, "target": "99", "minEvents": 5},
    {"name": "cheap", "indicator": {"type": "CostPerTask", "threshold": "0.05"}, "target": "95", "window": "7d"},
    {"name": "tools", "indicator": {"type": "ToolSuccess"}, "target": "99"},
    {"name": "alone", "indicator": {"type": "Escalation"}, "target": "90"},
    {"name": "good", "indicator": {"type": "Quality", "threshold": "0.8"}, "target": "90"},
    {"name": "own", "indicator": {"type": "Custom", "good": "task.output == 1", "total": "true"}, "target": "5"},
]


async def test_what_the_operator_asks_the_gateway_answers(gateway: House, tmp_path: Path):
    """Every type of indicator, through the client that the operator uses, up to the states in the status."""
    gateway.declare(slos=SLOS)
    async with gateway.pod("one"):
        await gateway.done({"call": ["crm", "get_customer", {"customer_id": "C-1042"}]}, {"answer": 1})
        for _ in range(3):
            await gateway.done({"answer": 1})
        await gateway.done({"refuse": [500, {"reason": "AgentError"}]})
    body = objects.agent(gateway.spec, gateway.revision)
    subject = Subject.of(Agent.parse(body))
    token = tmp_path / "token"
    token.write_text(objects.OPERATOR_TOKEN)
    async with aiohttp.ClientSession() as session:
        answer = await GatewayClient(session, gateway.internal_url, str(token)).indicators(question([subject]))
    assert isinstance(answer, IndicatorsAnswer), answer
    known = Indications(measured(subject, answer.agents[0], answer.as_of))
    slos = {each.name: each for each in report(subject, known, datetime.now(UTC)).slos}
    counts = {name: (each.good, each.total, each.state) for name, each in slos.items()}
    assert counts == {
        "answered": (4, 5, ObjectiveState.MET),
        "fast": (5, 5, ObjectiveState.MET),
        "cheap": (5, 5, ObjectiveState.INSUFFICIENT_DATA),
        "tools": (1, 1, ObjectiveState.INSUFFICIENT_DATA),
        "alone": (5, 5, ObjectiveState.INSUFFICIENT_DATA),
        "good": (0, 0, ObjectiveState.INSUFFICIENT_DATA),
        "own": (4, 5, ObjectiveState.INSUFFICIENT_DATA),
    }
