"""Approvals as a person meets them: read, and answered in the person's own name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from proctor.api import digest, names
from proctor.api.approval import APPROVE, Approval
from proctor.api.fields import format_time
from proctor.api.meta import Invalid
from proctor.cli.cluster import APPLY_PATCH, Cluster
from proctor.cli.errors import CliError, Denied, Misused, NotFound
from proctor.cli.resources import CONNECTORS, Resource
from proctor.cli.views.approval import people
from proctor.policy import forms
from proctor.policy.votes import Decided, Pending, Withdrawn, tally

APPROVALS: Final = Resource(names.API_VERSION, "Approval", "approvals")
_ROLE: Final = "whoever is asked also needs the ClusterRole proctor-approver in the namespace"
_REVIEWS: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@dataclass(frozen=True)
class Answer:
    """What a person says: one of the options, why, and what was filled in.

    `filled` is `arguments` that take the place of a call's, or the `output` that takes the place of an agent's.
    """

    decision: str
    comment: str = ""
    filled: dict[str, Any] | None = None


def questions(cluster: Cluster, namespace: str | None) -> list[Approval]:
    """All Approvals that can be read, those that wait first, then the newest."""
    found = [_readable(each) for each in cluster.list(APPROVALS, namespace)]
    known = [each for each in found if each is not None]
    return sorted(known, key=lambda each: (each.status.decision is not None, each.spec.deadline))


def question(cluster: Cluster, namespace: str, name: str) -> Approval:
    """The Approval. Raises CliError for one that cannot be trusted to ask what it shows."""
    try:
        found = Approval.parse(cluster.get(APPROVALS, namespace, name))
    except NotFound as missing:
        raise NotFound(missing.message, "kubectl proctor approvals -A --all    lists those that there are") from missing
    except Invalid as exc:
        raise CliError(f"Approval {namespace}/{name} cannot be read: {exc}") from exc
    call = found.spec.subject.tool_call
    if call is not None:
        shown = digest.sha256({"toolCall": call.model_dump(mode="json", by_alias=True)})
        if shown != found.spec.subject.digest:
            raise CliError(f"Approval {namespace}/{name}: its digest is not that of the call that it shows")
    return found


def effect_of(cluster: Cluster, approval: Approval) -> str | None:
    """What the call would do by its declared class; None if nobody says."""
    call = approval.spec.subject.tool_call
    if call is None:
        return None
    try:
        body = cluster.find(CONNECTORS, approval.metadata.namespace, call.connector)
    except CliError:
        return None
    tools = (body or {}).get("spec", {}).get("tools", ())
    return next((str(each.get("effect", "Once")) for each in tools if each.get("name") == call.tool), "Once")


def is_open(approval: Approval, now: datetime) -> bool:
    """Whether an answer still counts."""
    return approval.status.decision is None and isinstance(tally(approval, now), Pending)


def whoami(cluster: Cluster) -> str:
    """Who the API server says the person is."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = cluster.send("POST", _REVIEWS, body, "who you are")
    return str(answer["status"]["userInfo"]["username"])


def vote(cluster: Cluster, approval: Approval, answer: Answer, now: datetime) -> str:
    """Write the person's vote; who it was written for. The API server holds that it is the person's own."""
    check(approval, answer, now)
    user = whoami(cluster)
    if any(each.user == user for each in approval.status.votes):
        raise CliError(f"{user} has voted on {approval.metadata.name}: a vote is not changed", shown_by(approval))
    said: dict[str, Any] = {
        "user": user,
        "decision": answer.decision,
        "digest": approval.spec.subject.digest,
        "at": format_time(now.replace(microsecond=0)),
    }
    said |= {"comment": answer.comment} if answer.comment else {}
    said |= {"answer": answer.filled} if answer.filled is not None else {}
    identity = {"name": approval.metadata.name, "namespace": approval.metadata.namespace}
    body = {"apiVersion": names.API_VERSION, "kind": "Approval", "metadata": identity, "status": {"votes": [said]}}
    path = f"{APPROVALS.path(approval.metadata.namespace, approval.metadata.name)}/status"
    # Each voter is a field manager of their own: under one name, the second vote would take the first back.
    manager = f"kubectl-proctor-{hashlib.sha256(user.encode()).hexdigest()[:12]}"
    about = f"Approval {approval.metadata.namespace}/{approval.metadata.name}"
    try:
        cluster.send("PATCH", path, body, about, content_type=APPLY_PATCH, fieldManager=manager)
    except Denied as denied:
        # By the admission rule or for want of a Role: what helps is known here.
        raise Denied(denied.message, f"asked are: {people(approval.spec)}", _ROLE) from denied
    return user


def check(approval: Approval, answer: Answer, now: datetime) -> None:
    """Whether the answer is one that the question takes. Raises Misused or CliError, which say why not."""
    name = approval.metadata.name
    options = [option.name for option in approval.spec.choices]
    if answer.decision not in options:
        raise Misused(f"{name}: {answer.decision} is not one of {', '.join(options)}")
    subject, filled = approval.spec.subject, answer.filled or {}
    if not is_open(approval, now):
        raise CliError(f"{name} {_end(approval, now)}: an answer changes nothing any more", shown_by(approval))
    if "arguments" in filled and subject.tool_call is None:
        raise Misused(f"{name}: it asks about no call of a tool, so there are no --arguments to set")
    if "output" in filled and subject.step is None:
        hint = ("--arguments JSON    agrees to the call with other arguments",) if subject.tool_call else ()
        raise Misused(f"{name}: it asks for no --answer of one's own, but for Approve or Reject", *hint)
    if subject.override is not None and answer.decision == APPROVE.name and not answer.comment:
        raise Misused(f"{name}: who lets an upgrade go on without error budget says why, with -m")
    _check_form(approval, answer)


def shown_by(approval: Approval) -> str:
    """The command that shows the question."""
    metadata = approval.metadata
    return f"kubectl proctor approvals {metadata.name} -n {metadata.namespace}    shows what is asked"


def _end(approval: Approval, now: datetime) -> str:
    """How a question ended that takes no vote any more."""
    status, found = approval.status, tally(approval, now)
    if isinstance(found, Withdrawn):
        return f"is withdrawn ({status.withdrawn or 'nobody waits for it'})"
    if status.decision is not None or isinstance(found, Decided):
        said, by = (found.decision, found.by) if isinstance(found, Decided) else (status.decision, status.decided_by)
        return f"is decided ({said}{' by ' if by else ''}{', '.join(by)})"
    return f"was open until {approval.spec.deadline:%Y-%m-%d %H:%M} UTC"


def _check_form(approval: Approval, answer: Answer) -> None:
    """What is filled in must have the form that is asked for. Raises Misused, which names the field."""
    name, form, hint = approval.metadata.name, approval.spec.answer_schema, shown_by(approval)
    if form is None or answer.decision != APPROVE.name:
        return
    if answer.filled is None:
        raise Misused(f"{name}: it asks for an answer; give it with --answer JSON", hint)
    found = forms.mismatch(answer.filled, form)
    if found is not None:
        where = ".".join(("answer", *found.path[1:]))
        raise Misused(f"{name}: {where} does not have the form that is asked for: {found.message}", hint)


def _readable(body: dict[str, Any]) -> Approval | None:
    try:
        return Approval.parse(body)
    except Invalid:
        return None
