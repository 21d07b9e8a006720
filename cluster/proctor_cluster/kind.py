"""A cluster made by kind, for a machine with a container engine."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from proctor_cluster.cluster import Cluster
from proctor_cluster.command import run
from proctor_cluster.finding import Offer
from proctor_cluster.progress import progress

if TYPE_CHECKING:
    from pytest_kind import KindCluster

    from proctor_cluster.settings import Settings

_VERSION = "v0.33.0"
_KUBECTL_VERSION = "v1.37.2"
_ENGINE_SECONDS = 10.0

# kind's node image registers the same runtime a second time, as "test-handler".
_RUNTIME_CLASS = """
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: runc-isolated}
handler: test-handler
"""


def offer(settings: Settings) -> Offer:
    """Offer kind when a container engine answers. kind itself is downloaded when it is not on PATH."""
    problem = engine_problem()
    return Offer(
        "kind",
        "a container engine answers, so kind can run a cluster",
        lacks=(f"a container engine that answers ({problem})",) if problem else (),
        is_running=not problem and _kubeconfig(settings).exists(),
    )


def up(settings: Settings) -> Cluster:
    """Return the kind cluster of this name, made if it was not there. Raises when kind fails or cannot be had."""
    kind = _kind(settings)
    with progress(f"kind cluster {kind.name}"):
        kind.create()
        if not shutil.which("kubectl"):
            kind.ensure_kubectl()
    cluster = _cluster(settings, kind)
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=_RUNTIME_CLASS)
    return cluster


def down(settings: Settings) -> None:
    """Delete the kind cluster of this name and its kubeconfig; nothing when it was never made. May be run again."""
    if not _home(settings).exists() or engine_problem():
        return
    kind = _kind(settings)
    kind.ensure_kind()
    kind.delete()
    _kubeconfig(settings).unlink(missing_ok=True)


def load(settings: Settings, archive: Path) -> None:
    """Import a docker archive into the nodes of the cluster."""
    kind = _kind(settings)
    run([kind.kind_path, "load", "image-archive", str(archive), f"--name={kind.name}"])


def images(settings: Settings) -> set[str]:
    """Names of the images that the cluster's node holds."""
    kind = _kind(settings)
    return set(
        run(["docker", "exec", f"{kind.name}-control-plane", "ctr", "-n", "k8s.io", "images", "list", "-q"]).split()
    )


def _cluster(settings: Settings, kind: KindCluster) -> Cluster:
    kubectl = Path(shutil.which("kubectl") or kind.kubectl_path)
    return Cluster("kind", settings.name, _kubeconfig(settings), None, kubectl)


def _kind(settings: Settings) -> KindCluster:
    home = _home(settings)
    home.mkdir(parents=True, exist_ok=True)
    # pytest-kind reads these when it is imported; its own defaults are versions of 2022, and always amd64.
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    system = platform.system().lower()
    os.environ.setdefault("KIND_VERSION", _VERSION)
    os.environ.setdefault("KUBECTL_VERSION", _KUBECTL_VERSION)
    os.environ.setdefault("KIND_DOWNLOAD_URL", f"https://kind.sigs.k8s.io/dl/{_VERSION}/kind-{system}-{machine}")
    os.environ.setdefault(
        "KUBECTL_DOWNLOAD_URL", f"https://dl.k8s.io/release/{_KUBECTL_VERSION}/bin/{system}/{machine}/kubectl"
    )
    from pytest_kind import KindCluster

    found = shutil.which("kind")
    # It makes a directory below the working directory, whatever paths it is given.
    with contextlib.chdir(home):
        kind = KindCluster(f"proctor-{settings.name}", _kubeconfig(settings), kind_path=Path(found) if found else None)
    kind.kind_path, kind.kubectl_path = (home / kind.kind_path).absolute(), (home / kind.kubectl_path).absolute()
    return kind


def _home(settings: Settings) -> Path:
    return settings.cache.absolute() / "kind"


def _kubeconfig(settings: Settings) -> Path:
    return _home(settings) / f"{settings.name}.kubeconfig"


def engine_problem() -> str | None:
    """Why no container engine can be used; None when one answers."""
    if not shutil.which("docker"):
        return "docker is not on PATH"
    try:
        done = subprocess.run(
            ["docker", "info"],
            capture_output=True,
            text=True,
            timeout=_ENGINE_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"docker info does not answer within {_ENGINE_SECONDS:.0f} s"
    return (done.stderr.strip().splitlines() or ["docker info failed"])[-1] if done.returncode else None
