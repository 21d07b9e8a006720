"""What callers may ask, and what they are told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proctor.api import names
from proctor_gateway.rules.access import Identity
from tests.gateway import objects
from tests.gateway.house import House, house
from tests.gateway.serving import eventually

PROBLEM = "application/problem+json"


def told(response) -> tuple[int, str]:
    """Status and reason of a problem."""
    assert response.headers["content-type"] == PROBLEM, response.text
    body = response.json()
    assert body["type"] == f"https://proctor.dev/problems/{body['reason']}"
    assert body["status"] == response.status_code
    assert body["title"]
    assert body["detail"]
    return response.status_code, body["reason"]


async def test_a_task_is_accepted_before_it_is_done(gateway: House):
    """202, a Location, and the task as it is by then; `wait` gives it when it has ended."""
    async with gateway.pod("one"):
        response = await gateway.task({"sleep": 0.3}, {"answer": 7}, conversation="c-1", metadata={"order": "O-1"})
        assert response.status_code == 202
        task = response.json()
        assert response.headers["location"] == f"{gateway.base}/tasks/{task['id']}"
        assert (task["phase"], task["conversation"], task["metadata"]) == ("Queued", "c-1", {"order": "O-1"})
        ended = (await gateway.caller.get(response.headers["location"], params={"wait": "20"})).json()
    assert (ended["phase"], ended["output"], ended["caller"]) == ("Succeeded", 7, objects.CALLER)
    assert ended["createdAt"] < ended["startedAt"] < ended["finishedAt"] < ended["deadline"]
    assert ended["agent"] == {"namespace": "support", "name": "refunds"}
    assert ended["revision"] == gateway.revision


async def test_waiting_ends_when_its_time_is_over(gateway: House):
    """A long poll answers with the task as it is."""
    async with gateway.pod("one"):
        task = (await gateway.task({"sleep": 5})).json()["id"]
        response = await gateway.caller.get(f"{gateway.base}/tasks/{task}", params={"wait": "0.2"})
        assert response.json()["phase"] in {"Queued", "Running"}
        await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer who-is-this", "Basic d2ViOndlYg=="])
async def test_who_is_not_known_is_not_heard(gateway: House, authorization: str):
    """Without a token that Kubernetes accepts there is no answer but 401."""
    response = await gateway.caller.post(
        f"{gateway.base}/tasks", json={"input": 1}, headers={"authorization": authorization}
    )
    assert told(response) == (401, "Unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_who_is_not_admitted_learns_nothing(gateway: House):
    """To one who may not ask, an agent that exists and one that does not look the same."""
    stranger = objects.token("stranger", names.AUDIENCE)
    gateway.cluster.tokens[stranger] = (Identity("system:serviceaccount:evil:web"), names.AUDIENCE)
    headers = {"authorization": f"Bearer {stranger}"}
    for agent in ("refunds", "no-such-agent"):
        response = await gateway.caller.post(f"/agents/support/{agent}/tasks", json={"input": 1}, headers=headers)
        assert told(response) == (403, "Forbidden")


async def test_a_token_for_the_api_server_will_do(gateway: House):
    """A token of the API server's own audience is reviewed as such."""
    plain = objects.token("web", "https://kubernetes.default.svc")
    gateway.cluster.tokens[plain] = (Identity(objects.CALLER), None)
    response = await gateway.caller.get(f"{gateway.base}/tasks", headers={"authorization": f"Bearer {plain}"})
    assert response.status_code == 200


async def test_a_token_for_someone_else_will_not_do(gateway: House):
    """A token that claims our audience, which the API server does not confirm, is not accepted."""
    foreign = objects.token("web", names.AUDIENCE)
    gateway.cluster.tokens[foreign + "x"] = (Identity(objects.CALLER), "vault")
    response = await gateway.caller.get(f"{gateway.base}/tasks", headers={"authorization": f"Bearer {foreign}x"})
    assert told(response) == (401, "Unauthenticated")


