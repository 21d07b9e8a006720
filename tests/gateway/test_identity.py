"""Who bears a token, asked rarely and remembered for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from proctor.api import names
from proctor_gateway.rules.access import Identity
from proctor_gateway.rules.errors import Problem
from proctor_gateway.state.identity import Identities
from proctor_gateway.store.database import Database
from proctor_gateway.store.migrate import migrate
from tests.gateway import objects
from tests.gateway.house import settings
from tests.gateway.memory import MemoryCluster
from tests.gateway.still_clock import T0, StillClock

WEB = Identity(objects.CALLER)


@dataclass
class Desk:
    """Identities, and what they are asked of."""

    identities: Identities
    cluster: MemoryCluster
    clock: StillClock

    async def who(self, token: str) -> str:
        """The username, or the reason why there is none."""
        try:
            return (await self.identities.bearer(f"Bearer {token}")).identity.username
        except Problem as exc:
            return exc.reason

    def restart(self, directory: Path) -> None:
        """Forget what only the process knew."""
        self.identities = Identities(self.cluster, self.identities._database, self.clock, settings(directory))

    @property
    def reviews(self) -> int:
        """How often the API server was asked."""
        return sum(asked[0] == "review" for asked in self.cluster.asked)


def issued(cluster: MemoryCluster, *, seconds: float = 3600, **claims: Any) -> str:
    """A token that the cluster accepts and that ends after so long."""
    token = objects.token("web", names.AUDIENCE, exp=int((T0 + timedelta(seconds=seconds)).timestamp()), **claims)
    cluster.tokens[token] = (WEB, names.AUDIENCE)
    return token


@pytest.fixture
async def desk(directory: Path) -> AsyncIterator[Desk]:
    """A desk with an empty memory: answers count for 60 s, and for 600 s while the API server is away."""
    database = Database(f"sqlite:///{directory}/store.db")
    async with database.running():
        await migrate(database)
        cluster, clock = MemoryCluster(), StillClock()
        yield Desk(Identities(cluster, database, clock, settings(directory)), cluster, clock)


async def test_an_answer_counts_for_a_minute(desk: Desk):
    """Within it the API server is not asked again; after it, it is."""
    token = issued(desk.cluster)
    assert [await desk.who(token) for _ in range(3)] == [objects.CALLER] * 3
    assert desk.reviews == 1
    desk.clock.time += timedelta(seconds=61)
    del desk.cluster.tokens[token]
    assert await desk.who(token) == "Unauthenticated"


async def test_an_answer_does_not_outlive_the_token(desk: Desk):
    """A token that ends in ten seconds is asked about again after them."""
    token = issued(desk.cluster, seconds=10)
    assert await desk.who(token) == objects.CALLER
    del desk.cluster.tokens[token]
    desk.clock.time += timedelta(seconds=11)
    assert await desk.who(token) == "Unauthenticated"


async def test_a_refusal_counts_for_a_moment(desk: Desk):
    """Guessing does not become a load on the API server; a token that becomes valid is heard soon."""
    token = issued(desk.cluster)
    kept = desk.cluster.tokens.pop(token)
    assert [await desk.who(token) for _ in range(3)] == ["Unauthenticated"] * 3
    assert desk.reviews == 1
    desk.cluster.tokens[token] = kept
    desk.clock.time += timedelta(seconds=6)
    assert await desk.who(token) == objects.CALLER


async def test_many_questions_at_once_are_one(desk: Desk):
    """A hundred requests with one new token ask once."""
    token = issued(desk.cluster)
    assert set(await asyncio.gather(*(desk.who(token) for _ in range(100)))) == {objects.CALLER}
    assert desk.reviews == 1


AWAY = {
    "soon after": (300, 3600, objects.CALLER),
    "too long after": (601, 3600, "IdentityUnavailable"),
    "after the token's end": (300, 200, "IdentityUnavailable"),
}


@pytest.mark.parametrize(("later", "life", "expected"), AWAY.values(), ids=AWAY)
@pytest.mark.parametrize("restarted", [False, True], ids=["the same process", "a restarted one"])
async def test_while_the_api_server_is_away(desk: Desk, later, life, expected, restarted, directory: Path):
    """An older answer is used for ten minutes at most, never beyond the token's end, also by a restarted gateway."""
    token = issued(desk.cluster, seconds=life)
    assert await desk.who(token) == objects.CALLER
    desk.cluster.go_away()
    desk.clock.time += timedelta(seconds=later)
    if restarted:
        desk.restart(directory)
    assert await desk.who(token) == expected


async def test_a_stranger_is_not_let_in_while_the_api_server_is_away(desk: Desk):
    """Nobody can say who it is: 503, not 401, and never yes."""
    desk.cluster.go_away()
    assert await desk.who(issued(desk.cluster)) == "IdentityUnavailable"


@pytest.mark.parametrize("restarted", [False, True], ids=["the same process", "a restarted one"])
async def test_a_token_that_is_refused_is_not_remembered_as_accepted(desk: Desk, restarted, directory: Path):
    """A refusal takes the place of an older acceptance, also when the API server goes away afterwards."""
    token = issued(desk.cluster)
    assert await desk.who(token) == objects.CALLER
    del desk.cluster.tokens[token]
    desk.clock.time += timedelta(seconds=61)
    assert await desk.who(token) == "Unauthenticated"
    desk.cluster.go_away()
    desk.clock.time += timedelta(seconds=6)
    if restarted:
        desk.restart(directory)
    assert await desk.who(token) == "IdentityUnavailable"
