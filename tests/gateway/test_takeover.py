"""Kill anything at any moment: every task ends in a state that says the truth, and nothing is done twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from proctor_gateway.cluster.port import Kind
from proctor_gateway.settings import Settings
from proctor_gateway.store import tables
from proctor_gateway.store.database import Database
from tests.gateway import objects, program
from tests.gateway.house import ENDED, House, cluster_of_tests, house, settings, settled
from tests.gateway.odd_system import HABITS, OddSystem
from tests.gateway.serving import eventually, free_port, served
from tests.gateway.small_agent import SmallAgent
from tests.gateway.test_upgrades import agreed, asked

READ = {"call": ["odd", "says_no", {}]}
EFFECT = {"call": ["odd", "works", {}]}
UNDER_WAY = {"call": ["odd", "hangs", {}]}
STORY = {
    "nothing was done yet": ([{"sleep_at_first": 60}], "Succeeded", None),
    "only reads were done": ([READ, {"sleep_at_first": 60}], "Succeeded", None),
    "an effect was done": ([EFFECT, {"sleep_at_first": 60}], "Succeeded", None),
    "an effect was under way": ([UNDER_WAY], "Indeterminate", "Interrupted"),
    "an effect was done and another under way": ([EFFECT, UNDER_WAY], "Indeterminate", "Interrupted"),
}


@dataclass
class Town:
    """A gateway that can be killed, its agents, and a system that counts."""

    file: Path
    settings: Settings
    agent: SmallAgent
    system: OddSystem
    caller: httpx2.AsyncClient
    gateway: program.Gateway

    @property
    def base(self) -> str:
        """Where the agent takes tasks."""
        return f"{self.gateway.url}/agents/{objects.NAMESPACE}/refunds"

    async def begin(self, *steps: Any) -> str:
        """Send a task."""
        response = await self.caller.post(f"{self.base}/tasks", json={"input": steps})
        assert response.status_code == 202, response.text
        return response.json()["id"]

    async def ended(self, task: str) -> dict[str, Any]:
        """The task when it has ended."""
        async with asyncio.timeout(40):
            while True:
                found = (await self.caller.get(f"{self.base}/tasks/{task}", params={"wait": "5"})).json()
                if found["phase"] in ENDED:
                    return found

    async def settled(self, task: str) -> bool:
        """Whether the task has made a call, and none is under way."""
        return settled((await self.caller.get(f"{self.base}/tasks/{task}/calls")).json()["items"])

    async def restart(self) -> None:
        """Start the gateway again."""
        self.gateway = await asyncio.to_thread(program.start, self.file, self.settings)


@pytest.fixture
async def town(directory: Path) -> AsyncIterator[Town]:
    """A town with one pod, whose tools are one that reads and others that do not."""
    chosen = settings(
        directory,
        caller_port=free_port(),
        agent_port=free_port(),
        internal_port=free_port(),
        drain=2,
    )
    spec = objects.agent_spec(tools=[{"connector": "odd", "allow": list(HABITS)}], limits={"timeout": "60s"})
    revision, bundle = objects.revision_of(spec)
    agent = SmallAgent(f"http://127.0.0.1:{chosen.agent_port}")
    async with (
        OddSystem(hang_seconds=120).serving() as system,
        served(agent.application(), "127.0.0.1", chosen.pod_port),
        httpx2.AsyncClient(
            headers={"authorization": f"Bearer {objects.CALLER_TOKEN}"}, timeout=60, verify=False
        ) as caller,
    ):
        connector = objects.connector(
            "odd", "MCP", system.url, tools=[{"name": "says_no", "effect": "Read"}], limits={"timeout": "50s"}
        )
        kinds = {
            Kind.AGENT: [objects.agent({**spec, "runtime": {"concurrency": 50}}, revision)],
            Kind.CONNECTOR: [connector],
            Kind.POD: [objects.pod("one", revision, "127.0.0.1")],
        }
        file = directory / "cluster.json"
        program.describe(file, bundle, kinds)
        built = Town(file, chosen, agent, system, caller, await asyncio.to_thread(program.start, file, chosen))
        try:
            yield built
        finally:
            built.gateway.kill()


async def test_kill_minus_nine_while_ten_tasks_run(town: Town):
    """All ten end, each in the state that is true of it; no effect is sent a second time."""
    tasks = {
        await town.begin(*steps, {"answer": name}): (name, phase, reason)
        for name, (steps, phase, reason) in STORY.items()
        for _ in range(2)
    }
    await eventually(lambda: len(town.system.calls) == 2 + 2 + 2 + 4, 20)
    await eventually(lambda: len(town.agent.invocations) == 10, 20)
    for task in (task for task, (name, *_) in tasks.items() if name == "an effect was done"):
        await eventually(lambda task=task: town.settled(task))
    town.gateway.kill()
    sent = list(town.system.calls)
    await town.restart()
    for task, (name, phase, reason) in tasks.items():
        ended = await town.ended(task)
        assert (ended["phase"], ended["error"]["reason"] if ended["error"] else None) == (phase, reason), ended
        assert ended["attempts"] == (2 if phase == "Succeeded" else 1)
        assert ended["output"] == (name if phase == "Succeeded" else None)
    assert town.system.calls[len(sent) :] == []
    assert (town.system.times("works"), town.system.times("hangs")) == (4, 4)


async def test_a_task_that_waits_survives(town: Town):
    """What was accepted is done, although the one who accepted it was killed at once."""
    task = await town.begin({"answer": 1})
    town.gateway.kill()
    await town.restart()
    assert (await town.ended(task))["phase"] == "Succeeded"


async def test_sigterm_lets_running_tasks_finish(town: Town):
    """A task that ends within the grace ends well; no new one is taken meanwhile."""
    task = await town.begin({"sleep": 1}, {"answer": 1})
    await eventually(lambda: town.agent.invocations)
    leaving = asyncio.create_task(asyncio.to_thread(town.gateway.terminate))
    await asyncio.sleep(0.3)
    refused = await town.caller.post(f"{town.base}/tasks", json={"input": []})
    assert (refused.status_code, refused.json()["reason"]) == (503, "ShuttingDown")
    assert await leaving == 0
    await town.restart()
    ended = await town.ended(task)
    assert (ended["phase"], ended["attempts"]) == ("Succeeded", 1)


async def test_sigterm_hands_the_rest_over(town: Town):
    """A task that needs longer than the grace is begun again by the next gateway."""
    task = await town.begin({"sleep_at_first": 60}, {"answer": 1})
    await eventually(lambda: town.agent.invocations)
    assert await asyncio.to_thread(town.gateway.terminate) == 0
    await eventually(lambda: town.agent.cancelled == 1)
    await town.restart()
    ended = await town.ended(task)
    assert (ended["phase"], ended["attempts"]) == ("Succeeded", 2)


async def test_the_old_attempts_token_opens_nothing(town: Town):
    """A pod that goes on with an attempt which was given up can do nothing more."""
    await town.begin({"sleep_at_first": 60}, {"answer": 1})
    await eventually(lambda: town.agent.tokens)
    old = town.agent.tokens[0]
    town.gateway.kill()
    await town.restart()
    await eventually(lambda: len(town.agent.tokens) == 2)
    url = f"http://127.0.0.1:{town.settings.agent_port}"
    async with httpx2.AsyncClient(base_url=url, headers={"authorization": f"Bearer {old}"}) as http:
        told = await town.agent.call(http, "odd", "works", {})
    assert told["status"] == 401
    assert town.system.times("works") == 0


@contextlib.contextmanager
def pod_program(house_: House, address: str) -> Iterator[Any]:
    """A pod in a process of its own, so that it can die."""
    import subprocess
    import sys

    command = [
        sys.executable,
        "-m",
        "tests.gateway.small_agent",
        address,
        str(house_.settings.pod_port),
        house_.agents_url,
    ]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def reachable(url: str) -> bool:
    """Whether somebody answers there."""
    async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
        try:
            return (await http.get(url)).status_code == 200
        except httpx2.HTTPError:
            return False


async def test_a_pod_that_dies_is_replaced(gateway: House):
    """A task whose pod dies before anything was done is given to another pod."""
    with pod_program(gateway, "127.0.0.3"):
        await eventually(lambda: reachable(f"http://127.0.0.3:{gateway.settings.pod_port}/healthz"), 30)
        gateway.cluster.apply(Kind.POD, objects.pod("a-mortal", gateway.revision, "127.0.0.3"))
        async with gateway.pod("one"):
            task = await gateway.done({"die_at_first": 1}, {"answer": "done"})
    assert (task["phase"], task["output"], task["attempts"]) == ("Succeeded", "done", 2)


async def test_a_pod_that_dies_after_an_effect(gateway: House):
    """The task goes on elsewhere; the effect is answered from the journal, and not sent again."""
    async with OddSystem().serving() as system:
        gateway.connect("odd", "MCP", system.url)
        gateway.declare(tools=[{"connector": "odd", "allow": ["works"]}])
        with pod_program(gateway, "127.0.0.3"):
            await eventually(lambda: reachable(f"http://127.0.0.3:{gateway.settings.pod_port}/healthz"), 30)
            gateway.cluster.apply(Kind.POD, objects.pod("a-mortal", gateway.revision, "127.0.0.3"))
            async with gateway.pod("one"):
                task = await gateway.done(EFFECT, {"die_at_first": 1}, {"answer": "done"})
        assert (task["phase"], task["output"], task["attempts"]) == ("Succeeded", "done", 2)
        assert task["usage"]["toolCalls"] == 1
        assert system.times("works") == 1


async def test_an_attempt_that_was_taken_for_lost_is_repeated(gateway: House):
    """A gateway that was silent has its task again: the refusals that its agent met meanwhile say nothing."""
    async with OddSystem().serving() as system, gateway.pod("one"):
        gateway.connect("odd", "MCP", system.url)
        gateway.declare(tools=[{"connector": "odd", "allow": ["works"]}])
        gateway.cluster.apply(Kind.POD, objects.pod("one", gateway.revision, "127.0.0.1"))
        await gateway.settled()
        steps = [{"sleep_at_first": 1}, {"must_call": ["odd", "works", {}]}, {"answer": 1}]
        task = (await gateway.task(*steps)).json()["id"]
        await gateway.in_phase(task, "Running")
        other = Database(gateway.settings.store.get_secret_value())
        async with other.running():
            await other.write(lambda c: c.execute(sa.update(tables.tasks).values(live=False)))
        ended = await gateway.ended(task)
    assert (ended["phase"], ended["attempts"], system.times("works")) == ("Succeeded", 2, 1), ended


async def test_a_pod_that_vanishes_is_not_waited_for(gateway: House):
    """A dead node closes no connection; that its pod is gone is enough to go on elsewhere."""
    async with gateway.pod("one"):
        task = (await gateway.task({"sleep_at_first": 60}, {"answer": 1})).json()["id"]
        await gateway.in_phase(task, "Running")
        gateway.cluster.delete(Kind.POD, objects.NAMESPACE, "one")
        async with gateway.pod("two", "127.0.0.2"):
            ended = await gateway.ended(task)
    assert (ended["phase"], ended["attempts"]) == ("Succeeded", 2)


async def test_a_task_keeps_the_revision_it_began_on(gateway: House):
    """A new stable revision takes new tasks; one that is begun again stays where it began."""
    old = gateway.revision
    async with gateway.pod("one"):
        task = (await gateway.task({"sleep_at_first": 60}, {"answer": 1})).json()["id"]
        await gateway.in_phase(task, "Running")
        new = gateway.declare(instructions="Do better.")
        assert new != old
        gateway.cluster.apply(Kind.POD, objects.pod("new", new, "127.0.0.4"))
        gateway.cluster.delete(Kind.POD, objects.NAMESPACE, "one")
        agent = SmallAgent(gateway.agents_url)
        async with served(agent.application(), "127.0.0.2", gateway.settings.pod_port):
            gateway.cluster.apply(Kind.POD, objects.pod("two", old, "127.0.0.2"))
            ended = await gateway.ended(task)
    assert (ended["phase"], ended["revision"], ended["attempts"]) == ("Succeeded", old, 2)


async def test_a_pod_that_takes_nothing_is_passed_over(gateway: House):
    """A pod that refuses connections costs a moment, not the task."""
    gateway.cluster.apply(Kind.POD, objects.pod("a-deaf-one", gateway.revision, "127.0.0.5"))
    async with gateway.pod("one"):
        task = await gateway.done({"answer": 1})
    assert task["phase"] == "Succeeded"


async def test_a_pod_that_is_busy_is_tried_again(gateway: House):
    """503 AgentUnavailable from a pod means: not taken."""
    refusal = [503, {"reason": "AgentUnavailable", "detail": "the agent is stopping"}]
    async with gateway.pod("one") as one:
        task = (await gateway.task({"refuse": refusal})).json()["id"]
        await eventually(lambda: len(one.invocations) >= 2)
        await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")
        assert (await gateway.ended(task))["phase"] == "Cancelled"


async def test_a_task_that_kills_its_pods_is_given_up(gateway: House):
    """Three losses are enough."""
    refusal = [500, {"reason": "Interrupted", "detail": "the gateway broke off"}]
    async with gateway.pod("one"):
        task = await gateway.done({"refuse": refusal})
    assert (task["phase"], task["error"]["reason"], task["attempts"]) == ("Failed", "Interrupted", 3)


async def test_the_deadline_runs_from_the_start(gateway: House):
    """A task that takes too long ends as Timeout, on time."""
    gateway.declare(limits={"timeout": "3s"})
    async with gateway.pod("one") as agent:
        task = await gateway.done({"sleep": 30})
        await eventually(lambda: agent.cancelled == 1)
    assert (task["phase"], task["error"]["reason"]) == ("Failed", "Timeout")


OUTPUTS = {
    "as declared": ({"answer": {"decision": "approve"}}, "Succeeded", None),
    "not as declared": ({"answer": {"decision": 5}}, "Failed", "InvalidOutput"),
    "nothing of it": ({"answer": None}, "Failed", "InvalidOutput"),
    "no answer at all": ({"raw": "hello"}, "Failed", "InvalidOutput"),
    "a refusal": ({"refuse": [422, {"reason": "Refused", "detail": "no"}]}, "Failed", "Refused"),
    "a failure without a reason": ({"refuse": [500, {}]}, "Failed", "AgentError"),
    "a reason that is not the agent's to give": ({"refuse": [500, {"reason": "Cancelled"}]}, "Failed", "AgentError"),
}


@pytest.mark.parametrize(("step", "phase", "reason"), OUTPUTS.values(), ids=OUTPUTS)
async def test_an_answer_must_have_the_declared_form(gateway: House, step, phase, reason):
    """output.schema is enforced by the gateway; what was said instead is kept."""
    schema = {"type": "object", "required": ["decision"], "properties": {"decision": {"type": "string"}}}
    gateway.declare(output={"schema": schema})
    async with gateway.pod("one"):
        task = await gateway.done(step)
    assert (task["phase"], task["error"]["reason"] if task["error"] else None) == (phase, reason)
    assert task["output"] == step.get("answer")


async def test_a_task_waits_for_a_pod_no_longer_than_it_may(directory: Path):
    """A task that no pod takes in time fails as AgentUnavailable."""
    async with house(directory, queue_timeout=4) as gateway, gateway.pod("one") as agent:
        gateway.live(runtime={"concurrency": 1})
        await gateway.settled()
        first = await gateway.held(agent, {"sleep": 8})
        second = (await gateway.task({"answer": 1})).json()["id"]
        ended = await gateway.ended(second)
        assert (ended["phase"], ended["error"]["reason"]) == ("Failed", "AgentUnavailable")
        assert (await gateway.ended(first))["phase"] == "Succeeded"


async def test_a_gateway_starts_while_the_api_server_is_away(directory: Path):
    """Known agents are served from what was last known, to callers known lately; strangers are told to wait."""
    async with house(directory) as before, before.pod("one"):
        assert (await before.done({"answer": 1}))["phase"] == "Succeeded"
        await asyncio.sleep(1.5)
    away = cluster_of_tests()
    away.go_away()
    async with house(directory, away, pod_port=before.settings.pod_port) as after:
        await eventually(lambda: reachable(f"{after.internal_url}/readyz"))
        agent = SmallAgent(after.agents_url)
        async with served(agent.application(), "127.0.0.1", after.settings.pod_port):
            assert (await after.done({"answer": 2}))["output"] == 2
        stranger = {"authorization": "Bearer " + objects.token("stranger")}
        response = await after.caller.get(f"{after.base}/tasks", headers=stranger)
        assert (response.status_code, response.json()["reason"]) == (503, "IdentityUnavailable")
        assert response.headers["retry-after"] == "5"


async def test_who_starts_from_memory_gives_no_task_to_a_candidate(directory: Path):
    """It may have been withdrawn since, and nobody could tell: all tasks begin on stable until the cluster is heard."""
    async with house(directory) as before, before.pod("one"):
        before.upgrade(100)
        await agreed(before, 100)
        await asyncio.sleep(1.5)
    away = cluster_of_tests()
    away.go_away()
    async with house(directory, away, pod_port=before.settings.pod_port) as after:
        await eventually(lambda: reachable(f"{after.internal_url}/readyz"))
        told = await asked(after, "/traffic")
        assert (told["rollout"], told["weight"]) == ("upgrade-1", 0)


async def test_a_suspended_agents_tasks_do_not_begin_after_a_restart(directory: Path):
    """`suspend` is a state, not an event: it holds for tasks that were taken in before, also after a restart."""
    async with house(directory) as before, before.pod("one"):
        before.live(runtime={"concurrency": 1})
        await before.settled()
        await before.task({"sleep": 30})
        task = (await before.task({"answer": 1})).json()["id"]
        before.serving.cancel()
        await asyncio.gather(before.serving, return_exceptions=True)
        before.live(suspend=True)
        async with house(directory, before.cluster, pod_port=before.settings.pod_port) as after:
            ended = await after.ended(task)
            assert (ended["phase"], ended["error"]["reason"]) == ("Failed", "Suspended")
        before.serving = asyncio.create_task(asyncio.sleep(0))


async def test_a_gateway_that_knows_nothing_is_not_ready(directory: Path):
    """Without an API server and without anything known from before, no request comes here."""
    away = cluster_of_tests()
    away.go_away()
    async with house(directory, away) as gateway, httpx2.AsyncClient(trust_env=False, verify=False) as http:
        await asyncio.sleep(1.5)
        answer = await http.get(f"{gateway.internal_url}/readyz")
        assert (answer.status_code, answer.json()["missing"]) == (503, ["cluster", "listeners"])
        away.away = False
        await eventually(lambda: reachable(f"{gateway.internal_url}/readyz"), 15)


async def test_a_gateway_serves_on_while_the_api_server_is_away(gateway: House):
    """What is known is enough, credentials included."""
    steps = ({"chat": {}}, {"call": ["crm", "get_customer", {"customer_id": "C-1042"}]})
    async with gateway.pod("one"):
        before = await gateway.done(*steps)
        gateway.cluster.go_away()
        await asyncio.sleep(0.3)
        after = await gateway.done(*steps)
    assert after["phase"] == "Succeeded"
    assert after["output"][1]["structuredContent"] == before["output"][1]["structuredContent"]
