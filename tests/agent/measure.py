"""What the default agent costs where this runs: `python -m tests.agent.measure`."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.conformance.acting_gateway import ActingGateway
from tests.conformance.agent_process import CONFIG, Agent, started
from tests.conformance.scenario import Answer, CallTool, Scenario, Turn

COMMAND = sys.argv[1:] or [sys.executable, "-m", "proctor_agent"]
LOOK_UP = CallTool([("crm__get_customer", {"customer_id": "C-1042"})])
APPROVE = Answer({"decision": "approve", "confidence": 0.9})
STEPS = 20
TASKS = 40


def main() -> None:
    """Print start, memory, and the time of a task and of one more step."""
    config = {**CONFIG, "limits": {"timeoutSeconds": 60, "maxSteps": STEPS + 5}}
    with ActingGateway().serving() as gateway, tempfile.TemporaryDirectory() as directory:
        url = f"http://127.0.0.1:{gateway.port}"
        with started(COMMAND, url, Path(directory), config=config):
            pass  # The bytecode is made now, so that the start below is that of an image.
        began = time.monotonic()
        with started(COMMAND, url, Path(directory), config=config) as agent:
            report("ready after", time.monotonic() - began, "s")
            report("processor time until then", processor_seconds(agent), "s")
            report("resident memory, ready", memory(agent), "MiB")
            asyncio.run(measure_tasks(agent, gateway))
            report("resident memory, at the end", memory(agent), "MiB")


async def measure_tasks(agent: Agent, gateway: ActingGateway) -> None:
    """Tasks one after the other, then eight at a time."""
    await seconds_of(agent, gateway, [APPROVE])
    direct = [await seconds_of(agent, gateway, [APPROVE]) for _ in range(TASKS)]
    long = [await seconds_of(agent, gateway, [LOOK_UP] * STEPS + [APPROVE]) for _ in range(5)]
    report("a task of one model call, p50", statistics.median(direct) * 1000, "ms")
    report("the same, p95", sorted(direct)[int(TASKS * 0.95)] * 1000, "ms")
    step = (statistics.median(long) - statistics.median(direct)) / STEPS
    report("each step of tool and model call", step * 1000, "ms")
    before = processor_seconds(agent)
    began = time.monotonic()
    await asyncio.gather(*(many(agent, gateway) for _ in range(8)))
    tasks = 8 * 10
    report("tasks of two model calls and a tool, eight at a time", tasks / (time.monotonic() - began), "1/s")
    report("processor time of each", (processor_seconds(agent) - before) / tasks * 1000, "ms")


async def many(agent: Agent, gateway: ActingGateway) -> None:
    """Ten tasks one after the other."""
    for _ in range(10):
        await seconds_of(agent, gateway, [LOOK_UP, APPROVE])


async def seconds_of(agent: Agent, gateway: ActingGateway, turns: Sequence[Turn]) -> float:
    """The time of one task."""
    with gateway.acting(Scenario(turns)) as scenario:
        began = time.monotonic()
        response = await agent.invoke(scenario.token)
        assert response.status_code == 200, response.text
        return time.monotonic() - began


def processor_seconds(agent: Agent) -> float:
    """What the process has used."""
    fields = Path(f"/proc/{pid(agent)}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def memory(agent: Agent) -> float:
    """The resident memory in MiB."""
    status = Path(f"/proc/{pid(agent)}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def pid(agent: Agent) -> int:
    """The agent's process."""
    assert agent.process is not None
    return agent.process.pid


def report(what: str, value: float, unit: str) -> None:
    """Print one line."""
    print(f"{what:55} {value:8.2f} {unit}")  # noqa: T201 - this is the output


if __name__ == "__main__":
    main()
