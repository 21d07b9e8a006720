"""How is a model asked? Mediated, written down, sent with the credential, and what it took written down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from proctor.api import digest
from proctor.api.connector import Connector, Effect
from proctor_gateway.calling import Caller, seconds_left, with_credential
from proctor_gateway.callpath import billing, disclosure
from proctor_gateway.callpath.admission import decide_model
from proctor_gateway.cluster.port import SecretUnusable
from proctor_gateway.context import Context
from proctor_gateway.ledger import Entry, Recorded
from proctor_gateway.rules import outcomes, worst_case
from proctor_gateway.rules.calls import CallState, Intent, Kind, Outcome
from proctor_gateway.rules.errors import Denied
from proctor_gateway.rules.judgement import Refuse
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.screening import Screen
from proctor_gateway.rules.tasks import Fault
from proctor_gateway.rules.wire import written
from proctor_gateway.rules.worst_case import Ask
from proctor_gateway.state.credentials import Credential
from proctor_gateway.store.budgets import Reserved
from proctor_gateway.upstream import model
from proctor_gateway.upstream.http import Patience, Response, UpstreamFailed

_UNAUTHORIZED = 401
_OK = 200
_ERROR_BODY = 64 << 10
_RETRY_AFTER = "retry-after"


@dataclass(frozen=True)
class Asked:
    """A model call that may be sent."""

    entry: Entry
    connector: Connector
    body: bytes
    stream: bool
    show_usage: bool
    most_output: int | None = None
    """So many tokens were paid for; a stream that has more is cut. None: no limit holds."""
    screen: Screen = field(default_factory=Screen)
    """What policies want done with the answer."""


@dataclass(frozen=True)
class Reply:
    """What the agent is told: the model's own words, or why there are none."""

    body: bytes | None
    fault: Fault | None
    status: int = _OK
    retry_after: str | None = None


async def begin(context: Context, caller: Caller, body: Mapping[str, Any]) -> Asked | Recorded:
    """Write the call down, so that it may be sent; or what an earlier attempt was answered. Raises Denied."""
    claims = caller.claims
    bundle = await context.bundles.get(claims.namespace, claims.agent, claims.revision)
    # A question is the same question whichever model is asked: what the first one answered stays answered.
    first, asked = bundle.behaviour.model, body
    bundle = bundle.on_leg(claims.leg)
    declared = bundle.behaviour.model
    if body.get("model") == first.name:
        body = {**body, "model": declared.name}
    admission = await decide_model(context, caller, bundle, body)
    name = str(body.get("model")) if isinstance(admission.verdict, Refuse) else declared.name
    asks = digest.sha256([Kind.MODEL, first.connector, first.name, asked])
    intent = Intent(claims.task, claims.attempt, Kind.MODEL, declared.connector, name, Effect.READ, _kept(body), asks)
    connector = admission.connector
    screen = disclosure.screen(context, caller)
    whole = model.prepared(screen.masks.question(body) if screen.masks is not None else body, declared)
    raw = written(whole)
    bill = billing.of_model(context, caller, bundle, connector, (whole, len(raw)))
    entry = await context.ledger.begin(claims, intent, bundle.behaviour.limits, admission.verdict, bill)
    if isinstance(entry, Recorded):
        return entry
    if connector is None:
        raise Denied(Reason.POLICY_DENIED, f"connector {declared.connector} does not exist")
    reserved = entry.reserved
    if needs_bound(bill.ask, reserved):
        raw = written(worst_case.bounded(whole, reserved.output_tokens))
    most = reserved.output_tokens * bill.ask.choices if reserved.is_bound else None
    return Asked(entry, connector, raw, bool(body.get("stream")), model.wants_usage(body), most, screen)


def needs_bound(ask: Ask, reserved: Reserved) -> bool:
    """Whether the model must be told how long its answer may be: what was reserved rests on no bound of its own."""
    if not reserved.is_bound or ask.least_output is None:
        return False
    ceiling = ask.price.max_output_tokens if ask.price is not None else None
    return ceiling is None or reserved.output_tokens < ceiling


