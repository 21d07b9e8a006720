"""Who gets the tasks while an upgrade is under way, and what the operator reads about it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from proctor_gateway.cluster.port import Kind
from proctor_gateway.rules.arms import share_of
from proctor_gateway.store.database import Database
from proctor_gateway.store.tables import assignments
from tests.gateway import objects
from tests.gateway.house import House, cluster_of_tests, house
from tests.gateway.postgres import Server
from tests.gateway.serving import eventually, free_port, served
from tests.gateway.small_agent import SmallAgent

ANSWER = {"answer": {"done": True, "confidence": 0.8}}
TESTER = {"serviceAccount": {"namespace": "shop", "name": "web"}}


@pytest.fixture
async def built(directory: Path, store: str) -> AsyncIterator[House]:
    """A gateway on each kind of store."""
    async with house(directory, store=store) as found:
        yield found


@contextlib.asynccontextmanager
async def operator(gateway: House) -> AsyncIterator[httpx2.AsyncClient]:
    """The operator's way in."""
    headers = {"authorization": f"Bearer {objects.OPERATOR_TOKEN}"}
    base = f"{gateway.internal_url}/internal/agents/{objects.NAMESPACE}/refunds"
    async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=30, trust_env=False, verify=False) as client:
        yield client


async def asked(gateway: House, path: str, **params: Any) -> dict[str, Any]:
    """What the operator is told."""
    async with operator(gateway) as client:
        response = await client.get(path, params=params)
    assert response.status_code == 200, response.text
    return response.json()


async def agreed(gateway: House, weight: int, rollout: str | None = "upgrade-1") -> None:
    """Wait until all gateways have told that they draw by this weight."""

    async def holds() -> bool:
        found = await asked(gateway, "/traffic")
        return found["agreed"] and (found["rollout"], found["weight"]) == (rollout, weight)

    await eventually(holds)


@contextlib.asynccontextmanager
async def both(gateway: House, weight: int, **status: Any) -> AsyncIterator[tuple[str, SmallAgent, SmallAgent]]:
    """An upgrade with a pod of either revision."""
    candidate = gateway.upgrade(weight, **status)
    async with gateway.pod("s"), gateway.pod("c", "127.0.0.2", revision=candidate):
        await agreed(gateway, weight, status.get("rollout", "upgrade-1"))
        yield candidate, gateway.agents["s"], gateway.agents["c"]


async def test_a_task_begins_on_the_arm_that_its_hash_draws(built: House):
    """Arm, revision and feed say the same: the hash of the task and of the upgrade against the weight."""
    async with both(built, 50) as (candidate, stable_pod, candidate_pod):
        # Never more at once than a pod takes: what it had no room for would not be drawn.
        done = [task for _ in range(4) for task in await asyncio.gather(*(built.done(ANSWER) for _ in range(6)))]
        feed = await asked(built, "/outcomes", rollout="upgrade-1")
        traffic = await asked(built, "/traffic")
    drawn = {task["id"]: share_of("upgrade-1", task["id"]) < 0.5 for task in done}
    assert {task["id"]: task["arm"] for task in done} == {
        task: "Candidate" if on_candidate else "Stable" for task, on_candidate in drawn.items()
    }
    assert all(task["revision"] == (candidate if drawn[task["id"]] else built.revision) for task in done)
    assert len(candidate_pod.invocations) == sum(drawn.values())
    assert len(stable_pod.invocations) == len(drawn) - sum(drawn.values())
    assert {item["task"]: item["arm"] for item in feed["items"]} == {task["id"]: task["arm"] for task in done}
    numbers = [item["assignment"] for item in feed["items"]]
    assert numbers == sorted(set(numbers))
    one = feed["items"][0]
    assert (one["propensity"], one["phase"], one["success"], one["confidence"]) == ("0.50", "Succeeded", True, 0.8)
    assert (one["conversation"], one["toolErrors"], one["escalated"]) == (False, 0, False)
    assert traffic["begun"] == {
        revision: count
        for revision, count in ((candidate, sum(drawn.values())), (built.revision, len(drawn) - sum(drawn.values())))
        if count
    }
    assert (traffic["gateways"], traffic["inFlight"]) == (1, {})


