"""The webhook's certificates: which to make, which to serve with, which the API server is to trust. Pure.

An authority of our own signs the certificate that every replica serves with. Both are renewed at two thirds of their
lifetime. A new authority is told to the API server before anything is signed by it, and an old one stays trusted until
it ends: so at no moment does a replica, however late it reads the Secret, serve with what is not trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_SETTLE: Final = timedelta(seconds=30)
"""Between telling the API server of an authority and serving with it: its instances hear of it one by one."""
_PATIENCE: Final = timedelta(seconds=5)
_LONGEST_SLEEP: Final = timedelta(hours=1)
"""What somebody does to the Secret or to the webhook is seen after so long at the latest."""
_SKEW: Final = timedelta(minutes=5)


@dataclass(frozen=True)
class Span:
    """From when until when something is valid."""

    begins: datetime
    ends: datetime

    @property
    def due(self) -> datetime:
        """When it is to be renewed."""
        return self.begins + (self.ends - self.begins) * 2 / 3

    def holds(self, now: datetime) -> bool:
        """Whether it is valid now."""
        return self.begins <= now < self.ends


@dataclass(frozen=True)
class Authority:
    """A certificate that signs others, by its fingerprint."""

    name: str
    valid: Span


@dataclass(frozen=True)
class Serving:
    """The certificate that replicas serve with."""

    signed_by: str
    hosts: tuple[str, ...]
    valid: Span


@dataclass(frozen=True)
class Lifetimes:
    """How long what is made lasts."""

    authority: timedelta
    serving: timedelta


@dataclass(frozen=True)
class Kept:
    """What the Secret holds, oldest authority first; of the newest there is the key, too. Nothing if it is unusable."""

    authorities: tuple[Authority, ...] = ()
    serving: Serving | None = None


@dataclass(frozen=True)
class Renewal:
    """What to do now, in this order: sign anew, write the Secret, tell the API server."""

    trusted: tuple[str, ...]
    """The authorities that stay."""
    authority: Span | None
    """A new authority, which becomes the newest."""
    serving: Span | None
    """A new serving certificate, signed by the newest authority."""
    wake_at: datetime

    @property
    def is_noop(self) -> bool:
        """Whether the Secret stays as it is, but for authorities that have ended."""
        return self.authority is None and self.serving is None


def plan(kept: Kept, published: frozenset[str], hosts: tuple[str, ...], lifetimes: Lifetimes, now: datetime) -> Renewal:
    """What is to be done now. `published` are the authorities that the API server trusts already."""
    valid = tuple(each for each in kept.authorities if each.valid.holds(now))
    newest = valid[-1] if valid else None
    names = tuple(each.name for each in valid)
    if newest is None:
        authority = _span(lifetimes.authority, now)
        return Renewal((), authority, _within(lifetimes.serving, authority, now), now + _PATIENCE)
    serving = kept.serving
    serves = serving is not None and serving.hosts == hosts and serving.signed_by in names and serving.valid.holds(now)
    if newest.valid.due <= now:
        authority = _span(lifetimes.authority, now)
        # What serves stays: its authority is still trusted, and the new one not yet.
        renewed = None if serves else _within(lifetimes.serving, authority, now)
        return Renewal(names, authority, renewed, now + _PATIENCE)
    if serving is None or not serves:
        return Renewal(names, None, _within(lifetimes.serving, newest.valid, now), now + _PATIENCE)
    if serving.signed_by == newest.name and now < serving.valid.due:
        return Renewal(names, None, None, _next(now, newest.valid.due, serving.valid.due, *_ends(valid)))
    settled = newest.valid.begins + _head_start(newest.valid) + _settle(newest.valid)
    if newest.name not in published or now < settled:
        return Renewal(names, None, None, max(settled, now + _PATIENCE))
    return Renewal(names, None, _within(lifetimes.serving, newest.valid, now), now + _PATIENCE)


def _ends(authorities: tuple[Authority, ...]) -> tuple[datetime, ...]:
    return tuple(each.valid.ends for each in authorities)


def _next(now: datetime, *times: datetime) -> datetime:
    return min(now + _LONGEST_SLEEP, *(max(each, now + _PATIENCE) for each in times))


def _span(lifetime: timedelta, now: datetime) -> Span:
    # A little into the past: the API server's clock may be behind ours.
    return Span(now - min(_SKEW, lifetime / 10), now + lifetime)


def _head_start(span: Span) -> timedelta:
    return min(_SKEW, (span.ends - span.begins) / 11)


def _settle(span: Span) -> timedelta:
    return min(_SETTLE, (span.ends - span.begins) / 20)


def _within(lifetime: timedelta, authority: Span, now: datetime) -> Span:
    span = _span(lifetime, now)
    return Span(max(span.begins, authority.begins), min(span.ends, authority.ends))
