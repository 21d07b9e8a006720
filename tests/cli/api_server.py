"""Kubeconfigs for tests that need no cluster, or one that answers badly."""

from __future__ import annotations

from pathlib import Path

import yaml


def kubeconfig(path: Path, server: str) -> Path:
    """A kubeconfig for this server, with the token `hush`."""
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "hush"}}],
        "contexts": [{"name": "ctx", "context": {"cluster": "c", "user": "u", "namespace": "support"}}],
        "current-context": "ctx",
    }
    path.write_text(yaml.safe_dump(body))
    return path
