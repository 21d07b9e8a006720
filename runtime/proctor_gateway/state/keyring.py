"""The tokens of this process, with keys that follow the store: replicas make new ones at any time."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import structlog

from proctor_gateway.clock import Clock
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.store import keys
from proctor_gateway.store.database import Database
from proctor_gateway.tokens import Claims, SigningKey, Tokens, UnknownKey

log = structlog.get_logger(__name__)

_RENEWED_EVERY = 3600.0
_LOOKED_UP_EVERY = timedelta(seconds=2)


class Keyring:
    """Mints and reads task tokens."""

    def __init__(self, database: Database, clock: Clock, tokens: Tokens) -> None:
        self._database = database
        self._clock = clock
        self._tokens = tokens
        self._renewed_at = clock.now()
        self._renewing = asyncio.Lock()

    def mint(self, claims: Claims) -> str:
        """A token with these claims."""
        return self._tokens.mint(claims, self._clock.now())

    async def read(self, token: str) -> Claims:
        """The claims of a genuine token that has not expired. Raises TokenError.

        A key that is not known is looked up, but not more often than every two seconds: nobody can make us ask.
        """
        now = self._clock.now()
        try:
            return self._tokens.read(token, now)
        except UnknownKey:
            async with self._renewing:
                if now < self._renewed_at + _LOOKED_UP_EVERY:
                    raise
                await self.renew(now)
        return self._tokens.read(token, now)

    async def renew(self, now: datetime) -> None:
        """Take the store's keys, and add one if the newest is old."""
        self._renewed_at = now
        fresh = SigningKey.generate()
        self._tokens.renew(*await self._database.write(lambda c: keys.ensure(c, fresh, now)))

    async def follow(self) -> None:
        """Never returns: renews the keys once an hour."""
        while True:
            await asyncio.sleep(_RENEWED_EVERY)
            try:
                await self.renew(self._clock.now())
            except StoreAway as exc:
                log.warning("the keys are not renewed: the store is away", cause=str(exc))
