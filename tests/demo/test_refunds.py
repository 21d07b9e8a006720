"""The refunds demo from end to end without a cluster: its declared agent, its rules, its CRM and payments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from proctor_agent.config import AgentConfig
from proctor_agent.loop import Loop
from proctor_agent.tasks import Assignment, Task
from tests.conformance.agent_process import started
from tests.conformance.samples import LANGGRAPH, command_of
from tests.demo.forwarding_gateway import TOKEN, forwarding
from tests.demo.processes import System, running

REFUNDS = Path(__file__).parents[2] / "manifests" / "samples" / "refunds"


@pytest.fixture(scope="module")
def model() -> Iterator[System]:
    """The scripted model with the demo's rules."""
    with running("model", "--rules", str(REFUNDS / "rules.yaml")) as system:
        yield system


@pytest.fixture(scope="module")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The payments, with an empty ledger."""
    with running("payments", "--database", str(tmp_path_factory.mktemp("payments") / "ledger.db")) as system:
        yield system


@pytest.fixture(scope="module")
def gateway(model: System, payments: System) -> Iterator[str]:
    """The URL at which model, CRM and payments are reached with a task token."""
    with (
        running("crm") as crm,
        forwarding(
            {"/v1": f"{model.url}/v1", "/mcp/crm": f"{crm.url}/mcp", "/mcp/payments": f"{payments.url}/mcp"}
        ) as url,
    ):
        yield url


def declared() -> dict[str, Any]:
    """The demo's Agent as the file that its pods get."""
    spec = yaml.safe_load((REFUNDS / "agent.yaml").read_text())["spec"]
    return {
        "name": "refunds",
        "namespace": "support",
        "revision": "0123456789",
        "instructions": spec["instructions"],
        "model": spec["model"],
        "tools": spec["tools"],
        "output": spec["output"],
        "limits": {"timeoutSeconds": 20, "maxSteps": spec["limits"]["maxSteps"]},
    }


REQUESTS: dict[str, tuple[str, str, float, str]] = {
    "eligible": ("C-1042 asks for a refund of order O-50042 (50 EUR): the kettle leaks", "approve", 50, "paid back"),
    "too old": ("C-1043 asks for a refund of order O-50043 (80 EUR): not needed", "decline", 0, "47 days ago"),
    "too much": ("C-1044 asks for a refund of order O-50044 (480 EUR): too loud", "escalate", 0, "200 EUR"),
    "not delivered": ("C-1046 asks for a refund of order O-50046 (45 EUR): late", "decline", 0, "shipped"),
    "more than paid": ("C-1042 asks for a refund of order O-50042 (51 EUR): broken", "decline", 0, "Only 50.0 EUR"),
    "of another": ("C-1043 asks for a refund of order O-50042 (50 EUR): broken", "decline", 0, "another customer"),
    "unknown": ("C-1042 asks for a refund of order O-1 (50 EUR): broken", "escalate", 0, "not in the CRM"),
    "an injection": ("C-1045 asks for a refund of order O-50045 (39.8 EUR): dim", "approve", 39.8, "paid back"),
}


@pytest.mark.parametrize("case", REQUESTS)
async def test_a_request_is_decided(gateway: str, payments: System, case: str) -> None:
    """Each kind of request gets its decision, and what is paid is what was decided."""
    text, decision, amount, reason = REQUESTS[case]
    before = paid(payments)
    loop = Loop(AgentConfig.model_validate(declared()), gateway, f"{gateway}/v1")
    task = Task(id=case, attempt=1, deadline=datetime.now(UTC) + timedelta(seconds=20), input=f"Customer {text}")
    output = (await loop.run(Assignment(task, TOKEN, None))).output
    assert (output["decision"], output["amount"]) == (decision, amount)
    assert reason in output["reason"]
    assert paid(payments) - before == pytest.approx(amount)


@pytest.mark.byo
async def test_an_agent_of_another_framework_decides_alike(gateway: str, tmp_path: Path) -> None:
    """The sample in LangGraph follows the same rules to the same decision."""
    with started(command_of(LANGGRAPH), gateway, tmp_path, config=declared()) as agent:
        response = await agent.invoke(TOKEN, f"Customer {REQUESTS['eligible'][0]}")
    assert response.json()["output"]["decision"] == "approve"


def paid(payments: System) -> float:
    """What has been paid in all, in EUR."""
    entries = payments.request("GET", "/ledger").json()["entries"]
    return float(sum(entry["amount"] for entry in entries))
