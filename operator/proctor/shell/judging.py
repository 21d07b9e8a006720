"""Asks judging models about the answers of an exam, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from proctor.api.agent import Agent
from proctor.delivery.exam import Question
from proctor.plan.said import Judgements, NoAnswer
from proctor.shell.ports import Ports

_AT_ONCE = 4


async def judged(agent: Agent, questions: Iterable[tuple[str, Question]], ports: Ports) -> Judgements | NoAnswer:
    """What the judges said of every answer. Half of it is no answer: a case must not fail for a judge that was away."""
    namespace, name = agent.metadata.namespace, agent.metadata.name
    slots = asyncio.Semaphore(_AT_ONCE)
    silence: list[NoAnswer] = []
    found: Judgements = {}

    async def ask(suite: str, question: Question) -> None:
        async with slots:
            if silence:
                return
            said = await ports.tasks.judge(namespace, name, question)
        if isinstance(said, NoAnswer):
            silence.append(said)
        else:
            found[suite, question.key, question.check] = said.text

    async with asyncio.TaskGroup() as group:
        for suite, question in questions:
            group.create_task(ask(suite, question))
    # A judge whose Connector is not there is as silent as one that is down: it is not that the batch is unknown.
    return NoAnswer(silence[0].reason, silence[0].is_refused) if silence else found
