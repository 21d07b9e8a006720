"""A Kubernetes that can be used, wherever it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proctor_cluster.command import run

if TYPE_CHECKING:
    from pathlib import Path

    from proctor_cluster.settings import Provider


@dataclass(frozen=True)
class Cluster:
    """The way into one cluster. Nothing here ever reads the user's own kubeconfig or current context."""

    provider: Provider
    name: str
    kubeconfig: Path
    context: str | None
    kubectl_program: Path

    def kubectl(self, *args: str, stdin: str | None = None, timeout: float | None = None) -> str:
        """Run kubectl against this cluster and return its standard output. Raises CommandError."""
        return run(self.kubectl_argv(*args), stdin=stdin, timeout=timeout)

    def kubectl_argv(self, *args: str) -> list[str]:
        """The command line that ``kubectl`` runs, for a caller who wants the process itself."""
        context = [f"--context={self.context}"] if self.context else []
        return [str(self.kubectl_program), f"--kubeconfig={self.kubeconfig}", *context, *args]
