"""The gateway as a whole: its parts put together, begun in order, and ended in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from proctor_gateway.callpath.asking_system import list_tools
from proctor_gateway.clock import Clock
from proctor_gateway.cluster.known import Known
from proctor_gateway.cluster.port import Cluster, Kind
from proctor_gateway.cluster.watch import Watcher
from proctor_gateway.context import Context
from proctor_gateway.driving.consent import Consent
from proctor_gateway.driving.doors import doors_of
from proctor_gateway.driving.draws import Draws
from proctor_gateway.driving.intake import Intake
from proctor_gateway.driving.runner import Runner
from proctor_gateway.driving.trials import Trials
from proctor_gateway.driving.upkeep import Upkeep
from proctor_gateway.ledger import Ledger
from proctor_gateway.listeners import Listener, listening
from proctor_gateway.measures.tallies import Tallies
from proctor_gateway.metrics import Metrics
from proctor_gateway.readiness import Readiness
from proctor_gateway.record.keeper import Keeper, kept
from proctor_gateway.record.keys import obtain
from proctor_gateway.record.logs import Writer
from proctor_gateway.record.scribe import Scribe
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.server.agents import Agents
from proctor_gateway.server.callers import Callers
from proctor_gateway.server.internal import Internal
from proctor_gateway.server.trials import TrialsEndpoint
from proctor_gateway.settings import Settings
from proctor_gateway.solitude import alone
from proctor_gateway.state.allowances import Allowances
from proctor_gateway.state.catalog import Catalog
from proctor_gateway.state.credentials import Credentials
from proctor_gateway.state.endings import Endings
from proctor_gateway.state.flights import Flights
from proctor_gateway.state.gates import Gates
from proctor_gateway.state.governed import Policies
from proctor_gateway.state.identity import Identities
from proctor_gateway.state.keyring import Keyring
from proctor_gateway.state.revisions import Bundles
from proctor_gateway.state.snapshot import Snapshot
from proctor_gateway.store import keys, owners
from proctor_gateway.store.database import Database
from proctor_gateway.store.migrate import migrate
from proctor_gateway.tokens import SigningKey, Tokens
from proctor_gateway.upstream.http import Http
from proctor_gateway.upstream.mcp import Mcp

log = structlog.get_logger(__name__)

_STORE_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Ports:
    """Where the listeners are."""

    callers: int
    agents: int
    internal: int
    doors: tuple[int, ...] = ()
    """Of what HTTPRoutes have split: stable's, then the candidate's."""


@dataclass(frozen=True)
class World:
    """What the gateway lives in."""

    settings: Settings
    cluster: Cluster
    clock: Clock
    instance: str


async def serve(world: World, stop: asyncio.Event, listens: asyncio.Future[Ports] | None = None) -> None:
    """Serve until `stop`, then drain. `listens` hears the ports, which is before the gateway is ready."""
    settings = world.settings
    readiness = Readiness()
    async with contextlib.AsyncExitStack() as stack:
        record_keys = await obtain(world.cluster, settings.record_keys, settings.record_secret)
        vault = record_keys.vault() if settings.record_payloads else None
        degrade = settings.degrades_record
        scribe = Scribe(world.instance, record_keys.keyed, world.clock.now, vault=vault, degrade=degrade)
        database = Database(settings.store.get_secret_value(), scribe)
        if database.path is not None:
            await stack.enter_async_context(alone(database.path))
        await stack.enter_async_context(database.running())
        tokens = await _prepared(world, database)
        readiness.have("store")
        readiness.have("keys")
        context = await _context(world, database, tokens, stack)
        writer = Writer(world.instance, settings.record_origin, record_keys, timedelta(seconds=settings.takeover))
        await stack.enter_async_context(kept(Keeper(settings, world.clock, database, scribe, writer, context.metrics)))
        draws = Draws(settings, world.clock, context.known, database, world.instance)
        runner = Runner(context, draws, world.instance)
        trials = Trials(context, runner, world.instance)
        intake = Intake(context, runner, trials, world.instance)
        tallies = Tallies(context.metrics.registry, context.known, database)
        context.metrics.on_end = tallies.ended
        upkeep = Upkeep(settings, world.clock, database, runner, context.metrics, world.instance)
        consent = Consent(context, world.cluster, runner, world.instance)
        snapshot = Snapshot(database, context.known)
        gauge = _gauge(context.metrics)
        watchers = [
            Watcher(world.cluster, context.known, kind, settings.watch_timeout, gauge, context.policies.heard)
            for kind in Kind
        ]
        ports = await stack.enter_async_context(listening(_listeners(world, context, intake, trials, readiness)))
        log.info("listening", callers=ports[0], agents=ports[1], internal=ports[2], instance=world.instance)
        if listens is not None:
            listens.set_result(Ports(ports[0], ports[1], ports[2], tuple(ports[3:])))
        async with _beside(*(each.follow() for each in watchers)):
            await _until(stop, _informed(settings, watchers, snapshot))
            readiness.have("cluster")
            readiness.have("listeners")
            rounds = (snapshot.keep(), upkeep.rounds(), upkeep.purges(), context.keyring.follow(), draws.follow())
            async with _beside(*rounds, tallies.follow(), consent.follow(), trials.rounds()):
                await stop.wait()
                trials.is_open = False
                await _drained(settings, readiness, intake, runner, upkeep)


async def _prepared(world: World, database: Database) -> Tokens:
    """The store at this version's schema, this instance known in it, and the keys read from it."""
    while True:
        try:
            await migrate(database)
            return await database.write(lambda connection: _entered(connection, world))
        except StoreAway as exc:
            log.warning("the store is away", cause=str(exc))
            await asyncio.sleep(_STORE_PAUSE_SECONDS)


