"""What other controllers of the cluster do: Deployments, garbage, namespaces. Each with the lag that it has in life."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

from tests.sim.cluster.api import ApiServer
from tests.sim.cluster.kinds import Body, Ref, labels_of, owners_of, ref_of
from tests.sim.cluster.store import Change

_LAG = 0.02
_GARBAGE_LAG = 0.1


class Controllers:
    """Listens to the store, and acts a moment after what it sees."""

    def __init__(self, loop: asyncio.AbstractEventLoop, api: ApiServer) -> None:
        self._loop = loop
        self._api = api
        self._store = api.store
        self._pending: set[Ref] = set()
        self._store.listeners.append(self._see)

    def _see(self, change: Change) -> None:
        if change.type == "DELETED":
            self._loop.call_later(_GARBAGE_LAG, self._collect, change.body["metadata"]["uid"])
        elif owners_of(change.body):
            self._loop.call_later(_GARBAGE_LAG, self._collect_orphan, change.ref)
        deployment = self._deployment_of(change.body)
        if deployment is not None and deployment not in self._pending:
            self._pending.add(deployment)
            self._loop.call_later(_LAG, self._sync, deployment)
        if change.ref.kind == "Namespace" and change.body["metadata"].get("deletionTimestamp"):
            self._loop.call_later(_LAG, self._empty, change.ref.name)

    def _deployment_of(self, body: Body) -> Ref | None:
        if body["kind"] == "Deployment":
            return ref_of(body)
        owner = next((each for each in body["metadata"].get("ownerReferences", ()) if each.get("controller")), None)
        namespace = body["metadata"].get("namespace", "")
        if owner is None or owner["kind"] not in {"Deployment", "ReplicaSet"}:
            return None
        if owner["kind"] == "Deployment":
            return Ref("Deployment", namespace, owner["name"])
        replica_set = self._store.get(Ref("ReplicaSet", namespace, owner["name"]))
        return self._deployment_of(replica_set) if replica_set else None

    def _collect(self, owner: str) -> None:
        for body in self._store.all():
            if owner in owners_of(body):
                self._collect_orphan(ref_of(body))

    def _collect_orphan(self, ref: Ref) -> None:
        """Deletes an object none of whose owners exists, whenever it was made."""
        body = self._store.get(ref)
        if body is not None and owners_of(body) and not any(map(self._store.exists, owners_of(body))):
            self._api.delete(ref, "garbage-collector")

    def _empty(self, namespace: str) -> None:
        for body in self._store.all():
            if body["metadata"].get("namespace") == namespace and self._store.get(ref_of(body)):
                self._api.delete(ref_of(body), "namespace-controller")
        if any(body["metadata"].get("namespace") == namespace for body in self._store.all()):
            self._loop.call_later(1, self._empty, namespace)
        elif self._store.get(Ref("Namespace", "", namespace)):
            self._store.remove(Ref("Namespace", "", namespace), "namespace-controller")

    def _sync(self, ref: Ref) -> None:
        self._pending.discard(ref)
        deployment = self._store.get(ref)
        if deployment is None:
            return
        current = self._replica_set(deployment)
        sets = [each for each in self._store.all("ReplicaSet") if deployment["metadata"]["uid"] in owners_of(each)]
        self._scale(deployment, current, sets)
        for each in sets:
            self._fill(each)
        self._report(deployment, sets, current["metadata"]["name"])

    def _replica_set(self, deployment: Body) -> Body:
        template = deployment["spec"]["template"]
        name = f"{deployment['metadata']['name']}-{_hash(template)}"
        ref = Ref("ReplicaSet", deployment["metadata"]["namespace"], name)
        made = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": name,
                "namespace": ref.namespace,
                "labels": labels_of({"metadata": template["metadata"]}),
                "ownerReferences": [_owner(deployment)],
            },
            "spec": {"replicas": 0, "template": template},
        }
        return self._store.get(ref) or self._store.create(made, "deployment-controller")

    def _scale(self, deployment: Body, current: Body, sets: list[Body]) -> None:
        """A rolling update with maxSurge 1 and maxUnavailable 0."""
        wanted = deployment["spec"]["replicas"]
        others = [each for each in sets if ref_of(each) != ref_of(current)]
        old = sum(each["spec"]["replicas"] for each in others)
        self._resize(current, min(wanted, max(0, wanted + 1 - old)) if old else wanted)
        spare = sum(self._ready(each) for each in sets) - wanted
        for each in others:
            unready = each["spec"]["replicas"] - self._ready(each)
            self._resize(each, each["spec"]["replicas"] - unready - max(0, min(spare, self._ready(each))))

    def _resize(self, replica_set: Body, replicas: int) -> None:
        latest = self._store.get(ref_of(replica_set))
        if latest is not None and latest["spec"]["replicas"] != replicas:
            self._store.update({**latest, "spec": {**latest["spec"], "replicas": replicas}}, "deployment-controller")

    def _fill(self, replica_set: Body) -> None:
        latest = self._store.get(ref_of(replica_set))
        if latest is None:
            return
        pods = self._pods_of(latest)
        for _ in range(latest["spec"]["replicas"] - len(pods)):
            self._make_pod(latest)
        surplus = len(pods) - latest["spec"]["replicas"]
        for each in sorted(pods, key=is_ready)[: max(0, surplus)]:
            self._api.delete(ref_of(each), "replicaset-controller")

    def _make_pod(self, replica_set: Body) -> None:
        metadata = {
            "name": f"{replica_set['metadata']['name']}-{self._store.version}",
            "namespace": replica_set["metadata"]["namespace"],
            "labels": labels_of(replica_set),
            "ownerReferences": [_owner(replica_set)],
        }
        spec = replica_set["spec"]["template"]["spec"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
        self._store.create(pod, "replicaset-controller")

    def _pods_of(self, replica_set: Body) -> list[Body]:
        uid = replica_set["metadata"]["uid"]
        pods = (each for each in self._store.all("Pod") if uid in owners_of(each))
        return [each for each in pods if not each["metadata"].get("deletionTimestamp")]

    def _ready(self, replica_set: Body) -> int:
        return sum(is_ready(each) for each in self._pods_of(replica_set))

    def _report(self, deployment: Body, sets: list[Body], current: str) -> None:
        latest = self._store.get(ref_of(deployment))
        if latest is None:
            return
        counts = {each["metadata"]["name"]: (len(self._pods_of(each)), self._ready(each)) for each in sets}
        total, ready = (sum(each[index] for each in counts.values()) for index in (0, 1))
        numbers = {
            "replicas": total,
            "updatedReplicas": counts.get(current, (0, 0))[0],
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        status = {"observedGeneration": latest["metadata"]["generation"], **{k: v for k, v in numbers.items() if v}}
        self._store.update({**latest, "status": status}, "deployment-controller", status=True)


def is_ready(pod: Body) -> bool:
    """Whether the pod counts as ready."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _owner(body: Body) -> dict[str, Any]:
    return {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "name": body["metadata"]["name"],
        "uid": body["metadata"]["uid"],
        "controller": True,
    }


def _hash(template: Body) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]
