"""What a person wants to see when something in the cluster does not work. Never reads a Secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proctor_cluster.command import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proctor_cluster.cluster import Cluster

_LOG_LINES = 80
_GROUP = "proctor.dev"


def report(cluster: Cluster, namespaces: Sequence[str]) -> str:
    """Pods, events, logs and proctor's own objects of these namespaces, as text. What cannot be had is said so."""
    return "\n".join(section for namespace in namespaces for section in _sections(cluster, namespace))


def _sections(cluster: Cluster, namespace: str) -> Iterator[str]:
    def ask(*words: str) -> str:
        return _ask(cluster, "-n", namespace, *words)

    yield _titled(f"pods in {namespace}", ask("get", "pods", "-o", "wide"))
    yield _titled(f"events in {namespace}", ask("get", "events", "--sort-by=.lastTimestamp"))
    for kind in _kinds(cluster):
        found = ask("get", kind, "-o", "yaml", "--ignore-not-found")
        if found.strip() and "items: []" not in found:
            yield _titled(f"{kind} in {namespace}", found)
    for pod in ask("get", "pods", "-o", "name").split():
        said = ask("logs", pod, "--all-containers", "--prefix", f"--tail={_LOG_LINES}")
        yield _titled(f"logs of {namespace}/{pod}", said)
        if _restarted(ask("get", pod, "-o", "jsonpath={.status.containerStatuses[*].restartCount}")):
            said = ask("logs", pod, "--all-containers", "--prefix", "--previous", f"--tail={_LOG_LINES}")
            yield _titled(f"logs of {namespace}/{pod} before it restarted", said)


def _kinds(cluster: Cluster) -> list[str]:
    return _ask(cluster, "api-resources", f"--api-group={_GROUP}", "--namespaced=true", "-o", "name").split()


def _restarted(counts: str) -> bool:
    return any(count.isdigit() and int(count) for count in counts.split())


def _ask(cluster: Cluster, *words: str) -> str:
    try:
        return cluster.kubectl(*words, timeout=20)
    except CommandError as refused:
        return f"({refused})"


def _titled(title: str, text: str) -> str:
    return f"--- {title}\n{text.strip() or '(nothing)'}"
