"""Reads from the cluster what the views need. Decides nothing."""

from __future__ import annotations

import difflib

from proctor.api import names
from proctor.api.agent import Agent
from proctor.api.meta import Invalid
from proctor.cli.cluster import Cluster
from proctor.cli.errors import CliError, NotFound
from proctor.cli.facts import AgentFacts
from proctor.cli.resources import AGENTS, CONFIG_MAPS, CONNECTORS, CONTROLLER_REVISIONS, EVENTS, PODS
from proctor.cli.views import fleet
from proctor.cli.views.fleet import FleetRow


def fleet_rows(cluster: Cluster, namespace: str | None) -> tuple[FleetRow, ...]:
    """The agents of a namespace (None: of the cluster)."""
    return fleet.rows(cluster.list(AGENTS, namespace))


def agent(cluster: Cluster, namespace: str, name: str) -> Agent:
    """The Agent. Raises NotFound, which names those that are there and are called alike."""
    try:
        return Agent.parse(cluster.get(AGENTS, namespace, name))
    except NotFound as absent:
        raise _not_found(cluster, namespace, name, absent) from absent
    except Invalid as invalid:
        raise CliError(
            f"Agent {namespace}/{name} cannot be read: {invalid}",
            "another version of proctor wrote it: use the kubectl-proctor of that version",
        ) from invalid


def _not_found(cluster: Cluster, namespace: str, name: str, absent: NotFound) -> NotFound:
    try:
        there = cluster.list(AGENTS)
    except CliError:
        return absent
    here = [each["metadata"]["name"] for each in there if each["metadata"]["namespace"] == namespace]
    elsewhere = [each["metadata"]["namespace"] for each in there if each["metadata"]["name"] == name]
    if elsewhere:
        return NotFound(
            absent.message, *(f"there is one in namespace {each}: add -n {each}" for each in sorted(elsewhere)[:3])
        )
    alike = difflib.get_close_matches(name, here, n=1)
    if alike:
        return NotFound(absent.message, f"did you mean {alike[0]}?")
    known = f"namespace {namespace} has: {', '.join(sorted(here)[:10])}" if here else f"namespace {namespace} has none"
    return NotFound(absent.message, known)


def agent_facts(cluster: Cluster, namespace: str, name: str) -> AgentFacts:
    """The Agent and what is around it, as far as this person may see it."""
    mine = f"{names.AGENT}={name}"
    return AgentFacts(
        agent=agent(cluster, namespace, name),
        revisions=cluster.look(CONTROLLER_REVISIONS, namespace, labelSelector=mine),
        pods=cluster.look(PODS, namespace, labelSelector=mine),
        connectors=cluster.look(CONNECTORS, namespace),
        events=cluster.look(EVENTS, namespace),
        evidence=cluster.look(CONFIG_MAPS, namespace, labelSelector=f"{mine},{names.MEASURED}=evidence"),
    )
