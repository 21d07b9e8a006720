"""A model that judges an answer for an exam: asked by the operator, with the credential that only the gateway has.

It is no call of the agent's: it passes no policy of its, and is charged to nobody's budget but told with its cost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proctor.api.connector import Connector, ConnectorType
from proctor_gateway.calling import with_credential
from proctor_gateway.cluster.port import SecretUnusable
from proctor_gateway.context import Context
from proctor_gateway.rules.errors import Denied, Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import money
from proctor_gateway.state.credentials import Credential
from proctor_gateway.upstream import model
from proctor_gateway.upstream.http import Patience, UpstreamFailed

_OK: Final = 200
_UNAUTHORIZED: Final = (401, 403)
_NOT_OURS: Final = {"stream", "stream_options", "tools"}


class Question(BaseModel):
    """What the operator sends. Other fields go to the model as they are."""

    model_config = ConfigDict(frozen=True, extra="allow")

    connector: Annotated[str, Field(min_length=1, max_length=253)]
    model: Annotated[str, Field(min_length=1, max_length=256)]
    messages: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=64)]


def question_of(body: Mapping[str, Any]) -> Question:
    """Raises Problem 400."""
    wrong = sorted(_NOT_OURS & set(body))
    if wrong:
        raise Problem(400, Reason.INVALID_REQUEST, f"a judge is asked without {', '.join(wrong)}")
    try:
        return Question.model_validate(body)
    except ValidationError as exc:
        faults = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in exc.errors(include_input=False)
        )
        raise Problem(400, Reason.INVALID_REQUEST, f"not a question for a judge: {faults[:500]}") from exc


async def judged(context: Context, namespace: str, question: Question) -> dict[str, Any]:
    """The judge's words and what they cost. Raises Problem: 404 without the connector, 502 if there is no answer."""
    connector = context.known.connector(namespace, question.connector)
    if connector is None or connector.is_deleting or connector.spec.type is not ConnectorType.MODEL:
        raise Problem(404, Reason.NOT_FOUND, f"there is no Connector {namespace}/{question.connector} of type Model")
    try:
        async with context.gates.turn(connector):
            status, body = await _asked(context, connector, question)
    except (UpstreamFailed, SecretUnusable, Denied) as exc:
        raise Problem(502, exc.reason, f"{question.connector}: {exc.message}", retry_after=5) from exc
    parsed = model.parsed(body) if status == _OK else None
    text = model.text_of(parsed)
    if parsed is None or text is None:
        raise Problem(
            502, Reason.MODEL_UNAVAILABLE, f"{question.connector} answers {status} without a text", retry_after=5
        )
    used = model.consumed(parsed.get("usage"), connector.spec.price(question.model))
    return {"text": text, "cost": money(used.cost)}


async def _asked(context: Context, connector: Connector, question: Question) -> tuple[int, bytes]:
    url = connector.spec.url.rstrip("/") + "/chat/completions"
    asked = json.dumps(question.model_dump(exclude={"connector"}), ensure_ascii=False).encode()
    seconds = connector.spec.limits.timeout.total_seconds()
    patience = Patience(context.settings.connect_timeout, seconds, seconds)

    async def send(credential: Credential | None) -> tuple[int, bytes]:
        headers = {
            "content-type": "application/json",
            "accept": "application/json",
            **(credential.headers if credential else {}),
        }
        async with context.models.request("POST", url, headers, asked, patience) as response:
            return response.status, await response.body(context.settings.max_answer)

    return await with_credential(context.credentials, connector, send, lambda found: found[0] in _UNAUTHORIZED)
