"""What is said to agents, and by them, is where it has to be to be done again, and nowhere else; keys are nowhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from proctor_gateway.cluster.port import Kind
from proctor_gateway.settings import Settings
from tests.agent.conftest import PROGRAM
from tests.conformance.agent_process import started
from tests.demo.processes import System, running
from tests.gateway import objects, program
from tests.gateway.house import ENDED, settings
from tests.gateway.planted import KEY, SECRETS, TOOLS, Teller, found_in_database, found_in_text
from tests.gateway.serving import free_port, served
from tests.gateway.small_agent import SmallAgent

WHERE_IT_HAS_TO_BE = {
    "instructions": {"known.body", "revisions.data"},
    "input": {"tasks.input"},
    "arguments": {"calls.arguments", "calls.result", "answers.body", "tasks.input"},
    "result": {"calls.result", "answers.body"},
    "error": {"calls.result", "calls.message", "answers.body"},
    "model": {"calls.result", "calls.message", "answers.body", "tasks.output", "tasks.message"},
    "answer": {"tasks.input", "tasks.output", "tasks.message"},
}
"""The agent's own declaration; and what belongs to the task, which only its caller can read."""

SCHEMA = {"type": "object", "required": ["decision"], "properties": {"decision": {"type": "string", "maxLength": 60}}}
_ARGUMENTS = {"note": SECRETS["arguments"]}
_HEADERS = {
    "authorization": f"Bearer {objects.CALLER_TOKEN}",
    **dict.fromkeys(("x-api-key", "cookie", "baggage", "tracestate", "x-forwarded-for"), SECRETS["header"]),
    "user-agent": SECRETS["header"],
}


def _rules() -> dict[str, Any]:
    calls = [{"tool": tool, "arguments": _ARGUMENTS} for tool in TOOLS]
    return {
        "models": ["gpt-5-mini"],
        "rules": [
            {
                "name": "fail",
                "when": {"task": {"contains": "fail"}},
                "then": {"error": {"status": 400, "message": f"wrong key {KEY}: {SECRETS['model']}"}},
            },
            {"name": "call", "when": {"turn": 0}, "then": {"calls": calls}},
            {"name": "answer", "then": {"answer": {"decision": SECRETS["model"]}}},
        ],
    }


