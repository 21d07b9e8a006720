"""The simulated API server: requests in, answers out, as the real one would give them to the operator."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.sim.cluster import fields, rules
from tests.sim.cluster.kinds import BY_PLURAL, Body, Kind, Ref, ref_of
from tests.sim.cluster.store import Store

APPLY = "application/apply-patch+yaml"
EDIT = "application/json-patch+json"


@dataclass(frozen=True)
class Request:
    """One request of a client."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    content: str = "application/json"
    by: str = "kubectl"

    @property
    def is_write(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"

    @property
    def target(self) -> Target:
        """What it is about."""
        return _target(self)


@dataclass(frozen=True)
class Target:
    """What a path names: a kind, and perhaps a namespace, an object and a subresource of it."""

    kind: Kind
    namespace: str
    name: str
    subresource: str

    @property
    def ref(self) -> Ref:
        """The object."""
        return Ref(self.kind.name, self.namespace, self.name)


@dataclass(frozen=True)
class Answer:
    """What the server answers: an object, or a status code with a text, and how long to wait if it says so."""

    status: int
    text: str = ""
    retry_after: str | None = None
    body: Body | None = None


class Refused(Exception):  # noqa: N818 - names what happened
    """The request fails with this answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.answer = failure(status, reason, message)


def failure(status: int, reason: str, message: str, retry_after: str | None = None) -> Answer:
    """A `metav1.Status`."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}
    return Answer(status, json.dumps({**body, "code": status}), retry_after)


class ApiServer:
    """Carries requests out on a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def handle(self, request: Request) -> Answer:
        """The answer, after the request was carried out."""
        try:
            body = self._carry_out(request, request.target)
        except Refused as exc:
            return exc.answer
        return Answer(200, body=body)

    def list_as_of(self, request: Request, version: int) -> Answer:
        """A list as it was at that version."""
        items = self.store.as_of(version, request.target.kind.name, request.query.get("labelSelector"))
        return Answer(200, body={"metadata": {"resourceVersion": str(version)}, "items": items})

    def _carry_out(self, request: Request, target: Target) -> Body:
        if request.method == "GET":
            return self._existing(target) if target.name else self._list(request, target)
        if request.method == "PATCH":
            patches = {APPLY: self._apply, EDIT: self._edit}
            return patches.get(request.content, self._merge)(request, target)
        write = {"POST": self._post, "PUT": self._put, "DELETE": self._delete}[request.method]
        return write(request, target)

    def _existing(self, target: Target) -> Body:
        found = self.store.get(target.ref)
        if found is None:
            raise Refused(404, "NotFound", f'{target.kind.plural} "{target.name}" not found')
        return found

    def _list(self, request: Request, target: Target) -> Body:
        items = self.store.all(target.kind.name, request.query.get("labelSelector"))
        begin = int(request.query.get("continue", 0))
        end = begin + int(request.query.get("limit", len(items)))
        metadata = {"resourceVersion": str(self.store.version), **({"continue": str(end)} if end < len(items) else {})}
        # The items of a list carry neither kind nor apiVersion.
        bare = ({key: each[key] for key in each if key not in {"kind", "apiVersion"}} for each in items[begin:end])
        return {"metadata": metadata, "items": list(bare)}

    def _create(self, body: Body, target: Target, by: str) -> Body:
        if self.store.get(ref_of(body)) is not None:
            raise Refused(409, "AlreadyExists", f'{target.kind.plural} "{body["metadata"]["name"]}" already exists')
        namespace = self.store.get(Ref("Namespace", "", target.namespace)) if target.namespace else None
        if namespace is not None and namespace["metadata"].get("deletionTimestamp"):
            raise Refused(
                403,
                "Forbidden",
                f'{target.kind.plural} "{body["metadata"]["name"]}" is forbidden: unable to create new content in '
                f"namespace {target.namespace} because it is being terminated",
            )
        return self.store.create(rules.defaulted(body), by)

    def _post(self, request: Request, target: Target) -> Body:
        return self._create(request.body, target, request.by)

    def _put(self, request: Request, target: Target) -> Body:
        existing = self._existing(target)
        _check_version(request.body, existing, target)
        return self.store.update({**request.body, "metadata": {**existing["metadata"]}}, request.by)

    def _merge(self, request: Request, target: Target) -> Body:
        existing = self._existing(target)
        return self._store(existing, merge_patch(existing, request.body), target, request.by)

    def _edit(self, request: Request, target: Target) -> Body:
        existing = self._existing(target)
        edited = json_patch(existing, request.body)
        _check_version(edited, existing, target)
        metadata = {**edited["metadata"], "resourceVersion": existing["metadata"]["resourceVersion"]}
        return self._store(existing, {**edited, "metadata": metadata}, target, request.by)

    def _apply(self, request: Request, target: Target) -> Body:
        existing = self.store.get(target.ref)
        config, manager = _owned_part(request.body, target), request.query["fieldManager"]
        if target.subresource:
            manager = f"{manager}/{target.subresource}"
            existing = self._existing(target)
        if existing is None:
            if request.body["metadata"].get("uid"):
                raise Refused(409, "Conflict", "uid mismatch: the object does not exist")
            body = {key: request.body[key] for key in ("apiVersion", "kind")}
            made = self._create({**body, **config}, target, request.by)
        else:
            _check_version(request.body, existing, target)
            uid = existing["metadata"]["uid"]
            gone = self.store.owned_by(uid, manager) - fields.of(config)
            trimmed = fields.without(existing, gone, self.store.owned_by_others(uid, manager))
            made = self._store(existing, fields.merged(trimmed, config), target, request.by, manager)
        self.store.own(made["metadata"]["uid"], manager, fields.of(config))
        return made

    def _store(self, before: Body, after: Body, target: Target, by: str, manager: str | None = None) -> Body:
        after = rules.defaulted(after)
        faults = list(rules.refusals(before, after))
        if faults:
            raise Refused(422, "Invalid", f'{target.kind.name} "{target.name}" is invalid: {"; ".join(faults)}')
        return self.store.update(after, by, manager=manager, status=target.subresource == "status")

    def _delete(self, request: Request, target: Target) -> Body:
        existing = self._existing(target)
        wanted = ((request.body or {}).get("preconditions") or {}).get("uid")
        uid = existing["metadata"]["uid"]
        if wanted is not None and wanted != uid:
            message = f"the UID in the precondition ({wanted}) does not match the UID in record ({uid})"
            raise Refused(
                409, "Conflict", f'Operation cannot be fulfilled on {target.kind.plural} "{target.name}": {message}'
            )
        return self.delete(target.ref, request.by)

    def delete(self, ref: Ref, by: str) -> Body:
        """Deletes an object: pods and namespaces linger until what is in them has ended."""
        existing = self.store.get(ref)
        if existing is None:
            raise Refused(404, "NotFound", f"{ref} not found")
        lingers = ref.kind in {"Pod", "Namespace"} or existing["metadata"].get("finalizers")
        if not lingers:
            self.store.remove(ref, by)
            return {"kind": "Status", "apiVersion": "v1", "status": "Success"}
        if existing["metadata"].get("deletionTimestamp"):
            return existing
        metadata = {**existing["metadata"], "deletionTimestamp": self.store.timestamp()}
        going = self.store.update({**existing, "metadata": metadata}, by, status=True)
        if existing.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
            # A pod that has ended has nothing to finish.
            self.store.remove(ref, by)
        return going


def merge_patch(body: Any, patch: Any) -> Any:
    """JSON merge patch, RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    base = body if isinstance(body, dict) else {}
    merged = {**base, **{key: merge_patch(base.get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in merged.items() if patch.get(key, value) is not None}


def json_patch(body: Any, operations: list[dict[str, Any]]) -> Any:
    """JSON patch, RFC 6902, as far as `add` and `replace` of members go."""
    after = json.loads(json.dumps(body))
    for each in operations:
        assert each["op"] in {"add", "replace"}
        *way, last = each["path"].removeprefix("/").split("/")
        at = after
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at[step]
        at[last] = each["value"]
    return after


def _owned_part(body: Body, target: Target) -> Body:
    if target.subresource:
        return {target.subresource: body.get(target.subresource, {})}
    kept = {key: value for key, value in body.items() if key not in {"apiVersion", "kind", "metadata"}}
    if target.kind.has_status:
        kept.pop("status", None)
    names = ("name", "namespace", "labels", "annotations", "ownerReferences")
    return {**kept, "metadata": {key: body["metadata"][key] for key in names if key in body["metadata"]}}


def _check_version(body: Body, existing: Body, target: Target) -> None:
    for key in ("uid", "resourceVersion"):
        wanted = body["metadata"].get(key)
        if wanted and wanted != existing["metadata"][key]:
            message = "the object has been modified; please apply your changes to the latest version and try again"
            raise Refused(
                409, "Conflict", f'Operation cannot be fulfilled on {target.kind.plural} "{target.name}": {message}'
            )


def _target(request: Request) -> Target:
    parts = request.path.strip("/").split("/")
    group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3]
    if request.method == "POST":
        name = request.body["metadata"]["name"]
    return Target(BY_PLURAL[group, version, plural], namespace, name, subresource)