async def test_the_feed_goes_on_after_a_number(built: House):
    """In pages, without gaps; what still runs has no end, and has one in the next answer."""
    async with both(built, 50):
        running = (await built.task({"sleep": 4}, ANSWER)).json()["id"]
        await built.in_phase(running, "Running")
        for _ in range(4):
            await built.done(ANSWER)
        first = (await asked(built, "/outcomes", rollout="upgrade-1", limit=2))["items"]
        rest = await asked(built, "/outcomes", rollout="upgrade-1", after=first[-1]["assignment"])
        assert [len(first), len(rest["items"])] == [2, 3]
        assert (first[0]["task"], first[0]["finishedAt"], first[0]["phase"]) == (running, None, "Running")
        assert first[0]["deadline"] > rest["asOf"]
        assert (await asked(built, "/traffic"))["inFlight"] == {first[0]["revision"]: 1}
        await built.ended(running)
        again = (await asked(built, "/outcomes", rollout="upgrade-1", limit=1))["items"][0]
        assert (again["task"], again["phase"], again["seconds"] >= 4) == (running, "Succeeded", True)
        assert (await asked(built, "/outcomes", rollout="another"))["items"] == []


async def test_ends_are_listed_in_their_order(built: House):
    """Of one revision, in pages without gaps, whether or not lots were drawn; the newest a moment later."""
    begun = datetime.now(UTC) - timedelta(minutes=1)
    async with built.pod("s"):
        done = [(await built.done(ANSWER))["id"] for _ in range(3)]
        params = {"revision": built.revision, "since": begun.isoformat()}

        async def all_told() -> bool:
            return len((await asked(built, "/finished", **params))["items"]) == len(done)

        await eventually(all_told)
        first = (await asked(built, "/finished", **params, limit=2))["items"]
        rest = (await asked(built, "/finished", revision=built.revision, after=first[-1]["cursor"]))["items"]
        other = (await asked(built, "/finished", **{**params, "revision": "another"}))["items"]
    assert [each["task"] for each in (*first, *rest)] == done
    assert (first[0]["phase"], first[0]["success"]) == ("Succeeded", True)
    assert other == []


@pytest.mark.parametrize(
    "params",
    [{}, {"revision": "a"}, {"revision": "a", "since": "soon"}, {"revision": "a", "after": "2026-11-02T08:00:00|t"}],
)
async def test_ends_need_a_revision_and_a_beginning(built: House, params: dict[str, str]):
    """A question that is none is told what is missing."""
    async with operator(built) as client:
        assert (await client.get("/finished", params=params)).status_code == 400


async def test_weight_0_draws_nobody(built: House):
    """Neither a task nor a conversation that had begun on the candidate."""
    async with both(built, 100) as (candidate, _, _):
        assert (await built.done(ANSWER, conversation="talk"))["revision"] == candidate
        built.upgrade(0)
        await agreed(built, 0)
        done = [await built.done(ANSWER, conversation="talk"), await built.done(ANSWER)]
        assert [(task["revision"], task["arm"]) for task in done] == [(built.revision, None)] * 2
        assert len((await asked(built, "/outcomes", rollout="upgrade-1"))["items"]) == 1
        assert (await asked(built, "/traffic"))["begun"] == {candidate: 1, built.revision: 2}


async def test_a_conversation_stays_where_it_began(built: House):
    """At whatever weight it goes on, with the chance that it had at its start; only its first task is evidence."""
    talk = next(f"talk-{n}" for n in range(1000) if 0.2 < share_of("upgrade-1", f"talk-{n}") < 0.8)
    async with both(built, 10) as (candidate, _, _):
        assert (await built.done(ANSWER, conversation=talk))["arm"] == "Stable"
        built.upgrade(90)
        await agreed(built, 90)
        again = await built.done(ANSWER, conversation=talk)
        assert (again["arm"], again["revision"]) == ("Stable", built.revision)
        (item,) = (await asked(built, "/outcomes", rollout="upgrade-1"))["items"]
        assert (item["propensity"], item["conversation"]) == ("0.10", True)
        built.upgrade(90, rollout="upgrade-2")
        await agreed(built, 90, "upgrade-2")
        drawn = share_of("upgrade-2", talk) < 0.9
        assert (await built.done(ANSWER, conversation=talk))["revision"] == (candidate if drawn else built.revision)


async def test_nobody_waits_for_a_candidate_without_a_pod(built: House):
    """Tasks go to stable, without an arm: they could not have gone to the candidate, so they are no evidence."""
    candidate = built.upgrade(100)
    async with built.pod("s"):
        await agreed(built, 100)
        done = await asyncio.wait_for(built.done(ANSWER), 5)
        assert (done["revision"], done["arm"]) == (built.revision, None)
        assert (await asked(built, "/outcomes", rollout="upgrade-1"))["items"] == []
        async with built.pod("c", "127.0.0.2", revision=candidate):
            assert (await built.done(ANSWER))["revision"] == candidate


