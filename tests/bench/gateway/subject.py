"""The gateway under test as a process: `python -m tests.bench.gateway.subject DIRECTORY MODEL TOOL [WITHOUT…]`.

With DIRECTORY alone it makes the store ready for that: who makes tables keeps what is needed for it in memory.

It is the program itself with everything on; only its cluster is in memory, and its tasks were put into the store by
hand, for the agents that hold them are not what is measured. A layer that is named in WITHOUT is taken out of the
path, so that its cost can be told from the others'. Prints one line of JSON when it serves.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import uvloop

from proctor_gateway.callpath import admission, ask_model
from proctor_gateway.clock import SystemClock
from proctor_gateway.cluster.port import Kind
from proctor_gateway.ledger import Entry, Ledger
from proctor_gateway.logs import configure
from proctor_gateway.main import tune
from proctor_gateway.rules.judgement import Allow
from proctor_gateway.rules.tasks import Request
from proctor_gateway.serve import World, serve
from proctor_gateway.settings import Settings
from proctor_gateway.store import acceptance, keys, lifecycle, recording
from proctor_gateway.store.accounts import Owner
from proctor_gateway.store.budgets import Bill
from proctor_gateway.store.database import Database
from proctor_gateway.store.migrate import migrate
from proctor_gateway.store.tables import instances
from proctor_gateway.tokens import Claims, SigningKey, Tokens
from tests.gateway import objects
from tests.gateway.house import cluster_of_tests, record_keys
from tests.gateway.memory import MemoryCluster

LAYERS = ("record", "budget", "policy", "journal")
"""What can be taken out, in the order in which it is."""

TASKS = 200
"""Each may ask a model a thousand times."""

_HOLDER = "bench"
_POLICY = {
    "models": {"allow": [{"connector": "llm", "name": "gpt-*"}], "deny": [{"name": "*-preview"}]},
    "expressions": [
        {"name": "tokens", "at": "ModelCall", "expression": "call.connector == 'llm'", "message": "only llm is asked"}
    ],
}


def _cluster(model: str, tool: str) -> tuple[MemoryCluster, str]:
    cluster = cluster_of_tests()
    limits, tools = {"timeout": "1h", "maxSteps": 1000, "maxCost": "1000"}, [{"connector": "bank", "allow": ["pay"]}]
    spec = objects.agent_spec(limits=limits, tools=tools)
    revision, recorded = objects.revision_of(spec)
    cluster.revisions[objects.NAMESPACE, recorded["metadata"]["name"]] = recorded
    cluster.apply(Kind.AGENT, objects.agent(spec, revision))
    cluster.secrets[objects.NAMESPACE, "llm"] = {"token": objects.KEY}
    cluster.apply(Kind.CONNECTOR, objects.connector("llm", "Model", f"{model}/v1", prices=objects.PRICES))
    cluster.secrets[objects.NAMESPACE, "bank"] = {"token": objects.KEY}
    effects = [{"name": "pay", "effect": "Once"}]
    cluster.apply(Kind.CONNECTOR, objects.connector("bank", "MCP", f"{tool}/mcp", tools=effects))
    budgets = (
        {"name": "daily", "per": "Day", "cost": "100000"},
        {"name": "monthly", "per": "Month", "cost": "1000000", "scope": "Namespace"},
    )
    cluster.apply(Kind.POLICY, objects.spending_policy(*budgets, **_POLICY))
    return cluster, revision


def _take_out(layer: str) -> None:
    """The path without this layer."""
    match layer:
        case "record":
            recording.begun = recording.settled = lambda *_: None  # type: ignore[assignment]
        case "budget":
            plain = Bill(Owner("support", "refunds", "support-platform"))
            ask_model.billing.of_model = lambda *_: plain
        case "policy":

            async def allowed(*_: Any) -> Any:
                return Allow()

            admission.policing.of_model = allowed
        case "journal":

            async def begin(self: Ledger, claims: Claims, intent: Any, *_: Any) -> Entry:
                now = datetime.now(UTC)
                return Entry(intent, claims, 1, 0, now + timedelta(hours=1), now)

            async def settle(*_: Any) -> None:
                return None

            Ledger.begin, Ledger.settle = begin, settle  # type: ignore[method-assign, assignment]


async def _tokens(settings: Settings, revision: str) -> list[str]:
    """Running tasks, held by nobody that anybody takes over from, and a token for each."""
    database = Database(settings.store.get_secret_value())
    now = datetime.now(UTC)
    async with database.running():
        signing = await database.write(lambda c: Tokens(*keys.ensure(c, SigningKey.generate(), now)))
        await database.write(
            lambda c: c.execute(
                sa.insert(instances).values(id=_HOLDER, started_at=now, seen_at=now + timedelta(days=1))
            )
        )
        return [await database.write(lambda c, n=n: _begun(c, signing, n, revision, now)) for n in range(TASKS)]


def _begun(connection: sa.Connection, signing: Tokens, number: int, revision: str, now: datetime) -> str:
    request = Request(f"bench-{number:04}", "support", "refunds", "web", {}, now, "a" * 32, "b" * 16)
    asked = acceptance.Acceptance(request, revision, "sha256:x", None, _HOLDER, TASKS)
    accepted = acceptance.accept(connection, asked)
    if not isinstance(accepted, acceptance.Accepted):
        raise TypeError(accepted)
    lifecycle.dispatch(connection, accepted.task, _HOLDER, revision, timedelta(hours=1), now)
    claims = Claims(request.id, 1, "support", "refunds", revision, now + timedelta(hours=1))
    return signing.mint(claims, now)


async def _prepare(directory: Path) -> None:
    database = Database(_store(directory))
    async with database.running():
        await migrate(database)


def _store(directory: Path) -> str:
    return os.environ.get("BENCH_STORE", f"sqlite:///{directory}/gateway.db")


async def _run(directory: Path, model: str, tool: str, without: list[str]) -> None:
    for layer in without:
        _take_out(layer)
    settings = Settings(
        host="127.0.0.1",
        caller_port=0,
        agent_port=0,
        internal_port=0,
        store=_store(directory),
        record_keys=record_keys(directory),
        log_level="error",
    )
    cluster, revision = _cluster(model, tool)
    stop, listens = asyncio.Event(), asyncio.get_running_loop().create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = asyncio.create_task(serve(World(settings, cluster, SystemClock(), "under-test"), stop, listens))
    await asyncio.wait((serving, listens), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    print(json.dumps({"port": listens.result().agents, "tokens": await _tokens(settings, revision)}), flush=True)  # noqa: T201 - the answer
    await serving


def main() -> None:
    """Serve until SIGTERM."""
    if len(sys.argv) == 2:
        asyncio.run(_prepare(Path(sys.argv[1])))
        return
    configure("error")
    tune()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))


if __name__ == "__main__":
    main()
