"""Which agent is under test: the default one and the sample, or the one the command line names."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.acting_gateway import ActingGateway
from tests.conformance.agent_process import Agent, await_ready, started
from tests.conformance.samples import LANGGRAPH, command_of

DEFAULT_AGENT = [sys.executable, "-m", "proctor_agent"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Name the agent under test."""
    group = parser.getgroup("conformance of an agent")
    group.addoption("--agent-url", help="an agent that runs already, e.g. http://127.0.0.1:8080")
    group.addoption("--agent-command", help="a command that starts the agent; it listens on $PROCTOR_AGENT_PORT")
    group.addoption("--gateway-port", help="where the suite acts as the gateway (any free port)")
    group.addoption("--gateway-host", help="the address it listens on there (127.0.0.1)")


def _option(config: pytest.Config, name: str) -> str | None:
    # Of a run over all tests this file is no initial conftest: its options are unknown then, and not given.
    value: str | None = config.getoption(name, default=None)
    return value


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test against every agent under test."""
    if "program" not in metafunc.fixturenames:
        return
    if _option(metafunc.config, "--agent-url") or _option(metafunc.config, "--agent-command"):
        metafunc.parametrize("program", ["named"], scope="session")
        return
    sample = pytest.param("langgraph", marks=pytest.mark.byo)
    metafunc.parametrize("program", ["proctor-agent", sample], scope="session")


@pytest.fixture(scope="session")
def acting_gateway(program: str, request: pytest.FixtureRequest) -> Iterator[ActingGateway]:
    """The gateway of the agent under test."""
    host = _option(request.config, "--gateway-host") or "127.0.0.1"
    port = int(_option(request.config, "--gateway-port") or 0)
    with ActingGateway(host, port).serving() as gateway:
        yield gateway


@pytest.fixture(scope="session")
def command(program: str, request: pytest.FixtureRequest) -> list[str] | None:
    """The command that starts the agent under test, or None if it runs already."""
    if program == "langgraph":
        return command_of(LANGGRAPH)
    if program == "proctor-agent":
        return DEFAULT_AGENT
    named = _option(request.config, "--agent-command")
    return shlex.split(named) if named else None


@pytest.fixture(scope="session")
def agent(
    command: list[str] | None,
    acting_gateway: ActingGateway,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Agent]:
    """The agent under test, ready to take tasks."""
    if command is None:
        running = Agent((_option(request.config, "--agent-url") or "").rstrip("/"))
        await_ready(running)
        yield running
        return
    with started(command, f"http://127.0.0.1:{acting_gateway.port}", tmp_path_factory.mktemp("agent")) as agent:
        yield agent


@pytest.fixture(autouse=True)
def no_strays(acting_gateway: ActingGateway) -> Iterator[None]:
    """No agent calls the gateway without the token of a running attempt, in whatever test."""
    acting_gateway.strays.clear()
    yield
    assert acting_gateway.strays == []


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """An empty directory for an agent of the test's own."""
    return tmp_path
