"""An agent whose model is the scripted one, and whose tools are the acting gateway's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.acting_gateway import ActingGateway
from tests.conformance.agent_process import Agent, started
from tests.conformance.scenario import Answer, Scenario
from tests.demo.processes import KEY, System, running

PROGRAM = [sys.executable, "-m", "proctor_agent"]


@pytest.fixture(scope="session")
def model() -> Iterator[System]:
    """The scripted model with every fault."""
    with running("model", "--rules", str(Path(__file__).parent / "faults.yaml")) as system:
        yield system


@pytest.fixture(scope="session")
def tools() -> Iterator[ActingGateway]:
    """The tools' side of a gateway. The model's key is the task token, as the model is not behind a gateway here."""
    with ActingGateway().serving() as gateway, gateway.acting(Scenario([Answer("unused")], token=KEY)):
        yield gateway


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the agent's configuration and log are."""
    return tmp_path_factory.mktemp("agent")


@pytest.fixture(scope="session")
def agent(model: System, tools: ActingGateway, workplace: Path) -> Iterator[Agent]:
    """The default agent, ready."""
    base = f"{model.url}/v1"
    with started(PROGRAM, f"http://127.0.0.1:{tools.port}", workplace, OPENAI_BASE_URL=base) as agent:
        yield agent
