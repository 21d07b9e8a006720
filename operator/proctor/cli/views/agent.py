"""One agent in full: what a person wants to see when the line in the fleet is not enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from proctor.api import names
from proctor.api.agent import Agent, Caller
from proctor.api.connector import Connector
from proctor.api.meta import Condition, Invalid
from proctor.cli.facts import AgentFacts, Listing
from proctor.cli.views import objectives, pods, tone
from proctor.cli.views.fleet import FleetRow, of_agent
from proctor.cli.views.objectives import ObjectiveView
from proctor.cli.views.pods import PodView
from proctor.cli.views.tone import Tone
from proctor.cli.wording import moment
from proctor.plan import findings
from proctor.plan import image as images
from proctor.plan.world import Manifest, label_of


@dataclass(frozen=True)
class ConditionView:
    """One condition, in the order in which the operator reports them."""

    type: str
    status: str
    tone: Tone
    since: datetime
    reason: str
    message: str


@dataclass(frozen=True)
class RevisionView:
    """One kept revision."""

    number: int
    revision: str
    role: str
    """`stable`, `candidate`, `blocked`, or empty for one that is only remembered."""
    created: datetime | None
    model: str
    image: str
    """As it is declared."""
    digest: str | None
    """What its first ready pod ran; None before that, and where it cannot be told."""
    is_pinned: bool
    """Whether its pods are made by that digest, also when somebody goes back to it."""

    @property
    def ran(self) -> str:
        """The image as people read it: a digest by its beginning."""
        declared, _, _ = self.image.partition("@")
        if self.digest is None:
            return self.image
        digest = images.short(self.digest)
        return f"{declared}@{digest}" if self.is_pinned else f"{declared} ({digest}, on nodes only)"


@dataclass(frozen=True)
class ConnectorView:
    """A system that the agent uses, and whether it can be used."""

    name: str
    use: str
    type: str
    tone: Tone
    reason: str
    message: str
    probed: datetime | None


@dataclass(frozen=True)
class SandboxView:
    """The fence that the spec asks for beside the one that was seen."""

    asked: str
    pods: str | None
    """The weakest profile that the pods really have; None while there are none."""
    network: str
    probed: datetime | None
    message: str


@dataclass(frozen=True)
class AgentView:
    """All of it."""

    summary: FleetRow
    purpose: str
    contact: str
    risk: str
    model_connector: str
    generation: int
    observed_generation: int
    rollout_since: datetime | None
    rollout_message: str | None
    callers: tuple[str, ...]
    conditions: tuple[ConditionView, ...]
    revisions: tuple[RevisionView, ...]
    pods: tuple[PodView, ...]
    connectors: tuple[ConnectorView, ...]
    sandbox: SandboxView
    objectives: tuple[ObjectiveView, ...]
    release_gate: str
    """What the error budgets mean for upgrades; empty if nothing."""
    invoke: str | None
    tasks: str | None
    not_acted_on: tuple[str, ...]
    withheld: tuple[str, ...]
    """What this person may not see, and why."""


def view(facts: AgentFacts) -> AgentView:
    """The agent as its objects show it."""
    agent = facts.agent
    spec, status = agent.spec, agent.status
    running = pods.views(facts.pods.items)
    return AgentView(
        summary=of_agent(agent),
        purpose=spec.purpose,
        contact=spec.owner.contact,
        risk=spec.risk_tier.value,
        model_connector=spec.model.connector,
        generation=agent.metadata.generation,
        observed_generation=status.observed_generation,
        rollout_since=status.rollout.started_at if status.rollout else None,
        rollout_message=status.rollout.message if status.rollout else None,
        callers=callers(agent),
        conditions=tuple(_condition(each) for each in status.conditions),
        revisions=revisions(agent, facts.revisions.items),
        pods=running,
        connectors=tuple(_connectors(agent, facts.connectors)),
        sandbox=_sandbox(agent, running),
        objectives=objectives.objectives(agent),
        release_gate=objectives.release_gate(agent),
        invoke=status.endpoints.invoke if status.endpoints else None,
        tasks=status.endpoints.tasks if status.endpoints else None,
        not_acted_on=findings.not_acted_on(spec),
        withheld=tuple(_withheld(facts)),
    )


def callers(agent: Agent) -> tuple[str, ...]:
    """Who may send tasks, in words."""
    return tuple(_named(agent.spec.access.callers))


def resolvers(agent: Agent) -> tuple[str, ...]:
    """Who may say what became of an effect, in words."""
    return tuple(_named(agent.spec.access.resolvers))


def _named(let_in: Iterable[Caller]) -> Iterator[str]:
    for each in let_in:
        if each.service_account:
            yield f"ServiceAccount {each.service_account.namespace}/{each.service_account.name}"
        elif each.user:
            yield f"user {each.user}"
        elif each.group:
            yield f"group {each.group}"


def _condition(condition: Condition) -> ConditionView:
    return ConditionView(
        type=condition.type,
        status=condition.status.value,
        tone=tone.of_condition(condition),
        since=condition.last_transition_time,
        reason=condition.reason,
        message=condition.message,
    )


def revisions(agent: Agent, items: Iterable[Manifest]) -> tuple[RevisionView, ...]:
    """The kept revisions, the newest first."""
    status = agent.status.revision
    roles: dict[str | None, str] = {
        status.stable: "stable",
        status.candidate: "candidate",
        **dict.fromkeys(status.blocked, "blocked"),
    }
    kept = (_revision(each, roles) for each in items)
    return tuple(sorted(kept, key=lambda each: -each.number))


def _revision(item: Manifest, roles: dict[str | None, str]) -> RevisionView:
    spec = item["data"]["spec"]
    revision = label_of(item, names.REVISION) or ""
    image = images.of_record(item)
    return RevisionView(
        number=int(item["revision"]),
        revision=revision,
        role=roles.get(revision, ""),
        created=moment(item["metadata"].get("creationTimestamp")),
        model=spec["model"]["name"],
        image=image.declared,
        digest=image.digest,
        is_pinned=image.is_pinned,
    )


def _connectors(agent: Agent, listing: Listing) -> Iterator[ConnectorView]:
    there = {each["metadata"]["name"]: each for each in listing.items}
    uses = {agent.spec.model.connector: f"model {agent.spec.model.name}"}
    for grant in agent.spec.tools:
        uses[grant.connector] = ", ".join(grant.allow)
    for name, use in uses.items():
        yield _connector(name, use, there.get(name), listing.withheld)


def _connector(name: str, use: str, body: Manifest | None, withheld: str | None) -> ConnectorView:
    if body is None:
        reason, message = ("Withheld", "you may not see it") if withheld else ("NotFound", "there is no such Connector")
        return ConnectorView(name, use, "", Tone.UNKNOWN if withheld else Tone.BAD, reason, message, None)
    try:
        connector = Connector.parse(body)
    except Invalid as invalid:
        return ConnectorView(name, use, "", Tone.UNKNOWN, "Unreadable", str(invalid), None)
    status, ready = connector.status, connector.status.condition("Ready")
    return ConnectorView(
        name=name,
        use=use,
        type=connector.spec.type.value,
        tone=tone.of_status(status, connector.metadata.generation),
        reason=ready.reason if ready else "NotProbed",
        message=(status.summary or ready.message if ready.status == "True" else ready.message) if ready else "",
        probed=status.last_probe,
    )


def _sandbox(agent: Agent, running: tuple[PodView, ...]) -> SandboxView:
    measured = agent.status.sandbox
    return SandboxView(
        asked=agent.spec.sandbox.profile.value,
        pods=pods.weakest(running),
        network=measured.network_isolation.value if measured else "Unknown",
        probed=measured.probed_at if measured else None,
        message=(measured.message or "") if measured else "not probed yet",
    )


def _withheld(facts: AgentFacts) -> Iterator[str]:
    for part in (facts.revisions, facts.pods, facts.connectors, facts.events):
        if part.withheld:
            yield part.withheld
