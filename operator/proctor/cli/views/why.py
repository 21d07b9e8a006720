"""Why an agent is as it is: the causes, the deepest ones first, each with what a person does next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from proctor.api import names
from proctor.api.agent import Agent
from proctor.api.objectives import ObjectiveState
from proctor.cli.facts import AgentFacts, Listing
from proctor.cli.views import agent as agents
from proctor.cli.views import arithmetic, remedies
from proctor.cli.views import rollout as rollouts
from proctor.cli.views.agent import AgentView, ConnectorView
from proctor.cli.views.fleet import readiness
from proctor.cli.views.pods import PodView
from proctor.cli.views.remedies import Remedy
from proctor.cli.views.tone import Tone
from proctor.cli.wording import age, counted, moment, span
from proctor.plan.world import Manifest

_MOST_EVENTS = 8
_PATIENCE = timedelta(seconds=30)
_STARTING = {"Initial", "Progressing"}
"""Phases in which a revision's pods come up and nothing else happens."""


@dataclass(frozen=True)
class Cause:
    """One reason, in plain words."""

    tone: Tone
    title: str
    text: str
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class EventView:
    """One Event about the agent or what it owns."""

    at: datetime | None
    is_warning: bool
    reason: str
    subject: str
    message: str
    count: int


@dataclass(frozen=True)
class Story:
    """The answer to: why?"""

    subject: str
    tone: Tone
    headline: str
    causes: tuple[Cause, ...]
    events: tuple[EventView, ...]
    withheld: tuple[str, ...] = ()


def story(facts: AgentFacts, operator: Listing, now: datetime) -> Story:
    """The story of one Agent. `operator` holds the pods of the operator."""
    view = agents.view(facts)
    ready, reason, message = readiness(facts.agent)
    serving = f"; revision {view.summary.stable} serves" if view.summary.ready_replicas else ""
    headline = f"it does what its spec says: {message}" if ready == "True" else f"{reason}{serving}"
    return Story(
        subject=f"Agent {view.summary.namespace}/{view.summary.name}",
        tone=view.summary.tone,
        headline=headline,
        causes=tuple(_causes(facts, view, operator, now)),
        events=events(facts),
        withheld=view.withheld,
    )


def _causes(facts: AgentFacts, view: AgentView, operator: Listing, now: datetime) -> Iterator[Cause]:
    agent = facts.agent
    yield from _unobserved(agent, operator, now)
    yield from _deleting(agent)
    yield from _of_ready(agent, view)
    yield from _of_rollout(agent, view, now)
    yield from _of_upgrade(facts)
    yield from _of_pods(agent, view)
    yield from _of_connectors(agent, view)
    yield from _of_objectives(agent, view)
    yield from _of_isolation(view)
    yield from _of_conditions(agent)
    yield from _of_access(agent)
    if view.not_acted_on:
        text = f"this version keeps them, but does not act on them: {', '.join(view.not_acted_on)}"
        yield Cause(Tone.WARN, "fields without effect", text)


def _unobserved(agent: Agent, operator: Listing, now: datetime) -> Iterator[Cause]:
    generation, seen = agent.metadata.generation, agent.status.observed_generation
    if agent.status.condition("Ready") is not None and seen >= generation:
        return
    running = sum(_is_ready(pod) for pod in operator.items)
    created = agent.metadata.creation_timestamp
    if operator.withheld:
        text = "the operator has not told of the newest spec yet, and you may not see its pods"
    elif not operator.items:
        text = "there is no operator: proctor is not installed, or installed in another namespace (--installation)"
    elif not running:
        text = f"none of the operator's {counted(len(operator.items), 'pod')} is ready, so nobody acts on it"
    elif created and now - created < _PATIENCE:
        text = f"it was made {age(created, now)} ago; the operator will have looked at it in a moment"
    else:
        text = f"the operator runs, but has seen generation {seen} of {generation} only; its log says why"
    where = f"kubectl logs -n {names.INSTALL_NAMESPACE} deploy/{names.OPERATOR}"
    yield Cause(Tone.UNKNOWN, "not observed", text, (f"kubectl get pods -n {names.INSTALL_NAMESPACE}", where))


