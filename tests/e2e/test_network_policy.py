"""NetworkPolicies in the cluster that the tests use: enforced by default, and switched off where that is the test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proctor_cluster import node
from proctor_cluster.cluster import Cluster
from proctor_cluster.settings import Settings
from tests.e2e import pods

TRY_AT_ONCE = """
import socket, time
for _ in range(20):
    try:
        socket.create_connection(({address!r}, 8080), 0.2)
        print("reached")
    except OSError:
        pass
print("ended")
"""


def _policy(cluster: Cluster, namespace: str, app: str, **spec: object) -> None:
    body = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": app, "namespace": namespace},
        "spec": {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Egress"], **spec},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))


def _reaches(cluster: Cluster, namespace: str, client: str, address: str, port: int = 8080) -> bool:
    code = f"""
import socket
try:
    socket.create_connection(({address!r}, {port}), 1)
    print("reached")
except OSError as refused:
    print(refused)
"""
    return pods.execute(cluster, namespace, client, code) == "reached\n"


def _becomes(
    cluster: Cluster, namespace: str, client: str, address: str, *, reached: bool, seconds: float = 30
) -> None:
    deadline = time.monotonic() + seconds
    while _reaches(cluster, namespace, client, address) != reached:
        assert time.monotonic() < deadline, f"{client} {'does not reach' if reached else 'reaches'} {address}"


@pytest.fixture
def unenforced(settings: Settings, bare_cluster: Cluster) -> Iterator[None]:
    """NetworkPolicies do nothing during the test."""
    if bare_cluster.provider != "node":
        pytest.skip(f"a cluster of {bare_cluster.provider} cannot be told to ignore NetworkPolicies")
    node.enforce(settings, is_on=False)
    yield
    node.enforce(settings, is_on=True)


@pytest.fixture
def stopped_enforcer(settings: Settings, bare_cluster: Cluster) -> Iterator[None]:
    """The process that enforces is there and does nothing."""
    if bare_cluster.provider != "node":
        pytest.skip(f"the enforcer of a cluster of {bare_cluster.provider} is not ours to stop")
    os.kill(_enforcer(settings), signal.SIGSTOP)
    yield
    os.kill(_enforcer(settings), signal.SIGCONT)


def _enforcer(settings: Settings) -> int:
    state = os.fsencode(node.state_of(settings))
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"proctor_cluster.enforcer" in words and state in words:
                return int(process.name)
    raise LookupError("no enforcer runs")


def test_a_pod_that_may_reach_nothing_reaches_nothing_and_stays_ready(bare_cluster, images, namespace):
    """No pod, no API server, no DNS; the kubelet's probes still reach the pod, and other pods do."""
    server = pods.serve(bare_cluster, namespace, "server", images["proctor-agent"])
    client = pods.serve(bare_cluster, namespace, "client", images["proctor-agent"])
    ip = "jsonpath={.spec.clusterIP}"
    api = bare_cluster.kubectl("-n", "default", "get", "service", "kubernetes", "-o", ip)
    dns = bare_cluster.kubectl("-n", "kube-system", "get", "service", "kube-dns", "-o", ip)
    assert _reaches(bare_cluster, namespace, "client", server)
    assert _reaches(bare_cluster, namespace, "client", api, 443)
    assert _reaches(bare_cluster, namespace, "client", dns, 53)

    _policy(bare_cluster, namespace, "client")

    _becomes(bare_cluster, namespace, "client", server, reached=False)
    assert not _reaches(bare_cluster, namespace, "client", api, 443)
    assert not _reaches(bare_cluster, namespace, "client", dns, 53)
    assert _reaches(bare_cluster, namespace, "server", client)
    time.sleep(4)  # more than the three failures that would make a pod unready and then restart it
    state = "{.status.containerStatuses[0].ready} {.status.containerStatuses[0].restartCount}"
    assert bare_cluster.kubectl("-n", namespace, "get", "pod", "client", "-o", f"jsonpath={state}") == "true 0"


def test_a_pod_reaches_only_what_it_may(bare_cluster, images, namespace):
    """A rule for one pod and port opens this one, and no other."""
    wanted = pods.serve(bare_cluster, namespace, "wanted", images["proctor-agent"])
    other = pods.serve(bare_cluster, namespace, "other", images["proctor-agent"])
    pods.serve(bare_cluster, namespace, "client", images["proctor-agent"])
    to_wanted = {"podSelector": {"matchLabels": {"app": "wanted"}}}
    _policy(bare_cluster, namespace, "client", egress=[{"to": [to_wanted], "ports": [{"port": 8080}]}])
    _becomes(bare_cluster, namespace, "client", other, reached=False)
    assert _reaches(bare_cluster, namespace, "client", wanted)


def test_a_new_pod_is_isolated_from_its_first_packet_on(bare_cluster, images, namespace):
    """A policy that is there before its pod holds from the start, not from when somebody noticed the pod."""
    if bare_cluster.provider != "node":
        pytest.skip(f"a cluster of {bare_cluster.provider} may let a pod's first packets through")
    server = pods.serve(bare_cluster, namespace, "server", images["proctor-agent"])
    _policy(bare_cluster, namespace, "client")
    pods.run(bare_cluster, namespace, "client", images["proctor-agent"], TRY_AT_ONCE.format(address=server))
    assert pods.finish(bare_cluster, namespace, "client") == "ended\n"


@pytest.mark.usefixtures("stopped_enforcer")
def test_no_pod_starts_while_nobody_enforces(settings, bare_cluster, images, namespace):
    """A pod waits for its rules: while the enforcer does not answer it stays Pending, and it starts when it does."""
    pods.run(bare_cluster, namespace, "waits", images["proctor-agent"], "print('started')")
    time.sleep(6)
    phase = bare_cluster.kubectl("-n", namespace, "get", "pod", "waits", "-o", "jsonpath={.status.phase}")
    assert phase == "Pending"
    os.kill(_enforcer(settings), signal.SIGCONT)
    assert pods.finish(bare_cluster, namespace, "waits") == "started\n"


@pytest.mark.usefixtures("unenforced")
def test_enforcement_can_be_switched_off(bare_cluster, images, namespace):
    """Without an enforcer a policy is only words: the state that a status must not call isolated."""
    server = pods.serve(bare_cluster, namespace, "server", images["proctor-agent"])
    pods.serve(bare_cluster, namespace, "client", images["proctor-agent"])
    _policy(bare_cluster, namespace, "client")
    _becomes(bare_cluster, namespace, "client", server, reached=True)
