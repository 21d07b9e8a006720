"""The agent as a process: its start, its logs, its end."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.agent.conftest import PROGRAM
from tests.conformance.acting_gateway import ActingGateway
from tests.conformance.agent_process import CONFIG, Agent, started
from tests.conformance.scenario import Answer, CallTool, Scenario
from tests.demo.processes import KEY

LOOK_UP = CallTool([("crm__get_customer", {"customer_id": "C-1042"})])
APPROVE = Answer({"decision": "approve", "confidence": 0.9})


async def test_logs_name_the_task_and_hold_no_content(agent: Agent, workplace: Path) -> None:
    """Each line is JSON with the task; the input, the answer and the token are in none."""
    await agent.invoke(KEY, "Please do: answers at once. xylophone", task_id="task-4711")
    await agent.invoke(KEY, "Please do: wrong form forever. xylophone", task_id="task-4712")
    text = (workplace / "agent.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    told = [(line["message"], line.get("reason")) for line in lines if line.get("task") in ("task-4711", "task-4712")]
    assert told == [
        ("task started", None),
        ("task answered", None),
        ("task started", None),
        ("task failed", "InvalidOutput"),
    ]
    assert not any(word in text for word in ("xylophone", "maybe", KEY))


@pytest.fixture
def gateway() -> Iterator[ActingGateway]:
    """A gateway of the test's own."""
    with ActingGateway().serving() as gateway:
        yield gateway


def a_declared(**changes: Any) -> str:
    """The text of an agent's file, changed where the test says; None leaves a field out."""
    document = {name: value for name, value in {**CONFIG, **changes}.items() if value is not None}
    return json.dumps(document)


BAD_STARTS: dict[str, tuple[str | None, dict[str, str], str]] = {
    "no file": (None, {}, "No such file or directory"),
    "no JSON": ("{", {}, "Invalid JSON"),
    "no model": (a_declared(model=None), {}, "model: Field required"),
    "a bad limit": (a_declared(limits={"maxSteps": 0}), {}, "limits.maxSteps"),
    "no gateway": (a_declared(), {"PROCTOR_GATEWAY_URL": ""}, "PROCTOR_GATEWAY_URL"),
    "no JSON schema": (a_declared(output={"schema": {"type": "banana"}}), {}, "output.schema"),
}


@pytest.mark.parametrize("case", BAD_STARTS)
def test_what_cannot_be_run_ends_at_once(case: str, tmp_path: Path) -> None:
    """A declaration that cannot be run ends the process with 2 and a line that names the field."""
    text, environment, reason = BAD_STARTS[case]
    file = tmp_path / "agent.json"
    if text is not None:
        file.write_text(text)
    found = subprocess.run(
        PROGRAM,
        env={"PATH": os.environ["PATH"], "PROCTOR_AGENT_CONFIG": str(file), "PROCTOR_GATEWAY_URL": "http://gw"}
        | {"PROCTOR_AGENT_PORT": "0"}
        | environment,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert found.returncode == 2
    assert reason in json.loads(found.stdout.splitlines()[0])["detail"]


async def test_a_task_that_comes_early_waits(gateway: ActingGateway, tmp_path: Path) -> None:
    """A task that arrives while the agent still starts is carried out, not refused."""
    url = f"http://127.0.0.1:{gateway.port}"
    with started(PROGRAM, url, tmp_path, wait_until_ready=False) as agent, gateway.acting(Scenario([APPROVE])) as task:
        assert await _healthz_when_it_first_answers(agent) == (503, {"status": "starting"})
        assert (await agent.invoke(task.token)).status_code == 200


async def _healthz_when_it_first_answers(agent: Agent) -> tuple[int, Any]:
    async with httpx2.AsyncClient(trust_env=False) as client, asyncio.timeout(30):
        while True:
            try:
                response = await client.get(f"{agent.url}/healthz")
            except httpx2.HTTPError:
                await asyncio.sleep(0.01)
            else:
                return response.status_code, response.json()


async def test_a_second_sigterm_gives_up(gateway: ActingGateway, tmp_path: Path) -> None:
    """Told to stop twice, the agent ends without waiting for its task."""
    scenario = Scenario([LOOK_UP, APPROVE], tool_seconds=20)
    with started(PROGRAM, f"http://127.0.0.1:{gateway.port}", tmp_path) as agent, gateway.acting(scenario):
        invocation = asyncio.create_task(agent.invoke(scenario.token))
        async with asyncio.timeout(10):
            while not scenario.tool_calls:  # noqa: ASYNC110 - what is waited for happens on another thread
                await asyncio.sleep(0.01)
        agent.stop()
        await asyncio.sleep(0.2)
        agent.stop()
        assert agent.process is not None
        assert await asyncio.to_thread(agent.process.wait, 5) is not None
        with suppress(httpx2.HTTPError):
            assert (await invocation).status_code != 200


@pytest.mark.slow  # all bytecode is compiled anew, as there is nowhere to keep it
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="a read-only root needs a mount namespace"
)
async def test_nothing_but_tmp_is_written(gateway: ActingGateway, tmp_path: Path) -> None:
    """On a root that cannot be written to, with an empty /tmp and no privileges, a task is answered."""
    # Root without capabilities: the interpreter may be in a directory that only root may enter.
    # The code is under test, not the place of the checkout: one that lies in /tmp is put back over the empty /tmp.
    place = Path(__file__).parents[2]
    before, after = "", ""
    if place.is_relative_to("/tmp"):
        before = f" && mount --rbind '{place}' /mnt"
        after = f" && mkdir -p '{place}' && mount --rbind /mnt '{place}' && mount -o remount,bind,ro '{place}'"
    sandbox = (
        'exec 9<"$PROCTOR_AGENT_CONFIG" && mount --make-rprivate /'
        f"{before} && mount -o remount,bind,ro / && mount -t tmpfs tmp /tmp{after}"
        " && cat <&9 >/tmp/agent.json && export PROCTOR_AGENT_CONFIG=/tmp/agent.json && cd /"
        ' && exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$0" "$@"'
    )
    command = ["unshare", "--mount", "sh", "-c", sandbox, *PROGRAM]
    with (
        started(command, f"http://127.0.0.1:{gateway.port}", tmp_path) as agent,
        gateway.acting(Scenario([LOOK_UP, APPROVE])) as scenario,
    ):
        assert (await agent.invoke(scenario.token)).status_code == 200


def test_the_probe_and_the_loop_are_apart() -> None:
    """What answers /healthz first, and the probe, import neither the loop's libraries nor the gateway's."""
    script = "import sys, proctor_agent.main, proctor_agent.probe; print([m for m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not any(f"'{heavy}'" in found for heavy in ("pydantic_ai", "openai", "mcp", "jsonschema", "proctor"))


def test_the_probe_is_quick() -> None:
    """The probe needs the standard library only, and little of it."""
    began = time.monotonic()
    command = [sys.executable, "-m", "proctor_agent.probe", "--allowed", "127.0.0.1:1", "--termination-log", os.devnull]
    subprocess.run(command, check=True, capture_output=True)
    assert time.monotonic() - began < 2
