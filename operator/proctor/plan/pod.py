"""The pod in which an agent runs: Pod Security *restricted* and more, for every profile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from proctor.api import names
from proctor.api.agent import Profile
from proctor.api.fields import parse_duration
from proctor.plan.image import CONTAINER, Image
from proctor.plan.revision import Revision
from proctor.plan.world import Manifest, Platform

_USER = 65532
_REQUESTS = {"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "64Mi"}
_LIMITS = {"cpu": "1", "memory": "512Mi", "ephemeral-storage": "256Mi"}
_SCRATCH = "64Mi"
_LONGEST_GRACE = timedelta(minutes=10)
_STARTING_PROBES = 300
"""Five minutes. An agent that has not started by then is begun anew."""


def make_template(
    agent: str, service_account: str, revision: Revision, config: str, platform: Platform, image: Image
) -> dict[str, Any]:
    """The pod template of one revision."""
    return {
        "metadata": {"labels": names.revision_labels(agent, revision.hash)},
        "spec": {
            **confined(service_account),
            **_profile(revision, platform),
            # A pod that is told to go finishes the tasks it has: they may take as long as the limits allow.
            "terminationGracePeriodSeconds": _grace_seconds(revision),
            "containers": [_container(revision, platform, image)],
            "volumes": [
                {"name": "config", "configMap": {"name": config}},
                {"name": "tmp", "emptyDir": {"sizeLimit": _SCRATCH}},
            ],
        },
    }


def confined(service_account: str) -> dict[str, Any]:
    """What every pod of ours that stands in an agent's place has, whatever runs in it."""
    return {
        "serviceAccountName": service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def locked() -> dict[str, Any]:
    """The security context of every container of ours."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }


def runtime_class(revision: Revision, platform: Platform) -> str | None:
    """The RuntimeClass that the revision's profile needs; None if the profile needs none or none is known."""
    sandbox = revision.spec["sandbox"]
    if sandbox["profile"] != Profile.ISOLATED:
        return None
    return sandbox.get("runtimeClassName") or platform.isolated_runtime_class


def _profile(revision: Revision, platform: Platform) -> Manifest:
    match Profile(revision.spec["sandbox"]["profile"]):
        case Profile.STANDARD:
            return {}
        case Profile.HARDENED:
            return {"hostUsers": False}
        case Profile.ISOLATED:
            return {"runtimeClassName": runtime_class(revision, platform)}


def _grace_seconds(revision: Revision) -> int:
    timeout = parse_duration(revision.spec["limits"]["timeout"])
    return int(min(timeout, _LONGEST_GRACE).total_seconds()) + 5


def _container(revision: Revision, platform: Platform, image: Image) -> dict[str, Any]:
    runtime = revision.spec["runtime"]
    program = {key: runtime[key] for key in ("command", "args") if runtime.get(key)}
    health = {"httpGet": {"path": "/healthz", "port": names.POD_PORT}}
    return {
        "name": CONTAINER,
        "image": image.runs,
        # What a digest names never changes; with the tag's default the registry would be asked at each start.
        **({"imagePullPolicy": "IfNotPresent"} if image.runs != image.declared else {}),
        **program,
        "env": [
            {"name": "PROCTOR_AGENT_CONFIG", "value": f"{names.CONFIG_MOUNT}/{names.CONFIG_FILE}"},
            {"name": "PROCTOR_GATEWAY_URL", "value": platform.gateway_url},
            {"name": "OPENAI_BASE_URL", "value": f"{platform.gateway_url}/v1"},
            *({"name": each["name"], "value": each["value"]} for each in runtime.get("env", [])),
        ],
        "ports": [{"name": "http", "containerPort": names.POD_PORT, "protocol": "TCP"}],
        "resources": {
            "requests": {**_REQUESTS, **runtime.get("resources", {}).get("requests", {})},
            "limits": {**_LIMITS, **runtime.get("resources", {}).get("limits", {})},
        },
        "readinessProbe": {**health, "periodSeconds": 2, "timeoutSeconds": 2},
        # On a busy node an agent may take minutes to import what it needs; to kill it meanwhile would begin that anew.
        "startupProbe": {**health, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": _STARTING_PROBES},
        "livenessProbe": {**health, "periodSeconds": 10, "timeoutSeconds": 5},
        "securityContext": locked(),
        "volumeMounts": [
            {"name": "config", "mountPath": names.CONFIG_MOUNT, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the one place where the program may write
        ],
    }
