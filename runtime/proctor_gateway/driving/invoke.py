"""One attempt: the task is given to a pod, and the answer is read. What went wrong is said, never raised."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from proctor.api.agent import Output
from proctor_gateway.context import Context
from proctor_gateway.rules.calls import Call
from proctor_gateway.rules.dispatch import Pod
from proctor_gateway.rules.form import misfit
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault, Running, Task, instant
from proctor_gateway.rules.verdict import Answered, AttemptEnd, Broke, Lost, NotTaken, fault_of
from proctor_gateway.trace import Span
from proctor_gateway.upstream.http import Patience, UpstreamFailed

_OK = 200
_BUSY = frozenset({429, 503})
_GRACE_SECONDS = 2.0
_QUOTED = 500


async def invoke(
    context: Context, task: Task, running: Running, pod: Pod, token: str
) -> tuple[int, bytes] | AttemptEnd:
    """Send the task to the pod: its status and its body, or how the attempt ended without them."""
    request = task.request
    body = {
        "task": {
            "id": request.id,
            "attempt": running.attempts,
            "deadline": instant(running.deadline),
            "input": request.input,
            "conversation": request.conversation,
        }
    }
    headers = {
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "accept": "application/json",
        "traceparent": Span(request.trace_id, context.clock.span_id()).traceparent,
    }
    left = (running.deadline - context.clock.now()).total_seconds() + _GRACE_SECONDS
    patience = Patience(context.settings.connect_timeout, max(left, 0.1))
    try:
        async with context.pods.request(
            "POST", _url(context, pod), headers, json.dumps(body, ensure_ascii=False).encode(), patience
        ) as response:
            return response.status, await response.body(context.settings.max_answer)
    except UpstreamFailed as exc:
        return _unanswered(pod, exc)


def _url(context: Context, pod: Pod) -> str:
    host = f"[{pod.address}]" if ":" in pod.address else pod.address
    return f"http://{host}:{context.settings.pod_port}/invoke"


def _unanswered(pod: Pod, exc: UpstreamFailed) -> AttemptEnd:
    if not exc.sent:
        return NotTaken(Fault(Reason.AGENT_UNAVAILABLE, f"pod {pod.name}: {exc.message}"))
    if exc.reason is Reason.TIMEOUT:
        return Broke(Fault(Reason.TIMEOUT, "the agent did not answer within the task's time"))
    if exc.reason is Reason.PROTOCOL_ERROR:
        return Broke(Fault(Reason.AGENT_ERROR, f"pod {pod.name}: {exc.message}"))
    return Lost(Fault(Reason.INTERRUPTED, f"pod {pod.name} went away: {exc.message}"))


def judge_answer(status: int, body: bytes, output: Output | None, calls: Sequence[Call]) -> AttemptEnd:
    """What the agent's answer means. Pure."""
    said = _object(body)
    if status != _OK:
        return _refusal(status, said or {}, calls)
    if said is None or "output" not in said:
        return Broke(Fault(Reason.INVALID_OUTPUT, 'the agent\'s answer is not JSON of the form {"output": …}'))
    fault = misfit(said["output"], output)
    return Broke(fault, said["output"]) if fault else Answered(said["output"])


def _refusal(status: int, said: Mapping[str, Any], calls: Sequence[Call]) -> AttemptEnd:
    word, detail = said.get("reason"), str(said.get("detail") or f"the agent answers {status}")[:_QUOTED]
    if status in _BUSY and word in {None, Reason.AGENT_UNAVAILABLE}:
        return NotTaken(Fault(Reason.AGENT_UNAVAILABLE, f"the pod takes no task now: {detail}"))
    if word in {Reason.INTERRUPTED, Reason.STORE_UNAVAILABLE}:
        # A call that could not be written down was not made: the next attempt asks it when the store is back.
        return Lost(Fault(Reason(word), detail))
    known = Reason(word) if word in set(Reason) else None
    return Broke(fault_of(known, detail, calls))


def _object(body: bytes) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(body)
        return found if isinstance(found, dict) else None
    return None
