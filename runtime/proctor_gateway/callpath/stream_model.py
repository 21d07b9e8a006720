"""How is a model's stream passed on? Event by event as it comes, and what it took written down at its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from proctor.api.connector import Effect
from proctor_gateway.calling import Caller
from proctor_gateway.callpath.ask_model import Asked, Reply, fault_of, opened, refused
from proctor_gateway.cluster.port import SecretUnusable
from proctor_gateway.context import Context
from proctor_gateway.rules import outcomes
from proctor_gateway.rules.calls import CallState, Outcome
from proctor_gateway.rules.errors import Denied
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.screening import Flow
from proctor_gateway.rules.tasks import Fault
from proctor_gateway.upstream import model
from proctor_gateway.upstream.http import Response, UpstreamFailed
from proctor_gateway.upstream.sse import Cutter, StreamError, Tally

_AHEAD = 64
_OK = 200
_EVENT_STREAM = "text/event-stream"


class Stream:
    """A stream under way. `first` says whether there is one; then `events` gives what came, to its end.

    The work is a task of its own, so that it can be stopped from outside, and so that what it took is written down
    however it ends. It is never more than a few events ahead of the agent that reads it.
    """

    def __init__(self, context: Context, caller: Caller, asked: Asked) -> None:
        self._context = context
        self._caller = caller
        self._asked = asked
        self._queue: asyncio.Queue[bytes | Fault | None] = asyncio.Queue(_AHEAD)
        self._begun: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        self._work: asyncio.Task[None] | None = None
        self._tally = Tally()
        self._is_over = False
        self._passed = bytearray()

    async def first(self) -> Reply | None:
        """None if a stream begins; else why there is none."""
        self._work = self._context.flights.start(self._caller, Effect.READ, self._pump())
        self._work.add_done_callback(self._on_end)
        return await asyncio.shield(self._begun)

    async def events(self) -> AsyncIterator[bytes]:
        """The events. Whoever stops reading ends the call."""
        try:
            while (item := await self._queue.get()) is not None:
                if isinstance(item, Fault):
                    yield _last_words(item)
                    return
                yield item
        finally:
            # What is over is being written down, and nothing may stop that.
            if self._work is not None and not self._is_over:
                self._work.cancel()

    async def _pump(self) -> None:
        outcome: Outcome
        try:
            outcome = await self._exchange()
        except (UpstreamFailed, SecretUnusable, Denied, StreamError) as exc:
            outcome = await self._broken(exc)
        except asyncio.CancelledError:
            fault = Fault(Reason.INTERRUPTED, "the call was stopped")
            outcome = self._outcome(CallState.FAILED, fault)
            self._tell(fault)
        self._is_over = True
        # What the agent was told, to the last word: an attempt that asks again is told the same.
        body = bytes(self._passed) if self._passed else None
        if body is not None and outcome.fault is not None:
            body += _last_words(outcome.fault)
        await self._context.ledger.settle(self._asked.entry, outcome, body)

    def _on_end(self, work: asyncio.Task[None]) -> None:
        if not work.cancelled() and work.exception() is not None:
            self._tell(Fault(Reason.INTERNAL, "the gateway failed in the middle of the stream"))

    async def _exchange(self) -> Outcome:
        async with contextlib.AsyncExitStack() as stack:
            response, credential = await opened(self._context, self._caller, self._asked, stack)
            if response.status != _OK:
                reply, outcome = await refused(response, credential)
                self._begun.set_result(reply)
                return outcome
            if not response.headers.get("content-type", "").startswith(_EVENT_STREAM):
                raise UpstreamFailed(Reason.PROTOCOL_ERROR, "it was asked for a stream and sent none", sent=True)
            self._begun.set_result(None)
            await self._copy(response)
            self._is_over = True
            await self._queue.put(None)
        return self._outcome(CallState.SUCCEEDED, None)

    async def _copy(self, response: Response) -> None:
        cutter, flow, size = Cutter(), Flow(self._asked.screen), 0
        async for chunk in response.chunks():
            size += len(chunk)
            if size > self._context.settings.max_answer:
                raise StreamError(f"the stream has more than {self._context.settings.max_answer} bytes")
            events = [event for event in cutter.feed(chunk) if self._is_passed(event)]
            passed = [each for event in events for each in flow.pass_on(event)]
            self._check_paid()
            if passed:
                self._passed += b"".join(passed)
                await self._queue.put(b"".join(passed))
        if not self._tally.done:
            raise StreamError("the stream ended before [DONE]")

    def _check_paid(self) -> None:
        most, written = self._asked.most_output, self._tally.written
        if most is not None and written > most:
            said = f"cut: the answer has {written} tokens and more, {most} were asked for and paid"
            raise Denied(Reason.BUDGET_EXHAUSTED, said)

    def _is_passed(self, event: bytes) -> bool:
        # Many clients read choices[0] of every chunk: the usage chunk goes only to those who asked for it.
        return not self._tally.read(event) or self._asked.show_usage

    async def _broken(self, exc: UpstreamFailed | SecretUnusable | Denied | StreamError) -> Outcome:
        failed = UpstreamFailed(Reason.PROTOCOL_ERROR, str(exc), sent=True) if isinstance(exc, StreamError) else exc
        fault = fault_of(self._asked, failed)
        if self._begun.done():
            await self._queue.put(fault)
        else:
            self._begun.set_result(Reply(None, fault))
        # A stream that was begun and then cut is paid for as well.
        touched = failed.sent if isinstance(failed, UpstreamFailed) else self._tally.pieces > 0
        if not touched:
            return outcomes.of_failure(Effect.READ, fault, touched=False)
        return self._outcome(CallState.FAILED, fault)

    def _tell(self, fault: Fault) -> None:
        """Say it to whoever still reads, in place of what was not read yet."""
        if not self._begun.done():
            self._begun.set_result(Reply(None, fault))
            return
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(fault)

    def _outcome(self, state: CallState, fault: Fault | None) -> Outcome:
        asked = self._asked
        used = model.consumed(self._tally.usage, asked.connector.spec.price(asked.entry.intent.name))
        return Outcome(
            state,
            billed=True,
            result={"finishReasons": sorted(self._tally.finish_reasons)},
            fault=fault,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cost=used.cost,
            resolved=self._tally.model,
        )


def _last_words(fault: Fault) -> bytes:
    return b"data: " + model.error_body(fault) + b"\n\n"
