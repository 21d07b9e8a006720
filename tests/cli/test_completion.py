"""What may follow on a half-typed command line."""

from __future__ import annotations

import pytest

from proctor.cli.completion import Directive, Names, Offer, offer
from proctor.cli.main import VERBS
from proctor.cli.views import lexicon

NAMES = Names(
    agents=lambda: ["refunds", "summaries"],
    namespaces=lambda: ["shop", "support"],
    fields=lambda path: [f"{path.rpartition('.')[0]}.limits"] if "." in path else ["agent", "approval"],
)


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("", tuple(sorted(VERBS))),
        ("rollout re", ("resume", "retry")),
        ("rollout undo -n support re", ("refunds",)),
        ("rollout undo refunds ", ()),
        ("st", ("status",)),
        ("status ", ("refunds", "summaries")),
        ("status -n support re", ("refunds",)),
        ("-n support logs s", ("summaries",)),
        ("status refunds ", ()),
        ("status -n s", ("shop", "support")),
        ("status -o j", ("json",)),
        ("explain ag", ("agent", "agent/")),
        ("explain agent.spec.", ("agent.spec.limits",)),
        ("explain agent/re", ("agent/refunds",)),
        ("plan -f x.yaml ", ()),
    ],
)
def test_what_may_follow_is_offered(line: str, candidates: tuple[str, ...]) -> None:
    """Verbs, agents, namespaces, formats and fields, each where it may stand."""
    assert offer(line.split(" "), NAMES).candidates == candidates


@pytest.mark.parametrize(
    ("line", "directive"),
    [
        ("plan -f ", Directive.FILES),
        ("status --kubeconfig ", Directive.FILES),
        ("explain agent.spec.", Directive.NO_SPACE),
    ],
)
def test_the_shell_is_told_how_to_go_on(line: str, directive: Directive) -> None:
    """Files where a file is named; no blank behind a field that may have fields of its own."""
    assert offer(line.split(" "), NAMES).directive is directive


def test_nobody_is_asked_in_vain() -> None:
    """For a verb no cluster is needed."""

    def never() -> list[str]:
        raise AssertionError

    assert offer(["pl"], Names(never, never, lambda _: never())) == Offer(("plan",))


def test_every_kind_can_be_completed() -> None:
    """By the name that `explain` takes."""
    for kind in lexicon.all_kinds():
        assert lexicon.explain(kind.name.lower())
