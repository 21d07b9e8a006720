"""The last known state: agents, connectors, pods and policies, parsed once and looked up in the process's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, assert_never

import structlog

from proctor.api import names
from proctor.api.agent import Agent
from proctor.api.approval import Approval
from proctor.api.connector import Connector
from proctor.api.meta import Invalid
from proctor.api.policy import ClusterPolicy, Policy
from proctor_gateway.cluster.port import Kind
from proctor_gateway.rules.dispatch import Pod

log = structlog.get_logger(__name__)


class Key(NamedTuple):
    """What names an object of a kind."""

    namespace: str
    name: str


Listener = Callable[[Kind, Key, Mapping[str, Any] | None], None]
"""Hears which object changed, and its body; None if it is not there any more."""


class Known:
    """Everything that was last told."""

    def __init__(self) -> None:
        self._agents: dict[Key, Agent] = {}
        self._connectors: dict[Key, Connector] = {}
        self._pods: dict[Key, Pod] = {}
        self._by_agent: dict[Key, dict[Key, Pod]] = {}
        self._policies: dict[Key, Policy] = {}
        self._cluster_policies: dict[Key, ClusterPolicy] = {}
        self._namespaces: dict[Key, Mapping[str, str]] = {}
        self._approvals: dict[Key, Approval] = {}
        self._unreadable: dict[Kind, set[Key]] = {kind: set() for kind in Kind}
        self._listeners: list[Listener] = []
        self._listed: list[Callable[[Kind], None]] = []

    def agents(self) -> Sequence[Agent]:
        """All agents."""
        return list(self._agents.values())

    def agent(self, namespace: str, name: str) -> Agent | None:
        """The Agent of that name."""
        return self._agents.get(Key(namespace, name))

    def connector(self, namespace: str, name: str) -> Connector | None:
        """The Connector of that name."""
        return self._connectors.get(Key(namespace, name))

    def pods(self, namespace: str, agent: str, revision: str) -> Sequence[Pod]:
        """The pods of one revision of an agent that may still do something."""
        pods = self._by_agent.get(Key(namespace, agent), {}).values()
        return [pod for pod in pods if pod.revision == revision and not pod.gone]

    def pod(self, namespace: str, name: str) -> Pod | None:
        """The pod of that name."""
        return self._pods.get(Key(namespace, name))

    def policies(self, namespace: str) -> Sequence[Policy | ClusterPolicy]:
        """The policies that may hold for agents of the namespace."""
        return [*self._cluster_policies.values(), *(p for k, p in self._policies.items() if k.namespace == namespace)]

    def unreadable_policies(self, namespace: str) -> Sequence[str]:
        """The policies that may hold there and that this version cannot read: nobody knows what they forbid."""
        own = (key.name for key in self._unreadable[Kind.POLICY] if key.namespace == namespace)
        return sorted((*own, *(key.name for key in self._unreadable[Kind.CLUSTER_POLICY])))

    def approval(self, namespace: str, name: str) -> Approval | None:
        """The Approval of that name."""
        return self._approvals.get(Key(namespace, name))

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """The labels of the namespace, as far as they are known."""
        return self._namespaces.get(Key("", namespace), {})

    def counts(self) -> dict[Kind, int]:
        """How many objects of each kind are known."""
        return {kind: len(self._keys(kind)) for kind in Kind}

    def listen(self, changed: Listener, listed: Callable[[Kind], None] | None = None) -> None:
        """Call after each change, and before all objects of a kind are told anew. Neither may block."""
        self._listeners.append(changed)
        if listed is not None:
            self._listed.append(listed)

    def put(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """An object is there, or is different now. One that is not of its kind's form counts as absent, and is told."""
        key = key_of(body)
        self._unreadable[kind].discard(key)
        try:
            self._keep(kind, key, body)
        except Invalid as exc:
            log.warning(
                "an object is not served: its form is not known",
                kind=kind,
                namespace=key.namespace,
                name=key.name,
                fault=str(exc),
            )
            self._drop(kind, key)
            self._unreadable[kind].add(key)
        self._tell(kind, key, body)

    def remove(self, kind: Kind, key: Key) -> None:
        """An object is not there any more."""
        self._drop(kind, key)
        self._unreadable[kind].discard(key)
        self._tell(kind, key, None)

    def replace(self, kind: Kind, bodies: Iterable[Mapping[str, Any]]) -> None:
        """These are all objects of the kind."""
        for listed in self._listed:
            listed(kind)
        seen = {key_of(body): body for body in bodies}
        for key in [key for key in self._keys(kind) if key not in seen]:
            self.remove(kind, key)
        for body in seen.values():
            self.put(kind, body)

    def _keys(self, kind: Kind) -> Sequence[Key]:
        return [*self._of_kind(kind), *self._unreadable[kind]]

    def _of_kind(self, kind: Kind) -> dict[Key, Any]:  # noqa: PLR0911 - a table
        match kind:
            case Kind.AGENT:
                return self._agents
            case Kind.CONNECTOR:
                return self._connectors
            case Kind.POD:
                return self._pods
            case Kind.POLICY:
                return self._policies
            case Kind.CLUSTER_POLICY:
                return self._cluster_policies
            case Kind.NAMESPACE:
                return self._namespaces
            case Kind.APPROVAL:
                return self._approvals
            case _:
                assert_never(kind)

    def _keep(self, kind: Kind, key: Key, body: Mapping[str, Any]) -> None:
        match kind:
            case Kind.AGENT:
                self._agents[key] = Agent.parse(dict(body))
            case Kind.CONNECTOR:
                self._connectors[key] = Connector.parse(dict(body))
            case Kind.POD:
                self._drop(kind, key)
                pod = pod_of(body)
                self._pods[key] = pod
                self._by_agent.setdefault(Key(pod.namespace, pod.agent), {})[key] = pod
            case Kind.POLICY:
                self._policies[key] = Policy.parse(dict(body))
            case Kind.CLUSTER_POLICY:
                self._cluster_policies[key] = ClusterPolicy.parse(dict(body))
            case Kind.NAMESPACE:
                self._namespaces[key] = body["metadata"].get("labels") or {}
            case Kind.APPROVAL:
                self._approvals[key] = Approval.parse(dict(body))
            case _:
                assert_never(kind)

    def _drop(self, kind: Kind, key: Key) -> None:
        dropped = self._of_kind(kind).pop(key, None)
        if isinstance(dropped, Pod):
            siblings = self._by_agent[Key(dropped.namespace, dropped.agent)]
            siblings.pop(key, None)
            if not siblings:
                del self._by_agent[Key(dropped.namespace, dropped.agent)]

    def _tell(self, kind: Kind, key: Key, body: Mapping[str, Any] | None) -> None:
        for listener in self._listeners:
            listener(kind, key, body)


