"""The end of a run: what a cluster looks like when it has come to rest, and what must be true of it then."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from proctor.shell.resources import WATCHED
from tests.sim.cluster.controllers import is_ready
from tests.sim.cluster.kinds import Body, Ref, labels_of, owners_of, ref_of

if TYPE_CHECKING:
    from tests.sim.operators import Process
    from tests.sim.world import World

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?Z")
_COUNT = re.compile(r"[0-9]+ of [0-9]+ pods ready")
_UID = re.compile(r"uid-[0-9]{6}")
_UNSEEN = frozenset({"Event", "Lease", "ReplicaSet", "Namespace", "Secret"})
_REVISION = "proctor.dev/revision"

Ending = Mapping[str, str]
"""Every object in words that are the same in each run: without uids, versions and times."""


def of(world: World, *, with_history: bool = True) -> Ending:
    """What is there. Without its history, only the revisions that have pods count."""
    live = {labels_of(body)[_REVISION] for body in world.store.all("Deployment")}
    uids = {body["metadata"]["uid"]: str(ref_of(body)) for body in world.store.all()}
    pods: Counter[str] = Counter()
    found: dict[str, str] = {}
    for body in world.store.all():
        ref = ref_of(body)
        if ref.kind in _UNSEEN or (not with_history and _is_history(body, live)):
            continue
        text = _masked(body, uids, with_history=with_history)
        if ref.kind == "Pod" and "proctor.dev/agent" in labels_of(body):
            pods[text] += 1
        else:
            found[str(ref)] = text
    return found | {f"pods like {text}": str(count) for text, count in pods.items()}


def differences(expected: Ending, seen: Ending) -> Iterator[str]:
    """What is missing, what is too much, and what is different."""
    for name in sorted({*expected, *seen}):
        if name not in seen:
            yield f"I1 missing: {name}"
        elif name not in expected:
            yield f"I1 too much: {name}"
        elif expected[name] != seen[name]:
            yield f"I1 {name}: {_first_difference(expected[name], seen[name])}"


def disorder(world: World) -> Iterator[str]:
    """What must be true of any cluster at rest, whatever happened to it."""
    for body in world.store.all():
        owners = owners_of(body)
        if owners and not any(map(world.store.exists, owners)):
            yield f"I6 {ref_of(body)} is an orphan"
        if body["kind"] in {"Deployment", "ConfigMap"} and _REVISION in labels_of(body):
            yield from _idle(world, body)
    if not world.operator.is_dead:
        yield from _blind_spots(world, world.operator)


def _idle(world: World, body: Body) -> Iterator[str]:
    agent = world.store.get(Ref("Agent", body["metadata"]["namespace"], labels_of(body)["proctor.dev/agent"]))
    revision = (agent or {}).get("status", {}).get("revision", {})
    live = {revision.get("stable"), revision.get("candidate")}
    if not revision.get("stable"):
        live |= set(revision.get("blocked", ()))
    if labels_of(body)[_REVISION] not in live:
        yield f"I6 {ref_of(body)} belongs to no live revision"


def _blind_spots(world: World, process: Process) -> Iterator[str]:
    for resource in WATCHED:
        there = {
            ref_of(body): int(body["metadata"]["resourceVersion"])
            for body in world.store.all(resource.kind, resource.selector)
        }
        known = {Ref(*key): process.cache.version(key) for key in process.cache.keys(resource.kind)}
        if there == known:
            continue
        for ref in sorted({*there, *known}):
            if there.get(ref) != known.get(ref):
                yield f"cache: {ref} is {there.get(ref)}, known is {known.get(ref)}"


def _is_history(body: Body, live: set[str]) -> bool:
    return body["kind"] == "ControllerRevision" and labels_of(body).get(_REVISION) not in live


def _masked(body: Body, uids: dict[str, str], *, with_history: bool) -> str:
    metadata = body["metadata"]
    hidden = {"uid", "resourceVersion", "creationTimestamp", "generation"}
    hidden |= {"name", "ownerReferences"} if body["kind"] == "Pod" else set()
    kept = {key: value for key, value in metadata.items() if key not in hidden}
    masked: dict[str, Any] = {**body, "metadata": kept}
    if not with_history:
        masked.pop("revision", None)
        _forget(masked, "revision", "served")
        _forget(masked, "rollout", "lastOutcome")
    if "proctor.dev/applied" in kept.get("annotations", {}):
        # The digest of what was applied has the owner's uid in it.
        kept["annotations"] = {**kept["annotations"], "proctor.dev/applied": "<digest>"}
    if body["kind"] == "Pod":
        status = body.get("status", {})
        masked["status"] = {"phase": status.get("phase"), "ready": is_ready(body)}
    _settle(masked, metadata.get("generation"))
    if "conditions" in masked.get("status", {}):
        # A list by type: the API server keeps the order in which they came, which says nothing.
        ordered = sorted(masked["status"]["conditions"], key=lambda each: str(each["type"]))
        masked["status"] = {**masked["status"], "conditions": ordered}
    text = json.dumps(masked, sort_keys=True)
    if not with_history:
        # A message that was true when it was written stays, whatever was asked for since.
        text = _COUNT.sub("<count>", text)
    text = _UID.sub(lambda found: f"<{uids.get(found[0], 'gone')}>", text)
    return _TIME.sub("<time>", text)


def _forget(body: Body, part: str, field: str) -> None:
    """What of a status tells of the way here."""
    status = body.get("status")
    if isinstance(status, dict) and field in status.get(part, {}):
        kept = {key: value for key, value in status[part].items() if key != field}
        body["status"] = {**status, part: kept}


def _settle(body: Body, generation: int | None) -> None:
    """Generations count edits, which may differ; whether they were observed may not."""
    status = body.get("status")
    if not isinstance(status, dict) or "observedGeneration" not in status:
        return
    conditions = [
        {**each, "observedGeneration": each.get("observedGeneration") == generation}
        for each in status.get("conditions", ())
    ]
    body["status"] = {
        **status,
        "observedGeneration": status["observedGeneration"] == generation,
        "conditions": conditions,
    }


def _first_difference(expected: str, seen: str) -> str:
    index = next(
        (i for i, (a, b) in enumerate(zip(expected, seen, strict=False)) if a != b), min(len(expected), len(seen))
    )
    start = max(0, index - 60)
    return f"expected …{expected[start : index + 60]}… but was …{seen[start : index + 60]}…"