async def test_a_full_candidate_holds_up_nobody(built: House):
    """What it has no room for goes to stable, whatever would have been drawn."""
    built.spec = objects.agent_spec(runtime={"concurrency": 1})
    async with both(built, 100) as (candidate, _, _):
        first = (await built.task({"sleep": 2}, ANSWER)).json()["id"]
        assert (await built.in_phase(first, "Running"))["revision"] == candidate
        second = await built.done(ANSWER)
        assert (second["revision"], second["arm"]) == (built.revision, None)
        assert (await built.ended(first))["arm"] == "Candidate"


async def test_a_task_stays_on_the_revision_that_it_began_on(built: House):
    """Also when the upgrade is taken back in the middle and the task has to begin again."""
    async with both(built, 100) as (candidate, _, _):
        task = (await built.task({"sleep_at_first": 30}, ANSWER)).json()["id"]
        await built.in_phase(task, "Running")
        built.upgrade(0)
        await agreed(built, 0)
        async with built.pod("c2", "127.0.0.3", revision=candidate):
            built.cluster.delete(Kind.POD, objects.NAMESPACE, "c")
            found = await built.ended(task)
        assert (found["phase"], found["revision"], found["attempts"]) == ("Succeeded", candidate, 2)
        assert len((await asked(built, "/outcomes", rollout="upgrade-1"))["items"]) == 1


async def recorded(store: str) -> list[Any]:
    """Every draw that was recorded."""
    database = Database(store)
    async with database.running():
        return await database.read(lambda c: c.execute(sa.select(assignments).order_by(assignments.c.assignment)).all())


async def test_no_more_tasks_than_the_weight_allows(built: House, store: str):
    """While the weight goes up and down: whoever is on the candidate was below the weight of that moment.

    And after all gateways have told weight 0, not one.
    """
    sent: list[dict[str, Any]] = []

    async def send() -> None:
        while True:
            sent.append(await built.done(ANSWER, conversation=f"talk-{len(sent) % 7}" if len(sent) % 2 else None))

    async with both(built, 10) as (candidate, _, _):
        sending = [asyncio.create_task(send()) for _ in range(6)]
        for weight in (50, 5, 100, 0, 30, 70, 0):
            built.upgrade(weight)
            await agreed(built, weight)
            if weight == 0:
                before = max(row.assignment for row in await recorded(store))
            enough = len(sent) + 8
            await eventually(lambda enough=enough: len(sent) >= enough, 40)
        for each in sending:
            each.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        rows = await recorded(store)
    assert len(rows) > 50
    assert {row.weight for row in rows} >= {100, 30, 70, 0}
    for row in rows:
        on_candidate = row.arm == "Candidate"
        assert on_candidate == (row.revision == candidate)
        assert not (on_candidate and row.weight == 0)
        if row.counts:
            assert row.propensity == f"{row.weight / 100:.2f}"
            if not row.conversation:
                assert on_candidate == (share_of("upgrade-1", row.task) < row.weight / 100)
    assert not [row for row in rows if row.assignment > before and row.revision == candidate]
    assert len({row.task for row in rows}) == len(rows)


@contextlib.asynccontextmanager
async def two_clusters(directory: Path, postgres: Server) -> AsyncIterator[tuple[House, House]]:
    """Two gateways with one store, each of which hears of the cluster by itself."""
    store, pod_port = postgres.database(), free_port()
    async with house(directory, cluster_of_tests(), instance="one", store=store, pod_port=pod_port) as one:
        one.declare()
        async with house(directory, cluster_of_tests(), instance="two", store=store, pod_port=pod_port) as two:
            two.declare()
            await asyncio.sleep(0.3)
            yield one, two


async def test_a_gateway_that_has_not_heard_is_not_agreed_with(directory: Path, postgres: Server):
    """Only when every live gateway draws by the upgrade and weight that the answering one draws by."""
    async with two_clusters(directory, postgres) as (one, two):
        one.upgrade(10)
        await one.settled()
        await asyncio.sleep(1)
        found = await asked(one, "/traffic")
        assert (found["agreed"], found["gateways"], found["weight"]) == (False, 2, 10)
        assert not (await asked(two, "/traffic"))["agreed"]
        two.upgrade(10)
        await agreed(one, 10)
        await agreed(two, 10)
        one.upgrade(0)
        await eventually(lambda: lags(one))
        two.serving.cancel()
        await asyncio.gather(two.serving, return_exceptions=True)
        two.serving = asyncio.create_task(asyncio.sleep(0))
        # A gateway that has died is waited for as long as it could still be alive, and no longer.
        await agreed(one, 0)


