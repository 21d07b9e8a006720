"""What the payments system has in its ledger: the witness outside of proctor."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import TYPE_CHECKING, Any

from proctor_cluster.forward import forwarded

if TYPE_CHECKING:
    from proctor_cluster.cluster import Cluster

_SYSTEMS = "demo-systems"
_SECONDS = 10


def payments(cluster: Cluster, order: str | None = None) -> list[dict[str, Any]]:
    """The latest thousand payments, or those for the order, the newest first. Raises ClusterError, URLError."""
    secret = json.loads(cluster.kubectl("-n", _SYSTEMS, "get", "secret", "keys", "-o", "json"))
    key = base64.b64decode(secret["data"]["payments"]).decode()
    with forwarded(cluster, _SYSTEMS, "service/payments", 8000) as address:
        url = f"http://{address}/ledger" + (f"?order_id={order}" if order else "")
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - loopback
            found: list[dict[str, Any]] = json.load(answer)["entries"]
    return found
