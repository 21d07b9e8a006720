"""Credentials: read rarely, renewed when refused, used on while the API server is away, shown to nobody."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from proctor.api.connector import Connector
from proctor_gateway.cluster.port import SecretUnusable
from proctor_gateway.state.credentials import Credential, Credentials
from tests.gateway import objects
from tests.gateway.memory import MemoryCluster

CONNECTOR = Connector.parse(objects.connector("llm", "Model", "http://llm/v1"))
SECRET = (objects.NAMESPACE, "llm")


@dataclass
class Safe:
    """Credentials that are read again after a minute, by a clock that is moved."""

    cluster: MemoryCluster = field(default_factory=MemoryCluster)
    time: float = 1000.0

    def __post_init__(self) -> None:
        self.cluster.secrets[SECRET] = {"token": b"first\n"}
        self.credentials = Credentials(self.cluster, 60, lambda: self.time)

    async def value(self, *, refresh: bool = False) -> str:
        """The secret, or the reason why there is none."""
        try:
            found = await self.credentials.of(CONNECTOR, refresh=refresh)
        except SecretUnusable as exc:
            return exc.reason
        assert found is not None
        return found.secret

    @property
    def reads(self) -> int:
        """How often the Secret was read."""
        return len(self.cluster.asked)


async def test_a_secret_is_read_once_a_minute():
    """White space around it is not part of it; a rotated one is used after a minute at most."""
    safe = Safe()
    assert [await safe.value() for _ in range(3)] == ["first"] * 3
    safe.cluster.secrets[SECRET] = {"token": b"second"}
    assert (await safe.value(), safe.reads) == ("first", 1)
    safe.time += 61
    assert (await safe.value(), safe.reads) == ("second", 2)


async def test_a_refused_secret_is_read_at_once():
    """And once, however many calls it was refused for."""
    safe = Safe()
    await safe.value()
    safe.cluster.secrets[SECRET] = {"token": b"second"}
    safe.time += 1
    assert set(await asyncio.gather(*(safe.value(refresh=True) for _ in range(20)))) == {"second"}
    assert safe.reads == 2


async def test_many_calls_at_once_read_once():
    """The first read is everybody's."""
    safe = Safe()
    await asyncio.gather(*(safe.value() for _ in range(20)))
    assert safe.reads == 1


async def test_a_secret_that_appears_is_found_soon():
    """A failure counts for five seconds."""
    safe = Safe()
    kept = safe.cluster.secrets.pop(SECRET)
    assert [await safe.value() for _ in range(3)] == ["SecretNotFound"] * 3
    assert safe.reads == 1
    safe.cluster.secrets[SECRET] = kept
    safe.time += 6
    assert await safe.value() == "first"


async def test_a_secret_that_is_taken_away_is_not_used_on():
    """Deleted, or no longer granted: within a minute there is no credential."""
    safe = Safe()
    await safe.value()
    safe.cluster.forbidden.add(SECRET)
    safe.time += 61
    assert await safe.value() == "SecretForbidden"


async def test_a_secret_is_used_on_while_the_api_server_is_away():
    """A key does not become wrong by that; one that was never read cannot be had."""
    safe = Safe()
    await safe.value()
    safe.cluster.go_away()
    safe.time += 3600
    assert await safe.value() == "first"
    stranger = Safe()
    stranger.cluster.go_away()
    assert await stranger.value() == "SecretNotFound"


async def test_a_connector_may_need_none():
    """Without `auth` nothing is read."""
    safe = Safe()
    body = objects.connector("llm", "Model", "http://llm/v1")
    del body["spec"]["auth"]
    assert await safe.credentials.of(Connector.parse(body)) is None
    assert safe.reads == 0


@pytest.mark.parametrize("text", [str, repr, lambda value: f"{value}"])
def test_a_credential_does_not_show_itself(text):
    """Whatever writes it down writes three stars."""
    assert text(Credential("Authorization", "Bearer ", "open-sesame")) == "Credential(Authorization: ***)"
