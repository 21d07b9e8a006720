"""Trials: exams, repeated tasks and copies. They are answered like live tasks, and change nothing anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from proctor_gateway.store.database import Database
from proctor_gateway.store.tables import outcomes, tasks
from tests.demo.processes import System
from tests.gateway import objects
from tests.gateway.house import House, house
from tests.gateway.postgres import Server
from tests.gateway.serving import eventually
from tests.gateway.test_record import exported
from tests.gateway.test_replicas import die, pair
from tests.gateway.test_upgrades import agreed, both, operator

REFUND = {"order_id": "O-50042", "amount": 12.5, "reason": "late"}
READ = {"call": ["crm", "get_customer", {"customer_id": "C-1042"}]}
STRANGE = {"call": ["crm", "get_customer", {"customer_id": "C-1001"}]}


def refund(order: str) -> dict[str, Any]:
    """A step that has an effect."""
    return {"call": ["payments", "refund", {**REFUND, "order_id": order}]}


def ledger(payments: System, order: str) -> list[Any]:
    """What was really paid back for the order."""
    return payments.request("GET", f"/ledger?order_id={order}").json()["entries"]


@pytest.fixture
def order() -> str:
    """An order that no other test speaks of: all of them share one ledger."""
    return f"O-{secrets.randbelow(10**9):09}"


@pytest.fixture
async def built(directory: Path, store: str, model: System, crm: System, payments: System) -> AsyncIterator[House]:
    """A gateway with the demo's systems, on each kind of store."""
    async with house(directory, store=store) as found:
        found.connect("llm", "Model", f"{model.url}/v1", prices=objects.PRICES)
        found.connect("crm", "MCP", f"{crm.url}/mcp", tools=objects.CRM_TOOLS)
        found.connect("payments", "MCP", f"{payments.url}/mcp", tools=objects.PAYMENT_TOOLS)
        await found.settled()
        yield found


async def put(gateway: House, batch: str, body: dict[str, Any]) -> httpx2.Response:
    """Ask for a batch."""
    async with operator(gateway) as client:
        return await client.put(f"/trials/{batch}", json=body)


async def got(gateway: House, batch: str) -> dict[str, Any]:
    """What came of it so far."""
    async with operator(gateway) as client:
        response = await client.get(f"/trials/{batch}")
    assert response.status_code == 200, response.text
    return response.json()


async def over(gateway: House, batch: str, seconds: float = 30) -> list[dict[str, Any]]:
    """The batch's runs when it is done."""

    async def is_done() -> bool:
        return bool((await got(gateway, batch))["done"])

    await eventually(is_done, seconds)
    return (await got(gateway, batch))["items"]


def exam(revision: str, *inputs: Any, **more: Any) -> dict[str, Any]:
    """A batch of trials with these inputs."""
    trials = [{"key": f"case-{n}", "input": each} for n, each in enumerate(inputs, 1)]
    return {"purpose": "Evals", "revision": revision, "timeoutSeconds": 20, "concurrency": 2, "trials": trials, **more}


async def test_an_exam_is_taken_by_the_candidate_and_pays_nothing(built: House, payments: System, order: str):
    """Reads go to the real system, effects are answered in their own form, the ledger stays empty."""
    async with both(built, 0) as (candidate, stable_pod, candidate_pod):
        response = await put(built, "exam", exam(candidate, [READ, refund(order)], [{"answer": {"confidence": 0.5}}]))
        assert response.status_code == 202, response.text
        first, second = await over(built, "exam")
    assert (first["key"], first["revision"], first["phase"], first["reason"]) == (
        "case-1",
        candidate,
        "Succeeded",
        None,
    )
    read, paid = first["output"]
    assert read["structuredContent"]["customer_id"] == "C-1042"
    assert paid["structuredContent"]["order_id"] == order
    assert paid["structuredContent"]["amount"] == 12.5
    assert [(call["connector"], call["name"], call["state"]) for call in first["calls"]] == [
        ("crm", "get_customer", "Succeeded"),
        ("payments", "refund", "Succeeded"),
    ]
    assert first["calls"][1]["arguments"]["order_id"] == order
    assert (second["output"], second["confidence"]) == ({"confidence": 0.5}, 0.5)
    assert (len(candidate_pod.invocations), len(stable_pod.invocations)) == (2, 0)
    assert ledger(payments, order) == []


