"""What must hold at every moment, watched while a simulation runs. Each finding names the invariant it breaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tests.sim.cluster.kinds import Body, Ref, labels_of
from tests.sim.cluster.store import Change

if TYPE_CHECKING:
    from tests.sim.world import World

OURS = frozenset({"Agent", "Connector", "Policy", "ClusterPolicy", "Approval", "Workflow", "WorkflowRun"})
CHILDREN = frozenset(
    {"ServiceAccount", "NetworkPolicy", "PodDisruptionBudget", "ControllerRevision", "ConfigMap", "Deployment", "Pod"}
)
_REVISION = "proctor.dev/revision"


class Guard:
    """Listens to every change, and keeps what breaks an invariant."""

    def __init__(self, world: World, *, secrets: tuple[str, ...] = (), fence_seconds: float = 0.0) -> None:
        self.found: list[str] = []
        self._world = world
        self._secrets = secrets
        self._fence_seconds = fence_seconds
        self._taken_at: dict[str, float] = {}
        self._proven: set[tuple[str, str]] = set()
        self._made: set[tuple[str, str]] = set()
        self._refused: dict[tuple[str, str], int] = {}
        self._stable: dict[str, str] = {}
        for body in world.store.all("Deployment"):
            self._learn(body)
        world.store.listeners.insert(0, self._see)
        self._checks: tuple[Callable[[Change], Iterator[str]], ...] = (
            self._stable_is_proven,
            self._named_is_there,
            self._refused_stays_refused,
            self._stable_stays,
            self._only_ours,
            self._status_is_true,
            self._pod_is_confined,
            self._nothing_leaks,
            self._is_leader,
        )

    def forgive(self, ref: Ref) -> None:
        """What was known of the object by its status is no longer to be known: somebody removed it."""
        body = self._world.store.get(ref)
        if body is not None:
            uid = body["metadata"]["uid"]
            self._stable.pop(uid, None)
            self._refused = {key: value for key, value in self._refused.items() if key[0] != uid}

    def end(self) -> list[str]:
        """All findings, with those that only the whole story shows."""
        story = self._world.story
        self.found += [f"bug in the simulation: {each!r}" for each in self._world.timeline.faults]
        for entry in story.logs:
            if "bug" in str(entry.get("event")):
                fault = entry.get("exc_info")
                self.found.append(f"bug: {entry['event']}: {fault!r}")
            self.found += [f"I9 a log tells a secret: {entry}" for each in self._secrets if each in repr(entry)]
        self.found += self._deleted_again()
        for write in story.writes:
            if write.method == "DELETE" and not ((write.request.body or {}).get("preconditions") or {}).get("uid"):
                self.found.append(f"I8 deletes by name alone: {write}")
        return self.found

    def _deleted_again(self) -> Iterator[str]:
        """Who was told that an object is gone must not take it for alive again."""
        done: set[tuple[str, str]] = set()
        for write in self._world.story.writes:
            if write.method == "DELETE" and write.is_heard:
                uid = str(((write.request.body or {}).get("preconditions") or {}).get("uid"))
                if (write.by, uid) in done:
                    yield f"cache: {write} again"
                if write.status == 200:
                    done.add((write.by, uid))

    def _see(self, change: Change) -> None:
        self._learn(change.body)
        at = self._world.timeline.time()
        self.found += [f"{finding} (at {at:.3f} s)" for check in self._checks for finding in check(change)]
        self._remember(change)

    def _learn(self, body: Body) -> None:
        """A revision is proven once all its pods were ready, and there were some."""
        if body["kind"] != "Deployment":
            return
        self._made.add((_owner(body), labels_of(body)[_REVISION]))
        status = body.get("status", {})
        wanted = body["spec"]["replicas"]
        is_current = status.get("observedGeneration") == body["metadata"]["generation"]
        if is_current and status.get("readyReplicas", 0) >= wanted > 0:
            self._proven.add((_owner(body), labels_of(body)[_REVISION]))

    def _remember(self, change: Change) -> None:
        if change.ref.kind != "Agent" or change.type == "DELETED":
            return
        uid, revision = change.body["metadata"]["uid"], change.body.get("status", {}).get("revision", {})
        if change.by.startswith("operator") and revision.get("stable"):
            self._stable[uid] = revision["stable"]
            for each in revision.get("blocked", ()):
                self._refused[uid, each] = change.body["metadata"]["generation"]

    def _stable_is_proven(self, change: Change) -> Iterator[str]:
        if not _is_status_by_operator(change, "Agent"):
            return
        uid, stable = change.body["metadata"]["uid"], _stable_in(change.body)
        if stable and stable != _stable_in(change.before) and (uid, stable) not in self._proven:
            yield f"I12 {stable} became stable, and its pods were never all ready"

    def _named_is_there(self, change: Change) -> Iterator[str]:
        """What a status newly names must exist already: who reads the status goes there."""
        if not _is_status_by_operator(change, "Agent"):
            return
        candidate = change.body["status"].get("revision", {}).get("candidate")
        before = (change.before or {}).get("status", {}).get("revision", {}).get("candidate")
        if candidate and candidate != before and (change.body["metadata"]["uid"], candidate) not in self._made:
            yield f"I7 the status names {candidate}, which never had a Deployment"

    def _refused_stays_refused(self, change: Change) -> Iterator[str]:
        if not _is_status_by_operator(change, "Agent"):
            return
        uid, stable = change.body["metadata"]["uid"], _stable_in(change.body)
        if (
            stable != _stable_in(change.before)
            and self._refused.get((uid, stable or "")) == change.body["metadata"]["generation"]
        ):
            yield f"I5 {stable} was refused, and became stable without a new spec"

    def _stable_stays(self, change: Change) -> Iterator[str]:
        if change.ref.kind != "Deployment" or not change.by.startswith("operator") or change.before is None:
            return
        agent = self._agent_of(change.before)
        was_running = change.before["spec"]["replicas"] > 0
        is_stopped = change.type == "DELETED" or change.body["spec"]["replicas"] == 0
        if agent is None or not was_running or not is_stopped:
            return
        revision, spec = labels_of(change.before)[_REVISION], agent["spec"]
        is_asked_to_stop = spec.get("suspend") or spec.get("runtime", {}).get("replicas") == 0
        serving = _stable_in(agent) or self._stable.get(agent["metadata"]["uid"])
        if revision == serving and not (is_asked_to_stop and change.type != "DELETED"):
            yield f"I5 {change.ref} was stopped, and is the stable revision that the gateway sends tasks to"

    def _agent_of(self, child: Body) -> Body | None:
        owner = next(iter(child["metadata"].get("ownerReferences", ())), None)
        agent = self._world.store.get(Ref("Agent", child["metadata"]["namespace"], owner["name"])) if owner else None
        return agent if agent and owner and agent["metadata"]["uid"] == owner["uid"] else None

    def _only_ours(self, change: Change) -> Iterator[str]:
        if not change.by.startswith("operator") or change.ref.kind in {"Event", "Lease"}:
            return
        if change.ref.kind == "Approval" and change.type == "ADDED" and _owner_kind(change.body) == "Agent":
            # The question of a step of an upgrade; what people answer is theirs.
            return
        if change.ref.kind == "HTTPRoute":
            if change.type != "MODIFIED" or _but_weights(change.before or {}) != _but_weights(change.body):
                yield f"I8 {change.ref}: something other than weights was written"
        elif change.ref.kind in OURS:
            if change.type != "MODIFIED" or _but_status(change.before or {}) != _but_status(change.body):
                yield f"I8 {change.ref}: something other than its status was written"
        elif change.ref.kind not in CHILDREN:
            yield f"I8 {change.ref} was written"
        elif _owner_kind(change.before or change.body) != "Agent":
            yield f"I8 {change.ref} was written, and is owned by no Agent"

    def _status_is_true(self, change: Change) -> Iterator[str]:
        if change.ref.kind not in OURS or change.before is None or not change.by.startswith("operator"):
            return
        before, after = change.before.get("status", {}), change.body.get("status", {})
        observed, generation = after.get("observedGeneration", 0), change.body["metadata"]["generation"]
        if observed > generation:
            yield f"I7 {change.ref}: observedGeneration {observed} is ahead of {generation}"
        if observed < before.get("observedGeneration", 0):
            yield f"I7 {change.ref}: observedGeneration went back to {observed}"
        yield from _times(change.ref, before, after)

    def _pod_is_confined(self, change: Change) -> Iterator[str]:
        if change.ref.kind == "Pod" and change.type == "ADDED":
            yield from (f"I10 {change.ref}: {fault}" for fault in faults_of_pod(change.body["spec"]))

    def _nothing_leaks(self, change: Change) -> Iterator[str]:
        if change.ref.kind == "Event" or _is_status_by_operator(change, change.ref.kind):
            text = json.dumps(change.body.get("status", change.body))
            yield from (f"I9 {change.ref} tells a secret" for each in self._secrets if each in text)

    def _is_leader(self, change: Change) -> Iterator[str]:
        if change.ref.kind == "Lease":
            holder = change.body["spec"].get("holderIdentity")
            self._taken_at = {holder: self._taken_at.get(holder, self._world.timeline.time())}
        elif self._taken_at and change.by.startswith("operator") and change.by not in self._taken_at:
            since = self._world.timeline.time() - max(self._taken_at.values())
            if since > self._fence_seconds:
                yield f"fence: {change.ref} was written by {change.by}, {since:.1f} s after another one had the lease"


def faults_of_pod(spec: Body) -> Iterator[str]:
    """What Pod Security *restricted*, and our own rules, object to."""
    pod = spec.get("securityContext", {})
    wanted = {
        "runAsNonRoot": pod.get("runAsNonRoot") is True,
        "a numeric user": pod.get("runAsUser", 0) > 0,
        "seccomp RuntimeDefault": pod.get("seccompProfile", {}).get("type") == "RuntimeDefault",
        "no token": spec.get("automountServiceAccountToken") is False,
        "no host": not any(spec.get(each) for each in ("hostNetwork", "hostPID", "hostIPC")),
        "no foreign volumes": all(set(each) <= {"name", "configMap", "emptyDir"} for each in spec.get("volumes", ())),
    }
    yield from (f"no {name}" if not name.startswith("no") else name for name, holds in wanted.items() if not holds)
    for container in [*spec["containers"], *spec.get("initContainers", ())]:
        yield from _faults_of_container(container)


def _faults_of_container(container: Body) -> Iterator[str]:
    context: dict[str, Any] = container.get("securityContext", {})
    wanted = {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    yield from (f"{name} is {context.get(name)}" for name, value in wanted.items() if context.get(name) != value)
    if not container.get("resources", {}).get("limits", {}).get("memory"):
        yield "no limit of memory"
    if any("valueFrom" in each for each in container.get("env", ())) or container.get("envFrom"):
        yield "a variable from elsewhere"


def _times(ref: Ref, before: Body, after: Body) -> Iterator[str]:
    old = {each["type"]: each for each in before.get("conditions", ())}
    for each in after.get("conditions", ()):
        was = old.get(each["type"])
        if was is None:
            continue
        has_moved = was["lastTransitionTime"] != each["lastTransitionTime"]
        if has_moved and was["status"] == each["status"]:
            yield f"I7 {ref}: the time of {each['type']} moved, and its status did not"
        if each["lastTransitionTime"] < was["lastTransitionTime"]:
            yield f"I7 {ref}: the time of {each['type']} went back"


def _is_status_by_operator(change: Change, kind: str) -> bool:
    return change.ref.kind == kind and kind in OURS and change.type != "DELETED" and change.by.startswith("operator")


def _stable_in(agent: Body | None) -> str | None:
    stable: str | None = (agent or {}).get("status", {}).get("revision", {}).get("stable")
    return stable


def _but_status(body: Body) -> Body:
    metadata = {key: value for key, value in body.get("metadata", {}).items() if key != "resourceVersion"}
    return {**{key: value for key, value in body.items() if key != "status"}, "metadata": metadata}


def _but_weights(route: Body) -> Any:
    """A route with everything but what may be written to it. Its generation counts the weights, too."""
    rules = [
        {**rule, "backendRefs": [{**each, "weight": None} for each in rule.get("backendRefs", ())]}
        for rule in route.get("spec", {}).get("rules", ())
    ]
    hidden = {"resourceVersion", "generation"}
    metadata = {key: value for key, value in route.get("metadata", {}).items() if key not in hidden}
    return {**route, "metadata": metadata, "spec": {**route.get("spec", {}), "rules": rules}}


def _owner(body: Body) -> str:
    return str(next((each["uid"] for each in body["metadata"].get("ownerReferences", ())), ""))


def _owner_kind(body: Body) -> str:
    return str(next((each["kind"] for each in body["metadata"].get("ownerReferences", ())), ""))