@dataclass
class Place:
    """A gateway in a process of its own, all of whose words are kept."""

    directory: Path
    settings: Settings
    spec: dict[str, Any]
    revision: str
    caller: httpx2.AsyncClient
    url: str
    tokens: list[str] = field(default_factory=list)

    async def done(self, said: Any) -> dict[str, Any]:
        """The task with that input, when it has ended."""
        base = f"{self.url}/agents/{objects.NAMESPACE}/refunds"
        accepted = (await self.caller.post(f"{base}/tasks", json={"input": said})).json()
        async with asyncio.timeout(90):
            while True:
                task = (await self.caller.get(f"{base}/tasks/{accepted['id']}", params={"wait": "5"})).json()
                if task["phase"] in ENDED:
                    found: dict[str, Any] = task
                    return found

    async def words(self) -> dict[str, str]:
        """Everything that is written for people and machines beside the database."""
        async with httpx2.AsyncClient(trust_env=False) as http:
            metrics = (await http.get(f"http://127.0.0.1:{self.settings.internal_port}/metrics")).text
        logs = {file.name: file.read_text(errors="replace") for file in self.directory.glob("*.log")}
        return {"metrics": metrics, **logs}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A model that passes on what it was told."""
    rules = tmp_path_factory.mktemp("model") / "rules.yaml"
    rules.write_text(yaml.safe_dump(_rules()), encoding="utf-8")
    with running("model", "--rules", str(rules)) as system:
        yield system


@pytest.fixture
async def place(tmp_path: Path, model: System) -> AsyncIterator[Place]:
    """A gateway that logs all it can, with a system and a model that tell secrets."""
    ports = {name: free_port() for name in ("caller_port", "agent_port", "internal_port")}
    chosen = settings(tmp_path, log_level="debug", **ports)
    # The last rule cannot be reckoned with such a note: what it says of that must not quote the note.
    rules = [{"when": "double(args.note) > 200.0", "then": "Deny", "message": "too much"}]
    tools = [
        {"connector": "odd", "allow": list(TOOLS[:-1])},
        {"connector": "judge", "allow": [TOOLS[-1]], "rules": rules},
    ]
    limits = {"timeout": "60s", "maxSteps": 12}
    spec = objects.agent_spec(
        instructions=SECRETS["instructions"], tools=tools, output={"schema": SCHEMA}, limits=limits
    )
    revision, bundle = objects.revision_of(spec)
    async with contextlib.AsyncExitStack() as stack:
        system = Teller()
        await stack.enter_async_context(system.serving())
        effects = [{"name": name, "effect": "Read"} for name in TOOLS]
        kinds = {
            Kind.AGENT: [objects.agent(spec, revision)],
            Kind.CONNECTOR: [
                objects.connector("llm", "Model", f"{model.url}/v1", prices=list(objects.PRICES)),
                *(objects.connector(name, "MCP", system.url, tools=effects) for name in ("odd", "judge")),
            ],
            Kind.POD: [objects.pod("one", revision, "127.0.0.1")],
        }
        program.describe(tmp_path / "cluster.json", bundle, kinds)
        with (tmp_path / "gateway.log").open("wb") as log:
            gateway = await asyncio.to_thread(
                program.start, tmp_path / "cluster.json", chosen, log, LOG_LEVEL="debug", PYTHONASYNCIODEBUG="0"
            )
        stack.callback(gateway.kill)
        caller = httpx2.AsyncClient(headers=_HEADERS, timeout=60, trust_env=False)
        await stack.enter_async_context(caller)
        yield Place(tmp_path, chosen, spec, revision, caller, gateway.url)


async def test_nothing_that_is_said_to_an_agent_is_written_elsewhere(place: Place):
    """The default agent: instructions, input, arguments, results, refusals, a rule that fails, a model that fails."""
    config = {
        "name": "refunds",
        "namespace": objects.NAMESPACE,
        "revision": place.revision,
        "instructions": SECRETS["instructions"],
        "model": {"name": "gpt-5-mini", "parameters": {}},
        "tools": [{"connector": "odd", "allow": list(TOOLS[:-1])}, {"connector": "judge", "allow": [TOOLS[-1]]}],
        "output": {"schema": SCHEMA},
        "limits": {"timeoutSeconds": 60, "maxSteps": 12},
    }
    gateway, port = f"http://127.0.0.1:{place.settings.agent_port}", place.settings.pod_port
    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(
            stack.enter_context, started(PROGRAM, gateway, place.directory, config=config, port=port)
        )
        good = await place.done(f"what is {SECRETS['input']}?")
        bad = await place.done(f"fail with {SECRETS['input']}")
    assert (good["phase"], good["output"]) == ("Succeeded", {"decision": SECRETS["model"]}), good
    assert bad["phase"] == "Failed", bad
    await check(place, met={"instructions", "input", "arguments", "result", "error", "model"})


async def test_nothing_that_an_agent_says_is_written_elsewhere(place: Place):
    """An agent of another make: an answer of the wrong form, one that is no JSON, calls of what is not there."""
    agent = SmallAgent(f"http://127.0.0.1:{place.settings.agent_port}")
    async with served(agent.application(), "127.0.0.1", place.settings.pod_port):
        wrong = await place.done([{"answer": {"decision": SECRETS["answer"] * 4}}])
        odd = await place.done([{"answer": {"other": SECRETS["answer"]}}])
        text = await place.done([{"raw": SECRETS["answer"]}])
        calls = [{"call": [connector, name, _ARGUMENTS]} for connector, name in (("odd", "none"), ("none", "tells"))]
        lost = await place.done([*calls, {"answer": {"decision": "done"}}])
    assert [task["phase"] for task in (wrong, odd, text, lost)] == ["Failed", "Failed", "Failed", "Succeeded"]
    place.tokens += agent.tokens
    await check(place, met={"answer", "arguments"})


async def check(place: Place, met: set[str]) -> None:
    """Nothing is in a log, a metric or the record; in the database, what was met is where it has to be."""
    await asyncio.sleep(1.5)  # the last records are signed, the snapshot of the cluster kept
    keys = {"credential": KEY, "caller's token": objects.CALLER_TOKEN}
    tokens = {f"task token {number}": token for number, token in enumerate(place.tokens)}
    words = await place.words()
    assert all(len(text) > 100 for text in words.values()), "a search in nothing finds nothing"
    assert found_in_text({**SECRETS, **keys, **tokens}, words) == set()
    found = found_in_database({**SECRETS, **keys, **tokens}, place.directory / "gateway.db")
    elsewhere = {name: places - WHERE_IT_HAS_TO_BE.get(name, set()) for name, places in found.items()}
    assert {name: places for name, places in elsewhere.items() if places} == {}
    assert met <= found.keys(), "what was not met cannot be told apart from what is not looked for"