async def test_a_batch_is_asked_for_once(built: House):
    """The same again is the same batch; another one under its name is refused."""
    async with both(built, 0) as (candidate, _, pod):
        body = exam(candidate, [{"answer": 1}])
        assert [(await put(built, "b", body)).status_code for _ in range(3)] == [202] * 3
        await over(built, "b")
        assert (await put(built, "b", body)).status_code == 202
        other = await put(built, "b", exam(candidate, [{"answer": 2}]))
        assert (other.status_code, other.json()["reason"]) == (409, "IdempotencyConflict")
        await asyncio.sleep(0.5)
        assert len(pod.invocations) == 1
        async with operator(built) as client:
            assert (await client.get("/trials/none")).status_code == 404


async def test_declared_stubs_answer_reads_and_effects(built: House, payments: System, order: str):
    """Those of a trial before those of its batch; text stays text."""
    async with both(built, 0) as (candidate, _, _):
        body = exam(candidate, [READ, refund(order)], stubs={"payments/refund": {"refund_id": "R-1"}})
        body["trials"][0]["stubs"] = {"crm/get_customer": "nobody knows her"}
        await put(built, "stubs", body)
        (found,) = await over(built, "stubs")
    read, paid = found["output"]
    assert (read["content"][0]["text"], paid["structuredContent"]) == ("nobody knows her", {"refund_id": "R-1"})
    assert ledger(payments, order) == []


async def test_finished_tasks_are_run_again_on_both_revisions(built: House, payments: System, order: str):
    """Every tool is answered as the original was, effects and Reads alike: paid once, by the original."""
    async with both(built, 0) as (candidate, _, _):
        original = await built.done(READ, refund(order), {"answer": {"done": True}})
        assert len(ledger(payments, order)) == 1
        before = payments.request("GET", "/ledger").json()["entries"]
        body = {"purpose": "Replay", "revisions": [built.revision, candidate], "tasks": 10}
        assert (await put(built, "again", body)).status_code == 202
        runs = await over(built, "again")
        assert payments.request("GET", "/ledger").json()["entries"] == before
        assert {run["revision"] for run in runs} == {built.revision, candidate}
        for run in runs:
            assert (run["key"], run["original"], run["unanswered"]) == (original["id"], original["id"], 0)
            assert (run["phase"], run["output"]) == ("Succeeded", {"done": True})
        assert await shown_to(built, runs[0]["task"]) == await shown_to(built, original["id"])


async def shown_to(gateway: House, task: str) -> list[Any]:
    """The results of a task's tool calls, as they are kept."""
    from proctor_gateway.store.calls import list_calls

    database = Database(gateway.settings.store.get_secret_value())
    async with database.running():
        made = await database.read(lambda c: list_calls(c, task))
    return [call.outcome.result for call in made]


async def test_what_the_original_did_not_ask_ends_the_run(built: House, payments: System, order: str):
    """Without a stub for it nobody knows the answer, so the run says nothing; it is not asked of the real system."""
    first = {"sleep_at_first": 0}
    async with both(built, 0) as (candidate, _, _):
        original = await built.done(first, READ)
        await rewritten(built, original["id"], [READ, STRANGE, refund(order), {"answer": "done all the same"}])
        await put(built, "x", {"purpose": "Replay", "revisions": [built.revision, candidate], "tasks": 1})
        runs = await over(built, "x")
        assert [(run["phase"], run["reason"], run["unanswered"] > 0) for run in runs] == [
            ("Failed", "Unanswered", True)
        ] * 2
        stubs = {"crm/get_customer": {"name": "somebody"}, "payments/refund": {"refund_id": "R-2"}}
        body = {"purpose": "Replay", "revisions": [built.revision, candidate], "tasks": 1, "stubs": stubs}
        await put(built, "y", body)
        runs = await over(built, "y")
        assert [(run["phase"], run["reason"], run["unanswered"]) for run in runs] == [("Succeeded", None, 2)] * 2
    assert ledger(payments, order) == []


async def rewritten(gateway: House, task: str, steps: list[Any]) -> None:
    """Let the task's input be another, as if the revision did something else with the same one."""
    database = Database(gateway.settings.store.get_secret_value())
    async with database.running():
        await database.alone(lambda c: c.execute(sa.update(tasks).where(tasks.c.id == task).values(input=steps)))


async def test_equal_calls_are_answered_one_after_the_other(built: House):
    """The second time the same was asked it is answered as the second time was; a third time was not."""
    async with both(built, 0) as (candidate, _, _):
        original = await built.done(READ, READ)
        await put(built, "two", {"purpose": "Replay", "revisions": [built.revision, candidate]})
        assert {run["phase"] for run in await over(built, "two")} == {"Succeeded"}
        await rewritten(built, original["id"], [READ, READ, READ])
        await put(built, "three", {"purpose": "Replay", "revisions": [built.revision, candidate]})
        assert {run["reason"] for run in await over(built, "three")} == {"Unanswered"}


