"""The simulated cluster keeps the rules of a real one, as far as the operator can tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sim.cluster.api import APPLY, Answer, Request
from tests.sim.cluster.kinds import Body, Ref
from tests.sim.world import World

NAMESPACE = "support"
PATHS = {
    "ConfigMap": "/api/v1/namespaces/support/configmaps",
    "Pod": "/api/v1/namespaces/support/pods",
    "Deployment": "/apis/apps/v1/namespaces/support/deployments",
    "ControllerRevision": "/apis/apps/v1/namespaces/support/controllerrevisions",
    "Agent": "/apis/proctor.dev/v1alpha1/namespaces/support/agents",
}
API_VERSIONS = {"Deployment": "apps/v1", "ControllerRevision": "apps/v1", "Agent": "proctor.dev/v1alpha1"}


@pytest.fixture
def world() -> Iterator[World]:
    """An empty cluster."""
    with World() as world:
        yield world


def an(kind: str, name: str = "one", **more: Any) -> Body:
    """An object."""
    metadata = {"name": name, "namespace": NAMESPACE, **more.pop("metadata", {})}
    return {"apiVersion": API_VERSIONS.get(kind, "v1"), "kind": kind, "metadata": metadata, **more}


def apply(world: World, body: Body, manager: str = "proctor", subresource: str = "") -> Answer:
    """Server-side apply, with force."""
    path = f"{PATHS[body['kind']]}/{body['metadata']['name']}{subresource}"
    return world.api.handle(Request("PATCH", path, {"fieldManager": manager, "force": "true"}, body, APPLY, manager))


def delete(world: World, kind: str, uid: str | None = None, name: str = "one") -> Answer:
    """Deletes an object, perhaps only the one with that uid."""
    body = {"preconditions": {"uid": uid}} if uid else None
    return world.api.handle(Request("DELETE", f"{PATHS[kind]}/{name}", {}, body, "application/json", "proctor"))


def stored(world: World, kind: str, name: str = "one") -> Body:
    """The object as it is kept."""
    found = world.store.get(Ref(kind, NAMESPACE, name))
    assert found is not None
    return found


def deployment(image: str = "registry.example/a:1", replicas: int = 2) -> Body:
    """A Deployment."""
    labels = {"app": "one"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "agent", "image": image}]}}
    return an("Deployment", spec={"replicas": replicas, "selector": {"matchLabels": labels}, "template": template})


def pods(world: World, phase: str = "Running") -> list[Body]:
    """The pods in that phase."""
    return [body for body in world.store.all("Pod") if body["status"]["phase"] == phase]


class TestApply:
    """Server-side apply."""

    def test_what_is_no_longer_sent_disappears(self, world: World) -> None:
        """If nobody else has set it."""
        apply(world, an("ConfigMap", data={"a": "1", "b": "2"}))
        apply(world, an("ConfigMap", data={"a": "1"}))
        assert stored(world, "ConfigMap")["data"] == {"a": "1"}

    def test_what_others_set_stays(self, world: World) -> None:
        """Their fields are theirs, also those that they changed after us."""
        apply(world, an("ConfigMap", data={"a": "1", "b": "2"}))
        world.edit(Ref("ConfigMap", NAMESPACE, "one"), {"data": {"b": "theirs", "c": "3"}})
        apply(world, an("ConfigMap", data={"a": "1"}))
        assert stored(world, "ConfigMap")["data"] == {"a": "1", "b": "theirs", "c": "3"}

    def test_what_we_send_is_ours_again(self, world: World) -> None:
        """With force."""
        apply(world, an("ConfigMap", data={"a": "1"}))
        world.edit(Ref("ConfigMap", NAMESPACE, "one"), {"data": {"a": "theirs"}})
        apply(world, an("ConfigMap", data={"a": "1"}))
        assert stored(world, "ConfigMap")["data"] == {"a": "1"}
        apply(world, an("ConfigMap"))
        assert "data" not in stored(world, "ConfigMap")

    def test_items_are_merged_by_their_key(self, world: World) -> None:
        """An owner that we no longer name goes, another one's stays."""
        ours, theirs = ({"kind": "Agent", "name": name, "uid": name} for name in ("a", "b"))
        apply(world, an("ConfigMap", metadata={"ownerReferences": [ours]}))
        apply(world, an("ConfigMap", metadata={"ownerReferences": [theirs]}), "another")
        apply(world, an("ConfigMap", metadata={"ownerReferences": [{**ours, "name": "c", "uid": "c"}]}))
        owners = stored(world, "ConfigMap")["metadata"]["ownerReferences"]
        assert sorted(each["uid"] for each in owners) == ["b", "c"]

    def test_what_changes_nothing_is_no_new_version(self, world: World) -> None:
        """And no event of a watch."""
        apply(world, deployment())
        version = world.store.version
        apply(world, deployment())
        assert world.store.version == version

    def test_the_status_is_apart(self, world: World) -> None:
        """Neither side touches the other, and a status is no new generation."""
        apply(world, an("Agent", spec={"a": 1}, status={"x": 1}))
        assert "status" not in stored(world, "Agent")
        apply(world, an("Agent", spec={"a": 2}, status={"x": 1}), subresource="/status")
        agent = stored(world, "Agent")
        assert (agent["spec"], agent["status"], agent["metadata"]["generation"]) == ({"a": 1}, {"x": 1}, 1)

    def test_a_status_needs_its_object(self, world: World) -> None:
        """It cannot make one."""
        assert apply(world, an("Agent", status={"x": 1}), subresource="/status").status == 404

    def test_a_version_that_is_named_must_be_the_newest(self, world: World) -> None:
        """Optimistic concurrency."""
        apply(world, an("Agent", spec={"a": 1}))
        version = stored(world, "Agent")["metadata"]["resourceVersion"]
        apply(world, an("Agent", spec={"a": 2}))
        late = an("Agent", status={"x": 1}, metadata={"resourceVersion": version})
        assert apply(world, late, subresource="/status").status == 409


