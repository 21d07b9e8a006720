"""The way to the gateway and back, over real HTTP."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from proctor.cli.errors import CliError, Code, Misused, TimedOut
from proctor.cli.forward import ready_pod
from proctor.cli.gateway import Gateway, Order
from proctor.cli.reaching import is_private
from proctor.cli.terminal import Terminal
from proctor.cli.waiting import Wait
from tests.cli.gateway_server import GatewayState, problem, running
from tests.cli.objects import a_pod

ORDER = Order({"order": 1}, "key-1", "conversation-1")


@contextmanager
def _gateway(state: GatewayState) -> Iterator[Gateway]:
    with running(state) as url, httpx2.Client(base_url=url) as client:
        yield Gateway(client, "support", "refunds")


def _wait(gateway: Gateway, seconds: float = 10) -> tuple[Wait, Any]:
    told = io.StringIO()
    return Wait(gateway, Terminal.on(io.StringIO(), told, width=200), timedelta(seconds=seconds), pause=0.05), told


def test_a_task_is_sent_with_its_key_and_waited_for() -> None:
    """The answer comes back; each phase is told once on standard error."""
    state = GatewayState(ends_after=3)
    with _gateway(state) as gateway:
        wait, told = _wait(gateway)
        task = wait.for_end(wait.submit(ORDER))
    assert (task.phase, task.output, task.input, task.conversation) == (
        "Succeeded", "Done.", {"order": 1}, "conversation-1",
    )  # fmt: skip
    assert state.requests[0][2]["idempotency-key"] == "key-1"
    assert [line.split()[2] for line in told.getvalue().splitlines()] == ["Running", "Succeeded"]


def test_a_tester_chooses_the_revision() -> None:
    """By the header that the gateway reads; without a choice it is not sent."""
    state = GatewayState()
    with _gateway(state) as gateway:
        gateway.submit(Order(1, "key-2", revision="candidate"))
        gateway.submit(ORDER)
    assert [headers.get("x-proctor-revision") for _, _, headers in state.requests] == ["candidate", None]


def test_the_same_order_again_is_the_same_task() -> None:
    """Whoever sends twice because an answer was lost gets one task."""
    with _gateway(GatewayState()) as gateway:
        assert gateway.submit(ORDER).id == gateway.submit(ORDER).id


def test_all_pages_are_read_up_to_the_limit() -> None:
    """The newest first."""
    state = GatewayState()
    with _gateway(state) as gateway:
        for number in range(5):
            gateway.submit(Order(number, f"key-{number}"))
        assert [each.input for each in gateway.tasks(4)] == [4, 3, 2, 1]
        assert [each.input for each in gateway.tasks(99)] == [4, 3, 2, 1, 0]


def test_calls_and_cancelling() -> None:
    """What a task asked, and its end by request."""
    with _gateway(GatewayState()) as gateway:
        task = gateway.submit(ORDER)
        assert [(each.name, each.arguments) for each in gateway.calls(task.id)] == [("get_customer", {"id": 7})]
        assert gateway.cancel(task.id).phase == "Cancelled"


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (problem(401, "Unauthenticated", "the token is not valid"), Code.DENIED, "Unauthenticated: the token is not"),
        (problem(403, "Forbidden", "you are not a caller"), Code.DENIED, "Agent support/refunds: Forbidden"),
        (problem(404, "NotFound", "no such task"), Code.NOT_FOUND, "no such task"),
        (problem(409, "IdempotencyConflict", "another input"), Code.ERROR, "IdempotencyConflict: another input"),
        (problem(413, "TooLarge", "more than 1 MiB"), Code.ERROR, "TooLarge"),
        ((502, {"raw": "<html>bad gateway</html>"}, {"content-type": "text/html"}), Code.ERROR, "is it proctor's"),
        ((200, {"raw": "<html>hello</html>"}, {"content-type": "text/html"}), Code.ERROR, "is it proctor's gateway?"),
        ((200, {"unexpected": True}, {}), Code.ERROR, "cannot be read"),
    ],
)
def test_a_refusal_is_an_error_with_the_gateways_words(answer: Any, code: Code, words: str) -> None:
    """Its reason and detail, and the exit code that scripts rely on."""
    with _gateway(GatewayState(refusals=[answer])) as gateway, pytest.raises(CliError) as raised:
        gateway.task("task-1")
    assert raised.value.code == code
    assert words in raised.value.message


def test_a_busy_gateway_is_asked_again() -> None:
    """When it says so, with the same key, and the person is told why nothing happens."""
    state = GatewayState(refusals=[problem(429, "TooManyTasks", "queue full", **{"retry-after": "0"})])
    with _gateway(state) as gateway:
        wait, told = _wait(gateway)
        assert wait.submit(ORDER).id == "task-1"
    assert "TooManyTasks: queue full; again in 0 s" in told.getvalue()
    assert [headers["idempotency-key"] for _, _, headers in state.requests] == ["key-1", "key-1"]


def test_a_gateway_that_stays_busy_is_not_asked_for_ever() -> None:
    """The wait that it asks for is longer than ours."""
    busy = problem(503, "NoStableRevision", "nothing serves", **{"retry-after": "60"})
    with _gateway(GatewayState(refusals=[busy])) as gateway, pytest.raises(CliError, match="nothing serves") as raised:
        _wait(gateway)[0].submit(ORDER)
    assert raised.value.hints == ("try again in 60 s",)


def test_a_task_that_takes_longer_than_we_wait_goes_on() -> None:
    """The error names the task, its phase, and how to find it again."""
    with _gateway(GatewayState(ends_after=10_000)) as gateway:
        wait, _ = _wait(gateway, seconds=0.2)
        task = wait.submit(ORDER)
        with pytest.raises(TimedOut) as raised:
            wait.for_end(task)
    assert "task task-1 is Running after 0s; it goes on" in raised.value.message
    assert raised.value.hints[0] == "kubectl proctor tasks refunds task-1 -n support --watch"


def test_a_gateway_that_goes_away_is_asked_again() -> None:
    """While the task is sent, for its key makes that harmless; and while it is waited for."""
    state = GatewayState(ends_after=2, drops={0, 2})
    with _gateway(state) as gateway:
        wait, told = _wait(gateway)
        task = wait.for_end(wait.submit(ORDER))
    assert task.phase == "Succeeded"
    assert len(state.tasks) == 1
    assert told.getvalue().count("went away") == 2


def test_a_gateway_that_is_not_there_is_named() -> None:
    """With its address, and without a traceback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with httpx2.Client(base_url=url) as client, pytest.raises(CliError, match="cannot be reached") as raised:
        Gateway(client, "support", "refunds").task("t")
    assert url in raised.value.message


