"""What the demonstration shows: each command as a person would type it, and what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proctor_cluster.command import CommandError
from proctor_cluster.errors import ClusterError
from proctor_cluster.progress import say

if TYPE_CHECKING:
    from proctor_cluster.cluster import Cluster
    from proctor_cluster.people import Person

_DONE: Final = frozenset({0})


@dataclass(frozen=True)
class Stage:
    """Runs commands against one cluster, and shows them."""

    cluster: Cluster

    def title(self, text: str) -> None:
        """A line across the terminal."""
        say(f"\n── {text} {'─' * max(0, 100 - len(text))}")

    def announce(self, program: str, *words: str, as_: Person | None = None) -> None:
        """The command as one types it; `as_` is whose terminal it is."""
        prompt = f"{as_.name} $" if as_ else "$"
        command = "kubectl" if program == "kubectl" else f"kubectl {program}"
        say(f"{prompt} {command} {' '.join(quoted(word) for word in words)}")

    def kubectl(self, *words: str) -> None:
        """Show `kubectl` with these words and its output."""
        self.announce("kubectl", *words)
        say(self.cluster.kubectl(*words).rstrip())

    def refused(self, because: str, *words: str) -> None:
        """Show `kubectl` with these words, and how it is refused. Raises ClusterError if it is not, or not for that."""
        self.announce("kubectl", *words)
        try:
            said = self.cluster.kubectl(*words)
        except CommandError as refusal:
            say(refusal.said.rstrip())
            if because not in refusal.said:
                raise ClusterError(f"refused, but not because of {because}") from refusal
        else:
            raise ClusterError(f"this was to be refused: {said}")

    def proctor(self, *words: str, codes: frozenset[int] = _DONE, as_: Person | None = None) -> int:
        """Show `kubectl proctor` with these words and its output, in colour on a terminal; its exit code.

        Raises ClusterError for a code that is not one of `codes`.
        """
        self.announce("proctor", *words, as_=as_)
        sys.stderr.flush()
        done = subprocess.run(self._argv(*words, as_=as_), env=_environment(), stdout=sys.stderr, check=False)
        if done.returncode not in codes:
            raise ClusterError(f"kubectl proctor {words[0]}: exit code {done.returncode}")
        return done.returncode

    def captured(self, *words: str, codes: frozenset[int] = _DONE) -> str:
        """What `kubectl proctor` with these words prints. Raises ClusterError for a code that is not one of `codes`."""
        done = subprocess.run(self._argv(*words), env=_environment(), capture_output=True, text=True, check=False)
        if done.returncode not in codes:
            raise ClusterError(f"kubectl proctor {words[0]}: exit code {done.returncode}\n{done.stderr or done.stdout}")
        return done.stdout

    def answered(self, *words: str, into: Path | None = None) -> str:
        """As `captured`, and shown, or written `into` a file."""
        self.announce("proctor", *words, *([">", into.name] if into else []))
        found = self.captured(*words)
        if into is None:
            say(found.rstrip())
        else:
            into.write_text(found)
        return found

    def offline(self, directory: Path, *words: str) -> str:
        """Show `kubectl proctor` with these words, run in the directory and without any cluster; what it prints.

        Raises ClusterError when it fails.
        """
        self.announce("proctor", *words)
        done = subprocess.run(
            [_program(), *words], cwd=directory, env=_environment(), capture_output=True, text=True, check=False
        )
        say((done.stdout + done.stderr).rstrip())
        if done.returncode:
            raise ClusterError(f"kubectl proctor {words[0]}: exit code {done.returncode}")
        return done.stdout

    def _argv(self, *words: str, as_: Person | None = None) -> list[str]:
        if as_ is not None:
            return [_program(), *words, f"--kubeconfig={as_.kubeconfig}"]
        context = [f"--context={self.cluster.context}"] if self.cluster.context else []
        return [_program(), *words, f"--kubeconfig={self.cluster.kubeconfig}", *context]


def _program() -> str:
    return str(Path(sys.executable).with_name("kubectl-proctor"))


def _environment() -> dict[str, str]:
    return {"COLUMNS": "140", **os.environ}


def quoted(word: str) -> str:
    """The word as one types it in a shell."""
    if '"' in word:
        return f"'{word}'"
    return f'"{word}"' if " " in word else word
