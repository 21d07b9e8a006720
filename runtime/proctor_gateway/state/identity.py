"""Who bears this token? Kubernetes says so; its answer is used for a short time."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from proctor_gateway.clock import Clock
from proctor_gateway.cluster.port import Cluster
from proctor_gateway.rules.access import Identity
from proctor_gateway.rules.errors import ClusterAway, Problem, StoreAway
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.settings import Settings
from proctor_gateway.store.cluster import Review, drop_review, load_review, save_review
from proctor_gateway.store.database import Database

log = structlog.get_logger(__name__)

_LONGEST_TOKEN: Final = 16 << 10
_REFUSED_FOR: Final = timedelta(seconds=5)
_REMEMBERED: Final = 10_000


@dataclass(frozen=True)
class _Answer:
    review: Review | None
    until: datetime


@dataclass(frozen=True)
class Bearer:
    """Who it is, and whether the token was made for the gateway rather than for the API server."""

    identity: Identity
    for_gateway: bool


class Identities:
    """Asks the API server, at most once at a time for one token, and remembers a bounded number of answers."""

    def __init__(self, cluster: Cluster, database: Database, clock: Clock, settings: Settings) -> None:
        self._cluster = cluster
        self._database = database
        self._clock = clock
        self._audience: str = settings.audience
        self._ttl = timedelta(seconds=settings.review_ttl)
        self._stale = timedelta(seconds=settings.review_stale)
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._asking: dict[str, asyncio.Task[_Answer]] = {}

    async def bearer(self, authorization: str | None) -> Bearer:
        """Who sent this Authorization header. Raises Problem 401, or 503 if nobody can say."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Problem(401, Reason.UNAUTHENTICATED, "a Kubernetes token is needed: Authorization: Bearer <token>")
        if len(token) > _LONGEST_TOKEN:
            raise Problem(401, Reason.UNAUTHENTICATED, f"the token has more than {_LONGEST_TOKEN} characters")
        answer = await self._answer(token)
        if answer.review is None:
            raise Problem(401, Reason.UNAUTHENTICATED, "Kubernetes does not accept the token")
        return Bearer(answer.review.identity, answer.review.for_gateway)

    async def _answer(self, token: str) -> _Answer:
        known = hashlib.sha256(token.encode()).hexdigest()
        answer = self._answers.get(known)
        if answer is not None and self._clock.now() < answer.until:
            return answer
        asking = self._asking.get(known)
        if asking is None:
            asking = asyncio.create_task(self._ask(token, known))
            self._asking[known] = asking
            asking.add_done_callback(lambda _: self._asking.pop(known, None))
        return await asyncio.shield(asking)

    async def _ask(self, token: str, known: str) -> _Answer:
        for_gateway = self._audience in _claims(token).get("aud", ())
        try:
            identity = await self._cluster.review(token, self._audience if for_gateway else None)
        except ClusterAway as exc:
            return await self._recall(known, exc)
        now = self._clock.now()
        if identity is None:
            await self._forget(known)
            return self._remember(known, _Answer(None, now + _REFUSED_FOR))
        end = _expiry(token, now + self._stale)
        review = Review(known, identity, for_gateway, now, min(now + self._stale, end))
        await self._keep(review)
        return self._remember(known, _Answer(review, min(now + self._ttl, end)))

    async def _recall(self, known: str, away: ClusterAway) -> _Answer:
        """The last answer, while the API server is away. It is asked again soon, and never used beyond its end."""
        now = self._clock.now()
        remembered = self._answers.get(known)
        review = remembered.review if remembered else await self._database.read(lambda c: load_review(c, known))
        if review is None or now >= review.usable_until:
            raise Problem(
                503, Reason.IDENTITY_UNAVAILABLE, "the API server cannot be asked who you are", retry_after=5
            ) from away
        log.warning("an older TokenReview is used: the API server is away", username=review.identity.username)
        return self._remember(known, _Answer(review, min(now + _REFUSED_FOR, review.usable_until)))

    async def _keep(self, review: Review) -> None:
        try:
            await self._database.write(lambda c: save_review(c, review))
        except StoreAway as exc:
            log.warning("a TokenReview was not kept", cause=str(exc))

    async def _forget(self, known: str) -> None:
        """A token that was accepted before is not to be let in by that when the API server goes away."""
        try:
            if await self._database.read(lambda c: load_review(c, known)) is not None:
                await self._database.write(lambda c: drop_review(c, known))
        except StoreAway as exc:
            log.warning("a TokenReview was not forgotten", cause=str(exc))

    def _remember(self, known: str, answer: _Answer) -> _Answer:
        self._answers[known] = answer
        self._answers.move_to_end(known)
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return answer


def _claims(token: str) -> dict[str, Any]:
    """What a JWT says of itself, unproven: good for choosing a question to ask, for nothing else."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    if not isinstance(claims, dict):
        return {}
    audience = claims.get("aud", [])
    return {**claims, "aud": [audience] if isinstance(audience, str) else audience}


def _expiry(token: str, default: datetime) -> datetime:
    """When the token ends. It was proven genuine before this is asked."""
    end = _claims(token).get("exp")
    return datetime.fromtimestamp(end, UTC) if isinstance(end, int | float) else default
