"""Which image a revision runs: the one that its first ready pod was started from, by digest, from then on.

The digest is the kubelet's word (`containerStatuses[].imageID`), so it is what ran, whatever mirror, credential or
registry it came by, and we ask no registry. It is kept on the revision's ControllerRevision; pods are made by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from proctor.api import names
from proctor.api.progress import ImageStatus
from proctor.plan import conditions
from proctor.plan.conditions import Finding
from proctor.plan.revision import Revision
from proctor.plan.world import Manifest, World, label_of, name_of

CONTAINER = "agent"
"""The container of an agent's pod."""

_DIGEST = "@sha256:"
# containerd: repository@sha256:…, or sha256:… of what was loaded onto the node; cri-dockerd adds a scheme; CRI-O may
# say the bare hash of 64 digits.
_IMAGE_ID = re.compile(r"^(?:[a-z-]+://)?(?:(?P<repository>[^@]+)@)?(?:sha256:)?(?P<hash>[0-9a-f]{64})$")
_TAG = re.compile(r":[A-Za-z0-9_][A-Za-z0-9_.-]*$")
_HUB, _HUB_LIBRARY = "docker.io/", "docker.io/library/"


@dataclass(frozen=True)
class Image:
    """The image of one revision. `kept` is what was learned: repository@sha256:…, or only sha256:… of a node's own.

    By the declared repository it can be pulled again; under another one's name, or without any, it can be compared.
    """

    declared: str
    kept: str | None = None
    is_told: bool = False
    """Whether a ready pod was seen, whatever it said of its image."""

    @property
    def runs(self) -> str:
        """What its pods are made with."""
        return self.kept if self.kept is not None and _can_be_pulled(self.kept, self.declared) else self.declared

    @property
    def digest(self) -> str | None:
        """What is known of its content."""
        known = self.kept or self.declared
        return known[known.rindex("sha256:") :] if "sha256:" in known else None

    @property
    def is_pinned(self) -> bool:
        """Whether a pod that is made tomorrow, on any node, runs the same."""
        return _DIGEST in self.runs

    @property
    def is_awaited(self) -> bool:
        """Whether the first ready pod has yet to tell what it runs."""
        return not self.is_pinned and self.kept is None and not self.is_told

    def is_other(self, identity: str) -> bool:
        """Whether a pod with that identity runs something else than was learned.

        The digest of an image's manifest and that of its configuration tell nothing of each other.
        """
        is_alike = self.kept is not None and (_DIGEST in self.kept) == (_DIGEST in identity)
        return self.kept is not None and is_alike and self.kept[-64:] != identity[-64:]


def images(world: World, known: Iterable[Revision]) -> dict[str, Image]:
    """The image of each of these revisions, by the revision's hash."""
    return {each.hash: _image(world, each) for each in known}


def of_record(record: Manifest) -> Image:
    """The image of a recorded revision, as far as its ControllerRevision has it."""
    declared = record["data"]["spec"]["runtime"]["image"]
    return Image(declared, record["metadata"].get("annotations", {}).get(names.IMAGE))


def _image(world: World, revision: Revision) -> Image:
    record = world.child("ControllerRevision", names.of_revision(world.agent.metadata.name, revision.hash))
    found = of_record(record) if record else Image(revision.spec["runtime"]["image"])
    declared, kept = found.declared, found.kept or _made_with(world, revision)
    if _DIGEST in declared:
        return found
    ready = [each for each in _containers(world.pods, revision.hash) if each.get("ready")]
    told = [said for each in ready if (said := identity_of(each.get("imageID", ""), declared))]
    # A node that has the same content under another name says that one; one that pulled it says what can be pulled.
    pulled = (each for each in told if _can_be_pulled(each, declared))
    better = next((each for each in pulled if kept is None or _is_manifest(kept, each)), None)
    return Image(declared, better or kept or next(iter(told), None), is_told=bool(ready))


def _made_with(world: World, revision: Revision) -> str | None:
    """The digest by which the revision's pods are made already: somebody may have taken it off the record."""
    deployment = world.child("Deployment", names.of_revision(world.agent.metadata.name, revision.hash))
    image = _image_in(deployment) if deployment else None
    return image if image is not None and _can_be_pulled(image, revision.spec["runtime"]["image"]) else None


def _image_in(deployment: Manifest) -> str | None:
    containers = deployment["spec"].get("template", {}).get("spec", {}).get("containers", ())
    return next((each["image"] for each in containers if each["name"] == CONTAINER), None)


def _can_be_pulled(identity: str, declared: str) -> bool:
    return identity.startswith(f"{_repository(declared)}{_DIGEST}")


