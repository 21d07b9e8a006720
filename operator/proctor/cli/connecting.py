"""From the options of a command line to a connection."""

from __future__ import annotations

from pathlib import Path

from proctor.cli.access import Wanted, open_access
from proctor.cli.cluster import Cluster


def connect(kubeconfig: Path | None, context: str | None, namespace: str | None) -> Cluster:
    """The connection that the options ask for. Sends nothing yet; raises CliError for a kubeconfig of no use."""
    return Cluster(open_access(Wanted(kubeconfig, context, namespace)))
