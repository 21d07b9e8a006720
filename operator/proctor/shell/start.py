"""Entry point `proctor-operator`: what has to be so before anything is imported, and once everything is."""

from __future__ import annotations

import gc
import sys

import uvloop

_NOT_NEEDED = ("kubernetes", "kubernetes_asyncio", "pykube")
_YOUNG, _MIDDLE, _OLD = 10_000, 20, 20


def main() -> None:
    """Runs the operator. Exit code 0 after SIGTERM, 1 when a restart is the cure."""
    for library in _NOT_NEEDED:
        # kopf imports each of these when it finds it, to recognise objects that we never give it: 35 MiB, 0.4 s of CPU.
        sys.modules.setdefault(library, None)  # type: ignore[arg-type]  # the import system's word for "not here"
    from proctor.shell.main import main as run

    # What was imported stays. To look through it for garbage every few hundred requests was an eighth of all CPU time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    run(uvloop.new_event_loop)