def key_of(body: Mapping[str, Any]) -> Key:
    """What names the object."""
    metadata = body["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def pod_of(body: Mapping[str, Any]) -> Pod:
    """The pod, as far as dispatch needs it. It takes tasks while it is Ready, has an address and is to stay."""
    metadata, status = body["metadata"], body.get("status", {})
    labels = metadata.get("labels", {})
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    over = status.get("phase") in {"Succeeded", "Failed"}
    ready = conditions.get("Ready") == "True" and bool(status.get("podIP")) and not over
    return Pod(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        agent=labels.get(names.AGENT, ""),
        revision=labels.get(names.REVISION, ""),
        address=status.get("podIP", ""),
        ready=ready and not metadata.get("deletionTimestamp"),
        gone=over,
    )


def worth_keeping(kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a body that a restarted gateway needs: no managed fields, no annotations, no pod spec."""
    metadata = {
        key: body["metadata"][key]
        for key in ("name", "namespace", "uid", "generation", "resourceVersion", "labels", "deletionTimestamp")
        if key in body["metadata"]
    }
    if kind is Kind.NAMESPACE:
        return {"metadata": metadata}
    if kind is not Kind.POD:
        rest = {key: body[key] for key in ("spec", "status") if key in body}
        return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata, **rest}
    status = {key: value for key, value in body.get("status", {}).items() if key in {"phase", "podIP", "conditions"}}
    return {"metadata": metadata, "status": status}
