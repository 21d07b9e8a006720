"""Which cluster to use, and why: decided from what each way of having one offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proctor_cluster.errors import NoClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proctor_cluster.settings import Provider


@dataclass(frozen=True)
class Offer:
    """One way of having a cluster. It can be taken when it lacks nothing."""

    provider: Provider
    reason: str
    lacks: tuple[str, ...] = ()
    is_asked_for: bool = False
    is_running: bool = False


@dataclass(frozen=True)
class Choice:
    """The offer that is taken, and the sentence that says why."""

    offer: Offer
    why: str


def choose(offers: Sequence[Offer], wanted: Provider | None = None) -> Choice:
    """Take what was asked for; else what already runs; else the first offer that lacks nothing.

    A cluster that was asked for and cannot be had is an error, never a reason to take another: the tests would run
    somewhere the person did not mean. Raises NoClusterError with what each way lacks.
    """
    asked = [offer for offer in offers if offer.provider == wanted or (wanted is None and offer.is_asked_for)]
    if asked:
        return Choice(_whole(asked), f"asked for: {asked[0].reason}")
    whole = [offer for offer in offers if not offer.lacks]
    running = [offer for offer in whole if offer.is_running]
    if running:
        return Choice(running[0], f"already running: {running[0].reason}")
    return Choice(_whole(whole or offers), (whole or offers)[0].reason)


def _whole(offers: Sequence[Offer]) -> Offer:
    if offers[0].lacks:
        raise NoClusterError("\n".join(["no Kubernetes can be had here:", *map(_what_is_missing, offers)]))
    return offers[0]


def _what_is_missing(offer: Offer) -> str:
    return f"  {offer.provider}: missing {'; '.join(offer.lacks)}"
