"""`rollout`: how a change becomes what serves, and a person's word in it. The spec is never written."""

from __future__ import annotations

from typing import ClassVar

from proctor.cli.grouping import Lazy, group

_MODULES = {
    "status": "status",
    "promote": "commands",
    "abort": "commands",
    "retry": "commands",
    "pause": "commands",
    "resume": "commands",
    "undo": "commands",
    "history": "history",
    "diff": "history",
    "simulate": "simulate",
    "exam": "exam",
}
VERBS = tuple(_MODULES)
"""In the order of a day's work."""


class Verbs(Lazy):
    """Loads the verb that is asked for alone."""

    modules: ClassVar = {verb: f"proctor.cli.verbs.rollout.{module}" for verb, module in _MODULES.items()}


app = group(
    "rollout",
    "See upgrades, and decide on them: promote, abort, retry, go back.\n\n"
    "[bold]Examples[/]\n\n"
    "  kubectl proctor rollout status refunds --watch\n\n"
    "  kubectl proctor rollout abort refunds\n\n"
    "  kubectl proctor rollout undo refunds --to-revision 3\n\n"
    "[bold]Exit codes[/]\n\n"
    "  of status: 0 settled or promoted · 3 rolled back, failed or aborted · 7 under way · 8 a person is needed; "
    "of the commands: 0 done · 3 refused",
    Verbs,
)


@app.callback()
def rollout() -> None:
    """See upgrades, and decide on them: promote, abort, retry, go back."""
