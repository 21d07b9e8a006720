"""What the operator decided, for the record: a function of what is declared and of what the status says.

Level, not edge: every fact is named by its own content and time, so the same fact has the same id whenever and by
whichever operator it is told, and the record keeps it once. A restarted operator tells everything again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from proctor.api import digest, names
from proctor.audit.records import EventType, present
from proctor.plan.world import Manifest, label_of

CONFIG_KINDS: Final = frozenset({"Agent", "Connector", "Policy", "ClusterPolicy", "Workflow"})
_POLICIES: Final = frozenset({"Policy", "ClusterPolicy"})
_STATES: Final = frozenset(
    {"Available", "SLOCompliant", "PolicyCompliant", "BudgetAvailable", "RolloutHealthy", "Isolated", "Stalled"}
)
_STEP: Final = ("id", "phase", "stage", "step", "weight", "mirror", "since", "reason", "approval")
_ENDING: Final = ("type", "revision", "reason", "metric", "e", "exposed", "at")
_ANSWERED: Final = frozenset({"Decided", "TimedOut", "Withdrawn"})
_PROMOTED: Final = "Promoted"


@dataclass(frozen=True)
class Told:
    """A decision or a state, as the gateway takes it into the record."""

    id: str
    type: EventType
    at: datetime
    fields: Mapping[str, Any]

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "id": self.id,
            "type": self.type,
            "at": f"{self.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            "fields": self.fields,
        }


def of_object(body: Manifest, children: tuple[Manifest, ...], now: datetime) -> tuple[Told, ...]:
    """What there is to tell of the object as it is in the cluster; `children` is what it owns."""
    if body["kind"] == "Approval":
        return tuple(_told(kind, _asker(body), fields, body, now) for kind, fields in _approval(body))
    if body["kind"] not in CONFIG_KINDS:
        return ()
    status = body.get("status") or {}
    facts: list[tuple[EventType, dict[str, Any]]] = [_config(body, status, children)]
    if body["kind"] == "Agent":
        facts += _suspended(body)
        facts += _rollout(status)
    facts += _states(status)
    about = _about(body)
    return tuple(_told(kind, about, fields, body, now) for kind, fields in facts)


def _told(kind: EventType, about: Mapping[str, Any], fields: Mapping[str, Any], body: Manifest, now: datetime) -> Told:
    identity = digest.short([kind, body["metadata"]["uid"], fields], 40)
    return Told(f"operator-{identity}", kind, now, {**about, **fields})


def _asker(body: Manifest) -> dict[str, Any]:
    """The agent that the question is about, where it is about one."""
    subject = (body.get("spec") or {}).get("subject") or {}
    named = next((each.get("agent") for each in subject.values() if isinstance(each, dict)), None)
    return {"agent": present(namespace=body["metadata"]["namespace"], name=named)}


def _approval(body: Manifest) -> Iterator[tuple[EventType, dict[str, Any]]]:
    """A question of the operator's own: about an upgrade. Those of tasks the gateway records with the tasks."""
    subject, status = body["spec"].get("subject") or {}, body.get("status") or {}
    about = next((each for each in ("rollout", "override") if each in subject), None)
    if about is None:
        return
    lasting = (subject.get("override") or {}).get("for")
    facts = present(approval=body["metadata"]["name"], about=about, digest=subject.get("digest"), lasting=lasting)
    yield EventType.APPROVAL_REQUESTED, {"approval": facts}
    if status.get("phase") in _ANSWERED:
        said = present(decision=status.get("decision"), phase=status["phase"], decidedAt=status.get("decidedAt"))
        if about == "override":
            said |= present(why=status.get("comment"))
        yield (
            EventType.APPROVAL_DECIDED,
            {"approval": {**facts, **said, "decidedBy": list(status.get("decidedBy") or ())}},
        )