async def test_live_tasks_are_copied_to_the_candidate(built: House, payments: System, order: str):
    """The copy's answer is dropped and its effects are stubbed: one answer, one payment."""
    async with both(built, 0, mirror=100) as (candidate, stable_pod, candidate_pod):
        live = await built.done(refund(order), {"answer": "live"})
        assert (live["revision"], live["output"], live["purpose"]) == (built.revision, "live", "Live")

        async def copied() -> bool:
            items = (await got(built, "mirror-upgrade-1"))["items"]
            return [item["phase"] for item in items] == ["Succeeded"] * 2

        await eventually(copied)
        copy, original = (await got(built, "mirror-upgrade-1"))["items"]
        assert (copy["revision"], copy["key"], copy["original"]) == (candidate, live["id"], live["id"])
        assert (original["revision"], original["task"]) == (built.revision, live["id"])
        assert (len(stable_pod.invocations), len(candidate_pod.invocations)) == (1, 1)
        assert len(ledger(payments, order)) == 1
        assert [task["id"] for task in (await listed(built))] == [live["id"]]
        assert [task["id"] for task in (await listed(built, purpose="Mirror"))] == [copy["task"]]


async def listed(gateway: House, **params: str) -> list[Any]:
    """The caller's tasks."""
    return (await gateway.caller.get(f"{gateway.base}/tasks", params=params)).json()["items"]


async def test_trials_leave_no_outcome(built: House):
    """Neither an outcome nor a place among those under way; live tasks are counted as if there were no trials."""
    async with both(built, 0) as (candidate, _, _):
        await put(built, "b", exam(candidate, [{"answer": 1}], [{"sleep": 0.5}]))
        async with operator(built) as client:
            await asyncio.sleep(0.3)
            assert (await client.get("/traffic")).json()["inFlight"] == {}
        await over(built, "b")
        database = Database(built.settings.store.get_secret_value())
        async with database.running():
            assert await database.read(lambda c: c.execute(sa.select(outcomes)).all()) == []
        assert await listed(built) == []


async def test_live_tasks_come_first(built: House):
    """Trials have at most a share of each pod, however many there are; a live task finds room at once."""
    built.spec = objects.agent_spec(runtime={"concurrency": 2})
    async with both(built, 0) as (_, stable_pod, _):
        await put(built, "b", exam(built.revision, *([{"sleep": 5}] for _ in range(2)), concurrency=10))
        await eventually(lambda: stable_pod.working == 1)
        await asyncio.sleep(0.3)
        assert stable_pod.working == 1
        await asyncio.wait_for(built.done({"answer": 1}), 4)
        assert len(await over(built, "b")) == 2


async def test_an_unsure_answer_fails_a_trial(built: House):
    """As it fails a live task; but nobody answers instead, neither a person nor another model."""
    sure = {"from": "output.confidence", "atLeast": 0.7}
    fallbacks = [{"after": ["Any"], "reply": {"sorry": True}}]
    schema = {"type": "object", "required": ["confidence"]}
    built.declare(confidence=sure, fallbacks=fallbacks, output={"schema": schema})
    async with both(built, 0) as (candidate, _, _):
        inputs = ([{"answer": {"confidence": value}}] for value in (0.6, 0.8))
        await put(built, "b", exam(candidate, *inputs))
        unsure, sure_enough = await over(built, "b")
    assert (unsure["phase"], unsure["reason"], unsure["confidence"]) == ("Failed", "LowConfidence", 0.6)
    assert (sure_enough["phase"], sure_enough["confidence"]) == ("Succeeded", 0.8)


async def test_a_batch_runs_as_many_at_once_as_it_may(built: House):
    """Its concurrency holds."""
    async with both(built, 0) as (candidate, _, pod):
        await put(built, "b", exam(candidate, *([{"sleep": 1.5}] for _ in range(4)), concurrency=2))
        await over(built, "b")
        assert (pod.most_at_once, len(pod.invocations)) == (2, 4)


async def test_a_trial_has_its_own_time(built: House):
    """The batch's timeout bounds each run, beside the agent's own limit."""
    async with both(built, 0) as (candidate, _, _):
        await put(built, "b", exam(candidate, [{"sleep": 30}], timeoutSeconds=0.5))
        (found,) = await over(built, "b")
    assert (found["phase"], found["reason"]) == ("Failed", "Timeout")


