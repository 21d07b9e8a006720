"""A question of the gateway's own to the agent's model, on the task's account, without tools or the agent's words.

It is a model call like any other: policies, budgets, the journal and the record treat it as one of the task's. So an
attempt that is begun again is answered from the journal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from proctor_gateway.calling import Caller
from proctor_gateway.callpath import ask_model
from proctor_gateway.context import Context
from proctor_gateway.ledger import Recorded
from proctor_gateway.rules.errors import Denied
from proctor_gateway.upstream import model


async def ask(context: Context, caller: Caller, messages: Sequence[Mapping[str, Any]]) -> tuple[str, str | None]:
    """The model's words, or none and why there are none. Raises StoreAway."""
    claims = caller.claims
    bundle = await context.bundles.get(claims.namespace, claims.agent, claims.revision)
    body = {"model": bundle.behaviour.model.name, "messages": list(messages)}
    try:
        asked = await ask_model.begin(context, caller, body)
        reply = (
            ask_model.repeated(context, caller, asked)
            if isinstance(asked, Recorded)
            else await ask_model.answer(context, caller, asked)
        )
    except Denied as exc:
        return "", exc.message
    if reply.body is None:
        return "", reply.fault.message if reply.fault else "the model does not answer"
    text = model.text_of(model.parsed(reply.body))
    return (text, None) if text else ("", "the model answers without words")