def _about(body: Manifest) -> dict[str, Any]:
    metadata = body["metadata"]
    place = present(namespace=metadata.get("namespace"), name=metadata["name"], uid=metadata["uid"], kind=body["kind"])
    # The record is searched by agent; of other kinds the name is told as well.
    return {"agent": place}


def _config(
    body: Manifest, status: Mapping[str, Any], children: tuple[Manifest, ...]
) -> tuple[EventType, dict[str, Any]]:
    """What is declared, by its hash; of an Agent also the whole bundle of the revisions before and after."""
    revision = status.get("revision") or {}
    bundles = {
        label_of(each, names.REVISION): digest.sha256(each.get("data"))
        for each in children
        if each["kind"] == "ControllerRevision"
    }
    stable, candidate = revision.get("stable"), revision.get("candidate")
    change = present(
        generation=body["metadata"].get("generation"),
        spec_sha256=digest.sha256(body.get("spec")),
        before=stable if candidate else revision.get("previous"),
        after=candidate or stable,
    )
    change |= present(before_sha256=bundles.get(change.get("before")), after_sha256=bundles.get(change.get("after")))
    spec = body.get("spec") or {}
    if body["kind"] == "Agent":
        change |= present(risk_tier=spec.get("riskTier"), owner=(spec.get("owner") or {}).get("team"))
        change |= present(purpose=spec.get("purpose"), contact=(spec.get("owner") or {}).get("contact"))
        if spec.get("slos"):
            change["slos"] = [_objective(each) for each in spec["slos"]]
    if body["kind"] in _POLICIES:
        change |= present(mode=spec.get("mode"))
        if spec.get("exceptions"):
            change["exceptions"] = [_exception(each) for each in spec["exceptions"]]
    return EventType.CONFIG_CHANGED, {"change": change}


def _objective(declared: Mapping[str, Any]) -> dict[str, Any]:
    indicator = declared.get("indicator") or {}
    asked = {key: str(value) for key, value in indicator.items() if key in {"type", "threshold"}}
    return present(name=declared.get("name"), target=declared.get("target"), window=declared.get("window"), **asked)


def _exception(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Who need not follow which rules, until when, and who answers for that."""
    said = {key: declared.get(key) for key in ("name", "reason", "approvedBy", "expiresAt")}
    names_of = (declared.get("selector") or {}).get("names")
    return present(rules=list(declared.get("rules") or ()), agents=list(names_of) if names_of else None, **said)


def _suspended(body: Manifest) -> Iterator[tuple[EventType, dict[str, Any]]]:
    if (body.get("spec") or {}).get("suspend"):
        yield EventType.SUSPEND, {"state": {"suspend": True, "generation": body["metadata"].get("generation")}}


def _rollout(status: Mapping[str, Any]) -> Iterator[tuple[EventType, dict[str, Any]]]:
    rollout = status.get("rollout")
    if rollout:
        revision = status.get("revision") or {}
        step = present(**{key: rollout.get(key) for key in _STEP})
        step |= present(stable=revision.get("stable"), candidate=revision.get("candidate"))
        yield EventType.ROLLOUT_STEP, {"rollout": step}
        ended = rollout.get("lastOutcome")
        if ended:
            kind = EventType.ROLLOUT_PROMOTE if ended.get("type") == _PROMOTED else EventType.ROLLOUT_ROLLBACK
            yield kind, {"rollout": present(**{key: ended.get(key) for key in _ENDING})}
    if status.get("lastHandledCommand"):
        yield EventType.STATE_CHANGED, {"state": present(command=status["lastHandledCommand"])}


def _states(status: Mapping[str, Any]) -> Iterator[tuple[EventType, dict[str, Any]]]:
    for each in status.get("conditions") or ():
        if each.get("type") in _STATES:
            fields = {key: each.get(key) for key in ("type", "status", "reason", "lastTransitionTime")}
            yield EventType.STATE_CHANGED, {"state": present(**fields)}
