"""The sample of the documentation, brought up in the test's cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proctor_cluster import install
from proctor_cluster.engines import ROOT
from proctor_cluster.settings import Settings
from tests.e2e.conftest import Installed

SAMPLE = install.MANIFESTS / "samples" / "refunds"
_SECONDS = "120s"


@dataclass(frozen=True)
class Done:
    """What a command ended with, and wrote."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """Both streams, the answer first."""
        return f"{self.out}\n{self.err}"


def bring_up(cluster: Installed, settings: Settings) -> None:
    """Applies the sample, and waits until the agent answers."""
    install.apply(settings, cluster.cluster, SAMPLE, cluster.images)
    install.wait_for_rollout(cluster.cluster, "demo-systems")
    for kind in ("connectors", "agents"):
        words = ("-n", "support", "wait", f"--timeout={_SECONDS}", "--for=condition=Ready", kind, "--all")
        cluster.kubectl(*words, timeout=130)


def environment(cluster: Installed, kubeconfig: str | None = None) -> Mapping[str, str]:
    """What a person has set up: kubectl and the plugin on PATH, and the kubeconfig (default: the administrator's)."""
    programs = [str(Path(sys.executable).parent), str(cluster.cluster.kubectl_program.parent)]
    path = os.pathsep.join([*programs, os.environ["PATH"]])
    # As with no terminal: pytest tells its own processes how wide they are, and tables would be cut to that.
    inherited = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return {**inherited, "PATH": path, "KUBECONFIG": kubeconfig or str(cluster.kubeconfig), "NO_COLOR": "1"}


def shell(cluster: Installed, command: str, *, seconds: float = 120, kubeconfig: str | None = None) -> Done:
    """Runs a line of shell in the repository's root."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=ROOT,
        env=environment(cluster, kubeconfig),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)
