"""Pods that run a few lines of Python, as hardened as an agent's."""

from __future__ import annotations

import json
from typing import Any

from proctor_cluster.cluster import Cluster

PYTHON = "/opt/proctor/bin/python"
SERVE = "import http.server as h; h.test(HandlerClass=h.SimpleHTTPRequestHandler, port=8080)"
_HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def run(cluster: Cluster, namespace: str, name: str, image: str, code: str, **spec: Any) -> None:
    """Start a pod labelled ``app=<name>`` that runs ``code``.

    ``spec`` is added to the pod's spec, its ``container`` to the container.
    """
    container = {
        "name": "main",
        "image": image,
        "command": [PYTHON, "-c", code],
        "securityContext": _HARDENED,
        **spec.pop("container", {}),
    }
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "restartPolicy": "Never",
            "containers": [container],
            **spec,
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))


def serve(cluster: Cluster, namespace: str, name: str, image: str, **spec: Any) -> str:
    """Start a pod that answers HTTP on port 8080, wait until it does, and return its address."""
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "failureThreshold": 3}
    container = {"readinessProbe": probe, "livenessProbe": probe, "workingDir": "/etc/ssl"}
    run(cluster, namespace, name, image, SERVE, container=container, **spec)
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    return cluster.kubectl("-n", namespace, "get", "pod", name, "-o", "jsonpath={.status.podIP}")


def finish(cluster: Cluster, namespace: str, name: str) -> str:
    """Wait until a pod's code has ended well, and return what it printed."""
    cluster.kubectl("-n", namespace, "wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=60s")
    return cluster.kubectl("-n", namespace, "logs", name)


def execute(cluster: Cluster, namespace: str, name: str, code: str) -> str:
    """Run code inside a running pod and return what it printed."""
    return cluster.kubectl("-n", namespace, "exec", name, "--", PYTHON, "-c", code, timeout=60)
