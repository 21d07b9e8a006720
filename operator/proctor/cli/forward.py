"""The way to a port of a pod through the API server, for an HTTP client in this process: no local port is opened."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import Any

import httpcore2
import httpx2

from proctor.cli.cluster import Cluster
from proctor.cli.errors import Away, CliError, Denied
from proctor.cli.resources import PODS
from proctor.plan.world import Manifest

_FORBIDDEN = 403


class PodTransport(httpx2.HTTPTransport):
    """Sends every request to a pod, whatever host its URL names. Each connection looks for a ready pod anew."""

    def __init__(self, cluster: Cluster, namespace: str, selector: str, port: int) -> None:
        super().__init__()
        self._pool = httpcore2.ConnectionPool(
            network_backend=_Backend(lambda: _connect(cluster, namespace, selector, port)),
            max_connections=4,
        )


class _Backend(httpcore2.NetworkBackend):
    def __init__(self, connect: Callable[[], httpcore2.NetworkStream]) -> None:
        self._connect = connect

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the parent's signature
        port: int,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        return self._connect()


class _Stream(httpcore2.NetworkStream):
    """One forwarded connection."""

    def __init__(self, forward: Any, port: int) -> None:
        self._forward = forward
        self._port = port
        self._socket: Any = forward.socket(port)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._socket.settimeout(timeout)
        try:
            data: bytes = self._socket.recv(max_bytes)
        except TimeoutError as exc:
            raise httpcore2.ReadTimeout(str(exc)) from exc
        except OSError as exc:
            raise httpcore2.ReadError(str(exc)) from exc
        # The kubelet says on a channel of its own why it could not connect; the data just ends.
        if not data and (fault := self._forward.error(self._port)):
            raise httpcore2.ConnectError(str(fault).rsplit(": ", 1)[-1].strip())
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._socket.settimeout(timeout)
        try:
            self._socket.sendall(buffer)
        except TimeoutError as exc:
            raise httpcore2.WriteTimeout(str(exc)) from exc
        except OSError as exc:
            raise httpcore2.WriteError(str(exc)) from exc

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        return False if info == "is_readable" else None


def _connect(cluster: Cluster, namespace: str, selector: str, port: int) -> httpcore2.NetworkStream:
    from kubernetes.client import ApiException, CoreV1Api
    from kubernetes.stream import portforward

    pod = ready_pod(cluster.list(PODS, namespace, labelSelector=selector), namespace, selector)
    # A client of its own: the library bends the one that it is given while it opens the stream.
    api = CoreV1Api(cluster.new_client())
    try:
        forward = portforward(api.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
    except ApiException as exc:
        raise _refused(exc, namespace, pod) from exc
    return _Stream(forward, port)


def ready_pod(pods: Iterable[Manifest], namespace: str, selector: str) -> str:
    """The name of a pod that is ready. Raises Away, which says how many there are."""
    found = list(pods)
    for pod in found:
        conditions = {each["type"]: each["status"] for each in pod.get("status", {}).get("conditions", ())}
        if conditions.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp"):
            return str(pod["metadata"]["name"])
    if not found:
        raise Away(
            f"namespace {namespace} has no pods {selector}",
            "is proctor installed there? --installation NAMESPACE names another one, --gateway URL another way",
        )
    raise Away(f"none of {len(found)} pods {selector} is ready", f"kubectl get pods -n {namespace} -l {selector}")


def _refused(exc: Any, namespace: str, pod: str) -> CliError:
    text = str(exc.reason or exc)
    if exc.status == _FORBIDDEN or "403" in text:
        return Denied(
            f"you may not forward to pod {namespace}/{pod}",
            f"ask for the verbs get and create on pods/portforward in namespace {namespace}",
            "or reach the gateway otherwise: --gateway URL, or PROCTOR_GATEWAY",
        )
    return CliError(f"pod {namespace}/{pod} cannot be forwarded to: {text}")
