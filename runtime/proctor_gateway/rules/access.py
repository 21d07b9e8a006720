"""May this caller send tasks to this agent?"""

from __future__ import annotations

from dataclasses import dataclass

from proctor.api.agent import Access, AgentAccess, Caller

_SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True)
class Identity:
    """Who Kubernetes says the bearer of a token is."""

    username: str
    groups: frozenset[str] = frozenset()


def is_admitted(identity: Identity, access: Access) -> bool:
    """Whether one of the agent's callers is this identity. An empty list lets nobody in."""
    return any(_is(identity, caller) for caller in access.callers)


def is_tester(identity: Identity, access: AgentAccess) -> bool:
    """Whether this identity may choose the revision that its tasks begin on. It has to be a caller, too."""
    return is_admitted(identity, access) and any(_is(identity, tester) for tester in access.testers)


def is_resolver(identity: Identity, access: AgentAccess) -> bool:
    """Whether this identity may say what became of an effect of unknown outcome."""
    return any(_is(identity, resolver) for resolver in access.resolvers)


def service_account(namespace: str, name: str) -> str:
    """The username that Kubernetes gives to a ServiceAccount."""
    return f"{_SERVICE_ACCOUNT}{namespace}:{name}"


def _is(identity: Identity, caller: Caller) -> bool:
    if caller.service_account is not None:
        wanted = caller.service_account
        return identity.username == service_account(wanted.namespace, wanted.name)
    if caller.user is not None:
        return identity.username == caller.user
    return caller.group is not None and caller.group in identity.groups
