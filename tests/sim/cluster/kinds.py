"""The kinds that the simulated API server knows, in its own words: not those of the operator under test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

Body = dict[str, Any]
"""An object as JSON. Never changed once it is stored: a new version is a new value."""


@dataclass(frozen=True)
class Kind:
    """A kind: where it is found, and how the API server treats it."""

    name: str
    group: str
    version: str
    plural: str
    namespaced: bool = True
    has_generation: bool = False
    has_status: bool = False

    @property
    def api_version(self) -> str:
        """As an object names it."""
        return f"{self.group}/{self.version}" if self.group else self.version


def _custom(name: str, plural: str, *, namespaced: bool = True) -> Kind:
    return Kind(name, "proctor.dev", "v1alpha1", plural, namespaced, has_generation=True, has_status=True)


KINDS = (
    _custom("Agent", "agents"),
    _custom("Connector", "connectors"),
    _custom("Policy", "policies"),
    _custom("ClusterPolicy", "clusterpolicies", namespaced=False),
    _custom("Approval", "approvals"),
    _custom("Workflow", "workflows"),
    _custom("WorkflowRun", "workflowruns"),
    Kind("Deployment", "apps", "v1", "deployments", has_generation=True, has_status=True),
    Kind("ReplicaSet", "apps", "v1", "replicasets", has_generation=True, has_status=True),
    Kind("ControllerRevision", "apps", "v1", "controllerrevisions"),
    Kind("Namespace", "", "v1", "namespaces", namespaced=False, has_status=True),
    Kind("ConfigMap", "", "v1", "configmaps"),
    Kind("Secret", "", "v1", "secrets"),
    Kind("ServiceAccount", "", "v1", "serviceaccounts"),
    Kind("Pod", "", "v1", "pods", has_status=True),
    Kind("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies", has_generation=True),
    Kind("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets", has_generation=True, has_status=True),
    Kind("RuntimeClass", "node.k8s.io", "v1", "runtimeclasses", namespaced=False),
    Kind("Event", "events.k8s.io", "v1", "events"),
    Kind("Lease", "coordination.k8s.io", "v1", "leases"),
    Kind("HTTPRoute", "gateway.networking.k8s.io", "v1", "httproutes", has_generation=True, has_status=True),
    Kind("PrometheusRule", "monitoring.coreos.com", "v1", "prometheusrules", has_generation=True),
)

BY_NAME = {kind.name: kind for kind in KINDS}
BY_PLURAL = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}


class Ref(NamedTuple):
    """An object by kind, namespace and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(filter(None, self))


def ref_of(body: Body) -> Ref:
    """The object's own reference."""
    metadata = body["metadata"]
    return Ref(body["kind"], metadata.get("namespace", ""), metadata["name"])


def owners_of(body: Body) -> tuple[str, ...]:
    """The uids of the object's owners."""
    return tuple(each["uid"] for each in body["metadata"].get("ownerReferences", ()))


def labels_of(body: Body) -> dict[str, str]:
    """The object's labels."""
    labels: dict[str, str] = body["metadata"].get("labels", {})
    return labels


def matches(body: Body, selector: str | None) -> bool:
    """Whether the object's labels fit a selector of `key=value` terms."""
    if not selector:
        return True
    terms = (term.partition("=") for term in selector.split(","))
    return all(labels_of(body).get(key) == value for key, _, value in terms)