def _is_ready(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _deleting(agent: Agent) -> Iterator[Cause]:
    if agent.is_deleting:
        text = "somebody deleted it; it goes when nothing holds it any longer"
        place = f"{agent.metadata.name} -n {agent.metadata.namespace}"
        yield Cause(
            Tone.OFF, "being deleted", text, (f"kubectl get agent {place} -o jsonpath={{.metadata.finalizers}}",)
        )


def _of_ready(agent: Agent, view: AgentView) -> Iterator[Cause]:
    ready, reason, message = readiness(agent)
    if ready != "False" or agent.is_deleting:
        return
    remedy = remedies.OF_AGENT.get(reason) or remedies.OF_UPGRADE.get(reason, remedies.UNKNOWN)
    blocked = next(iter(agent.status.revision.blocked), None) or view.summary.candidate or view.summary.stable
    steps = _filled(remedy, ns=agent.metadata.namespace, name=agent.metadata.name, revision=blocked or "")
    tone = Tone.OFF if reason == "Suspended" else Tone.BUSY if view.summary.tone is Tone.BUSY else Tone.BAD
    yield Cause(
        tone, reason, f"{message}. {_sentence(remedy.meaning)}" if message else _sentence(remedy.meaning), steps
    )


def _of_rollout(agent: Agent, view: AgentView, now: datetime) -> Iterator[Cause]:
    since, candidate = view.rollout_since, view.summary.candidate
    if candidate is None or since is None or view.summary.phase not in _STARTING:
        return
    deadline = agent.spec.rollout.progress_deadline
    left = since + deadline - now
    beside = f" beside {view.summary.stable}, which goes on serving" if view.summary.stable else ""
    rest = f"it has {span(left)} more to get ready" if left > timedelta(0) else "its time is over"
    text = (
        f"revision {candidate} has been starting for {age(since, now)}{beside}; {rest} (spec.rollout.progressDeadline)"
    )
    yield Cause(Tone.BUSY, "a revision is starting", text)


def _of_upgrade(facts: AgentFacts) -> Iterator[Cause]:
    """Where the upgrade is, what the evidence says, and how that was reckoned."""
    seen = rollouts.view(facts.agent)
    verdict = seen.verdict
    # A budget that is spent has a cause of its own, with what mends it.
    if seen.frozen and not seen.gate:
        steps = ("kubectl get policies.proctor.dev,clusterpolicies -A",)
        yield Cause(Tone.WARN, "upgrades are frozen", seen.frozen, steps)
    if seen.candidate is not None and seen.phase not in _STARTING:
        now = next((f" at step {step.number}, {step.words}" for step in seen.steps if step.state == "now"), "")
        share = f"{seen.weight} % of the new tasks go to {seen.candidate}"
        told = f": {seen.headline}" if seen.headline else ""
        yield Cause(seen.tone, f"an upgrade is {seen.phase}{now}", f"{share}{told}", seen.hints)
    for exam in seen.exams:
        if exam.regressed:
            tone = Tone.BAD if exam.state == "Failed" else Tone.WARN
            yield Cause(tone, f"exam {exam.name}: cases are lost", arithmetic.of_exam(facts.agent, exam))
    if verdict is not None and verdict.tasks:
        reckoned = arithmetic.of_verdict(facts.agent, facts.evidence)
        words = f"{verdict.text or verdict.state} after {counted(verdict.tasks, 'task')}"
        tone = {"Harmful": Tone.BAD, "NotWorse": Tone.GOOD}.get(verdict.state, Tone.BUSY)
        yield Cause(tone, f"evidence: {verdict.state}", f"{words}\n{reckoned}" if reckoned else words)


def _of_pods(agent: Agent, view: AgentView) -> Iterator[Cause]:
    ill = [pod for pod in view.pods if pod.tone is Tone.BAD]
    counts = Counter((pod.state, pod.revision) for pod in ill)
    for (state, revision), count in counts.items():
        pod = next(each for each in ill if (each.state, each.revision) == (state, revision))
        yield _of_pod(agent, pod, count)


def _of_pod(agent: Agent, pod: PodView, count: int) -> Cause:
    remedy = remedies.of_pod(pod.state)
    whose = f"{counted(count, 'pod')} of revision {pod.revision}" if count > 1 else f"pod {pod.name}"
    problem = f": {pod.problem}" if pod.problem else ""
    meaning = "" if remedy is remedies.UNKNOWN else f". {_sentence(remedy.meaning)}"
    steps = _filled(remedy, ns=agent.metadata.namespace, name=pod.name, agent=agent.metadata.name)
    return Cause(Tone.BAD, f"pod {pod.state}", f"{whose}{problem}{meaning}", steps)


def _of_connectors(agent: Agent, view: AgentView) -> Iterator[Cause]:
    for connector in view.connectors:
        # One that is missing is told of as an obstacle already.
        if connector.tone is not Tone.GOOD and connector.reason != "NotFound":
            yield of_connector(agent.metadata.namespace, connector)


def of_connector(namespace: str, connector: ConnectorView) -> Cause:
    """Why a Connector cannot be used."""
    remedy = remedies.OF_CONNECTOR.get(connector.reason, remedies.UNKNOWN)
    said = f": {connector.message}" if connector.message else ""
    steps = _filled(remedy, ns=namespace, name=connector.name, agent="", revision="")
    return Cause(
        connector.tone,
        f"connector {connector.name}: {connector.reason}",
        f"needed for {connector.use}{said}. {_sentence(remedy.meaning)}",
        steps,
    )


def _of_objectives(agent: Agent, view: AgentView) -> Iterator[Cause]:
    place = f"{agent.metadata.name} -n {agent.metadata.namespace}"
    for each in view.objectives:
        if each.tone in {Tone.BAD, Tone.WARN} or each.state == ObjectiveState.STALE:
            steps = (f"kubectl proctor status {place}    # what was measured", f"kubectl proctor tasks {place}")
            yield Cause(each.tone, f"objective {each.name}: {each.state}", each.message, steps)
    if view.release_gate:
        mend = f"kubectl edit agent {place}    # spec.slos[].gate.rollout: false lets pass what mends it"
        yield Cause(Tone.WARN, "error budgets hold up upgrades", view.release_gate, (mend,))


def _of_isolation(view: AgentView) -> Iterator[Cause]:
    sandbox = view.sandbox
    if sandbox.network == "NotEnforced":
        text = f"{sandbox.message}. Agents hold no credentials, but could reach what they should not."
        yield Cause(Tone.WARN, "network not isolated", text, ("use a network plugin that enforces NetworkPolicy",))
    elif sandbox.network == "Unknown":
        yield Cause(Tone.UNKNOWN, "isolation not measured", sandbox.message or "no probe has ended yet")
    if sandbox.pods and sandbox.pods != sandbox.asked:
        text = (
            f"the spec asks for profile {sandbox.asked}, a pod runs as {sandbox.pods}: of an older revision, or changed"
        )
        yield Cause(Tone.WARN, "weaker sandbox than asked", text)


def _of_conditions(agent: Agent) -> Iterator[Cause]:
    """What the operator says in words of its own, and what a person does about it."""
    for type_, (title, step) in remedies.OF_CONDITIONS.items():
        found = agent.status.condition(type_)
        if found is not None and found.status == "False":
            yield Cause(Tone.WARN, title, found.message, (step,))


def _of_access(agent: Agent) -> Iterator[Cause]:
    if not agent.spec.access.callers:
        place = f"kubectl edit agent {agent.metadata.name} -n {agent.metadata.namespace}    # spec.access.callers"
        yield Cause(
            Tone.WARN, "nobody may ask it", "spec.access.callers is empty, and an empty list lets nobody in", (place,)
        )


def events(facts: AgentFacts) -> tuple[EventView, ...]:
    """The newest Events about the agent and what it owns."""
    name = facts.agent.metadata.name
    pods = {pod["metadata"]["name"] for pod in facts.pods.items}
    revisions = {f"{name}-{each['metadata'].get('labels', {}).get(names.REVISION)}" for each in facts.revisions.items}
    found = []
    for each in facts.events.items:
        kind, subject = each["involvedObject"].get("kind"), each["involvedObject"].get("name", "")
        is_own = kind == "Agent" and subject == name
        is_of_pods = kind == "Pod" and subject in pods
        is_of_revision = kind in {"Deployment", "ReplicaSet"} and any(subject.startswith(own) for own in revisions)
        # What the kubelet does as a matter of course explains nothing.
        if is_own or ((is_of_pods or is_of_revision) and each.get("type") == "Warning"):
            found.append(_event(each, f"{kind} {subject}"))
    newest_first = sorted(found, key=lambda each: str(each.at), reverse=True)
    # A condition that turns and what turned it say the same thing: it is told once.
    once = {(each.subject, each.message): each for each in reversed(newest_first)}
    return tuple(each for each in newest_first if once[each.subject, each.message] is each)[:_MOST_EVENTS]


def _event(body: Manifest, subject: str) -> EventView:
    series = body.get("series") or {}
    at = series.get("lastObservedTime") or body.get("lastTimestamp") or body.get("eventTime")
    return EventView(
        at=moment(at or body["metadata"].get("creationTimestamp")),
        is_warning=body.get("type") == "Warning",
        reason=body.get("reason", ""),
        subject=subject,
        message=body.get("message", ""),
        count=int(series.get("count") or body.get("count") or 1),
    )


def _filled(remedy: Remedy, **names_: str) -> tuple[str, ...]:
    known = {"ns": "", "name": "", "agent": "", "revision": "", **names_}
    return tuple(step.format(**known) for step in remedy.steps)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
