"""The record for the operator and for auditors: tiles of logs, proofs, and records of decisions taken in."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proctor.audit.canonical import NotCanonical
from proctor.audit.notes import unchecked
from proctor.audit.proofs import Proof
from proctor.audit.records import Draft, EventType
from proctor.audit.tiles import NoTile, Tile
from proctor_gateway.context import Context
from proctor_gateway.record import payloads, reading
from proctor_gateway.record.pending import desk, record
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import instant
from proctor_gateway.server.answers import body_of, json_response, parsed
from proctor_gateway.server.operator import check_operator

_MOST: Final = 500
_LONG_LIVED: Final = "private, max-age=31536000, immutable"
_DECISIONS: Final = frozenset(
    {
        EventType.CONFIG_CHANGED,
        EventType.ROLLOUT_STEP,
        EventType.ROLLOUT_ROLLBACK,
        EventType.ROLLOUT_PROMOTE,
        EventType.STATE_CHANGED,
        EventType.WORKFLOW_TRANSITION,
        EventType.SUSPEND,
        EventType.KILL,
        EventType.APPROVAL_REQUESTED,
        EventType.APPROVAL_DECIDED,
    }
)


class Decision(BaseModel):
    """A decision that the operator tells of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(min_length=8, max_length=128)]
    type: EventType
    at: AwareDatetime
    fields: dict[str, Any]

    def draft(self) -> Draft:
        """The record of it. Raises Problem."""
        if self.type not in _DECISIONS:
            raise Problem(422, Reason.INVALID_REQUEST, f"{self.type} is not the operator's to record")
        try:
            return Draft(self.type, self.at, {**self.fields, "source": "operator"}, self.id).checked()
        except NotCanonical as exc:
            raise Problem(422, Reason.INVALID_REQUEST, f"record {self.id}: {exc}") from exc


class _Decisions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    records: Annotated[list[Decision], Field(max_length=_MOST)]


