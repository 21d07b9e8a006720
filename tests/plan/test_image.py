"""Which image a revision runs: learned from its first ready pod, kept, and brought back by digest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proctor.api import names
from proctor.api.agent import Agent
from proctor.plan import image
from proctor.plan.agent import plan_agent
from proctor.plan.world import Manifest, Plan, World, label_of
from tests.plan import examples
from tests.plan.examples import T0, after
from tests.plan.test_agent import carried_out, condition, made, with_spec

TAG = "registry.example/mine:1"
NOW, LATER = "a" * 64, "b" * 64
PINNED = f"registry.example/mine@sha256:{NOW}"
IMPORTED = f"docker.io/library/import-2026-11-22@sha256:{NOW}"
MIRRORED = f"mirror.example/mine@sha256:{NOW}"

IDENTITIES: dict[str, tuple[str, str, str | None]] = {
    "containerd, pulled": (PINNED, TAG, PINNED),
    "a registry with a port": (f"10.0.0.1:5000/a@sha256:{NOW}", "10.0.0.1:5000/a:1", f"10.0.0.1:5000/a@sha256:{NOW}"),
    "no tag at all": (f"10.0.0.1:5000/a@sha256:{NOW}", "10.0.0.1:5000/a", f"10.0.0.1:5000/a@sha256:{NOW}"),
    "Docker Hub's library": (f"docker.io/library/nginx@sha256:{NOW}", "nginx:1", f"nginx@sha256:{NOW}"),
    "Docker Hub": (f"docker.io/acme/web@sha256:{NOW}", "acme/web:1", f"acme/web@sha256:{NOW}"),
    "cri-dockerd": (f"docker-pullable://{PINNED}", TAG, PINNED),
    "containerd, loaded onto the node": (f"sha256:{NOW}", TAG, f"sha256:{NOW}"),
    "cri-dockerd, loaded onto the node": (f"docker://sha256:{NOW}", TAG, f"sha256:{NOW}"),
    "CRI-O, bare": (NOW, TAG, f"sha256:{NOW}"),
    "kind load": (f"docker.io/library/import-2026-11-22@sha256:{NOW}", TAG, IMPORTED),
    "another registry's name for it": (f"mirror.example/mine@sha256:{NOW}", TAG, MIRRORED),
    "nothing": ("", TAG, None),
    "no digest": ("registry.example/mine:1", TAG, None),
}


@pytest.mark.parametrize(("image_id", "declared", "identity"), IDENTITIES.values(), ids=list(IDENTITIES))
def test_an_image_id_says_what_ran(image_id: str, declared: str, identity: str | None) -> None:
    """By the declared repository only where the digest came from there: elsewhere it may not be pulled from it."""
    assert image.identity_of(image_id, declared) == identity


def pod(world: World, image_id: str, name: str = "a", *, ready: bool = True, revision: str | None = None) -> Manifest:
    """A pod of the newest revision, or of the one named, that runs this."""
    of = revision or _newest(world)
    container = {"name": "agent", "image": TAG, "imageID": image_id, "ready": ready, "state": {"running": {}}}
    return {
        "kind": "Pod",
        "metadata": examples.metadata(f"pod-{name}", labels=names.revision_labels("refunds", of)),
        "status": {"phase": "Running", "containerStatuses": [container]},
    }


def _newest(world: World) -> str:
    records = [each for each in world.children if each["kind"] == "ControllerRevision"]
    return label_of(max(records, key=lambda each: each["revision"]), names.REVISION) or ""


def tagged(**runtime: Any) -> Agent:
    """An Agent whose program is named by a tag."""
    return examples.agent(runtime={"image": TAG, **runtime})


def begun(agent: Agent) -> World:
    """The World after the first plan: its one pod has got ready, and the cache knows the Deployment's word of it."""
    first = examples.world(agent)
    return carried_out(first, plan_agent(first, T0))


def learned(image_id: str = PINNED, **runtime: Any) -> tuple[World, Plan]:
    """The World in which the first ready pod says what it runs, and what is planned then."""
    world = begun(tagged(**runtime))
    world = replace(world, pods=(pod(world, image_id),))
    return world, plan_agent(world, T0)


def of_kind(plan: Plan, kind: str) -> Manifest:
    """What the plan applies of a kind."""
    return next(each for each in plan.applies if each["kind"] == kind)


def container(deployment: Manifest) -> Manifest:
    """The agent's container."""
    found: Manifest = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


def serving(image_id: str = PINNED, **runtime: Any) -> World:
    """An Agent that serves by what its first pod ran; its pods are as the last plan wants them."""
    world, plan = learned(image_id, **runtime)
    for _ in range(3):
        world = carried_out(world, plan)
        plan = plan_agent(world, T0)
    assert plan.is_noop
    return world


