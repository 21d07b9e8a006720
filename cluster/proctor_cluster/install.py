"""Puts proctor into a cluster: the kinds first, then the rest, with the images that were just built."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import yaml

from proctor_cluster import clusters, diagnosis, images
from proctor_cluster.command import CommandError
from proctor_cluster.engines import ROOT
from proctor_cluster.errors import ClusterError
from proctor_cluster.progress import progress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proctor_cluster.cluster import Cluster
    from proctor_cluster.settings import Settings

NAMESPACE = "proctor-system"
MANIFESTS = ROOT / "manifests"
_ROLLOUT_SECONDS = 180
_LOOK_SECONDS = 3
_RESTARTS_WITHOUT_HOPE = 3

# The operator is told the agent's image by a variable: it is an image name too, to be replaced like the others.
_IMAGE_FIELDS = {"images": [{"kind": "Deployment", "path": "spec/template/spec/containers/env/value"}]}


def install(settings: Settings) -> tuple[Cluster, dict[str, str]]:
    """Find a cluster, build and load the images, install proctor and wait until it serves.

    Returns the cluster and the images by name. May be run again; an unchanged installation is left as it is.
    Raises ClusterError with pod states, events and logs when it does not come up.
    """
    cluster = clusters.up(settings)
    references = images.deliver(settings, cluster, images.build(settings))
    with progress("installing the kinds"):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(MANIFESTS / "crds"))
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    apply(settings, cluster, MANIFESTS / "base", references)
    wait_for_rollout(cluster, NAMESPACE)
    return cluster, references


def apply(settings: Settings, cluster: Cluster, directory: Path, references: Mapping[str, str]) -> None:
    """Apply a kustomize directory with our images in it. Raises CommandError."""
    overlay = settings.cache.absolute() / "install" / settings.name / directory.relative_to(ROOT)
    overlay.mkdir(parents=True, exist_ok=True)
    (overlay / "image-fields.yaml").write_text(yaml.safe_dump(_IMAGE_FIELDS))
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(_kustomization(overlay, directory, references)))
    with progress(f"applying {directory.relative_to(ROOT)}"):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(overlay))


def wait_for_rollout(cluster: Cluster, namespace: str) -> None:
    """Wait until every Deployment of the namespace has rolled out. Raises ClusterError that says why one has not."""
    deadline = time.monotonic() + _ROLLOUT_SECONDS
    with progress(f"waiting for {namespace}"):
        for deployment in cluster.kubectl("-n", namespace, "get", "deployments", "-o", "name").split():
            while not _has_rolled_out(cluster, namespace, deployment):
                hopeless = _hopeless(cluster, namespace, deployment)
                if hopeless or time.monotonic() > deadline:
                    why = hopeless or f"{deployment} has not rolled out within {_ROLLOUT_SECONDS} s"
                    raise ClusterError(f"{why}\n{diagnosis.report(cluster, [namespace])}\n{why}")


def _has_rolled_out(cluster: Cluster, namespace: str, deployment: str) -> bool:
    try:
        cluster.kubectl("-n", namespace, "rollout", "status", deployment, f"--timeout={_LOOK_SECONDS}s")
    except CommandError:
        return False
    return True


def _hopeless(cluster: Cluster, namespace: str, deployment: str) -> str | None:
    """A container that waiting will not help: its image is not to be had, or it has ended again and again."""
    for pod in _newest_pods(cluster, namespace, deployment):
        for container in pod["status"].get("containerStatuses", []):
            reason = container["state"].get("waiting", {}).get("reason", "")
            if "Image" in reason or container["restartCount"] >= _RESTARTS_WITHOUT_HOPE:
                where = f"{namespace}/{pod['metadata']['name']}, container {container['name']}"
                return f"{where}: {reason or 'restarting'}, {container['restartCount']} restarts"
    return None


def _newest_pods(cluster: Cluster, namespace: str, deployment: str) -> list[dict[str, Any]]:
    """The pods of the rollout that is waited for. Those it replaces may be broken, and often are."""
    sets = json.loads(cluster.kubectl("-n", namespace, "get", "replicasets", "-o", "json"))["items"]
    name = deployment.rpartition("/")[2]
    own = [one for one in sets if any(owner["name"] == name for owner in one["metadata"].get("ownerReferences", []))]
    if not own:
        return []
    newest = max(own, key=lambda one: int(one["metadata"]["annotations"]["deployment.kubernetes.io/revision"]))
    selector = f"pod-template-hash={newest['metadata']['labels']['pod-template-hash']}"
    pods: list[dict[str, Any]] = json.loads(
        cluster.kubectl("-n", namespace, "get", "pods", "-l", selector, "-o", "json")
    )["items"]
    return pods


def _kustomization(overlay: Path, directory: Path, references: Mapping[str, str]) -> dict[str, object]:
    replaced = []
    for name, reference in references.items():
        repository, _, tag = reference.rpartition(":")
        replaced.append({"name": name, "newName": repository, "newTag": tag})
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        # kustomize takes no absolute paths, and follows links before it goes up
        "resources": [os.path.relpath(directory.resolve(), overlay.resolve())],
        "images": replaced,
        "configurations": ["image-fields.yaml"],
    }
