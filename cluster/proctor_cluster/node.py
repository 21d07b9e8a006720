"""A Kubernetes node of our own: real Kubernetes in Linux namespaces, for a machine without a container engine."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from proctor_cluster import packages
from proctor_cluster.cluster import Cluster
from proctor_cluster.command import CommandError, last_line, run, run_to_log
from proctor_cluster.errors import ClusterError
from proctor_cluster.finding import Offer
from proctor_cluster.network import NodeNetwork, slots_for
from proctor_cluster.progress import progress, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proctor_cluster.settings import Settings

_SCRIPTS = Path(__file__).parents[1] / "node"
_GO_AT_LEAST = (1, 26)
_READY_SECONDS = 120.0


def offer(settings: Settings) -> Offer:
    """Offer a node of our own, unless the machine lacks something that we cannot get by ourselves."""
    return Offer(
        "node",
        "a node of our own, in Linux namespaces of this machine",
        lacks=tuple(_lacks(settings)),
        is_running=is_running(settings),
    )


def is_running(settings: Settings) -> bool:
    """Whether the node of this name is there and its first process lives."""
    state = state_of(settings)
    try:
        pid = int((state / "pid").read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return False
    return os.fsencode(state) in words


def up(settings: Settings) -> Cluster:
    """Return the running node of this name, started if it was not. Takes ten minutes once, seconds from then on.

    Raises ClusterError when it does not become ready; the text holds the last line of each of its logs.
    """
    programs(settings)
    cluster = _cluster(settings)
    with _one_at_a_time(settings):
        if is_running(settings):
            say(f"the node {settings.name} is already running")
            enforce(settings, settings.enforce_network_policy)
            # Its start may have been broken off: running is not yet ready.
            _wait_until_ready(settings, cluster)
            return cluster
        down(settings)
        with progress(f"starting the node {settings.name}"):
            _start(settings)
            _wait_until_ready(settings, cluster)
    return cluster


def programs(settings: Settings) -> Path:
    """Return where the node's programs are, built if they were not: ten minutes once."""
    packages.install(packages.absent(_tools(settings)))
    _build(settings)
    return _programs(settings)


def enforce(settings: Settings, is_on: bool) -> None:
    """Switch the enforcement of NetworkPolicies on the node; it follows within a second or two."""
    (state_of(settings) / "network-policy").write_text("on" if is_on else "off")


def down(settings: Settings) -> None:
    """Remove the node and everything it left: processes, mounts, link, routes, cgroups, state. May be run again."""
    state = state_of(settings)
    if state.exists():
        run([_SCRIPTS / "down", state])


def load(settings: Settings, archive: Path) -> None:
    """Import a docker or OCI archive into the node's container runtime."""
    ctr(settings, "images", "import", str(archive))


def images(settings: Settings) -> set[str]:
    """Names of the images that the node's container runtime holds."""
    return set(ctr(settings, "images", "list", "-q").split())


def blobs(settings: Settings) -> set[str]:
    """Digests of the layers, configs and manifests that the node's container runtime holds."""
    return set(ctr(settings, "content", "list", "-q").split())


def ctr(settings: Settings, *words: str) -> str:
    """What the tool of the node's container runtime says, of the images and containers of Kubernetes."""
    return _in_node(settings, "ctr", "-n", "k8s.io", *words)


def state_of(settings: Settings) -> Path:
    """The node's directory: its kubeconfig, logs, certificates and container runtime's data."""
    return settings.node_state.resolve() / settings.name


def _lacks(settings: Settings) -> list[str]:
    missing = []
    if sys.platform != "linux":
        missing.append(f"Linux (this is {sys.platform})")
    elif os.geteuid() != 0:
        missing.append("root (network and mount namespaces are made)")
    if not _is_built(settings) and not _go_is_recent():
        missing.append(f"Go >= {'.'.join(map(str, _GO_AT_LEAST))} (the node's programs are built from source, once)")
    if not packages.can_install():
        missing += [f"{tool.name} (Debian package {tool.package})" for tool in packages.absent(_tools(settings))]
    return missing


