"""Every name, label and annotation that proctor gives to an object.

Names are deterministic: the same input gives the same name in every process, so a repeated create is harmless.
A name that would exceed the 63 characters of a DNS label (RFC 1123) is cut and gets a tail of its hash.
"""

from __future__ import annotations

import hashlib
from typing import Final

GROUP: Final = "proctor.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

FIELD_MANAGER: Final = "proctor"

AGENT: Final = f"{GROUP}/agent"
CONNECTOR: Final = f"{GROUP}/connector"
REVISION: Final = f"{GROUP}/revision"
MEASURED: Final = f"{GROUP}/measured"
"""Label of a ConfigMap in which proctor keeps what it measured of a revision: `evidence` or `baseline`."""
ROLLOUT: Final = f"{GROUP}/rollout"
"""Annotation: the upgrade to which an object belongs."""
COMMAND: Final = f"{GROUP}/command"
"""Annotation on an Agent: what a person says to its upgrade, `<verb>@<revision>/<nonce>`."""
IMAGE: Final = f"{GROUP}/image"
"""Annotation on a ControllerRevision: the image that the revision ran first, by digest."""
PROBE: Final = f"{GROUP}/probe"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
COMPONENT: Final = "app.kubernetes.io/component"
APPLIED: Final = f"{GROUP}/applied"
"""Annotation: the digest of what proctor last applied to the object, so that an unchanged object is not written."""

OPERATOR: Final = "proctor-operator"
WEBHOOK: Final = "proctor-webhook"
"""The ValidatingWebhookConfiguration, and the Secret with its certificates."""
GATEWAY: Final = "proctor-gateway"
AUDITOR: Final = "proctor-auditor"
"""The ServiceAccount whose tokens open the record."""
RECORD: Final = "proctor-record"
"""The ConfigMap in which the operator remembers the gateway's checkpoints."""
INSTALL_NAMESPACE: Final = "proctor-system"
CALLER_PORT: Final = 8080
AGENT_FACING_PORT: Final = 8081
INTERNAL_PORT: Final = 9090
POD_PORT: Final = 8080
STABLE_PORT: Final = 8082
CANDIDATE_PORT: Final = 8083
STABLE_SERVICE: Final = f"{GATEWAY}-stable"
CANDIDATE_SERVICE: Final = f"{GATEWAY}-candidate"
"""The gateway's doors for tasks that an HTTPRoute has split: one for each revision that is compared."""

AUDIENCE: Final = "proctor-gateway"
"""Audience of the tokens that callers and the operator show to the gateway."""

CONFIG_MOUNT: Final = "/etc/proctor"
CONFIG_FILE: Final = "agent.json"

_LONGEST: Final = 63
_TAIL: Final = 8


def fit(name: str) -> str:
    """The name itself if it has at most 63 characters, else its beginning and a hash of the whole."""
    if len(name) <= _LONGEST:
        return name
    tail = hashlib.sha256(name.encode()).hexdigest()[:_TAIL]
    return f"{name[: _LONGEST - _TAIL - 1].rstrip('-.')}-{tail}"


def of_revision(agent: str, revision: str) -> str:
    """The name of everything that exists once a revision: ControllerRevision, Deployment, ConfigMap."""
    return fit(f"{agent}-{revision}")


def of_agent(agent: str) -> str:
    """The name of everything that exists once an agent: ServiceAccount, NetworkPolicy, PodDisruptionBudget."""
    return fit(f"agent-{agent}")


def of_record(agent: str, record: str, revision: str) -> str:
    """The name of the ConfigMap that keeps what was measured of a revision."""
    return fit(f"{agent}-{record}-{revision}")


def of_question(agent: str, revision: str, step: int, asked: int) -> str:
    """The name of the Approval of a step of an upgrade, asked at that time in seconds since 1970."""
    return fit(f"{agent}-{revision}-step-{step}-{asked}")


def of_override(agent: str, revision: str, number: int) -> str:
    """The name of the Approval of an upgrade without error budget; people are asked again when it is over."""
    return fit(f"{agent}-{revision}-budget-{number}")


def isolation_probe(namespace: str) -> str:
    """The name of the pod and of the NetworkPolicy that measure whether a namespace's network is isolated."""
    return fit(f"proctor-isolation-probe-{hashlib.sha256(namespace.encode()).hexdigest()[:6]}")


def agent_labels(agent: str) -> dict[str, str]:
    """The labels of everything that belongs to an agent."""
    return {AGENT: agent, MANAGED_BY: "proctor", COMPONENT: "agent"}


def revision_labels(agent: str, revision: str) -> dict[str, str]:
    """The labels of everything that belongs to one revision of an agent."""
    return {**agent_labels(agent), REVISION: revision}