async def test_who_is_stable_is_agreed_upon_too(directory: Path, postgres: Server):
    """A revision that was promoted and is taken back has lost its traffic only when every gateway knows the other."""
    async with two_clusters(directory, postgres) as (one, two):
        candidate = one.upgrade(0)
        two.upgrade(0)
        await agreed(one, 0)
        revision = {"stable": candidate, "candidate": one.revision}
        rollout = {"phase": "Aborting", "id": "upgrade-1"}
        swapped = objects.agent(one.spec, one.revision, revision=revision, rollout=rollout)
        one.cluster.apply(Kind.AGENT, swapped)
        await eventually(lambda: lags(one))
        assert (await asked(one, "/traffic"))["stable"] == candidate
        two.cluster.apply(Kind.AGENT, swapped)
        await agreed(one, 0)


async def lags(gateway: House) -> bool:
    """Whether the gateway knows weight 0 and not all agree."""
    found = await asked(gateway, "/traffic")
    return found["weight"] == 0 and not found["agreed"]


async def test_replicas_draw_alike(directory: Path, postgres: Server):
    """A conversation that goes to one gateway and then to the other stays on its arm; numbers rise across both."""
    async with two_clusters(directory, postgres) as (one, two), contextlib.AsyncExitStack() as stack:
        candidate = one.upgrade(10)
        two.upgrade(10)
        for address, name, revision in (("127.0.0.1", "s", one.revision), ("127.0.0.2", "c", candidate)):
            agent = SmallAgent(one.agents_url)
            await stack.enter_async_context(served(agent.application(), address, one.settings.pod_port))
            for each in (one, two):
                each.cluster.apply(Kind.POD, objects.pod(name, revision, address))
        await agreed(one, 10)
        talks = [f"talk-{n}" for n in range(6)]
        first = [await one.done(ANSWER, conversation=talk) for talk in talks]
        one.upgrade(90)
        two.upgrade(90)
        await agreed(two, 90)
        await agreed(one, 90)
        again = await asyncio.gather(*(two.done(ANSWER, conversation=talk) for talk in talks))
        assert [task["revision"] for task in again] == [task["revision"] for task in first]
        await asyncio.gather(*(each.done(ANSWER) for each in (one, two) for _ in range(6)))
        items = (await asked(one, "/outcomes", rollout="upgrade-1"))["items"]
        assert [item["assignment"] for item in items] == sorted({item["assignment"] for item in items})
        assert len(items) == 6 + 12


CHOICES = {
    "by name": (0, "candidate", 200, "candidate"),
    "stable, at any weight": (100, "stable", 200, "stable"),
    "by hash": (0, None, 200, "candidate"),
    "another": (50, "0123456789", 409, "RevisionUnknown"),
}


@pytest.mark.parametrize(("weight", "asked_for", "status", "expected"), CHOICES.values(), ids=CHOICES)
async def test_a_tester_chooses_the_revision(gateway: House, weight, asked_for, status, expected):
    """By X-Proctor-Revision; what was chosen was not drawn, so it is no evidence."""
    gateway.spec = objects.agent_spec(access={"callers": [TESTER], "testers": [TESTER]})
    async with both(gateway, weight) as (candidate, _, _):
        headers = {"x-proctor-revision": asked_for or candidate}
        found = await gateway.caller.post(f"{gateway.base}/invoke", json={"input": [ANSWER]}, headers=headers)
        assert found.status_code == status, found.text
        if status != 200:
            assert found.json()["reason"] == expected
            return
        revision = {"candidate": candidate, "stable": gateway.revision}[expected]
        assert (found.json()["revision"], found.json()["arm"]) == (revision, None)
        assert (await asked(gateway, "/outcomes", rollout="upgrade-1"))["items"] == []
        assert (await asked(gateway, "/traffic"))["begun"] == {revision: 1}


async def test_a_choice_is_for_one_task(gateway: House):
    """In the middle of a conversation a tester may look at the other revision; the conversation stays where it is."""
    gateway.spec = objects.agent_spec(access={"callers": [TESTER], "testers": [TESTER]})
    talk = next(f"talk-{n}" for n in range(1000) if share_of("upgrade-1", f"talk-{n}") > 0.5)
    async with both(gateway, 50) as (candidate, _, _):
        found = []
        for headers in ({"x-proctor-revision": "candidate"}, {}, {"x-proctor-revision": "candidate"}, {}):
            body = {"input": [ANSWER], "conversation": talk}
            answer = await gateway.caller.post(f"{gateway.base}/invoke", json=body, headers=headers)
            found.append((answer.json()["revision"], answer.json()["arm"]))
    assert found == [(candidate, None), (gateway.revision, "Stable")] * 2


