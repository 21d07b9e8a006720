"""Trials that the operator asks for: exams, and finished tasks that are run again on two revisions."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proctor.api import digest
from proctor_gateway.context import Context
from proctor_gateway.driving.trials import Trials
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Purpose
from proctor_gateway.server.answers import body_of, json_response, parsed_object
from proctor_gateway.server.operator import agent_of, check_operator
from proctor_gateway.store import trials as store
from proctor_gateway.store.reports import report
from proctor_gateway.store.trials import Run

_PATH: Final = "/internal/agents/{namespace}/{agent}/trials/{batch}"
_MOST: Final = 5000
_LONGEST_NAME: Final = 253

Revision = Annotated[str, Field(min_length=1, max_length=63)]
Stubs = Annotated[dict[Annotated[str, Field(pattern=r"^[^/]+/.+$", max_length=320)], Any], Field(max_length=256)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class _Trial(_Form):
    key: Annotated[str, Field(min_length=1, max_length=253)]
    input: Any
    conversation: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    stubs: Stubs = {}


class _Asked(_Form):
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None
    concurrency: Annotated[int, Field(ge=1, le=100)] = 4
    stubs: Stubs = {}


class _Exam(_Asked):
    purpose: Literal[Purpose.EVALS]
    revision: Revision
    trials: Annotated[list[_Trial], Field(max_length=_MOST)]


class _Replay(_Asked):
    purpose: Literal[Purpose.REPLAY]
    revisions: Annotated[tuple[Revision, ...], Field(min_length=2, max_length=2)]
    """The one whose tasks are run again, and the one that is compared with it."""
    tasks: Annotated[int, Field(ge=1, le=_MOST // 2)] = 100


_FORMS: Final[TypeAdapter[_Exam | _Replay]] = TypeAdapter(Annotated[_Exam | _Replay, Field(discriminator="purpose")])


class TrialsEndpoint:
    """The handlers."""

    def __init__(self, context: Context, trials: Trials, instance: str) -> None:
        self._context = context
        self._trials = trials
        self._instance = instance

    def routes(self) -> list[Route]:
        """Their paths."""
        return [Route(_PATH, self.put, methods=["PUT"]), Route(_PATH, self.get, methods=["GET"])]

    async def put(self, request: Request) -> Response:
        """Have trials run. The same batch may be sent as often as one likes; another one under its name is refused."""
        await check_operator(self._context, request, "have trials run")
        agent, name = agent_of(self._context, request), request.path_params["batch"]
        settings = self._context.settings
        body = parsed_object(await body_of(request, settings.max_body, settings.body_timeout))
        asked = _form_of(body)
        if len(name) > _LONGEST_NAME:
            raise Problem(400, Reason.INVALID_REQUEST, f"the batch's name has more than {_LONGEST_NAME} characters")
        now = self._context.clock.now()
        batch = store.Batch(
            namespace=agent.metadata.namespace,
            agent=agent.metadata.name,
            name=name,
            purpose=asked.purpose,
            digest=digest.sha256(body),
            timeout=asked.timeout_seconds,
            concurrency=asked.concurrency,
            stubs=asked.stubs,
            created_at=now,
        )

        def write(connection: sa.Connection) -> bool:
            return store.add(connection, batch, _runs(connection, batch, asked), self._instance)

        if not await self._context.database.write(write):
            raise Problem(409, Reason.IDEMPOTENCY_CONFLICT, f"batch {name} was asked for with another body")
        self._trials.look()
        return json_response({"batch": name, "purpose": asked.purpose}, 202)

    async def get(self, request: Request) -> Response:
        """What came of a batch so far."""
        await check_operator(self._context, request, "read trials")
        path = request.path_params

        def read(connection: sa.Connection) -> dict[str, Any] | None:
            batch = store.get(connection, path["namespace"], path["agent"], path["batch"])
            return report(connection, batch) if batch is not None else None

        found = await self._context.database.read(read)
        if found is None:
            raise Problem(404, Reason.NOT_FOUND, f"there is no batch {path['batch'][:64]!r}")
        return json_response(found)


def _form_of(body: dict[str, Any]) -> _Exam | _Replay:
    try:
        return _FORMS.validate_python(body)
    except ValidationError as exc:
        faults = "; ".join(
            f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in exc.errors(include_input=False)[:8]
        )
        raise Problem(400, Reason.INVALID_REQUEST, f"not a batch of trials: {faults}") from exc


def _runs(connection: sa.Connection, batch: store.Batch, asked: _Exam | _Replay) -> list[Run]:
    """What is to be run: the trials that were sent, or what the store holds of the first revision, on both."""
    if isinstance(asked, _Exam):
        return [Run(each.key, asked.revision, each.input, each.conversation, each.stubs) for each in asked.trials]
    stable, candidate = asked.revisions
    found = store.originals(connection, batch.namespace, batch.agent, stable, asked.tasks, batch.created_at)
    # Side by side, so that both run at the same time of day, whatever the load is.
    pairs = [(run, Run(run.key, candidate, run.input, run.conversation, None, run.original)) for run in found]
    return [run for pair in pairs for run in pair]
