"""Kill -9 of the gateway and of agents' pods on a real Kubernetes while tasks pay: the payments' own ledger is asked.

KILLS=100 makes it long. The kills of processes by the hundred are in `tests/bench/kills`.
"""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest
import yaml

from proctor_cluster.ledger import payments
from proctor_cluster.settings import Settings
from tests.e2e import refunds
from tests.e2e.asking import ENDED, Caller
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, an_agent, is_
from tests.e2e.killing import end_pod, kill_again
from tests.e2e.own_model import model_connector, scripted_model

KILLS = int(os.environ.get("KILLS", "3"))
EFFECTS = {"idempotent": "Idempotent", "verify": "Verify", "once": "Once"}
"""Three connectors to one system, which keeps each payment with its key and counts the requests of that key."""

_TOGETHER = 6
_END_SECONDS = 240
_VERIFY = {
    "tool": "list_payments",
    "arguments": [{"name": "order_id", "from": "args.order_id"}],
    "applied": "result.payments.size() > 0",
}
_RULES = (
    "answerTools: final_result.*\nrules:\n"
    + "".join(
        f"""  - name: pay-{kind}
    when: {{task: {{regex: 'order (?P<order>O-[0-9]+) {kind}'}}, results: [{{tool: refund, count: 0}}]}}
    then:
      delaySeconds: 0.5
      calls: [{{tool: {kind}__refund, arguments: {{order_id: '{{order}}', amount: 5, reason: test}}}}]
"""
        for kind in EFFECTS
    )
    + "  - name: answer\n    then: {delaySeconds: 0.5, text: done}\n"
)


@dataclass
class Seen:
    """What became of the tasks."""

    run: int = field(default_factory=lambda: uuid.uuid4().int % 10**9)
    """Orders are this run's alone: the ledger keeps what others paid."""
    ended: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    """By order: the connector and the task."""
    recovered: list[float] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)


def _connectors(name: str) -> Iterator[Manifest]:
    yield from model_connector(name)
    samples = list(yaml.safe_load_all((refunds.SAMPLE / "connectors.yaml").read_text()))
    (paying,) = [each for each in samples if each["metadata"]["name"] == "payments"]
    for kind, effect in EFFECTS.items():
        refund = {"name": "refund", "effect": effect, **({"verify": _VERIFY} if effect == "Verify" else {})}
        tools = [refund, {"name": "list_payments", "effect": "Read"}]
        spec = {**paying["spec"], "tools": tools, "limits": {"timeout": "5s"}}
        yield {**paying, "metadata": {"name": kind, "namespace": name}, "spec": spec}


@pytest.fixture
def shop(cluster: Installed, settings: Settings) -> Iterator[Namespace]:
    """An agent of two pods that pays in three ways."""
    refunds.bring_up(cluster, settings)
    name = f"effects-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    found = Namespace(cluster.kubectl, name)
    found.apply(*scripted_model(name, cluster.images["proctor-demo"], _RULES), *_connectors(name))
    found.kubectl("rollout", "status", "deployment/model", "--timeout=120s")
    found.apply(
        an_agent(
            name,
            tools=[{"connector": kind, "allow": ["refund"]} for kind in EFFECTS],
            runtime={"concurrency": 16, "replicas": 2},
            limits={"timeout": "200s", "maxSteps": 8},
            access={"callers": [{"serviceAccount": {"namespace": "shop", "name": "web"}}]},
        )
    )
    found.wait(is_("Ready", "True"), seconds=180)
    yield found
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def _work(cluster: Installed, shop: Namespace, seen: Seen, number: int) -> None:
    """One caller after the other asks for payments until all kills are done."""
    caller, count = Caller(cluster.cluster, "shop", "web"), 0
    try:
        while not seen.over.is_set():
            count += 1
            order, kind = f"O-{seen.run}{number}{count:04}", list(EFFECTS)[count % len(EFFECTS)]
            until = time.monotonic() + _END_SECONDS
            task = _submitted(caller, shop, order, kind, until)
            while task["phase"] not in ENDED and time.monotonic() < until:
                time.sleep(0.5)
                task = caller.task(shop.name, "clerk", task["id"])
            seen.ended[order] = (kind, task)
    finally:
        caller.close()


def _submitted(caller: Caller, shop: Namespace, order: str, kind: str, until: float) -> dict[str, Any]:
    """The task, sent again while no gateway or no pod can take it: the key makes one task of all that are sent."""
    while True:
        answer = caller.submit(shop.name, "clerk", f"order {order} {kind}", key=order)
        if answer.status != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > until:
            task: dict[str, Any] = answer.body
            assert "phase" in task, task
            return task
        time.sleep(0.5)


def _kill(cluster: Installed, shop: Namespace, seen: Seen, chance: random.Random) -> None:
    before, at = len(seen.ended), time.monotonic()
    if chance.random() < 0.5:
        seen.killed["gateway"] += 1
        kill_again(cluster.cluster, ["gateway"])
    else:
        seen.killed["agent"] += 1
        pod = chance.choice(shop.list("pods", "proctor.dev/agent=clerk"))
        end_pod(pod)
        shop.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force", "--wait=false")
    while len(seen.ended) == before and time.monotonic() - at < _END_SECONDS:
        time.sleep(0.1)
    seen.recovered.append(time.monotonic() - at)


@pytest.mark.nightly
@pytest.mark.timeout(1500, func_only=True)
def test_pods_die_while_tasks_pay(cluster: Installed, shop: Namespace) -> None:
    """Every task ends; paid once where that can be known, never twice, and where it is asked once at most, so."""
    seen, chance = Seen(), random.Random(5)  # noqa: S311 - a seed
    threads = [threading.Thread(target=_work, args=(cluster, shop, seen, number)) for number in range(_TOGETHER)]
    for each in threads:
        each.start()
    try:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.5, 4))
            _kill(cluster, shop, seen, chance)
    finally:
        seen.over.set()
        for each in threads:
            each.join()
    entries = payments(cluster.cluster)
    paid = Counter(entry["order_id"] for entry in entries)
    asked = {entry["order_id"]: entry["requests"] for entry in entries}
    table = {kind: (Counter[int](), Counter[str]()) for kind in EFFECTS}
    for order, (kind, task) in seen.ended.items():
        table[kind][0][paid[order]] += 1
        table[kind][1][task["phase"]] += 1
    times = sorted(seen.recovered)
    took = f"a task ended again after {times[len(times) // 2]:.1f} s, {times[-1]:.1f} s at most"
    print(dict(seen.killed), table, took)  # noqa: T201 - the figures of the run
    for order, (kind, task) in seen.ended.items():
        assert task["phase"] in ({"Succeeded"} if kind != "once" else {"Succeeded", "Indeterminate"}), task
        assert paid[order] == 1 or (kind == "once" and task["phase"] == "Indeterminate" and paid[order] == 0), task
        assert kind == "idempotent" or asked.get(order, 0) <= 1, f"{order} was asked {asked[order]} times"