BODIES = {
    "no JSON": (b"{", 400, "InvalidRequest"),
    "no object": (b"[1]", 400, "InvalidRequest"),
    "not a number": (b'{"input": NaN}', 400, "InvalidRequest"),
    "no input": (b'{"conversation": "c"}', 400, "InvalidRequest"),
    "an unknown field": (b'{"input": 1, "inputs": 2}', 400, "InvalidRequest"),
    "a conversation that is no text": (b'{"input": 1, "conversation": 5}', 400, "InvalidRequest"),
    "metadata that is no text": (b'{"input": 1, "metadata": {"a": 1}}', 400, "InvalidRequest"),
    "half a character": (b'{"input": "\\ud800"}', 400, "InvalidRequest"),
    "too deep": (b'{"input": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, "InvalidRequest"),
    "too large": (b'{"input": "' + b"x" * (4 << 20) + b'"}', 413, "TooLarge"),
}


@pytest.mark.parametrize(("body", "status", "reason"), BODIES.values(), ids=BODIES)
async def test_what_is_no_task_is_refused(gateway: House, body: bytes, status: int, reason: str):
    """A body that is not a task is told what is wrong with it, and nothing is kept."""
    response = await gateway.caller.post(f"{gateway.base}/tasks", content=body)
    assert told(response) == (status, reason)
    assert (await gateway.caller.get(f"{gateway.base}/tasks")).json()["items"] == []


async def test_a_body_without_a_length_is_measured(gateway: House):
    """A body that comes in pieces is cut off where it becomes too large."""

    async def endless():
        for _ in range(100):
            yield b"x" * (1 << 16)

    response = await gateway.caller.post(f"{gateway.base}/tasks", content=endless())
    assert told(response) == (413, "TooLarge")


async def test_a_body_that_does_not_come_is_not_waited_for(directory: Path):
    """Who sends headers and nothing more is told so, in time."""
    async with house(directory, body_timeout=0.5) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.ports.callers)
        head = (
            f"POST {gateway.base}/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n"
            f"authorization: Bearer {objects.CALLER_TOKEN}\r\n\r\n{{"
        )
        writer.write(head.encode())
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("value", [None, 0, "", [], {}, "ä€😀\x00", {"a": [1.5, None, True]}])
async def test_any_json_is_an_input(gateway: House, value):
    """What is asked reaches the agent as it was sent."""
    async with gateway.pod("one") as agent:
        task = (await gateway.caller.post(f"{gateway.base}/tasks", json={"input": value})).json()
        ended = await gateway.ended(task["id"])
    assert agent.invocations[0]["input"] == value
    assert ended["input"] == value


async def test_unknown_paths_are_problems(gateway: House):
    """404 and 405 are told as every other problem."""
    assert told(await gateway.caller.get("/nothing")) == (404, "NotFound")
    assert told(await gateway.caller.delete(f"{gateway.base}/tasks")) == (405, "MethodNotAllowed")


async def test_the_same_key_is_the_same_task(gateway: House):
    """A repeated request gets the task that it made before; it is done once."""
    async with gateway.pod("one") as agent:
        key = {"idempotency-key": "order-1"}
        first = await gateway.task({"answer": 1}, headers=key)
        ended = await gateway.ended(first.json()["id"])
        again = await gateway.task({"answer": 1}, headers=key)
        assert (first.status_code, again.status_code) == (202, 200)
        assert again.json() == ended
        assert len(agent.invocations) == 1


async def test_the_same_key_with_another_request_is_refused(gateway: House):
    """A key names one request. The problem says which task it made."""
    async with gateway.pod("one"):
        key = {"idempotency-key": "order-1"}
        first = await gateway.task({"answer": 1}, headers=key)
        other = await gateway.task({"answer": 2}, headers=key)
        assert told(other) == (422, "IdempotencyConflict")
        assert other.json()["task"] == first.json()["id"]


async def test_keys_are_each_callers_own(gateway: House):
    """Two callers may use the same key."""
    support = objects.token("ada", names.AUDIENCE)
    gateway.cluster.tokens[support] = (Identity("ada", frozenset({"support"})), names.AUDIENCE)
    gateway.declare(
        access={"callers": [{"group": "support"}, {"serviceAccount": {"namespace": "shop", "name": "web"}}]}
    )
    async with gateway.pod("one"):
        key = {"idempotency-key": "k"}
        first = await gateway.task({"answer": 1}, headers=key)
        other = await gateway.task({"answer": 2}, headers={**key, "authorization": f"Bearer {support}"})
        assert (first.status_code, other.status_code) == (202, 202)
        assert first.json()["id"] != other.json()["id"]