def _entered(connection: sa.Connection, world: World) -> Tokens:
    now = world.clock.now()
    owners.beat(connection, world.instance, now)
    if connection.dialect.name == "sqlite":
        owners.outlive(connection, world.instance)
    return Tokens(*keys.ensure(connection, SigningKey.generate(), now))


async def _context(world: World, database: Database, tokens: Tokens, stack: contextlib.AsyncExitStack) -> Context:
    settings, clock = world.settings, world.clock
    metrics, credentials = Metrics(), Credentials(world.cluster, settings.secret_ttl)
    known = Known()
    pods, models = Http(reuse=False), Http(reuse=True)
    mcp = Mcp(settings.connect_timeout, settings.max_answer)
    for each in (pods, models, mcp):
        await stack.enter_async_context(each.running())
    return Context(
        settings=settings,
        clock=clock,
        known=known,
        policies=Policies(known),
        allowances=Allowances(known),
        database=database,
        identities=Identities(world.cluster, database, clock, settings),
        credentials=credentials,
        bundles=Bundles(world.cluster, database),
        catalog=Catalog(lambda each: list_tools(mcp, credentials, each, each.spec.limits.timeout.total_seconds())),
        keyring=Keyring(database, clock, tokens),
        ledger=Ledger(database, clock, metrics, settings.replay_patience, world.instance),
        flights=Flights(),
        questions=asyncio.Event(),
        gates=Gates(clock, settings.turn_timeout),
        endings=Endings(),
        metrics=metrics,
        pods=pods,
        models=models,
        mcp=mcp,
    )


def _listeners(world: World, context: Context, intake: Intake, trials: Trials, readiness: Readiness) -> list[Listener]:
    settings, runs = world.settings, TrialsEndpoint(context, trials, world.instance)
    doors = doors_of(settings, world.clock, context.known)
    return [
        Listener(Callers(context, intake).application(), settings.host, settings.caller_port),
        Listener(Agents(context).application(), settings.host, settings.agent_port),
        Listener(Internal(context, readiness, runs.routes()).application(), settings.host, settings.internal_port),
        *(Listener(Callers(context, intake, each).application(), settings.host, each.port) for each in doors),
    ]


async def _informed(settings: Settings, watchers: Sequence[Watcher], snapshot: Snapshot) -> None:
    """Returns when the cluster's state is known: as it is, or, if the API server is away, as it was last."""
    synced = asyncio.gather(*(each.synced.wait() for each in watchers))
    try:
        await asyncio.wait_for(asyncio.shield(synced), settings.sync_patience)
    except TimeoutError:
        missing = [each.kind for each in watchers if not each.synced.is_set()]
        found = await snapshot.restore(missing)
        log.warning("the API server is away", objects_known_from_before=found, kinds=missing)
        if not found:
            await synced
    finally:
        synced.cancel()


async def _drained(settings: Settings, readiness: Readiness, intake: Intake, runner: Runner, upkeep: Upkeep) -> None:
    """No new tasks; what runs may finish; the rest is left for another instance, or for the next start."""
    readiness.lack("listeners")
    intake.is_open = False
    upkeep.takes_over = False
    log.info("shutting down", running=runner.running, open=len(runner))
    await runner.drain(settings.drain)
    with contextlib.suppress(StoreAway):
        await upkeep.leave()
    log.info("shut down", handed_over=len(runner))


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, unless it is to stop before."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


@contextlib.asynccontextmanager
async def _beside(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Loops that run beside what happens inside, and end with it."""
    running = [asyncio.create_task(each) for each in loops]
    try:
        yield
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _gauge(metrics: Metrics) -> Callable[[Kind, int], None]:
    return lambda kind, up: metrics.cluster_up.labels(kind).set(up)
