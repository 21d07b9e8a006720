"""A port of a Service or pod, on this machine for a while."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from proctor_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proctor_cluster.cluster import Cluster

_READY = re.compile(r"Forwarding from (127\.0\.0\.1:\d+)")


@contextmanager
def forwarded(cluster: Cluster, namespace: str, target: str, port: int) -> Iterator[str]:
    """While the body runs, ``target`` (``service/payments``) answers at the address given. Raises ClusterError."""
    argv = cluster.kubectl_argv("-n", namespace, "port-forward", "--address=127.0.0.1", target, f":{port}")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as forwarding:
        try:
            said = forwarding.stdout.readline() if forwarding.stdout else ""
            found = _READY.match(said)
            if found is None:
                raise ClusterError(f"kubectl port-forward {target}: {said.strip()}")
            yield found[1]
        finally:
            forwarding.terminate()
