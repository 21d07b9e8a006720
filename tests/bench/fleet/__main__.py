"""Runs the benchmark of the operator and prints its tables. Exit code 1 when the run failed or an invariant broke."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from proctor_cluster import node
from proctor_cluster.command import last_line, run_to_log
from proctor_cluster.errors import ClusterError
from proctor_cluster.progress import progress, say
from proctor_cluster.settings import Settings
from tests.bench.fleet import control_plane, gateway, phases, subject, takeover
from tests.bench.fleet.api import connected
from tests.bench.fleet.audit import AuditLog
from tests.bench.fleet.control_plane import Programs
from tests.bench.fleet.errors import RunError
from tests.bench.fleet.loads import Agents, Deployments
from tests.bench.fleet.phases import Bench
from tests.bench.fleet.preparation import connect, prepare
from tests.bench.fleet.report import Results, render
from tests.bench.fleet.subject import Operator
from tests.bench.fleet.takeover import Start

_HERE = Path(__file__).parent


def main() -> int:
    """Reads the arguments, runs once for each number of Agents."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fleet", description=__doc__)
    parser.add_argument("--agents", type=int, nargs="+", default=[100], metavar="N", help="a run for each number")
    parser.add_argument("--idle", type=float, default=60, metavar="S", help="seconds to watch the idle operator")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="where the first operator spends its CPU time")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the logs of all processes there")
    args = parser.parse_args()
    try:
        programs = _programs()
        broken = [each for count in args.agents for each in _one(programs, count, args)]
    except (RunError, ClusterError, aiohttp.ClientError, TimeoutError) as exc:
        say(f"the run failed: {exc or type(exc).__name__}")
        return 1
    except KeyboardInterrupt:
        return 130
    for each in broken:
        say(f"BROKEN {each}")
    return 1 if broken else 0


def _one(programs: Programs, count: int, args: argparse.Namespace) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="proctor-bench-") as state:
        try:
            results = asyncio.run(_run(Path(state), programs, count, args.idle, args.profile))
        finally:
            if args.logs:
                _keep(Path(state), args.logs / str(count))
    sys.stdout.write(render(results) + "\n")
    return results.broken()


def _keep(state: Path, logs: Path) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    for each in state.glob("*.log"):
        shutil.copy(each, logs)


def _programs() -> Programs:
    """The binaries, built if they are not there yet."""
    settings = Settings.read()
    kwok = settings.cache / "bench" / "bin"
    log = settings.cache / "bench" / "build.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if not (kwok / "kwok").exists():
        say("building kwok from source: some minutes, once")
        with progress("building kwok", lambda: last_line(log)):
            run_to_log([_HERE / "build-kwok", kwok], log)
    return Programs(node.programs(settings), kwok)


async def _run(state: Path, programs: Programs, count: int, idle: float, profile: Path | None) -> Results:
    load_before = os.getloadavg()[0]
    async with AsyncExitStack() as stack:
        with progress("starting a control plane"):
            plane = await stack.enter_async_context(control_plane.running(state, programs))
            await asyncio.to_thread(subject.install, plane)
        api = await stack.enter_async_context(connected(plane))
        await prepare(plane, api, count)
        url = await stack.enter_async_context(gateway.answering())
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def start(name: str) -> Operator:
            operator = await subject.start(plane, name, url, session, profile if name == "operator" else None)
            stack.push_async_callback(operator.process.stop)
            return operator

        return await _phases(Bench(plane, api, AuditLog(plane.audit_log)), start, count, idle, load_before)


async def _phases(bench: Bench, start: Start, count: int, idle: float, load_before: float) -> Results:
    plain_create = await phases.create(bench, Deployments(), count)
    plain_update = await phases.change(bench, Deployments(), count)
    await phases.delete(bench, Deployments(), count)
    bench.operator = await start("operator")
    await bench.operator.until_leading()
    await connect(bench.plane, bench.api, count)
    base_rss = bench.operator.process.rss_mib()
    create = await phases.create(bench, Agents(), count)
    update = await phases.change(bench, Agents(), count)
    quiet = await phases.idle(bench, count, idle)
    standby = await takeover.to_standby(bench, start, count)
    restart = await takeover.to_new(bench, start, count)
    delete, orphans = await phases.delete(bench, Agents(), count)
    return Results(
        count=count,
        load_before=load_before,
        load_after=os.getloadavg()[2],
        plain_create=plain_create,
        plain_update=plain_update,
        create=create,
        update=update,
        idle=quiet,
        standby=standby,
        restart=restart,
        delete=delete,
        orphans=orphans,
        base_rss=base_rss,
    )


if __name__ == "__main__":
    sys.exit(main())