@pytest.mark.parametrize(
    ("url", "private"),
    [
        (None, True),
        ("https://gateway.example.com", True),
        ("http://localhost:8080", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://gateway.example.com", False),
        ("http://10.0.0.1:8080", False),
        ("http://localhost.example.com", False),
    ],
)
def test_a_way_is_private_if_nobody_on_it_can_read(url: str | None, private: bool) -> None:
    """Only there is the kubeconfig's own token shown: it opens the whole API server."""
    assert is_private(url) is private


@pytest.mark.parametrize("url", ["gateway:8080", "ftp://gateway", "/path"])
def test_a_gateway_must_be_a_url(url: str) -> None:
    """What is none is told before anything is sent."""
    with pytest.raises(Misused, match="--gateway"):
        is_private(url)


def test_only_a_ready_pod_is_forwarded_to() -> None:
    """One that is starting or going is passed over; of none it is said how many there are."""
    going = a_pod("going")
    going["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z"
    starting, ready = a_pod("starting", is_ready=False), a_pod("ready")
    assert ready_pod([going, starting, ready], "ns", "app=x") == "ready"
    with pytest.raises(CliError, match="none of 2 pods app=x is ready"):
        ready_pod([going, starting], "ns", "app=x")
    with pytest.raises(CliError, match="namespace ns has no pods app=x"):
        ready_pod([], "ns", "app=x")
