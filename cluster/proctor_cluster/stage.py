"""What the demonstration shows: each command as a person would type it, and what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proctor_cluster.errors import ClusterError
from proctor_cluster.progress import say

if TYPE_CHECKING:
    from proctor_cluster.cluster import Cluster


@dataclass(frozen=True)
class Stage:
    """Runs commands against one cluster, and shows them."""

    cluster: Cluster

    def title(self, text: str) -> None:
        """A line across the terminal."""
        say(f"\n── {text} {'─' * max(0, 100 - len(text))}")

    def kubectl(self, *words: str) -> None:
        """Show `kubectl` with these words and its output."""
        say(f"$ kubectl {' '.join(quoted(word) for word in words)}")
        say(self.cluster.kubectl(*words).rstrip())

    def proctor(self, *words: str, codes: frozenset[int] = frozenset({0})) -> int:
        """Show `kubectl proctor` with these words and its output, in colour on a terminal; its exit code.

        Raises ClusterError for a code that is not one of `codes`.
        """
        say(f"$ kubectl proctor {' '.join(quoted(word) for word in words)}")
        sys.stderr.flush()
        done = subprocess.run(self._argv(*words), env=_environment(), stdout=sys.stderr, check=False)
        if done.returncode not in codes:
            raise ClusterError(f"kubectl proctor {words[0]}: exit code {done.returncode}")
        return done.returncode

    def captured(self, *words: str) -> str:
        """What `kubectl proctor` with these words prints. Raises ClusterError when it fails."""
        done = subprocess.run(self._argv(*words), env=_environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"kubectl proctor {words[0]}: exit code {done.returncode}\n{done.stderr or done.stdout}")
        return done.stdout

    def _argv(self, *words: str) -> list[str]:
        program = str(Path(sys.executable).with_name("kubectl-proctor"))
        context = [f"--context={self.cluster.context}"] if self.cluster.context else []
        return [program, *words, f"--kubeconfig={self.cluster.kubeconfig}", *context]


def _environment() -> dict[str, str]:
    return {"COLUMNS": "140", **os.environ}


def quoted(word: str) -> str:
    """The word as one types it in a shell."""
    return f'"{word}"' if " " in word else word