def test_until_it_is_known_there_is_one_pod_and_it_does_not_serve() -> None:
    """Two pods of one tag could run two things; and what serves must be what is kept."""
    world = begun(tagged(replicas=3))
    deployment = next(each for each in world.children if each["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert container(deployment)["image"] == TAG
    assert "imagePullPolicy" not in container(deployment)
    plan = plan_agent(world, T0)
    assert plan.is_noop, "the Deployment calls its pod ready, but no pod has said what it runs"
    assert world.agent.status.revision.stable is None


def test_the_digest_is_kept_with_the_revision_and_all_pods_are_made_by_it() -> None:
    """The record first: a crash between the two leads to the same pods."""
    _, plan = learned(replicas=3)
    assert made(plan) == ["ControllerRevision", "Deployment"]
    assert of_kind(plan, "ControllerRevision")["metadata"]["annotations"][names.IMAGE] == PINNED
    assert of_kind(plan, "Deployment")["spec"]["replicas"] == 3
    assert container(of_kind(plan, "Deployment"))["image"] == PINNED
    assert container(of_kind(plan, "Deployment"))["imagePullPolicy"] == "IfNotPresent"
    assert plan.status is None, "the status tells it with the pods that run it"


def test_it_serves_when_its_pods_are_made_by_digest() -> None:
    """And the status says which."""
    status = serving(replicas=3).agent.status
    found = status.revision.images
    assert status.revision.stable is not None
    assert [(each.image, each.digest, each.pinned) for each in found] == [(TAG, f"sha256:{NOW}", True)]
    pinned = status.condition("ImagePinned")
    assert pinned is not None
    assert (pinned.status, pinned.reason) == ("True", "Learned")


def test_an_image_by_digest_needs_nothing() -> None:
    """All pods at once, no second start, no more writes than ever."""
    by_digest = examples.agent(runtime={"image": f"registry.example/mine:1@sha256:{NOW}", "replicas": 3})
    world = begun(by_digest)
    plan = plan_agent(world, T0)
    assert not {"ControllerRevision", "Deployment"} & set(made(plan))
    assert plan.status is not None
    assert condition(plan, "ImagePinned") == ("True", "ByDigest")
    assert plan.status["revision"]["images"][0]["digest"] == f"sha256:{NOW}"


def test_a_moved_tag_changes_nothing_that_runs() -> None:
    """Whatever a later pod, or a pod on another node, finds behind the tag."""
    world = serving()
    moved = replace(world, pods=(pod(world, PINNED), pod(world, PINNED.replace(NOW, LATER), "b")))
    assert not plan_agent(moved, after(minutes=1)).applies


def test_going_back_brings_the_digest_back() -> None:
    """The record has it; the tag is not asked, and one pod more or less is no question."""
    world = serving(replicas=2)
    older = world.agent.status.revision.stable
    world = with_spec(world, runtime={"image": "registry.example/mine:2", "replicas": 2})
    world = carried_out(world, plan_agent(world, T0))
    world = replace(world, pods=(pod(world, PINNED.replace(NOW, LATER)),))
    for _ in range(4):
        world = carried_out(world, plan_agent(world, T0))
    assert world.agent.status.revision.stable not in {older, None}
    assert not [each for each in world.children if each["kind"] == "Deployment" and older in each["metadata"]["name"]]
    back = with_spec(replace(world, pods=()), runtime={"image": TAG, "replicas": 2})
    plan = plan_agent(back, T0)
    assert made(plan) == ["ConfigMap", "Deployment"]
    assert container(of_kind(plan, "Deployment"))["image"] == PINNED
    assert of_kind(plan, "Deployment")["spec"]["replicas"] == 2


def test_a_nodes_own_image_serves_and_is_only_compared() -> None:
    """No registry has it, so no digest can be pulled: the status says so."""
    world = serving(f"sha256:{NOW}", replicas=2)
    status = world.agent.status
    assert status.revision.stable is not None
    deployment = next(each for each in world.children if each["kind"] == "Deployment")
    assert (container(deployment)["image"], deployment["spec"]["replicas"]) == (TAG, 2)
    found = status.condition("ImagePinned")
    assert found is not None
    assert (found.status, found.reason) == ("False", "OnlyOnNodes")
    assert not status.revision.images[0].pinned


def test_a_nodes_own_image_that_changed_is_not_brought_back() -> None:
    """It cannot be had as it was; another program under its name is not it."""
    world = serving(f"sha256:{NOW}")
    older = world.agent.status.revision.stable
    world = with_spec(world, instructions="Others.")
    world = carried_out(world, plan_agent(world, T0))
    world = replace(world, pods=(pod(world, f"sha256:{LATER}"),))
    for _ in range(4):
        world = carried_out(world, plan_agent(world, T0))
    back = with_spec(world, instructions="You decide refunds.")
    back = carried_out(back, plan_agent(back, T0))
    back = replace(back, pods=(pod(back, f"sha256:{LATER}", revision=older),))
    for seconds in (1, 2, 3):
        back = carried_out(back, plan_agent(back, after(seconds=seconds)))
    assert back.agent.status.revision.stable != older
    reconciling = back.agent.status.condition("Reconciling")
    assert reconciling is not None
    assert "ImageChanged" in reconciling.message


def test_what_serves_from_a_changed_nodes_image_says_so() -> None:
    """The pods stay: taking them away helps nobody."""
    world = serving(f"sha256:{NOW}")
    plan = plan_agent(replace(world, pods=(pod(world, f"sha256:{LATER}"),)), T0)
    assert not plan.applies
    assert condition(plan, "ImagePinned") == ("False", "ImageChanged")
    assert [condition(plan, each)[0] for each in ("Available", "Reconciling")] == ["True", "False"]
    assert [each.reason for each in plan.events] == ["ImageChanged"]


def test_another_name_for_the_same_content_is_no_change() -> None:
    """A node that pulled it knows the repository, one that had it loaded does not; now it can be pinned."""
    world = serving(IMPORTED)
    assert world.agent.status.condition("ImagePinned").reason == "OnlyOnNodes"  # type: ignore[union-attr]
    plan = plan_agent(replace(world, pods=(pod(world, IMPORTED), pod(world, PINNED, "b"))), T0)
    assert of_kind(plan, "ControllerRevision")["metadata"]["annotations"][names.IMAGE] == PINNED


@pytest.mark.parametrize("image_id", [PINNED, MIRRORED, PINNED.replace(NOW, LATER)])
def test_two_kinds_of_digest_are_not_compared(image_id: str) -> None:
    """A node's own image is known by its configuration, a pulled one by its manifest: neither change nor proof."""
    world = serving(f"sha256:{NOW}")
    plan = plan_agent(replace(world, pods=(pod(world, image_id),)), T0)
    assert plan.is_noop


def test_a_runtime_that_tells_nothing_holds_nobody_up() -> None:
    """The agent serves as it did before digests were learned."""
    status = serving("", replicas=2).agent.status
    found = status.condition("ImagePinned")
    assert status.revision.stable is not None
    assert found is not None
    assert found.reason == "NotTold"


def test_a_pod_that_is_not_ready_teaches_nothing() -> None:
    """A broken image may be mended under the same tag before it ever served."""
    world = begun(tagged())
    world = replace(world, pods=(pod(world, PINNED, ready=False),))
    assert not plan_agent(world, T0).applies


def test_what_served_by_its_tag_is_pinned_without_a_gap() -> None:
    """As after an update of the operator: no pod fewer, and Available stays while the pods are made anew."""
    world = serving(replicas=3)
    plain = tuple(_as_before(each) for each in world.children)
    before = replace(world, children=plain, pods=(pod(world, PINNED),))
    plan = plan_agent(before, T0)
    assert of_kind(plan, "Deployment")["spec"]["replicas"] == 3
    assert container(of_kind(plan, "Deployment"))["image"] == PINNED
    assert plan.status is None or condition(plan, "Available")[0] == "True"


def test_a_record_that_somebody_changed_is_mended() -> None:
    """What the pods are made by is known from their Deployment, too, also while none of them is ready."""
    world = serving()
    bare = tuple(
        {**each, "metadata": {**each["metadata"], "annotations": {}}} if each["kind"] == "ControllerRevision" else each
        for each in world.children
    )
    plan = plan_agent(replace(world, children=bare, pods=()), T0)
    assert made(plan) == ["ControllerRevision"]
    assert of_kind(plan, "ControllerRevision")["metadata"]["annotations"][names.IMAGE] == PINNED


def _as_before(child: Manifest) -> Manifest:
    """The object as an operator made it that did not learn digests."""
    if child["kind"] == "ControllerRevision":
        return {**child, "metadata": {**child["metadata"], "annotations": {}}}
    if child["kind"] != "Deployment":
        return child
    template = child["spec"]["template"]
    old = {**template["spec"]["containers"][0], "image": TAG}
    spec = {**template["spec"], "containers": [old]}
    return {**child, "spec": {**child["spec"], "template": {**template, "spec": spec}}}