def _in_node(settings: Settings, program: str, *args: str) -> str:
    parent = (state_of(settings) / "pid").read_text().strip()
    first = run(["pgrep", "-P", parent]).strip()
    return run(["nsenter", "-t", first, "-m", "-n", "-p", _programs(settings) / program, *args])


def _cluster(settings: Settings) -> Cluster:
    kubeconfig = state_of(settings) / "admin.kubeconfig"
    return Cluster("node", settings.name, kubeconfig, None, _programs(settings) / "kubectl")


def _programs(settings: Settings) -> Path:
    return settings.cache / "node" / "bin"


def _tools(settings: Settings) -> list[packages.Tool]:
    return [*packages.RUN, *([] if _is_built(settings) else packages.BUILD)]


def _is_built(settings: Settings) -> bool:
    return subprocess.run([_SCRIPTS / "build", _programs(settings), "--check"], check=False).returncode == 0


def _go_is_recent() -> bool:
    if not shutil.which("go"):
        return False
    found = re.fullmatch(r"go(\d+)\.(\d+).*", run(["go", "env", "GOVERSION"]).strip())
    return found is not None and (int(found[1]), int(found[2])) >= _GO_AT_LEAST


def _build(settings: Settings) -> None:
    if _is_built(settings):
        return
    log = settings.cache / "node" / "build.log"
    say("building Kubernetes, etcd, containerd, runc and CoreDNS from source: about ten minutes on two cores, once")
    with progress("building the node's programs", lambda: last_line(log)):
        run_to_log([_SCRIPTS / "build", _programs(settings)], log)


@contextmanager
def _one_at_a_time(settings: Settings) -> Iterator[None]:
    """Two starts at once could both remove and make one state; the directory is the lock, so no file is left."""
    settings.node_state.mkdir(parents=True, exist_ok=True)
    lock = os.open(settings.node_state, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _start(settings: Settings) -> None:
    state = state_of(settings)
    state.mkdir(parents=True)
    enforce(settings, settings.enforce_network_policy)
    _reserve_network(settings.name, state)
    run_to_log([_SCRIPTS / "up", state, _programs(settings)], state / "up.log")


def _reserve_network(name: str, state: Path) -> None:
    """Take the first free slot and write it to node.env.

    The kernel is the register of slots: of two who add a link of one name, one gets an error.
    """
    routed = _routed()
    for network in slots_for(name):
        if network.collides(routed):
            continue
        (state / "node.env").write_text(_node_env(name, network))
        try:
            run(["ip", "link", "add", network.link, "type", "veth", "peer", "name", f"{network.link}n"])
        except CommandError as refused:
            if "exists" not in refused.said:
                raise
            continue
        return
    raise ClusterError("every network that a node could use is taken or routed elsewhere: see `ip route`")


def _node_env(name: str, network: NodeNetwork) -> str:
    values = {
        "NAME": name,
        "CGROUP": f"proctor-{name}",
        # Not the environment that we run in: it may be made anew while the node lives.
        "PYTHON": Path(sys.executable).resolve(),
        "LINK": network.link,
        "HOST_IP": network.host_ip,
        "NODE_IP": network.node_ip,
        "PODS": network.pods,
        "SERVICES": network.services,
        "API_IP": network.api_ip,
        "DNS_IP": network.dns_ip,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def _routed() -> list[IPv4Network]:
    routes = json.loads(run(["ip", "-json", "-4", "route"]))
    return [IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]


def _wait_until_ready(settings: Settings, cluster: Cluster) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not _node_is_ready(cluster):
        if not is_running(settings) or time.monotonic() > deadline:
            raise ClusterError(f"the node did not become ready:\n{_last_words(settings)}")
        time.sleep(0.2)
    cluster.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")


def _last_words(settings: Settings) -> str:
    logs = sorted(state_of(settings).glob("*.log"))
    return "\n".join(f"  {log}: {last_line(log)}" for log in logs)


def _node_is_ready(cluster: Cluster) -> bool:
    try:
        cluster.kubectl("-n", "kube-system", "get", "deployment/coredns")
        return "Ready" in cluster.kubectl(
            "get", "nodes", "-o", 'jsonpath={.items[*].status.conditions[?(@.status=="True")].type}'
        )
    except CommandError:
        return False