class TestObjects:
    """What holds of every object."""

    def test_a_spec_that_changes_is_a_new_generation(self, world: World) -> None:
        """A label is not."""
        apply(world, deployment())
        world.edit(Ref("Deployment", NAMESPACE, "one"), {"metadata": {"labels": {"a": "b"}}})
        assert stored(world, "Deployment")["metadata"]["generation"] == 1
        apply(world, deployment(replicas=3))
        assert stored(world, "Deployment")["metadata"]["generation"] == 2

    def test_what_is_immutable_is_refused(self, world: World) -> None:
        """The data of a record, and of a ConfigMap that says so."""
        for body in (
            an("ConfigMap", immutable=True, data={"a": "1"}),
            an("ControllerRevision", data={"a": "1"}, revision=1),
        ):
            assert apply(world, body).status == 200
            assert apply(world, {**body, "data": {"a": "2"}}).status == 422

    def test_a_deletion_may_name_its_uid(self, world: World) -> None:
        """Another object of the same name is not deleted."""
        apply(world, an("ConfigMap"))
        uid = stored(world, "ConfigMap")["metadata"]["uid"]
        assert delete(world, "ConfigMap", "another").status == 409
        assert delete(world, "ConfigMap", uid).status == 200
        assert delete(world, "ConfigMap", uid).status == 404

    def test_children_go_with_their_owner(self, world: World) -> None:
        """A moment later; also those that are made when it is gone already."""
        apply(world, an("Agent", spec={}))
        owner = {"kind": "Agent", "name": "one", "uid": stored(world, "Agent")["metadata"]["uid"]}
        apply(world, an("ConfigMap", metadata={"ownerReferences": [owner]}))
        delete(world, "Agent")
        apply(world, an("ConfigMap", "two", metadata={"ownerReferences": [owner]}))
        world.run_for(1)
        assert not world.store.all("ConfigMap")

    def test_nothing_is_made_in_a_namespace_that_goes(self, world: World) -> None:
        """And all that is in it goes first."""
        world.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        apply(world, an("ConfigMap"))
        world.delete(Ref("Namespace", "", NAMESPACE))
        answer = apply(world, an("ConfigMap", "two"))
        assert answer.status == 403
        assert "because it is being terminated" in answer.text
        world.run_for(5)
        assert not world.store.all()

    def test_the_past_can_be_listed(self, world: World) -> None:
        """As a server that is behind would."""
        apply(world, an("ConfigMap", data={"a": "1"}))
        then = world.store.version
        apply(world, an("ConfigMap", data={"a": "2"}))
        delete(world, "ConfigMap")
        (found,) = world.store.as_of(then, "ConfigMap")
        assert found["data"] == {"a": "1"}


