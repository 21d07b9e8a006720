"""The kinds that the operator reads and writes, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proctor.api import names

_MANAGED: Final = f"{names.MANAGED_BY}=proctor"


@dataclass(frozen=True)
class Resource:
    """Where a kind is found, and which of its objects concern us."""

    kind: str
    group: str
    version: str
    plural: str
    namespaced: bool = True
    selector: str | None = None

    @property
    def api_version(self) -> str:
        """As an object names it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of a collection, an object or a subresource; all namespaces if none is given."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [self.plural, *([name] if name else []), *([subresource] if subresource else [])]
        return "/".join(parts)


OURS: Final = (
    Resource("Agent", names.GROUP, names.VERSION, "agents"),
    Resource("Connector", names.GROUP, names.VERSION, "connectors"),
    Resource("Policy", names.GROUP, names.VERSION, "policies"),
    Resource("ClusterPolicy", names.GROUP, names.VERSION, "clusterpolicies", namespaced=False),
    Resource("Approval", names.GROUP, names.VERSION, "approvals"),
    Resource("Workflow", names.GROUP, names.VERSION, "workflows"),
    Resource("WorkflowRun", names.GROUP, names.VERSION, "workflowruns"),
)
"""Our own kinds: an object of one of them is a key of the queue."""

WATCHED: Final = (
    *OURS,
    Resource("Deployment", "apps", "v1", "deployments", selector=_MANAGED),
    Resource("ControllerRevision", "apps", "v1", "controllerrevisions", selector=_MANAGED),
    Resource("ConfigMap", "", "v1", "configmaps", selector=_MANAGED),
    Resource("ServiceAccount", "", "v1", "serviceaccounts", selector=_MANAGED),
    Resource("Pod", "", "v1", "pods", selector=_MANAGED),
    # All of them: a foreign NetworkPolicy that selects an agent's pods can undo ours.
    Resource("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies"),
    Resource("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets", selector=_MANAGED),
    # A ClusterPolicy names namespaces by their labels.
    Resource("Namespace", "", "v1", "namespaces", namespaced=False),
    Resource("RuntimeClass", "node.k8s.io", "v1", "runtimeclasses", namespaced=False),
)
"""All kinds that the cache holds."""

RULES: Final = Resource("PrometheusRule", "monitoring.coreos.com", "v1", "prometheusrules")
"""Written where Prometheus' operator is installed, and looked at only then: a watch would need the kind to be there."""

REPORTS: Final = (
    Resource("Report", "openreports.io", "v1alpha1", "reports"),
    Resource("PolicyReport", "wgpolicyk8s.io", "v1alpha2", "policyreports"),
)
"""Reports of policies, the newer kind first; a cluster may have neither. Read and written, but not watched."""

ROUTES: Final = Resource("HTTPRoute", "gateway.networking.k8s.io", "v1", "httproutes")
"""Somebody else's: read for agents that name one, and weighted; a watch would need the kind to be there."""

BY_KIND: Final = {each.kind: each for each in (*WATCHED, RULES, *REPORTS, ROUTES)}
EVENT: Final = Resource("Event", "events.k8s.io", "v1", "events")
SECRET: Final = Resource("Secret", "", "v1", "secrets")
"""One, by its name: that of the webhook's certificates."""
WEBHOOK: Final = Resource(
    "ValidatingWebhookConfiguration",
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    namespaced=False,
)
LEASE: Final = Resource("Lease", "coordination.k8s.io", "v1", "leases")
