"""All that is wrong with a set of manifests, found without a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from proctor.api import kinds, names
from proctor.api.agent import Agent
from proctor.api.kinds import Kind, Scope
from proctor.api.meta import Invalid
from proctor.cli.checks import rules, structure
from proctor.cli.manifests import Document, Fault, parsed_path
from proctor.policy import crossing

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in kinds.ALL}


@dataclass(frozen=True)
class Verdict:
    """The faults, and how many of the kinds' rules could not be asked here."""

    faults: tuple[Fault, ...]
    unasked: int


def judge(documents: Iterable[Document], namespace: str | None) -> Verdict:
    """Every fault of every document. `namespace` is the one that the command line demands, if it demands one."""
    faults: list[Fault] = []
    unasked = 0
    seen: dict[tuple[str, str, str], Document] = {}
    for document in documents:
        own = list(_shape(document, namespace))
        identity = (document.kind, document.namespace or namespace or "", document.name)
        if identity in seen and document.name:
            own.append(document.fault((), f"is there twice, first at {seen[identity].place()}"))
        seen.setdefault(identity, document)
        kind = _ours(document)
        if not own and kind:
            own, missed = _content(document, kind)
            unasked += missed
        faults += own
    return Verdict(tuple(faults), unasked)


def _ours(document: Document) -> Kind | None:
    is_ours = document.body.get("apiVersion") == names.API_VERSION
    return KINDS.get(document.kind) if is_ours else None


def _shape(document: Document, namespace: str | None) -> Iterator[Fault]:
    version = str(document.body.get("apiVersion", ""))
    if not version or not document.kind:
        yield document.fault((), "apiVersion and kind are needed")
        return
    if version.partition("/")[0] == names.GROUP:
        if version != names.API_VERSION:
            yield document.fault(("apiVersion",), f"{version} does not exist; it is {names.API_VERSION}")
        elif document.kind not in KINDS:
            yield document.fault(("kind",), f"{document.kind} is no kind of proctor's; they are {', '.join(KINDS)}")
    elif document.kind == "Kustomization":
        yield document.fault((), "is for kustomize, not for the cluster: use -k DIRECTORY")
        return
    elif document.kind in {kinds.AGENT.name, kinds.CONNECTOR.name}:
        yield document.fault(("apiVersion",), f"{version} has no {document.kind}; did you mean {names.API_VERSION}?")
    if namespace and document.namespace and document.namespace != namespace:
        yield document.fault(("metadata", "namespace"), f"is {document.namespace}, but -n says {namespace}")
    if not isinstance(document.body.get("metadata"), dict) or not document.name:
        yield document.fault(("metadata",), "metadata.name is missing")


def _content(document: Document, kind: Kind) -> tuple[list[Fault], int]:
    found = [document.fault(path, message) for path, message in structure.findings(kind, document.body)]
    if kind.scope is Scope.CLUSTER and document.namespace:
        found.append(document.fault(("metadata", "namespace"), f"a {kind.name} is in no namespace: leave it out"))
    if found:
        return found, 0
    checked = rules.check(kind, document.body)
    found = [document.fault(path, message) for path, message in checked.findings]
    if not found:
        found = list(_unreadable(document, kind)) or list(_unfit(document))
    return found, checked.unasked


def _unreadable(document: Document, kind: Kind) -> Iterator[Fault]:
    """What the operator itself would not understand; the schema should have refused it before."""
    try:
        kind.model.parse(document.body)
    except Invalid as invalid:
        for each in str(invalid).split("; "):
            path, _, message = each.partition(": ")
            yield document.fault(parsed_path(path), message or each)


def _unfit(document: Document) -> Iterator[Fault]:
    """What the operator's webhook would refuse of an Agent by itself."""
    if document.kind == kinds.AGENT.name:
        for field, fault in crossing.faults_of_agent(Agent.parse(document.body)):
            yield document.fault(parsed_path(field), fault)