class TestPods:
    """Deployments and what becomes of their pods."""

    def test_pods_get_ready_one_after_the_other(self, world: World) -> None:
        """And the Deployment counts them."""
        apply(world, deployment())
        world.run_for(0.3)
        assert len(pods(world, "Pending")) == 2
        world.run_for(5)
        status = stored(world, "Deployment")["status"]
        assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (2, 2, 1)
        counts = [
            c.body["status"].get("readyReplicas", 0)
            for c in world.store.log
            if c.ref.kind == "Deployment" and "status" in c.body
        ]
        assert set(counts) == {0, 1, 2}

    def test_an_update_leaves_no_gap(self, world: World) -> None:
        """At every moment as many pods are ready as are asked for."""
        apply(world, deployment())
        world.run_for(5)
        apply(world, deployment("registry.example/a:2"))
        for _ in range(100):
            world.run_for(0.1)
            assert stored(world, "Deployment")["status"]["readyReplicas"] >= 2
        assert {each["spec"]["containers"][0]["image"] for each in pods(world)} == {"registry.example/a:2"}

    def test_scaling_down_ends_pods(self, world: World) -> None:
        """After their grace."""
        apply(world, deployment())
        world.run_for(5)
        apply(world, deployment(replicas=0))
        world.run_for(0.2)
        assert all(each["metadata"].get("deletionTimestamp") for each in pods(world))
        world.run_for(2)
        assert not world.store.all("Pod")

    @pytest.mark.parametrize(
        ("fate", "reasons"),
        [("no-image", {"ErrImagePull", "ImagePullBackOff"}), ("crashes", {"CrashLoopBackOff"})],
    )
    def test_a_bad_image_says_so_in_turns(self, world: World, fate: Any, reasons: set[str]) -> None:
        """Again and again, at growing intervals."""
        world.nature.images["registry.example/a:1"] = fate
        apply(world, deployment(replicas=1))
        world.run_for(60)
        waiting = [
            change.body["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
            for change in world.store.log
            if change.ref.kind == "Pod" and change.body["status"].get("containerStatuses")
        ]
        assert set(waiting) == reasons
        assert 3 <= len(waiting) <= 12

    def test_an_image_that_is_mended_runs(self, world: World) -> None:
        """At the next attempt."""
        world.nature.images["registry.example/a:1"] = "no-image"
        apply(world, deployment(replicas=1))
        world.run_for(15)
        world.nature.images.clear()
        world.run_for(60)
        assert stored(world, "Deployment")["status"]["readyReplicas"] == 1

    def test_a_pod_that_is_deleted_is_replaced(self, world: World) -> None:
        """By another one."""
        apply(world, deployment(replicas=1))
        world.run_for(5)
        (pod,) = pods(world)
        world.delete(Ref("Pod", NAMESPACE, pod["metadata"]["name"]))
        world.run_for(5)
        (other,) = pods(world)
        assert other["metadata"]["uid"] != pod["metadata"]["uid"]


def test_time_passes_only_when_nothing_can_happen() -> None:
    """An hour costs nothing, and the same simulation is the same each time."""
    logs = []
    for _ in range(2):
        with World() as world:
            apply(world, deployment())
            world.run_for(3600)
            logs.append([(change.type, change.version, str(change.ref)) for change in world.store.log])
    assert logs[0] == logs[1]
