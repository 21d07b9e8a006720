"""Puts proctor into a cluster: the kinds first, then the rest, with the images that were just built."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

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
_ROLLOUT_SECONDS = 120

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
    deployments = cluster.kubectl("-n", namespace, "get", "deployments", "-o", "name").split()
    try:
        with progress(f"waiting for {namespace}"):
            for deployment in deployments:
                cluster.kubectl("-n", namespace, "rollout", "status", deployment, f"--timeout={_ROLLOUT_SECONDS}s")
    except CommandError as late:
        raise ClusterError(f"{late}\n{diagnosis.report(cluster, [namespace])}") from late


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
