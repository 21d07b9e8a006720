"""The one client of the gateway's internal API. What goes wrong is an answer (`NoAnswer`), never an exception."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, ValidationError

from proctor.api.fields import format_time
from proctor.delivery.exam import Question
from proctor.plan.indications import IndicatorsAnswer
from proctor.plan.reports import FindingsAnswer
from proctor.plan.said import Batch, Finished, Judged, NoAnswer, Outcomes, Traffic, Trials, Watched
from proctor.plan.spending import UsageAnswer
from proctor.shell.cache import Key

SECONDS = 10.0
"""What a read of the gateway's own store may take."""

_COUNT_SECONDS = 60.0
_JUDGE_SECONDS = 120.0
_CONNECT_SECONDS = 2.0
_LONGEST = 300
_PAGE = 1000
_NOT_FOUND, _TOO_MANY, _SERVER = 404, 429, 500

_Said = TypeVar("_Said", bound=BaseModel)


class GatewayClient:
    """Asks the gateway, with the operator's own token, which is read anew for each request: it rotates."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token_file: str) -> None:
        self._session = session
        self._url = url
        self._token_file = Path(token_file)

    async def outcomes(self, namespace: str, name: str, rollout: str, after: int) -> Outcomes | NoAnswer:
        """The live tasks of a rollout after an assignment number, at most a thousand, in the order of assignment."""
        query = {"rollout": rollout, "after": str(after), "limit": str(_PAGE)}
        return await self.ask(Outcomes, "GET", _path(namespace, name, "outcomes"), query=query)

    async def findings(self) -> FindingsAnswer | NoAnswer:
        """What policies found in the calls of all agents in the last week."""
        return await self.ask(FindingsAnswer, "GET", "/internal/findings")

    async def traffic(self, namespace: str, name: str) -> Traffic | NoAnswer:
        """What the gateways do now."""
        return await self.ask(Traffic, "GET", _path(namespace, name, "traffic"))

    async def finished(self, namespace: str, name: str, watched: Watched) -> Finished | NoAnswer:
        """The live tasks of a revision that have ended since then, at most a thousand, in the order of their ends."""
        query = {
            "revision": watched.revision,
            "since": format_time(watched.since),
            "after": watched.cursor,
            "limit": str(_PAGE),
        }
        return await self.ask(Finished, "GET", _path(namespace, name, "finished"), query=query)

    async def begin(self, namespace: str, name: str, batch: Batch) -> NoAnswer | None:
        """Has a batch of trials run, once however often it is asked for; None if it is taken."""
        path = _path(namespace, name, "trials", batch.name)
        answer = await self._send("PUT", path, body=batch.body)
        return answer if isinstance(answer, NoAnswer) else None

    async def trials(self, namespace: str, name: str, batch: str) -> Trials | NoAnswer:
        """What came of a batch so far."""
        return await self.ask(Trials, "GET", _path(namespace, name, "trials", batch))

    async def indicators(self, body: dict[str, Any]) -> IndicatorsAnswer | NoAnswer:
        """What was counted for the objectives of many agents. It looks at every task within their windows."""
        return await self.ask(IndicatorsAnswer, "POST", "/internal/indicators", body=body, seconds=_COUNT_SECONDS)

    async def usage(self, agents: Sequence[Key]) -> UsageAnswer | NoAnswer:
        """What these agents have used."""
        body = {"agents": [{"namespace": each.namespace, "name": each.name} for each in agents]}
        return await self.ask(UsageAnswer, "POST", "/internal/usage", body=body)

    async def judge(self, namespace: str, name: str, question: Question) -> Judged | NoAnswer:
        """What a judging model says of an answer; the gateway has the credential for it."""
        body = {"connector": question.connector, "model": question.model, "messages": list(question.messages)}
        return await self.ask(Judged, "POST", _path(namespace, name, "judge"), body=body, seconds=_JUDGE_SECONDS)

    async def ask(
        self,
        kind: type[_Said],
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        seconds: float = SECONDS,
    ) -> _Said | NoAnswer:
        """An answer of that kind. `path` begins with /internal."""
        text = await self._send(method, path, query=query, body=body, seconds=seconds)
        if isinstance(text, NoAnswer):
            return text
        try:
            return kind.model_validate_json(text)
        except ValidationError:
            return NoAnswer("the gateway's answer cannot be read: is it of another version?")

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        seconds: float = SECONDS,
    ) -> str | NoAnswer:
        data = None if body is None else json.dumps(body).encode()
        timeout = aiohttp.ClientTimeout(total=seconds, connect=_CONNECT_SECONDS)
        try:
            headers = {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}
            if data is not None:
                headers["Content-Type"] = "application/json"
            async with self._session.request(
                method, self._url + path, params=query, data=data, headers=headers, timeout=timeout
            ) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError) as exc:
            return NoAnswer(f"the gateway at {self._url} cannot be asked: {type(exc).__name__}")
        return text if response.ok else _refusal(response.status, text)


def _refusal(status: int, text: str) -> NoAnswer:
    is_refused = status < _SERVER and status not in {_NOT_FOUND, _TOO_MANY}
    return NoAnswer(f"the gateway answered {status}: {text[:_LONGEST]}", is_refused, status == _NOT_FOUND)


def _path(*parts: str) -> str:
    return "/internal/agents/" + "/".join(quote(part, safe="") for part in parts)
