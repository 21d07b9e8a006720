"""Who could answer a task instead of its agent, as things are now?"""

from __future__ import annotations

from proctor_gateway.context import Context
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.fallback import NONE, Legs
from proctor_gateway.rules.tasks import Purpose, Task, Waiting


async def legs_of(context: Context, task: Task) -> Legs:
    """Who may answer instead of the agent, by the revision that the task began on. Nobody does in a trial."""
    request, state, known = task.request, task.state, context.known
    if isinstance(state, Waiting):
        return NONE
    try:
        bundle = await context.bundles.get(request.namespace, request.agent, state.revision)
    except Problem:
        return NONE
    behaviour = bundle.behaviour
    if request.purpose is not Purpose.LIVE:
        # An answer that is not sure enough is none in a trial either.
        return Legs((), behaviour.confidence, behaviour.limits.timeout)
    named = {each.agent: known.agent(request.namespace, each.agent) for each in behaviour.fallbacks if each.agent}
    serving = {name: each for name, each in named.items() if each is not None and not each.spec.suspend}
    revisions = {name: each.status.revision.stable for name, each in serving.items()}
    agents = {name: revision for name, revision in revisions.items() if revision}
    return Legs(behaviour.fallbacks, behaviour.confidence, behaviour.limits.timeout, agents, behaviour.output)