class RecordEndpoint:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        """The routes."""
        log = "/internal/logs/{log}"
        return [
            Route("/internal/logs", self.logs, methods=["GET"]),
            Route(f"{log}/checkpoint", self.checkpoint, methods=["GET"]),
            Route(f"{log}/checkpoints", self.checkpoints, methods=["GET"]),
            Route(f"{log}/consistency", self.consistency, methods=["GET"]),
            Route(f"{log}/inclusion", self.inclusion, methods=["GET"]),
            Route(f"{log}/records", self.records, methods=["GET"]),
            Route(f"{log}/{{tile:path}}", self.tile, methods=["GET"]),
            Route("/internal/records", self.take, methods=["POST"]),
            Route("/internal/payloads/{payload}", self.payload, methods=["GET"]),
            Route("/internal/subjects", self.subject, methods=["POST"]),
            Route("/internal/subjects/{subject}", self.erase, methods=["DELETE"]),
        ]

    async def logs(self, request: Request) -> Response:
        """All logs that are kept."""
        await self._check(request)
        found = await self._context.database.read(reading.logs)
        return json_response({"items": [_shown(each) for each in found]})

    async def checkpoint(self, request: Request) -> Response:
        """The newest signed checkpoint."""
        await self._check(request)
        name = request.path_params["log"]
        note = await self._context.database.read(lambda c: reading.newest_checkpoint(c, name))
        if note is None:
            raise Problem(404, Reason.NOT_FOUND, f"no checkpoint of a log {name} is signed yet", retry_after=1)
        return Response(note, media_type="text/plain", headers={"cache-control": "no-cache"})

    async def checkpoints(self, request: Request) -> Response:
        """The signed checkpoints after a size."""
        await self._check(request)
        name, after = request.path_params["log"], _number(request, "after", 0)
        found = await self._context.database.read(lambda c: reading.notes(c, name, after, _MOST))
        return json_response({"items": list(found)})

    async def consistency(self, request: Request) -> Response:
        """The proof that the log at one size begins with the log at another."""
        await self._check(request)
        name, old, new = request.path_params["log"], _number(request, "old"), _number(request, "new")
        proof = await self._proof(lambda c: reading.consistency(c, name, old, new))
        return json_response({"old": old, "new": new, "proof": [base64.b64encode(each).decode() for each in proof]})

    async def inclusion(self, request: Request) -> Response:
        """The proof that a record is in the log, with the newest checkpoint: C2SP's tlog-proof."""
        await self._check(request)
        name, seq = request.path_params["log"], _number(request, "seq")
        note = await self._context.database.read(lambda c: reading.newest_checkpoint(c, name))
        if note is None:
            raise Problem(404, Reason.NOT_FOUND, f"no checkpoint of a log {name} is signed yet", retry_after=1)
        size = unchecked(note).size
        path = await self._proof(lambda c: reading.inclusion(c, name, seq, size))
        return Response(str(Proof(seq, tuple(path), note)), media_type="text/plain")

    async def records(self, request: Request) -> Response:
        """Records that match, as their lines."""
        await self._check(request)
        query = request.query_params
        wanted = reading.Wanted(
            request.path_params["log"],
            _number(request, "first", 0),
            min(_number(request, "limit", _MOST), _MOST),
            *(query.get(each) for each in ("namespace", "agent", "task", "type")),
        )
        found = await self._context.database.read(lambda c: reading.matching(c, wanted))
        return json_response({"items": [each.decode() for each in found]})

    async def tile(self, request: Request) -> Response:
        """A tile of hashes or of entries, at its path in tlog-tiles."""
        await self._check(request)
        name, path = request.path_params["log"], request.path_params["tile"]
        try:
            wanted = Tile.parse(path)
        except NoTile as exc:
            raise Problem(404, Reason.NOT_FOUND, str(exc)) from exc
        content = await self._context.database.read(lambda c: reading.tile(c, name, wanted))
        if content is None:
            raise Problem(404, Reason.NOT_FOUND, f"log {name} does not reach to {path}")
        headers = {"cache-control": _LONG_LIVED}
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def take(self, request: Request) -> Response:
        """Decisions of the operator. Of two with the same id, the first is kept."""
        await check_operator(self._context, request, "record decisions")
        settings = self._context.settings
        body = parsed(await body_of(request, settings.max_body, settings.body_timeout))
        try:
            drafts = [each.draft() for each in _Decisions.model_validate(body).records]
        except ValidationError as exc:
            first = exc.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise Problem(422, Reason.INVALID_REQUEST, f"{where}: {first['msg']}") from exc
        await self._context.database.write(lambda c: _told(c, drafts))
        return json_response({"recorded": len(drafts)})

    async def payload(self, request: Request) -> Response:
        """What was said, where that is kept and its subject was not erased."""
        await self._check(request)
        name = request.path_params["payload"]
        # In a transaction that could write, for only those know where payloads are.
        found = await self._context.database.write(lambda c: _kept(c, name))
        if found is None:
            raise Problem(404, Reason.NOT_FOUND, f"there is no payload {name}, or nobody can read it any more")
        return Response(found, media_type="application/json", headers={"cache-control": "no-store"})

    async def subject(self, request: Request) -> Response:
        """The name under which the record knows a conversation, or a caller where there is none."""
        await check_operator(self._context, request, "name subjects")
        settings = self._context.settings
        body = parsed(await body_of(request, settings.max_body, settings.body_timeout))
        match body:
            case {"namespace": str(namespace), "of": str(of)}:
                named = await self._context.database.write(lambda c: _named(c, namespace, of))
                return json_response({"subject": named})
        raise Problem(422, Reason.INVALID_REQUEST, "namespace and `of` (a conversation or a caller) are texts")

    async def erase(self, request: Request) -> Response:
        """Make all that a subject said unreadable. The record stays whole, and says that this was done."""
        await check_operator(self._context, request, "erase subjects")
        subject = request.path_params["subject"]
        erased = await self._context.database.write(lambda c: _erased(c, subject, self._context.clock.now()))
        return json_response({"subject": subject, "payloads": erased})

    async def _check(self, request: Request) -> None:
        """Raises Problem unless the operator asks, or an auditor that the settings name."""
        settings = self._context.settings
        bearer = await self._context.identities.bearer(request.headers.get("authorization"))
        names = {bearer.identity.username, *(f"group:{each}" for each in bearer.identity.groups)}
        if not bearer.for_gateway or names.isdisjoint({settings.operator, *settings.auditors}):
            raise Problem(
                403, Reason.FORBIDDEN, "only the operator and the auditors of the settings may read the record"
            )

    async def _proof(self, operation: Any) -> Sequence[bytes]:
        try:
            found: Sequence[bytes] = await self._context.database.read(operation)
        except (ValueError, LookupError) as exc:
            raise Problem(422, Reason.INVALID_REQUEST, str(exc)) from exc
        return found


def _told(connection: sa.Connection, drafts: Sequence[Draft]) -> None:
    for each in drafts:
        record(connection, each)


def _kept(connection: sa.Connection, name: str) -> bytes | None:
    found = desk(connection)
    return None if found is None or found.vault is None else found.vault.read(connection, name)


def _named(connection: sa.Connection, namespace: str, of: str) -> str | None:
    found = desk(connection)
    return None if found is None else found.keyed([namespace, of])


def _erased(connection: sa.Connection, subject: str, now: datetime) -> int:
    erased = payloads.erase(connection, subject)
    record(connection, Draft(EventType.SUBJECT_ERASED, now, {"subject": subject[:128], "result": {"payloads": erased}}))
    return erased


def _shown(log: reading.LogState) -> dict[str, Any]:
    return {
        "id": log.id,
        "origin": log.origin,
        "verifier": log.verifier,
        "state": log.state,
        "size": log.size,
        "root": base64.b64encode(log.root).decode(),
        "signedSize": log.signed,
        "openedAt": instant(log.opened_at),
        "closedAt": None if log.closed_at is None else instant(log.closed_at),
    }


def _number(request: Request, name: str, default: int | None = None) -> int:
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isdecimal() or len(text) > 18:  # noqa: PLR2004 - what fits into 63 bits
        raise Problem(422, Reason.INVALID_REQUEST, f"{name} must be a number")
    return int(text)
