"""One `make_…` for each kind of object that an Agent owns: whole, and only the fields that we own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from proctor.api import digest, names
from proctor.api.agent import Agent
from proctor.api.fields import parse_duration
from proctor.plan.image import Image
from proctor.plan.pod import make_template
from proctor.plan.revision import Revision
from proctor.plan.world import Manifest, Platform


def owned_by(agent: Agent) -> dict[str, Any]:
    """The reference by which the cluster deletes an object with its Agent, operator or no operator."""
    return {
        "apiVersion": agent.api_version,
        "kind": agent.kind,
        "name": agent.metadata.name,
        "uid": agent.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def make_service_account(agent: Agent) -> Manifest:
    """An identity of the agent's own, with no rights and no token in the pod."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(agent, names.of_agent(agent.metadata.name)),
        "automountServiceAccountToken": False,
    }


def make_network_policy(agent: Agent, platform: Platform) -> Manifest:
    """Nothing in but from the gateway, nothing out but to the gateway and to DNS."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(agent, names.of_agent(agent.metadata.name)),
        "spec": fence({names.AGENT: agent.metadata.name}, platform),
    }


def fence(selector: dict[str, str], platform: Platform) -> dict[str, Any]:
    """The spec of the NetworkPolicy that every sandboxed pod stands behind."""
    gateway = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": platform.namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": names.GATEWAY}},
    }
    dns = [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},
        *({"ipBlock": {"cidr": cidr}} for cidr in platform.dns_cidrs),
    ]
    return {
        "podSelector": {"matchLabels": selector},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [gateway], "ports": [{"protocol": "TCP", "port": names.POD_PORT}]}],
        "egress": [
            {"to": [gateway], "ports": [{"protocol": "TCP", "port": names.AGENT_FACING_PORT}]},
            {"to": dns, "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]},
        ],
    }


def make_disruption_budget(agent: Agent, serving: str) -> Manifest:
    """Of the pods that serve one at a time may be evicted; those of a candidate do not count.

    A candidate that does not get ready would use up what may be missing, and so keep a node from being drained. Nor
    does a pod that is not ready do any work that an eviction could disrupt.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(agent, names.of_agent(agent.metadata.name)),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": {names.AGENT: agent.metadata.name, names.REVISION: serving}},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def make_controller_revision(agent: Agent, revision: Revision, number: int, image: Image | None = None) -> Manifest:
    """The immutable record of the bundle; `number` counts the agent's revisions from 1.

    What its image was is learned when it runs, so it stands beside the bundle.
    """
    metadata = _revision_metadata(agent, revision)
    if image is not None and image.kept is not None:
        metadata["annotations"] = {names.IMAGE: image.kept}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "revision": number,
        "data": revision.data,
    }


def make_config(agent: Agent, revision: Revision) -> Manifest:
    """What the program in the pod reads: instructions, model and tools by name, limits. No key."""
    spec, metadata = revision.spec, agent.metadata
    limits = spec["limits"]
    content = {
        "name": metadata.name,
        "namespace": metadata.namespace,
        "revision": revision.hash,
        "instructions": spec["instructions"],
        "model": {"name": spec["model"]["name"], "parameters": spec["model"].get("parameters", {})},
        "tools": [{"connector": each["connector"], "allow": each["allow"]} for each in spec["tools"]],
        "output": spec.get("output"),
        "limits": {
            "timeoutSeconds": parse_duration(limits["timeout"]) / timedelta(seconds=1),
            "maxSteps": limits["maxSteps"],
            "maxTokens": limits.get("maxTokens"),
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _revision_metadata(agent, revision),
        "immutable": True,
        "data": {names.CONFIG_FILE: digest.canonical(content).decode()},
    }


def make_deployment(
    agent: Agent, revision: Revision, replicas: int, platform: Platform, image: Image | None = None
) -> Manifest:
    """The pods of one revision."""
    name = agent.metadata.name
    config = names.of_revision(name, revision.hash)
    runs = image or Image(revision.spec["runtime"]["image"])
    template = make_template(name, names.of_agent(name), revision, config, platform, runs)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _revision_metadata(agent, revision),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": {names.AGENT: name, names.REVISION: revision.hash}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": template,
        },
    }


def _metadata(agent: Agent, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": agent.metadata.namespace,
        "labels": names.agent_labels(agent.metadata.name),
        "ownerReferences": [owned_by(agent)],
    }


def _revision_metadata(agent: Agent, revision: Revision) -> dict[str, Any]:
    name = agent.metadata.name
    return {
        **_metadata(agent, names.of_revision(name, revision.hash)),
        "labels": names.revision_labels(name, revision.hash),
    }
