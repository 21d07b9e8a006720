"""The gateway's record, as the operator uses it: told of decisions, and asked for checkpoints and proofs."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from proctor.api.meta import Report
from proctor.plan.records import Told
from proctor.plan.said import NoAnswer
from proctor.shell.gateway import GatewayClient

_BATCH_SECONDS = 30.0


class LogSaid(Report):
    """A log, as the gateway describes it."""

    id: str
    origin: str
    verifier: str
    state: str
    signed_size: int

    @property
    def is_closed(self) -> bool:
        """Whether it grows no more."""
        return self.state != "Open"


class _Logs(Report):
    items: tuple[LogSaid, ...] = ()


class _Proof(Report):
    proof: tuple[str, ...] = ()


class RecordClient(GatewayClient):
    """Asks the gateway of its record. Never raises: what goes wrong is an answer."""

    async def logs(self) -> Sequence[LogSaid] | NoAnswer:
        """All logs that are kept."""
        answer = await self.ask(_Logs, "GET", "/internal/logs")
        return answer if isinstance(answer, NoAnswer) else answer.items

    async def checkpoint(self, log: str) -> str | NoAnswer:
        """The log's newest signed checkpoint."""
        return await self._send("GET", f"/internal/logs/{log}/checkpoint")

    async def consistency(self, log: str, old: int, new: int) -> list[bytes] | NoAnswer:
        """The proof that the log at one size begins with the log at another."""
        query = {"old": str(old), "new": str(new)}
        answer = await self.ask(_Proof, "GET", f"/internal/logs/{log}/consistency", query=query)
        if isinstance(answer, NoAnswer):
            return answer
        try:
            return [base64.b64decode(each, validate=True) for each in answer.proof]
        except ValueError:
            return NoAnswer("the gateway's proof is not base64")

    async def tell(self, told: Sequence[Told]) -> NoAnswer | None:
        """Have these in the record; None when they are, durably."""
        body = {"records": [each.dump() for each in told]}
        answer = await self._send("POST", "/internal/records", body=body, seconds=_BATCH_SECONDS)
        return answer if isinstance(answer, NoAnswer) else None
