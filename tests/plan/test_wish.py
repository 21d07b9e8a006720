"""What is wanted: by the spec, or by a person who went back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proctor.api import names
from proctor.api.agent import Agent
from proctor.api.progress import RevisionStatus
from proctor.delivery.facts import Verb
from proctor.plan import children, revision
from proctor.plan.wish import Wish, wish_of
from proctor.plan.world import World
from tests.plan import examples
from tests.plan.examples import T0


def world_of(said: str | None = None, handled: str | None = None, **revisions: Any) -> World:
    """An Agent whose older revision is recorded, and on which somebody said something."""
    older = examples.world(examples.agent(instructions="Older."))
    bundle = revision.of_spec(older, "Older.")
    record = children.make_controller_revision(older.agent, bundle, 1)
    body = examples.agent_body(status={"lastHandledCommand": handled} if handled else None)
    if said:
        body["metadata"]["annotations"] = {names.COMMAND: said}
    agent = Agent.parse(body)
    status = agent.status.model_copy(update={"revision": RevisionStatus(**revisions)})
    return replace(examples.world(agent.model_copy(update={"status": status})), children=(record,))


OLDER = revision.of_spec(examples.world(examples.agent(instructions="Older.")), "Older.").hash
OWN = revision.of_spec(examples.world(), "You decide refunds.").hash


def told(wish: Wish) -> list[str]:
    """The reasons of what is told."""
    return [each.reason for each in wish.told]


def test_without_a_word_the_spec_is_wanted() -> None:
    """Its own revision, by its steps."""
    wish = wish_of(world_of(), T0)
    assert (wish.wanted.revision, wish.wanted.skips_steps, wish.command) == (OWN, False, None)


def test_a_command_is_new_once() -> None:
    """What the status names as handled is not done again."""
    said = f"abort@{OWN}/n1"
    fresh = wish_of(world_of(said), T0)
    assert fresh.command is not None
    assert (fresh.command.verb, fresh.command.revision, fresh.said) == (Verb.ABORT, OWN, said)
    assert wish_of(world_of(said, handled=said), T0).command is None


@pytest.mark.parametrize("said", ["abort", f"abort@{OWN}", f"destroy@{OWN}/n1", "abort@xyz/n1", "abort@/n1"])
def test_what_is_no_command_is_refused(said: str) -> None:
    """The refusal says what a command looks like, and it is handled with that."""
    wish = wish_of(world_of(said), T0)
    assert wish.command is None
    assert told(wish) == ["CommandRefused"]
    assert wish.said == said


def test_undo_wants_the_whole_older_bundle() -> None:
    """The recorded one, not the spec's."""
    wish = wish_of(world_of(f"undo@{OLDER}/n1", stable=OWN, served=(OWN, OLDER)), T0)
    assert wish.wanted.revision == OLDER
    assert wish.known[OLDER].spec["instructions"] == "Older."
    assert (wish.undone.undone_to, wish.undone.undone_from) == (OLDER, OWN)
    assert wish.wanted.skips_steps


@pytest.mark.parametrize(
    ("served", "skips"),
    [((OWN, OLDER), True), ((OWN,), False), ((OWN, "1" * 10, "2" * 10, "3" * 10, OLDER), False)],
    ids=["served before", "never served", "long ago"],
)
def test_only_what_served_lately_skips_the_steps(served: tuple[str, ...], skips: bool) -> None:
    """A revision that was refused is recorded too, and must not come back by the back door."""
    wish = wish_of(world_of(f"undo@{OLDER}/n1", stable=OWN, served=served), T0)
    assert wish.wanted.revision == OLDER
    assert wish.wanted.skips_steps is skips


def test_going_back_holds_until_the_spec_changes() -> None:
    """And no longer: what Git says next is wanted again."""
    held = wish_of(world_of(undone_to=OLDER, undone_from=OWN), T0)
    assert held.wanted.revision == OLDER
    changed = wish_of(world_of(undone_to=OLDER, undone_from="9" * 10), T0)
    assert changed.wanted.revision == OWN
    assert changed.undone == RevisionStatus()


def test_undo_to_the_specs_own_ends_it() -> None:
    """The spec holds again."""
    wish = wish_of(world_of(f"undo@{OWN}/n2", undone_to=OLDER, undone_from=OWN), T0)
    assert wish.wanted.revision == OWN
    assert wish.undone == RevisionStatus()


def test_a_revision_that_is_not_recorded_cannot_be_gone_back_to() -> None:
    """It says so."""
    wish = wish_of(world_of(f"undo@{'f' * 10}/n1"), T0)
    assert wish.wanted.revision == OWN
    assert told(wish) == ["CommandRefused"]