async def test_nobody_else_chooses(gateway: House):
    """A caller who is no tester is refused, whatever it asks for."""
    async with both(gateway, 50):
        for wanted in ("stable", "candidate", "x"):
            found = await gateway.task(ANSWER, headers={"x-proctor-revision": wanted})
            assert (found.status_code, found.json()["reason"]) == (403, "Forbidden")


async def test_a_failed_candidate_is_not_chosen(gateway: House):
    """Not even by a tester."""
    gateway.spec = objects.agent_spec(access={"callers": [TESTER], "testers": [TESTER]})
    async with both(gateway, 0) as (candidate, _, _):
        status = {"stable": gateway.revision, "candidate": candidate, "blocked": [candidate]}
        gateway.cluster.apply(Kind.AGENT, objects.agent(gateway.spec, None, revision=status))
        await gateway.settled()
        found = await gateway.task(ANSWER, headers={"x-proctor-revision": candidate})
        assert (found.status_code, found.json()["reason"]) == (409, "RevisionUnknown")


async def said(gateway: House, task: str, body: dict[str, Any]) -> tuple[int, Any]:
    """Send feedback."""
    found = await gateway.caller.post(f"{gateway.base}/tasks/{task}/feedback", json=body)
    return found.status_code, found.json().get("reason")


async def test_feedback_overrules_an_outcome(built: House):
    """What the caller says of its task counts, and the last word holds."""
    async with both(built, 50):
        task = (await built.done(ANSWER))["id"]
        assert await said(built, task, {"success": True, "score": 0.9}) == (200, None)
        assert await said(built, task, {"success": False, "comment": "the wrong customer"}) == (200, None)
        (item,) = (await asked(built, "/outcomes", rollout="upgrade-1"))["items"]
        assert (item["phase"], item["success"], item["quality"]) == ("Succeeded", False, 0.0)
        assert (await built.caller.get(f"{built.base}/tasks/{task}")).json()["phase"] == "Succeeded"


FEEDBACK = {
    "no verdict": {"score": 1},
    "not a verdict": {"success": "yes"},
    "too good": {"success": True, "score": 1.5},
    "not a number": {"success": True, "score": True},
    "something else": {"success": True, "stars": 5},
    "a long story": {"success": True, "comment": "x" * 5000},
}


@pytest.mark.parametrize("body", FEEDBACK.values(), ids=FEEDBACK)
async def test_bad_feedback_is_refused(gateway: House, body):
    """The problem names the field."""
    async with gateway.pod("one"):
        task = (await gateway.done(ANSWER))["id"]
    assert await said(gateway, task, body) == (400, "InvalidRequest")


async def test_feedback_is_for_what_has_ended_and_is_ones_own(gateway: House):
    """A task that runs has no outcome yet; one of somebody else is not there."""
    async with gateway.pod("one"):
        task = (await gateway.task({"sleep": 5}, ANSWER)).json()["id"]
        assert (await said(gateway, task, {"success": True}))[0] == 409
        assert await said(gateway, "another", {"success": True}) == (404, "NotFound")
        await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")


async def test_only_the_operator_reads_the_evidence(gateway: House):
    """Callers do not see who was drawn where."""
    headers = {"authorization": f"Bearer {objects.CALLER_TOKEN}"}
    base = f"{gateway.internal_url}/internal/agents/{objects.NAMESPACE}/refunds"
    async with httpx2.AsyncClient(headers=headers, trust_env=False, verify=False) as http:
        for path in ("/outcomes?rollout=x", "/traffic"):
            assert (await http.get(base + path)).status_code == 403


async def test_what_is_asked_wrongly(gateway: House):
    """400 for a query that cannot be answered, 404 for an agent that is not there."""
    async with operator(gateway) as client:
        assert (await client.get("/outcomes")).status_code == 400
        assert (await client.get("/outcomes", params={"rollout": "x", "after": "-1"})).status_code == 400
        base = f"{gateway.internal_url}/internal/agents/{objects.NAMESPACE}/none/traffic"
        assert (await client.get(base)).status_code == 404


async def test_begun_tasks_are_counted_by_arm(gateway: House):
    """The metric knows revision, arm and purpose."""
    async with both(gateway, 100) as (candidate, _, _):
        await gateway.done(ANSWER)
    async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
        text = (await http.get(f"{gateway.internal_url}/metrics")).text
    labels = f'agent="refunds",arm="Candidate",namespace="support",purpose="Live",revision="{candidate}"'
    assert f"proctor_tasks_begun_total{{{labels}}} 1.0" in text
