"""A cluster that the person named by PROCTOR_KUBECONFIG."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from proctor_cluster.cluster import Cluster
from proctor_cluster.errors import NoClusterError
from proctor_cluster.finding import Offer

if TYPE_CHECKING:
    from proctor_cluster.settings import Settings


def offer(settings: Settings) -> Offer:
    """Offer the named cluster. Without PROCTOR_KUBECONFIG there is none: a current context is never taken unasked."""
    if settings.kubeconfig is None:
        return Offer("explicit", "", lacks=("PROCTOR_KUBECONFIG (and PROCTOR_CONTEXT) naming a cluster",))
    context = f", context {settings.context}" if settings.context else ""
    return Offer(
        "explicit",
        f"PROCTOR_KUBECONFIG is {settings.kubeconfig}{context}",
        lacks=tuple(_lacks(settings, settings.kubeconfig)),
        is_asked_for=True,
        is_running=True,
    )


def up(settings: Settings) -> Cluster:
    """The named cluster, once it answered. Raises CommandError when it does not within 15 s."""
    if settings.kubeconfig is None:
        raise NoClusterError("PROCTOR_KUBECONFIG is not set")
    program = Path(shutil.which("kubectl") or settings.cache / "node" / "bin" / "kubectl")
    cluster = Cluster("explicit", settings.name, settings.kubeconfig, settings.context, program)
    cluster.kubectl("get", "--raw", "/readyz", timeout=15)
    return cluster


def _lacks(settings: Settings, kubeconfig: Path) -> list[str]:
    if not kubeconfig.is_file():
        return [f"the file {kubeconfig}"]
    missing = []
    contexts = [context["name"] for context in (yaml.safe_load(kubeconfig.read_text()) or {}).get("contexts") or []]
    if settings.context and settings.context not in contexts:
        missing.append(f"the context {settings.context} (the file has {', '.join(contexts) or 'none'})")
    if not settings.context and len(contexts) != 1:
        missing.append(f"PROCTOR_CONTEXT (one of {', '.join(contexts) or 'none'})")
    if not shutil.which("kubectl") and not (settings.cache / "node" / "bin" / "kubectl").exists():
        missing.append("kubectl on PATH")
    return missing