async def test_a_revision_that_is_not_there_any_more_is_not_waited_for(built: House):
    """The runs that have not begun when the upgrade is over end, and the batch with them."""
    async with both(built, 0) as (candidate, _, _):
        built.live()
        await agreed(built, 0, None)
        await put(built, "b", exam(candidate, [{"answer": 1}]))
        (found,) = await over(built, "b")
    assert (found["phase"], found["reason"], found["task"]) == ("Failed", "RevisionUnknown", None)


async def test_a_batch_goes_on_after_a_restart(directory: Path, model: System, crm: System):
    """What had not begun begins, what was under way is taken up again."""
    store = f"sqlite:///{directory}/again.db"
    async with contextlib.AsyncExitStack() as stack:
        async with house(directory, store=store) as first:
            candidate = first.upgrade(0)
            await stack.enter_async_context(first.pod("c", "127.0.0.2", revision=candidate))
            await put(first, "b", exam(candidate, *([{"sleep": 0.3}, {"answer": n}] for n in range(4)), concurrency=1))
            await asyncio.sleep(0.5)
            cluster, port = first.cluster, first.settings.pod_port
        async with house(directory, cluster, instance="two", store=store, pod_port=port) as second:
            await second.settled()
            found = await over(second, "b")
    assert [item["output"] for item in found] == [0, 1, 2, 3]


BAD = {
    "no purpose": ({"revision": "r", "trials": []}, "purpose"),
    "a live batch": ({"purpose": "Live", "revision": "r", "trials": []}, "purpose"),
    "no input": ({"purpose": "Evals", "revision": "r", "trials": [{"key": "a"}]}, "trials.0.input"),
    "one revision": ({"purpose": "Replay", "revisions": ["r"]}, "revisions"),
    "something else": ({"purpose": "Replay", "revisions": ["r", "s"], "speed": 5}, "speed"),
    "a stub of no tool": ({"purpose": "Replay", "revisions": ["r", "s"], "stubs": {"x": 1}}, "stubs"),
}


@pytest.mark.parametrize(("body", "field"), BAD.values(), ids=BAD)
async def test_a_bad_batch_is_refused(gateway: House, body, field):
    """The problem names the field."""
    found = await put(gateway, "b", body)
    assert (found.status_code, found.json()["reason"]) == (400, "InvalidRequest")
    assert field in found.json()["detail"]


async def test_only_the_operator_has_trials_run(gateway: House):
    """A caller does not reach a revision by way of a trial."""
    headers = {"authorization": f"Bearer {objects.CALLER_TOKEN}"}
    url = f"{gateway.internal_url}/internal/agents/{objects.NAMESPACE}/refunds/trials/b"
    async with httpx2.AsyncClient(headers=headers, trust_env=False, verify=False) as http:
        assert (await http.put(url, json={})).status_code == 403
        assert (await http.get(url)).status_code == 403


async def test_the_record_says_what_it_was_for(directory: Path, crm: System, payments: System, order: str):
    """Whoever reads that a refund was called for reads, too, that it was in an exam; of live tasks nothing is said."""
    async with house(directory, record_checkpoint_seconds=0.1) as built:
        built.connect("payments", "MCP", f"{payments.url}/mcp", tools=objects.PAYMENT_TOOLS)
        await built.settled()
        async with both(built, 0) as (candidate, _, _):
            await built.done({"answer": 1})
            await put(built, "b", exam(candidate, [refund(order)]))
            (found,) = await over(built, "b")
            _, _, records = await exported(built)
    purposes = {
        record.fields["run"]["id"]: record.fields["run"].get("purpose") for record in records if "run" in record.fields
    }
    assert purposes.pop(found["task"]) == "Evals"
    assert set(purposes.values()) == {None}


async def test_another_gateway_goes_on_with_a_batch(directory: Path, postgres: Server):
    """When the one that was asked dies, each run is still done once and reported at the other."""
    async with pair(directory, postgres) as (one, two):
        candidate = one.upgrade(0)
        async with one.pod("c", "127.0.0.2", revision=candidate):
            await put(one, "b", exam(candidate, *([{"sleep": 0.5}, {"answer": n}] for n in range(4)), concurrency=1))
            await asyncio.sleep(0.8)
            await die(one)
            found = await over(two, "b", 40)
    assert [(item["phase"], item["output"]) for item in found] == [("Succeeded", n) for n in range(4)]
    assert len({item["task"] for item in found}) == 4
