"""What the environment asks for, read once."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from proctor_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping

Provider = Literal["explicit", "kind", "node"]

# The name becomes part of a cgroup, a Kubernetes node and a kind cluster.
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?")


@dataclass(frozen=True)
class Settings:
    """The cluster that is asked for.

    ``name`` (PROCTOR_CLUSTER, "dev"): clusters of different names live side by side on one machine.
    ``provider`` (PROCTOR_PROVIDER): where the cluster must come from; None leaves the choice to the machine.
    ``kubeconfig``, ``context`` (PROCTOR_KUBECONFIG, PROCTOR_CONTEXT): a cluster that is already there.
    ``registry`` (PROCTOR_REGISTRY): where images for such a cluster are pushed, e.g. ``registry.example.com/team``.
    ``enforce_network_policy`` (PROCTOR_NETWORK_POLICY, "on"): whether our own node enforces NetworkPolicies.
    ``cache`` (PROCTOR_CACHE, ~/.cache/proctor): programs and images that are made once and kept.
    ``node_state`` (PROCTOR_NODE_STATE, <cache>/node/state): one directory for each running node of our own.
    """

    name: str
    provider: Provider | None
    kubeconfig: Path | None
    context: str | None
    registry: str | None
    enforce_network_policy: bool
    cache: Path
    node_state: Path

    @classmethod
    def read(cls, env: Mapping[str, str] = os.environ, name: str | None = None) -> Settings:
        """Read the settings; ``name`` overrides PROCTOR_CLUSTER. Raises ClusterError for a value that means nothing."""
        cache = Path(env.get("PROCTOR_CACHE") or Path.home() / ".cache" / "proctor")
        return cls(
            name=_checked_name(name or env.get("PROCTOR_CLUSTER") or "dev"),
            provider=_checked_provider(env.get("PROCTOR_PROVIDER")),
            kubeconfig=Path(env["PROCTOR_KUBECONFIG"]) if env.get("PROCTOR_KUBECONFIG") else None,
            context=env.get("PROCTOR_CONTEXT") or None,
            registry=(env.get("PROCTOR_REGISTRY") or "").rstrip("/") or None,
            enforce_network_policy=_checked_switch("PROCTOR_NETWORK_POLICY", env.get("PROCTOR_NETWORK_POLICY") or "on"),
            cache=cache,
            node_state=Path(env.get("PROCTOR_NODE_STATE") or cache / "node" / "state"),
        )


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ClusterError(f"cluster name {name!r}: use at most 30 of a-z, 0-9 and '-', beginning with a letter")
    return name


def _checked_provider(value: str | None) -> Provider | None:
    if not value:
        return None
    for known in get_args(Provider):
        if value == known:
            provider: Provider = known
            return provider
    raise ClusterError(f"PROCTOR_PROVIDER={value}: use one of {', '.join(get_args(Provider))}")


def _checked_switch(variable: str, value: str) -> bool:
    if value not in {"on", "off"}:
        raise ClusterError(f"{variable}={value}: use on or off")
    return value == "on"
