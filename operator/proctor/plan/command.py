"""What a person says to an agent's upgrade: one annotation, which the status names when it has been handled."""

from __future__ import annotations

import re

from proctor.api import names
from proctor.api.agent import Agent
from proctor.delivery.facts import Command, Verb

_FORM = re.compile(r"^(?P<verb>[a-z-]+)@(?P<revision>[0-9a-f]{10})/(?P<nonce>[A-Za-z0-9._-]{1,64})$")


def said_to(agent: Agent) -> str | None:
    """The last command as it stands on the Agent, handled or not, readable or not."""
    return agent.metadata.annotations.get(names.COMMAND)


def unhandled(agent: Agent) -> str | None:
    """What was said since the last one was handled."""
    said = said_to(agent)
    return said if said and said != agent.status.last_handled_command else None


def parsed(said: str | None) -> Command | None:
    """The command; None if it is none, and then nothing may be done on its account."""
    found = _FORM.match(said or "")
    if found is None or found["verb"] not in {str(each) for each in Verb}:
        return None
    return Command(Verb(found["verb"]), found["revision"])


def undone_by(said: str | None) -> str | None:
    """The revision that it asks to go back to, if it asks for that."""
    found = parsed(said)
    return found.revision if found is not None and found.verb is Verb.UNDO else None
