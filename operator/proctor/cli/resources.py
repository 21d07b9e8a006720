"""Where the API server keeps each kind of object that the command line reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from proctor.api import names
from proctor.cli.errors import Misused


@dataclass(frozen=True)
class Resource:
    """One kind of object and its place in the API."""

    api_version: str
    kind: str
    plural: str
    is_namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The path of one object, of all in a namespace, or (without a namespace) of all in the cluster."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        where = f"/namespaces/{segment(namespace)}" if namespace and self.is_namespaced else ""
        return f"{root}{where}/{self.plural}" + (f"/{segment(name)}" if name else "")


def segment(name: str) -> str:
    """A name as one part of a path. Raises Misused for `..`, which clients take for the way up to another place."""
    if name in {".", ".."}:
        raise Misused(f"{name} is no name of an object")
    return quote(name, safe="")


# In words, not by the registry of the kinds: to build the models of all kinds takes longer than to show a status.
AGENTS: Final = Resource(names.API_VERSION, "Agent", "agents")
CONNECTORS: Final = Resource(names.API_VERSION, "Connector", "connectors")
CONFIG_MAPS: Final = Resource("v1", "ConfigMap", "configmaps")
CLUSTER_POLICIES: Final = Resource(names.API_VERSION, "ClusterPolicy", "clusterpolicies", is_namespaced=False)
CONTROLLER_REVISIONS: Final = Resource("apps/v1", "ControllerRevision", "controllerrevisions")
DEPLOYMENTS: Final = Resource("apps/v1", "Deployment", "deployments")
DISRUPTION_BUDGETS: Final = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
EVENTS: Final = Resource("v1", "Event", "events")
NAMESPACES: Final = Resource("v1", "Namespace", "namespaces", is_namespaced=False)
NETWORK_POLICIES: Final = Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
POLICIES: Final = Resource(names.API_VERSION, "Policy", "policies")
PODS: Final = Resource("v1", "Pod", "pods")
RUNTIME_CLASSES: Final = Resource("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", is_namespaced=False)
SECRETS: Final = Resource("v1", "Secret", "secrets")
SERVICE_ACCOUNTS: Final = Resource("v1", "ServiceAccount", "serviceaccounts")

OURS: Final = {AGENTS.kind: AGENTS, CONNECTORS.kind: CONNECTORS}
"""The kinds of proctor.dev, by name."""
OWNED: Final = (
    SERVICE_ACCOUNTS,
    NETWORK_POLICIES,
    DISRUPTION_BUDGETS,
    CONTROLLER_REVISIONS,
    CONFIG_MAPS,
    DEPLOYMENTS,
)
"""What an Agent owns."""
