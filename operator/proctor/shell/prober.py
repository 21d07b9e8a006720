"""The gateway behind the port `Prober`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import aiohttp
from pydantic import ValidationError

from proctor.api.connector import Connector
from proctor.api.meta import Report
from proctor.plan.connector import NoProbe, Probe, ProbedTool

_SLACK_SECONDS = 5.0
_LONGEST = 300


class _Tool(Report):
    name: str
    digest: str


class _Answer(Report):
    generation: int
    reachable: bool
    reason: str
    message: str
    tools: tuple[_Tool, ...] = ()
    models: tuple[str, ...] = ()
    probed_at: datetime


class GatewayProber:
    """Asks the gateway to call a system with its credential, which the operator never sees."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token_file: str) -> None:
        self._session = session
        self._url = url
        self._token_file = Path(token_file)

    async def probe(self, connector: Connector) -> Probe | NoProbe:
        """What the gateway measured, or why it could not be asked."""
        metadata = connector.metadata
        url = f"{self._url}/internal/connectors/{metadata.namespace}/{metadata.name}/probe"
        seconds = connector.spec.limits.timeout.total_seconds() + _SLACK_SECONDS
        try:
            token = self._token_file.read_text().strip()
            headers = {"Authorization": f"Bearer {token}"}
            async with self._session.post(
                url, headers=headers, timeout=aiohttp.ClientTimeout(total=seconds, connect=2)
            ) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            return NoProbe(f"the gateway at {self._url} cannot be asked: {type(exc).__name__}")
        if response.status != 200:  # noqa: PLR2004 - the only answer with a measurement
            return NoProbe(f"the gateway answered {response.status}: {text[:_LONGEST]}")
        return _read(text)


def _read(text: str) -> Probe | NoProbe:
    try:
        answer = _Answer.model_validate_json(text)
    except ValidationError:
        return NoProbe("the gateway's answer cannot be read: is it of another version?")
    return Probe(
        generation=answer.generation,
        reachable=answer.reachable,
        reason=answer.reason,
        message=answer.message,
        tools=tuple(ProbedTool(tool.name, tool.digest) for tool in answer.tools),
        models=answer.models,
        probed_at=answer.probed_at,
    )
