"""The demonstration: everything prepared, then told step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proctor_cluster import install
from proctor_cluster.progress import say

if TYPE_CHECKING:
    from proctor_cluster.settings import Settings

_SAMPLE = install.MANIFESTS / "samples" / "refunds"
_SYSTEMS = "demo-systems"


def demo(settings: Settings) -> None:
    """Install proctor and the refunds sample with the systems around it. May be run again. Raises ClusterError."""
    cluster, references = install.install(settings)
    install.apply(settings, cluster, _SAMPLE, references)
    install.wait_for_rollout(cluster, _SYSTEMS)
    say(cluster.kubectl("get", "agents", "-A", "-o", "wide"))