def _is_manifest(kept: str, identity: str) -> bool:
    """Whether what was kept is the same manifest, maybe under another repository's name."""
    return _DIGEST in kept and kept[-64:] == identity[-64:]


def identity_of(image_id: str, declared: str) -> str | None:
    """What a container's imageID says, by the declared repository if it came from there. None if it says nothing.

    Under another repository's name the digest may not be pulled from the declared one, so that name stays.
    """
    found = _IMAGE_ID.match(image_id)
    if found is None:
        return None
    repository = _repository(declared)
    if not found["repository"]:
        return f"sha256:{found['hash']}"
    is_declared = _whole(found["repository"]) == _whole(repository)
    return f"{repository if is_declared else found['repository']}{_DIGEST}{found['hash']}"


def _repository(image: str) -> str:
    return _TAG.sub("", image)


def _whole(repository: str) -> str:
    """The repository as a container runtime names it: what has no registry is Docker Hub's."""
    first, slash, _ = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return repository.replace("index.docker.io/", _HUB, 1)
    return f"{_HUB}{repository}" if slash else f"{_HUB_LIBRARY}{repository}"


def _containers(pods: Iterable[Manifest], revision: str) -> Iterator[dict[str, Any]]:
    """The agent's container of each pod of the revision, of the oldest pod first."""
    mine = [each for each in pods if label_of(each, names.REVISION) == revision]
    for pod in sorted(mine, key=lambda each: (each["metadata"].get("creationTimestamp", ""), name_of(each))):
        if pod["metadata"].get("deletionTimestamp"):
            continue
        for each in pod.get("status", {}).get("containerStatuses", ()):
            if each.get("name") == CONTAINER:
                yield each


def changed(image: Image, pods: Iterable[Manifest], revision: str) -> str | None:
    """What a pod says that runs something else than the revision ran: only of an image that no registry can pin."""
    for each in _containers(pods, revision):
        found = identity_of(each.get("imageID", ""), image.declared)
        if found is not None and image.is_other(found):
            return f"ImageChanged: {image.declared} was {short(image.kept or '')}, and is {short(found)} now"
    return None


def is_made_with(deployment: Manifest, image: Image) -> bool:
    """Whether the pods that the Deployment makes run the revision's image."""
    made = _image_in(deployment)
    return made is None or made == image.runs


def short(identity: str) -> str:
    """A digest as people read it."""
    return f"{identity[: -64 + 12]}" if len(identity) > 64 else identity  # noqa: PLR2004 - digits of a SHA-256


@dataclass(frozen=True)
class Shown:
    """What the status tells of images."""

    images: tuple[ImageStatus, ...]
    finding: Finding


def shown(world: World, known: dict[str, Revision], revisions: Iterable[str | None]) -> Shown:
    """Of these revisions, which images they run. What serves, or is to be the first to serve, comes first."""
    named = [known[each] for each in dict.fromkeys(revisions) if each is not None and each in known]
    found = images(world, named)
    told = tuple(_status(world, revision, image) for revision, image in found.items())
    first = next(iter(found.items()), None)
    return Shown(told, _finding(world, *first) if first else conditions.unknown("ImagePinned", "NotKnown", ""))


def _status(world: World, revision: str, image: Image) -> ImageStatus:
    # What was learned, but is not yet what pods are made with, is told with the pods: one write, not two.
    is_made = _is_made(world, revision, image)
    return ImageStatus(
        revision=revision,
        image=image.declared,
        digest=image.digest if is_made else None,
        pinned=image.is_pinned and is_made,
    )


def _finding(world: World, revision: str, image: Image) -> Finding:
    if trouble := changed(image, world.pods, revision):
        return conditions.false("ImagePinned", "ImageChanged", trouble)
    if image.is_pinned and _is_made(world, revision, image):
        how = "ByDigest" if image.runs == image.declared else "Learned"
        return conditions.true("ImagePinned", how, "" if how == "ByDigest" else f"{image.declared} is {image.runs}")
    if image.is_awaited or image.is_pinned:
        return conditions.unknown("ImagePinned", "NotReadyYet", "the first ready pod tells the digest")
    if image.kept is None:
        return conditions.unknown("ImagePinned", "NotTold", f"no node tells what {image.declared} is")
    message = f"no registry has {image.declared} by this name, only nodes; it is {short(image.kept)}"
    return conditions.false("ImagePinned", "OnlyOnNodes", message)


def _is_made(world: World, revision: str, image: Image) -> bool:
    """Whether the pods that there are, or that will be made first, are made with what the revision runs."""
    deployment = world.child("Deployment", names.of_revision(world.agent.metadata.name, revision))
    return deployment is None or is_made_with(deployment, image)