def _kept(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is written down of a question: its size and its settings. What was said stays with the agent."""
    messages = body.get("messages")
    rest = {key: value for key, value in body.items() if key not in {"messages", "tools"}}
    return {**rest, "messages": len(messages) if isinstance(messages, list) else 0}


async def answer(context: Context, caller: Caller, asked: Asked) -> Reply:
    """The model's whole answer. The call is ended when the agent's attempt is, or when the agent is to stop."""
    work = _whole(context, caller, asked)
    return await context.flights.run(caller, Effect.READ, work)


async def _whole(context: Context, caller: Caller, asked: Asked) -> Reply:
    try:
        reply, outcome = await _exchanged(context, caller, asked)
    except (UpstreamFailed, SecretUnusable, Denied) as exc:
        fault = fault_of(asked, exc)
        touched = exc.sent if isinstance(exc, UpstreamFailed) else False
        reply, outcome = Reply(None, fault), _failed(fault, touched=touched)
    except asyncio.CancelledError:
        fault = Fault(Reason.INTERRUPTED, "the call was stopped")
        reply, outcome = Reply(None, fault), _failed(fault, touched=True)
    await context.ledger.settle(asked.entry, outcome, reply.body)
    if reply.body is None:
        return reply
    return replace(reply, body=disclosure.of_model(context, caller, asked.entry.intent, reply.body))


def repeated(context: Context, caller: Caller, recorded: Recorded) -> Reply:
    """What an earlier attempt was answered."""
    if recorded.body is None:
        return Reply(None, recorded.outcome.fault)
    return Reply(disclosure.of_model(context, caller, recorded.intent, recorded.body), None)


async def _exchanged(context: Context, caller: Caller, asked: Asked) -> tuple[Reply, Outcome]:
    async with contextlib.AsyncExitStack() as stack:
        response, credential = await opened(context, caller, asked, stack)
        if response.status != _OK:
            return await refused(response, credential)
        body = await response.body(context.settings.max_answer)
    parsed = model.parsed(body)
    if parsed is None:
        raise UpstreamFailed(Reason.PROTOCOL_ERROR, "its answer is not a chat completion", sent=True)
    used = model.consumed(parsed.get("usage"), asked.connector.spec.price(asked.entry.intent.name))
    outcome = Outcome(
        CallState.SUCCEEDED,
        billed=True,
        result=outcomes.shown(parsed["choices"], context.settings.max_shown),
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost=used.cost,
        resolved=parsed["model"] if isinstance(parsed.get("model"), str) else None,
    )
    withheld = asked.screen.fault(parsed["choices"])
    if withheld is not None:
        return Reply(None, withheld), replace(outcome, state=CallState.FAILED, result=None, fault=withheld)
    return Reply(asked.screen.answer(body), None), outcome


async def refused(response: Response, credential: Credential | None) -> tuple[Reply, Outcome]:
    """What a status other than 200 means. Raises UpstreamFailed if even the refusal breaks off."""
    body = await response.body(_ERROR_BODY)
    said = model.fault_of(response.status, body, credential.secret if credential else None)
    fault = said or Fault(Reason.PROTOCOL_ERROR, f"the model answers {response.status}")
    reply = Reply(None, fault, response.status, response.headers.get(_RETRY_AFTER))
    return reply, outcomes.of_failure(Effect.READ, fault, touched=True)


async def opened(
    context: Context, caller: Caller, asked: Asked, stack: contextlib.AsyncExitStack
) -> tuple[Response, Credential | None]:
    """The model's response, kept open by the stack, and the credential it was asked with.

    Raises UpstreamFailed, SecretUnusable, or Denied by the connector's limits.
    """
    await stack.enter_async_context(context.gates.turn(asked.connector))
    seconds = seconds_left(asked.connector, asked.entry.deadline, context.clock.now())
    left = max(seconds, (asked.entry.deadline - context.clock.now()).total_seconds())
    # The connector's timeout is the longest silence of a stream, and the longest time for a whole answer.
    patience = Patience(context.settings.connect_timeout, left if asked.stream else seconds, seconds)
    url = asked.connector.spec.url.rstrip("/") + "/chat/completions"

    async def send(credential: Credential | None) -> tuple[Response, Credential | None]:
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if asked.stream else "application/json",
            # A compressed stream would wait for the compressor.
            "accept-encoding": "identity",
            "traceparent": caller.span.traceparent,
            **(credential.headers if credential else {}),
        }
        request = context.models.request("POST", url, headers, asked.body, patience)
        try:
            return await stack.enter_async_context(request), credential
        except UpstreamFailed as exc:
            # A pooled connection that the model had closed: asking a model again changes nothing.
            if exc.reason is not Reason.UNREACHABLE:
                raise
        request = context.models.request("POST", url, headers, asked.body, patience)
        return await stack.enter_async_context(request), credential

    return await with_credential(
        context.credentials, asked.connector, send, lambda found: found[0].status == _UNAUTHORIZED
    )


def fault_of(asked: Asked, exc: UpstreamFailed | SecretUnusable | Denied) -> Fault:
    """Why no answer came, in the words that a task can end with."""
    name = asked.connector.metadata.name
    match exc:
        case UpstreamFailed(reason=Reason.TIMEOUT):
            return Fault(Reason.TIMEOUT, f"{name}: {exc.message}")
        case Denied():
            return Fault(exc.reason, exc.message)
        case _:
            return Fault(Reason.MODEL_UNAVAILABLE, f"{name}: {exc.reason}: {exc.message}")


def _failed(fault: Fault, *, touched: bool) -> Outcome:
    # What broke off in the middle may be charged for, and nobody says how much.
    return Outcome(CallState.FAILED, touched=touched, billed=touched, fault=fault)