async def test_many_requests_with_one_key_at_once_make_one_task(gateway: House):
    """However many come at the same time, one task is made."""
    async with gateway.pod("one"):
        responses = await asyncio.gather(
            *(gateway.task({"answer": 1}, headers={"idempotency-key": "k"}) for _ in range(20))
        )
        assert sorted(response.status_code for response in responses) == [200] * 19 + [202]
        assert len({response.json()["id"] for response in responses}) == 1


async def test_a_repeated_request_is_answered_by_a_suspended_agent(gateway: House):
    """An agent that takes no new task still tells what became of an old one."""
    async with gateway.pod("one"):
        key = {"idempotency-key": "order-1"}
        first = await gateway.task({"answer": 1}, headers=key)
        await gateway.ended(first.json()["id"])
        gateway.live(suspend=True)
        await gateway.settled()
        assert (await gateway.task({"answer": 1}, headers=key)).status_code == 200
        assert told(await gateway.task({"answer": 1})) == (409, "Suspended")


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
async def test_a_key_must_be_a_key(gateway: House, key: str):
    """A key that could not be kept is refused."""
    assert told(await gateway.task({"answer": 1}, headers={"idempotency-key": key})) == (400, "InvalidRequest")


async def test_tasks_are_listed_newest_first_page_by_page(gateway: House):
    """A cursor goes on where the page before ended; phases can be chosen."""
    async with gateway.pod("one"):
        made = [(await gateway.task({"answer": number})).json()["id"] for number in range(5)]
        for task in made:
            await gateway.ended(task)
        first = (await gateway.caller.get(f"{gateway.base}/tasks", params={"limit": "3"})).json()
        rest = (await gateway.caller.get(f"{gateway.base}/tasks", params={"limit": "3", "after": first["next"]})).json()
        assert [task["id"] for task in first["items"] + rest["items"]] == made[::-1]
        assert rest["next"] is None
        failed = await gateway.caller.get(f"{gateway.base}/tasks", params={"phase": "Failed"})
        assert failed.json()["items"] == []
        wrong = await gateway.caller.get(f"{gateway.base}/tasks", params={"phase": "Lost"})
        assert told(wrong) == (400, "InvalidRequest")


