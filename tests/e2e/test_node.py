"""A node of our own: what it can do, and that it leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proctor_cluster import node
from proctor_cluster.settings import Settings
from tests.e2e import pods

# What Kubernetes' programs leave on a machine that they were not kept from.
_BELONGINGS = (
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/pods",
    "/var/log/containers",
    "/run/containerd",
    "/run/netns",
)


@pytest.fixture
def beside() -> Iterator[Settings]:
    """The settings of a second node beside the run's own, removed at the end."""
    beside = Settings.read(name="leaves-nothing")
    if lacks := node.offer(beside).lacks:
        pytest.skip(f"no node of our own here: missing {'; '.join(lacks)}")
    yield beside
    node.down(beside)


def test_a_node_leaves_nothing_behind(bare_cluster, beside):
    """After down: no process, mount, link, route, cgroup or file of it, though pods ran on it. Twice is no error."""
    before = _unattributed()
    second = node.up(beside)
    assert second.kubectl("get", "pods", "-A", "-o", "name"), "the test means little without a pod"
    words = _words(beside)
    during = _mentions(words)
    assert all(during[what] for what in ("processes", "links", "routes", "cgroups", "files")), during
    # The other node's life does not hang on this one's.
    assert bare_cluster.kubectl("get", "--raw", "/readyz") == "ok"

    node.down(beside)
    node.down(beside)

    assert _mentions(words) == {what: [] for what in during}
    assert _unattributed() <= before
    assert bare_cluster.kubectl("get", "--raw", "/readyz") == "ok"


def test_a_node_whose_processes_were_killed_is_replaced(beside):
    """What a crash left is removed by the next start, which takes the same networks again."""
    first = node.up(beside)
    address = first.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    pid = int((node.state_of(beside) / "pid").read_text())
    subprocess.run(["kill", "-9", str(pid)], check=True)
    while node.is_running(beside):
        time.sleep(0.05)
    second = node.up(beside)
    assert second.kubectl("get", "--raw", "/readyz") == "ok"
    assert second.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}") == address


def test_a_pod_can_have_users_of_its_own(bare_cluster, images, namespace):
    """hostUsers: false maps the pod's users to others of the host: its 65532 is not the host's."""
    code = "print(open('/proc/self/uid_map').read())"
    pods.run(bare_cluster, namespace, "userns", images["proctor-agent"], code, hostUsers=False)
    inside, outside, _ = pods.finish(bare_cluster, namespace, "userns").split()
    assert inside == "0"
    assert int(outside) >= 65536


def test_a_runtime_class_can_be_asked_for(bare_cluster, images, namespace):
    """A pod of RuntimeClass runc-isolated runs, by a handler of its own; one of an unknown class is refused."""
    pods.run(
        bare_cluster, namespace, "isolated", images["proctor-agent"], "print('ran')", runtimeClassName="runc-isolated"
    )
    assert pods.finish(bare_cluster, namespace, "isolated") == "ran\n"


def test_a_claim_gets_a_volume_that_the_pod_may_write(bare_cluster, images, namespace):
    """The default StorageClass gives volumes that belong to the pod's group (fsGroup), though no pod is root."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "disk", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    bare_cluster.kubectl("apply", "-f", "-", stdin=json.dumps(claim))
    pods.run(
        bare_cluster,
        namespace,
        "writer",
        images["proctor-agent"],
        "import os; open('/disk/file', 'w').write('kept'); print(os.stat('/disk/file').st_gid)",
        container={"volumeMounts": [{"name": "disk", "mountPath": "/disk"}]},
        volumes=[{"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}}],
        securityContext={"fsGroup": 65532},
    )
    assert pods.finish(bare_cluster, namespace, "writer") == "65532\n"


def _words(settings: Settings) -> tuple[str, ...]:
    """What mentions this node wherever it is mentioned."""
    state = node.state_of(settings)
    values = dict(line.split("=", 1) for line in (state / "node.env").read_text().splitlines())
    return (str(state), values["CGROUP"], *(values[key] for key in ("LINK", "PODS", "SERVICES", "NODE_IP")))


def _mentions(words: tuple[str, ...]) -> dict[str, list[str]]:
    seen = {
        "processes": [_command_line(pid) for pid in Path("/proc").iterdir() if pid.name.isdigit()],
        "mounts": Path("/proc/mounts").read_text().splitlines(),
        "links": _lines("ip", "-o", "address"),
        "routes": _lines("ip", "route"),
        "cgroups": [str(path) for path in Path("/sys/fs/cgroup").rglob("*") if path.is_dir()],
        "files": [str(path) for path in Path(Settings.read().node_state).glob("*")],
    }
    return {what: [line for line in lines if any(word in line for word in words)] for what, lines in seen.items()}


def _unattributed() -> set[str]:
    """What a node could leave without its name on it. Other nodes, and builds of images, may come and go meanwhile."""
    links = [line for line in _lines("ip", "-o", "link") if ": proctor" not in line]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if "/images/storage/" not in line]
    groups = [str(path) for path in Path("/sys/fs/cgroup").rglob("*") if path.is_dir() and "/proctor-" not in str(path)]
    files = [str(path) for root in _BELONGINGS for path in Path(root).rglob("*")]
    return {*(line.partition(":")[2].split("<")[0] for line in links), *mounts, *groups, *files}


def _command_line(pid: Path) -> str:
    try:
        return (pid / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _lines(*words: str) -> list[str]:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
