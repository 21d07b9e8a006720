"""What calls to models and to tools have in common: who calls, what is left of the time, what is sent along."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from proctor.api.connector import Connector
from proctor_gateway.cluster.known import Key
from proctor_gateway.state.credentials import Credential, Credentials
from proctor_gateway.tokens import Claims
from proctor_gateway.trace import Span

T = TypeVar("T")

_LEAST_SECONDS = 0.05


@dataclass(frozen=True)
class Caller:
    """An attempt that calls out, and its place in the trace."""

    claims: Claims
    span: Span

    @property
    def agent(self) -> Key:
        """The agent whose attempt it is."""
        return Key(self.claims.namespace, self.claims.agent)


def seconds_left(connector: Connector, deadline: datetime, now: datetime) -> float:
    """How long a call may take: what the connector allows, and no longer than the task."""
    left = (deadline - now).total_seconds()
    return max(_LEAST_SECONDS, min(connector.spec.limits.timeout.total_seconds(), left))


async def with_credential(
    credentials: Credentials,
    connector: Connector,
    send: Callable[[Credential | None], Awaitable[T]],
    is_refused: Callable[[T], bool],
) -> T:
    """Send with the connector's credential; if it is refused and a newer one is there, send once more with that.

    Only a refusal is answered so: it says that nothing was done. Raises SecretUnusable.
    """
    credential = await credentials.of(connector)
    answer = await send(credential)
    if credential is None or not is_refused(answer):
        return answer
    fresh = await credentials.of(connector, refresh=True)
    return answer if fresh == credential else await send(fresh)