async def test_tasks_of_others_are_not_there(gateway: House):
    """A caller sees its own tasks and no others, even at the same agent."""
    ada = objects.token("ada", names.AUDIENCE)
    gateway.cluster.tokens[ada] = (Identity("ada"), names.AUDIENCE)
    gateway.declare(access={"callers": [{"user": "ada"}, {"serviceAccount": {"namespace": "shop", "name": "web"}}]})
    async with gateway.pod("one"):
        task = (await gateway.task({"answer": 1})).json()["id"]
        await gateway.ended(task)
        headers = {"authorization": f"Bearer {ada}"}
        for path in ("", "/calls"):
            found = await gateway.caller.get(f"{gateway.base}/tasks/{task}{path}", headers=headers)
            assert told(found) == (404, "NotFound")
        assert told(await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel", headers=headers))[0] == 404
        assert (await gateway.caller.get(f"{gateway.base}/tasks", headers=headers)).json()["items"] == []


async def test_without_a_ready_pod_nothing_is_taken(gateway: House):
    """503 with a time to come back, instead of a task that nobody would do."""
    response = await gateway.task({"answer": 1})
    assert told(response) == (503, "AgentUnavailable")
    assert response.headers["retry-after"] == "2"


async def test_a_full_agent_pushes_back(gateway: House):
    """Beyond what the pods work on and the queue there is 429; it goes on when there is room."""
    gateway.declare(runtime={"concurrency": 1})
    async with gateway.pod("one"):
        made = []
        while (response := await gateway.task({"sleep": 15})).status_code == 202:
            made.append(response.json()["id"])
        assert told(response) == (429, "TooManyTasks")
        assert response.headers["retry-after"] == "1"
        assert len(made) == 1 + gateway.settings.queue
        for task in made:
            await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")
        for task in made:
            assert (await gateway.ended(task))["phase"] == "Cancelled"
        assert (await gateway.task({"answer": 1})).status_code == 202


async def test_pods_work_on_no_more_tasks_than_they_can(gateway: House):
    """`runtime.concurrency` tasks run on a pod; the others wait in the order in which they came."""
    gateway.declare(runtime={"concurrency": 2})
    async with gateway.pod("one") as agent:
        made = [(await gateway.task({"sleep": 0.5})).json()["id"] for _ in range(7)]
        for task in made:
            await gateway.ended(task)
        # Two that are let in at the same moment reach the pod in either order.
        came = [made.index(task["id"]) for task in agent.invocations]
        assert all(abs(number - place) <= 1 for place, number in enumerate(came)), came
        assert (sorted(came), agent.most_at_once) == (list(range(7)), 2)


async def test_tasks_are_spread_over_pods(gateway: House):
    """The pod with the fewest tasks takes the next."""
    async with gateway.pod("one") as one, gateway.pod("two", "127.0.0.2") as two:
        made = [(await gateway.task({"sleep": 3})).json()["id"] for _ in range(6)]
        for task in made:
            await gateway.ended(task)
        assert (len(one.invocations), len(two.invocations)) == (3, 3)


async def test_a_task_that_waits_is_cancelled_at_once(gateway: House):
    """Nothing was begun, so nothing has to be ended."""
    gateway.declare(runtime={"concurrency": 1})
    async with gateway.pod("one") as agent:
        running = (await gateway.task({"sleep": 1})).json()["id"]
        waiting = (await gateway.task({"answer": 1})).json()["id"]
        cancelled = (await gateway.caller.post(f"{gateway.base}/tasks/{waiting}/cancel")).json()
        assert (cancelled["phase"], cancelled["startedAt"]) == ("Cancelled", None)
        await gateway.ended(running)
        assert [task["id"] for task in agent.invocations] == [running]


async def test_a_task_that_runs_is_cancelled_soon(gateway: House):
    """The agent sees its caller go; the task ends as Cancelled."""
    async with gateway.pod("one") as agent:
        task = await gateway.held(agent)
        await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")
        ended = await gateway.ended(task, 5)
        assert (ended["phase"], ended["error"]["reason"]) == ("Cancelled", "Cancelled")
        await eventually(lambda: agent.cancelled)


async def test_an_ended_task_stays_as_it_is(gateway: House):
    """To cancel what has ended changes nothing."""
    async with gateway.pod("one"):
        done = await gateway.done({"answer": 1})
        again = await gateway.caller.post(f"{gateway.base}/tasks/{done['id']}/cancel")
        assert again.json() == done


async def test_suspending_stops_everything(gateway: House):
    """Running tasks end as Suspended, waiting ones, too, and no new one is taken."""
    gateway.declare(runtime={"concurrency": 1})
    async with gateway.pod("one"):
        running = (await gateway.task({"sleep": 20})).json()["id"]
        waiting = (await gateway.task({"answer": 1})).json()["id"]
        await gateway.in_phase(running, "Running")
        gateway.live(suspend=True, runtime={"concurrency": 1})
        for task in (running, waiting):
            ended = await gateway.ended(task, 5)
            assert (ended["phase"], ended["error"]["reason"]) == ("Failed", "Suspended")
        assert told(await gateway.task({"answer": 1})) == (409, "Suspended")


async def test_a_trace_goes_on(gateway: House):
    """The caller's trace is the task's, and the agent's."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with gateway.pod("one") as agent:
        response = await gateway.task({"answer": 1}, headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
        ended = await gateway.ended(response.json()["id"])
    assert ended["traceId"] == trace
    assert agent.traceparents[0].split("-")[1] == trace


async def test_a_malformed_trace_is_begun_anew(gateway: House):
    """What is no trace context is as good as none."""
    async with gateway.pod("one"):
        response = await gateway.task({"answer": 1}, headers={"traceparent": "00-zz-1-01"})
    assert len(response.json()["traceId"]) == 32
