"""Asks people, and hears what they decide: questions in the store become Approvals, votes become decisions.

Everything is found out anew in each round from what is there, by whichever gateway comes first: nothing is lost when
one dies between two steps. The votes themselves are counted, so an operator that is away delays nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_never

import sqlalchemy as sa
import structlog

from proctor.api import names
from proctor.api.approval import Approval, ApprovalSpec
from proctor.policy.votes import Decided, Pending, TimedOut, Withdrawn, tally
from proctor_gateway.cluster.known import Key
from proctor_gateway.cluster.port import Cluster, Kind
from proctor_gateway.context import Context
from proctor_gateway.driving.legs import legs_of
from proctor_gateway.driving.runner import Runner
from proctor_gateway.rules.errors import Away, ClusterAway
from proctor_gateway.rules.fallback import Legs
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Ended, Fault, Task
from proctor_gateway.store import approvals, lifecycle, owners
from proctor_gateway.store.approvals import TIMED_OUT, Decision, Question

log = structlog.get_logger(__name__)

_REJECT = "Reject"


class Consent:
    """The rounds of one instance."""

    def __init__(self, context: Context, cluster: Cluster, runner: Runner, instance: str) -> None:
        self._context = context
        self._cluster = cluster
        self._runner = runner
        self._instance = instance
        context.known.listen(self._on_change)

    async def follow(self) -> None:
        """Never returns: a round when something may have changed, and one a heartbeat."""
        while True:
            self._context.questions.clear()
            try:
                await self.round()
            except Away as exc:
                log.warning("people cannot be asked now", cause=str(exc))
            except Exception:
                log.exception("a round of questions failed")
            await self._changed()

    async def _changed(self) -> None:
        try:
            async with asyncio.timeout(self._context.settings.heartbeat):
                await self._context.questions.wait()
        except TimeoutError:
            return

    def _on_change(self, kind: Kind, _key: Key, _body: object) -> None:
        if kind is Kind.APPROVAL:
            self._context.questions.set()

    async def round(self) -> None:
        """End the attempts that wait for people, ask what is not asked yet, and go on where people have decided."""
        read = self._context.database.read
        for task in await read(lambda c: owners.waiting(c, self._instance)):
            self._runner.stop(task, Fault(Reason.INPUT_REQUIRED, "a call of the task waits for people"))
        for question in await read(approvals.open_questions):
            try:
                await self._look(question)
            except ClusterAway as exc:
                log.warning("an Approval cannot be asked for now", approval=question.name, cause=str(exc))
        await self._end()
        await self._go_on()
        await self._withdraw()

    async def _look(self, question: Question) -> None:
        found = self._context.known.approval(question.namespace, question.name)
        if found is None:
            # Also one that somebody has deleted: silence never approves, so the question is put again.
            await self._ask(question)
            return
        decision = decided(question, found, self._context.clock.now())
        if decision is None:
            return
        is_new = await self._context.database.write(lambda c: approvals.decide(c, question, decision))
        if is_new:
            log.info("people have decided", approval=question.name, task=question.task, decision=decision.decision)

    async def _ask(self, question: Question) -> None:
        agent = self._context.known.agent(question.namespace, question.agent)
        uid = agent.metadata.uid if agent is not None else None
        if await self._cluster.ask(manifest(question, uid)):
            log.info("people are asked", approval=question.name, task=question.task)
        if not question.asked:
            await self._context.database.write(lambda c: approvals.asked(c, question.task, question.sequence))

    async def _end(self) -> None:
        """People have answered instead of the agent, or will not: the task ends, or the next leg is asked."""
        for each in await self._context.database.read(approvals.answered):
            if each.request.id in self._runner:
                continue
            legs = await legs_of(self._context, each)
            said = await self._context.database.write(lambda c, task=each, legs=legs: self._answered(c, task, legs))  # type: ignore[misc]
            self._told(said)

    def _answered(self, connection: sa.Connection, task: Task, legs: Legs) -> Task | lifecycle.Hopped | None:
        return lifecycle.answered(connection, task.request.id, self._instance, legs, self._context.clock.now())

    def _told(self, found: Task | lifecycle.Hopped | None) -> None:
        if isinstance(found, lifecycle.Hopped):
            self._context.metrics.hopped(found.task, found.cause)
            leg = found.task.leg.name if found.task.leg else ""
            log.info("a fallback serves", agent=found.task.request.agent, leg=leg, cause=found.cause)
            if found.goes_on:
                self._runner.start(found.task)
                return
            found = found.task
        if found is not None and isinstance(found.state, Ended):
            self._context.metrics.ended(found, found.state)
            self._context.endings.ended(found.request.id)

    async def _go_on(self) -> None:
        for task in await self._context.database.read(approvals.due):
            if task in self._runner:
                # Its attempt is coming to an end; the next round finds it at rest.
                continue
            resumed = await self._context.database.write(lambda c, task=task: self._resume(c, task))  # type: ignore[misc]
            if resumed is not None:
                self._runner.start(resumed)

    async def _withdraw(self) -> None:
        """Nobody is asked any more about a task that has ended: its caller cancelled it, or it was stopped."""
        for question, end in await self._context.database.read(approvals.left_open):
            why = f"task {question.task} has ended: {end}"
            # Also one that is not known to be there: who asked it may have died before it could be written down.
            await self._cluster.withdraw(question.namespace, question.name, why)
            said = Decision(approvals.WITHDRAWN, (), why, None)
            await self._context.database.write(lambda c, q=question, said=said: approvals.decide(c, q, said))  # type: ignore[misc]
            log.info("nobody is asked any more", approval=question.name, task=question.task, end=end)

    def _resume(self, connection: sa.Connection, task: str) -> Task | None:
        return lifecycle.resume(connection, task, self._instance, self._context.clock.now())


def manifest(question: Question, agent_uid: str | None) -> dict[str, Any]:
    """The Approval that puts the question. It goes when its agent does."""
    agent = question.agent
    metadata: dict[str, Any] = {
        "name": question.name,
        "namespace": question.namespace,
        "labels": {names.AGENT: agent, names.MANAGED_BY: "proctor"},
    }
    if agent_uid:
        owner = {"apiVersion": names.API_VERSION, "kind": "Agent", "name": agent, "uid": agent_uid}
        metadata["ownerReferences"] = [owner]
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Approval",
        "metadata": metadata,
        "spec": dict(question.spec),
    }


def decided(question: Question, found: Approval, now: datetime) -> Decision | None:
    """What people have decided, or None. An Approval that puts another question answers none of ours."""
    if found.spec != _spec(question.spec):
        return Decision(_REJECT, (), "the Approval in the cluster is not the one that was asked for", None)
    match tally(found, now):
        case Decided(decision=decision, by=by, comment=comment, answer=answer):
            return Decision(decision, by, comment, answer)
        case TimedOut():
            return Decision(TIMED_OUT, (), None, None)
        case Withdrawn():
            return Decision(_REJECT, (), "the question was withdrawn", None)
        case Pending():
            return None
        case other:
            assert_never(other)


def _spec(spec: Mapping[str, Any]) -> ApprovalSpec:
    return ApprovalSpec.model_validate(spec)
