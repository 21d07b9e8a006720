"""The one door to all ways of having a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from proctor_cluster import explicit, kind, node
from proctor_cluster.finding import Choice, Offer, choose
from proctor_cluster.progress import say

if TYPE_CHECKING:
    from proctor_cluster.cluster import Cluster
    from proctor_cluster.settings import Settings


def find(settings: Settings) -> Choice:
    """Say which cluster ``up`` would use and why, without starting anything. Raises NoClusterError."""
    return choose([explicit.offer(settings), kind.offer(settings), node.offer(settings)], settings.provider)


def up(settings: Settings) -> Cluster:
    """Find a cluster, start it if need be, and say which it is and why. Raises NoClusterError or ClusterError."""
    choice = find(settings)
    say(f"cluster {settings.name}: {choice.offer.provider}, {choice.why}")
    match choice.offer.provider:
        case "explicit":
            return explicit.up(settings)
        case "kind":
            return kind.up(settings)
        case "node":
            return node.up(settings)
        case other:
            assert_never(other)


def down(settings: Settings) -> None:
    """Remove what ``up`` made under this name, however it was made. A cluster that was named by the person stays."""
    kind.down(settings)
    node.down(settings)


__all__ = ["Choice", "Offer", "down", "find", "up"]
