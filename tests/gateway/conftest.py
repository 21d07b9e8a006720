"""The demo's systems as processes, once for all tests; a gateway for each."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proctor_gateway.store.database import Database
from proctor_gateway.store.migrate import migrate
from tests.demo.processes import System, running
from tests.gateway import objects
from tests.gateway import postgres as postgresql
from tests.gateway.house import House, house

_RULES = Path(__file__).parent / "model.yaml"


@pytest.fixture(scope="session")
def model() -> Iterator[System]:
    """The scripted model."""
    with running("model", "--rules", str(_RULES)) as system:
        yield system


@pytest.fixture(scope="session")
def crm() -> Iterator[System]:
    """Customers and orders."""
    with running("crm") as system:
        yield system


@pytest.fixture(scope="session")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Refunds and their ledger."""
    with running("payments", "--database", str(tmp_path_factory.mktemp("payments") / "ledger.db")) as system:
        yield system


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgresql.Server]:
    """A PostgreSQL. Where it is not installed its tests are skipped, but not by continuous integration."""
    home = postgresql.binaries()
    if home is None:
        if os.environ.get("CI") == "true":
            pytest.fail("continuous integration needs PostgreSQL: apt-get install postgresql")
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgresql.running(home) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, directory: Path) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{directory}/store.db"
    server: postgresql.Server = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
async def database(store: str) -> AsyncIterator[Database]:
    """A migrated database."""
    found = Database(store)
    async with found.running():
        await migrate(found)
        yield found


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Where the store is: in memory if the machine has such a place, for what is tested is not the disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="proctor-gateway-") as found:
        yield Path(found)


@pytest.fixture
async def gateway(directory: Path, model: System, crm: System, payments: System) -> AsyncIterator[House]:
    """A gateway with the demo's systems as its connectors."""
    async with house(directory) as built:
        built.connect("llm", "Model", f"{model.url}/v1", prices=objects.PRICES)
        built.connect("crm", "MCP", f"{crm.url}/mcp", tools=objects.CRM_TOOLS)
        built.connect("payments", "MCP", f"{payments.url}/mcp", tools=objects.PAYMENT_TOOLS)
        await built.settled()
        yield built
