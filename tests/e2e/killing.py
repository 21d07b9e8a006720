"""Kill -9 of proctor's own processes: by pid where the cluster's processes are on this machine, else with the pod."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from proctor_cluster import install
from proctor_cluster.cluster import Cluster
from tests.e2e.declared import Manifest

_SECONDS = "120s"


class Victims:
    """Deployments of proctor's, by what they are: `operator`, `gateway`. Looked up before, so that a kill is quick."""

    def __init__(self, cluster: Cluster, kinds: Sequence[str]) -> None:
        self._cluster = cluster
        self._kinds = kinds
        for kind in kinds:
            _renew(cluster, kind)
        self._pids = _all_pids(cluster, kinds)

    def kill(self) -> None:
        """No time to finish anything. Whoever is already dead is no fault."""
        if not _end(self._pids):
            _forget(self._cluster, self._kinds)


def kill_again(cluster: Cluster, kinds: Sequence[str]) -> None:
    """Kills those that run now, wherever they come from, and their pods with them: others start without a pause."""
    _end(_all_pids(cluster, kinds))
    _forget(cluster, kinds)


def end_pod(pod: Manifest) -> None:
    """Kills the processes of one pod, where they are on this machine."""
    _end(list(_pids(pod)))


def _end(pids: Sequence[int]) -> int:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def _forget(cluster: Cluster, kinds: Sequence[str]) -> None:
    for kind in kinds:
        words = ("delete", "pod", "-l", _selector(kind), "--grace-period=0", "--force", "--wait=false")
        cluster.kubectl("-n", install.NAMESPACE, *words)


def _all_pids(cluster: Cluster, kinds: Sequence[str]) -> list[int]:
    return [pid for kind in kinds for pod in _pods(cluster, kind) for pid in _pids(pod)]


def _renew(cluster: Cluster, kind: str) -> None:
    """Gives a pod that was killed before way to another: the kubelet lets one that dies again and again wait."""
    deployment = f"deployment/proctor-{kind}"
    if any(each["restartCount"] for pod in _pods(cluster, kind) for each in pod["status"].get("containerStatuses", ())):
        cluster.kubectl("-n", install.NAMESPACE, "delete", "pod", "-l", _selector(kind), f"--timeout={_SECONDS}")
    cluster.kubectl("-n", install.NAMESPACE, "rollout", "status", deployment, f"--timeout={_SECONDS}")


def _selector(kind: str) -> str:
    return f"app.kubernetes.io/name=proctor-{kind}"


def _pods(cluster: Cluster, kind: str) -> list[Manifest]:
    words = ("get", "pods", "-l", _selector(kind), "--field-selector=status.phase=Running", "-o", "json")
    found: list[Manifest] = json.loads(cluster.kubectl("-n", install.NAMESPACE, *words))["items"]
    return found


def _pids(pod: Manifest) -> Iterator[int]:
    """The processes of the pod's containers on this machine, as far as we may end them."""
    uid = pod["metadata"]["uid"]
    marks = (f"pod{uid}", f"pod{uid.replace('-', '_')}")
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_ours = any(mark in (place / "cgroup").read_text() for mark in marks)
            if is_ours and (place / "comm").read_text().strip() != "pause" and os.geteuid() == 0:
                yield int(place.name)
