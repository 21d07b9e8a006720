"""A scenario: a world as it begins, what is done in it, and how long it takes to come to rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from tests.sim.world import Moment, World

Deed = Callable[[World], None]


@dataclass(frozen=True, eq=False)
class Scenario:
    """What is attacked. `stage` makes the world, and is run only once; `act` is what the operator has to cope with."""

    name: str
    stage: Callable[[], Moment]
    act: Deed
    seconds: float = 10.0
    """For how long something may still happen by itself after the act, though nothing is written meanwhile."""
    is_stepped: bool = False
    """Whether the act goes on for a while: then a fault may keep the operator from seeing what was between."""
    is_nightly: bool = False
    """Whether it is too long to be attacked after every change."""
    secrets: tuple[str, ...] = ()
    acts: Mapping[str, Deed] = field(default_factory=dict)
    """What people do at bad moments."""
    overruling: frozenset[str] = frozenset()
    """Those of them that a later step of the act would undo."""
    recreate: Deed | None = None
    """Deletes what the scenario is about and makes it again with the same name."""


def staged(make: Deed, onto: Callable[[], Moment] | None = None, *, seconds: float = 30.0) -> Callable[[], Moment]:
    """A stage: an operator is started on what was there before, `make` happens, and all comes to rest."""

    @cache
    def stage() -> Moment:
        with World() as world:
            if onto is not None:
                world.load(onto())
            make(world)
            world.start_operator()
            world.run_for(seconds)
            return world.moment()

    return stage
