"""The upgrade sample's exam, sat by its candidates: the real agent loop, CRM and payments, no cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from proctor.api.agent import AgentSpec
from proctor.delivery.exam import Report, Suite, Trial, grade, parse, trials
from proctor.delivery.exam.suite import text_of
from proctor_agent.config import AgentConfig
from proctor_agent.loop import Loop
from proctor_agent.tasks import Assignment, Task
from tests.demo.forwarding_gateway import TOKEN, forwarding
from tests.demo.processes import System, running
from tests.demo.test_refunds import REFUNDS, declared

UPGRADE = REFUNDS.parent / "refunds-upgrade"


@dataclass(frozen=True)
class Called:
    """A tool that the model called."""

    connector: str
    name: str
    arguments: Any
    state: str = "Succeeded"


def called(name: str, arguments: str) -> Called:
    """The call, by the tool's name as the model knows it."""
    connector, _, tool = name.partition("__")
    return Called(connector, tool, json.loads(arguments))


@dataclass(frozen=True)
class Sat:
    """What came of one trial."""

    key: str
    output: Any
    calls: tuple[Called, ...]
    seconds: float
    phase: str = "Succeeded"
    reason: str | None = None
    cost: Decimal | None = Decimal("0.001")


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, System]]:
    """The gateway's URL and the scripted model."""
    ledger = str(tmp_path_factory.mktemp("payments") / "ledger.db")
    with (
        running("model", "--rules", str(REFUNDS / "rules.yaml")) as model,
        running("payments", "--database", ledger) as payments,
        running("crm") as crm,
        forwarding(
            {"/v1": f"{model.url}/v1", "/mcp/crm": f"{crm.url}/mcp", "/mcp/payments": f"{payments.url}/mcp"}
        ) as url,
    ):
        yield url, model


def the_suite() -> Suite:
    """The sample's exam."""
    return parse(text_of(yaml.safe_load((UPGRADE / "evals.yaml").read_text())["data"]))


def candidate(file: Path) -> AgentConfig:
    """The sample's agent as the candidate's patch makes it."""
    return AgentConfig.model_validate(declared() | yaml.safe_load(file.read_text())["spec"])


async def sit(config: AgentConfig, trial: Trial, gateway: str, model: System) -> Sat:
    """One trial, with the calls that the model made."""
    begun = datetime.now(UTC)
    task = Task(id=trial.key, attempt=1, deadline=begun + timedelta(seconds=20), input=trial.input)
    output = (await Loop(config, gateway, f"{gateway}/v1").run(Assignment(task, TOKEN, None))).output
    messages = model.request("GET", "/requests").json()["requests"][-1]["messages"]
    calls = [call["function"] for message in messages for call in message.get("tool_calls") or ()]
    made = tuple(called(call["name"], call["arguments"]) for call in calls)
    return Sat(trial.key, output, made, (datetime.now(UTC) - begun).total_seconds())


async def report_of(file: Path, gateway: str, model: System) -> Report:
    """The exam of one candidate."""
    suite = the_suite()
    return grade(suite, [await sit(candidate(file), trial, gateway, model) for trial in trials(suite)])


@pytest.mark.parametrize("name", ["polite", "hasty"])
async def test_candidates_that_keep_the_rules_pass(systems: tuple[str, System], name: str) -> None:
    """Every case of the exam passes; what `hasty` does wrong is not in it."""
    report = await report_of(UPGRADE / "candidates" / f"{name}.yaml", *systems)
    assert report.is_passed(Decimal(1)), report.words(Decimal(1))


async def test_a_candidate_that_pays_whatever_it_is_asked_for_is_blocked(systems: tuple[str, System]) -> None:
    """The exam names what it did: it paid what is too old, too expensive, not delivered, of somebody else."""
    report = await report_of(UPGRADE / "candidates" / "generous.yaml", *systems)
    assert report.is_complete
    assert not report.is_passed(Decimal("0.5"))
    failed = {case.name for case in report.cases if not case.is_passed}
    assert {"too-old", "too-expensive", "not-delivered", "of-somebody-else"} <= failed
    assert "payments/refund was called" in report.words(Decimal(1))


def _spec(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text())["spec"]
    return found


@pytest.mark.parametrize("name", [None, "generous", "hasty", "polite"])
def test_the_sample_and_its_changes_are_valid_agents(name: str | None) -> None:
    """With what the overlay adds, and with each change."""
    change = _spec(UPGRADE / "candidates" / f"{name}.yaml") if name else {}
    spec = AgentSpec.model_validate({**_spec(REFUNDS / "agent.yaml"), **_spec(UPGRADE / "upgrades.yaml"), **change})
    assert [each.name for each in spec.evals] == ["golden"]
    assert [step.weight for step in spec.rollout.steps] == [None, 10, 50]
