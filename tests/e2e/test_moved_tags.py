"""A tag is given to something else while an agent runs: what serves, starts and comes back stays what it was."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proctor_cluster import node
from proctor_cluster.settings import Settings
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, a_model, an_agent, condition, eventually, is_
from tests.e2e.refunds import shell

_AGENT = "proctor.dev/agent=clerk"
_REVISION = "proctor.dev/revision"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Registry:
    """A repository of the node's own: what is in it counts as pulled, by tag and by digest."""

    def __init__(self, settings: Settings, source: str, scratch: Path) -> None:
        self.name = f"registry.invalid/clerk-{uuid.uuid4().hex[:8]}"
        self._settings = settings
        self._source = source
        self._scratch = scratch

    @property
    def tag(self) -> str:
        """The tag that is moved."""
        return f"{self.name}:1"

    def push(self, variant: str) -> str:
        """The program's image with another label in it, under the tag; the reference by digest."""
        archive = self._scratch / f"{variant}.tar"
        digest = self._write(variant, archive)
        self._forget(self.tag)
        node.load(self._settings, archive)
        pinned = f"{self.name}@{digest}"
        node.ctr(self._settings, "images", "tag", self.tag, pinned)
        return pinned

    def close(self) -> None:
        """Takes the repository off the node: its names would be told of other images of the same content."""
        for each in node.images(self._settings):
            if each.startswith(self.name):
                self._forget(each)

    def _forget(self, reference: str) -> None:
        if reference in node.images(self._settings):
            node.ctr(self._settings, "images", "remove", reference)

    def _write(self, variant: str, path: Path) -> str:
        """An archive with what the node lacks: another configuration, and the manifest that names it."""
        manifest = self._blob(self._digest_of(self._source))
        config = self._blob(manifest["config"]["digest"])
        config["config"]["Labels"] = {"variant": f"{self.name}/{variant}"}
        layers = manifest["layers"]
        content = json.dumps(config).encode()
        described = {**manifest["config"], "digest": _digest(content), "size": len(content)}
        whole = json.dumps({"schemaVersion": 2, "mediaType": _MANIFEST, "config": described, "layers": layers}).encode()
        named = {"mediaType": _MANIFEST, "digest": _digest(whole), "size": len(whole)}
        named["annotations"] = {"io.containerd.image.name": self.tag}
        with tarfile.open(path, "w") as archive:
            _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            _add(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": [named]}).encode())
            for each in (content, whole):
                _add(archive, f"blobs/{_digest(each).replace(':', '/')}", each)
        return _digest(whole)

    def _digest_of(self, reference: str) -> str:
        lines = node.ctr(self._settings, "images", "list", f"name=={reference}").splitlines()
        return next(word for word in lines[1].split() if word.startswith("sha256:"))

    def _blob(self, digest: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(node.ctr(self._settings, "content", "get", digest))
        return found


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def registry(cluster: Installed, settings: Settings, tmp_path: Path) -> Iterator[Registry]:
    """A repository with tags that can be moved, on a node whose container runtime we may speak to."""
    if cluster.cluster.provider != "node":
        pytest.skip("tags are moved in the container runtime of a node of our own")
    found = Registry(settings, cluster.images["proctor-agent"], tmp_path)
    yield found
    found.close()


@pytest.fixture
def ns(cluster: Installed, new_namespace: Any) -> Namespace:
    """A namespace with a Connector in it."""
    namespace = Namespace(cluster.kubectl, new_namespace())
    namespace.apply(a_model(namespace.name))
    return namespace


def _ran(ns: Namespace) -> set[str]:
    """What the agent's living, ready pods were started from."""
    living = [each for each in ns.list("pods", _AGENT) if "deletionTimestamp" not in each["metadata"]]
    containers = [each["status"].get("containerStatuses", [{}])[0] for each in living]
    return {each.get("imageID", "") if each.get("ready") else "not ready" for each in containers}


def _shown(agent: Manifest) -> tuple[str, str | None, bool]:
    stable = agent["status"]["revision"]["stable"]
    found = next(each for each in agent["status"]["revision"]["images"] if each["revision"] == stable)
    return found["image"], found.get("digest"), found.get("pinned", False)


@pytest.mark.timeout(300)
def test_a_tag_that_moves_changes_nothing_that_somebody_did_not_change(
    cluster: Installed, ns: Namespace, registry: Registry
) -> None:
    """Not what is evicted, not one pod more, not what `undo` brings back; only a new revision learns anew."""
    first = registry.push("first")
    ns.apply(an_agent(ns.name, runtime={"image": registry.tag}))
    agent = ns.wait(is_("Ready", "True"))
    stable = agent["status"]["revision"]["stable"]
    assert _shown(agent) == (registry.tag, first.partition("@")[2], True)
    assert condition(agent, "ImagePinned")["reason"] == "Learned"
    assert eventually(lambda: _ran(ns), lambda ran: ran == {first}) == {first}
    kept = ns.get("controllerrevision", f"clerk-{stable}")["metadata"]["annotations"]
    assert kept["proctor.dev/image"] == first

    second = registry.push("second")
    assert second != first
    ns.kubectl("delete", "pods", "-l", _AGENT, "--wait")
    eventually(lambda: _ran(ns), lambda ran: ran == {first})
    ns.kubectl("patch", "agent", "clerk", "--type=merge", "-p", '{"spec":{"runtime":{"replicas":2}}}')
    ns.wait(lambda it: it["status"].get("readyReplicas") == 2)
    assert _ran(ns) == {first}

    ns.kubectl("patch", "agent", "clerk", "--type=merge", "-p", '{"spec":{"instructions":"You are tested again."}}')
    upgraded = ns.wait(lambda it: it["status"]["revision"].get("stable") != stable, seconds=90)
    assert _shown(upgraded) == (registry.tag, second.partition("@")[2], True)
    eventually(lambda: _ran(ns), lambda ran: ran == {second})
    told = shell(cluster, f"kubectl proctor rollout diff clerk 1 2 -n {ns.name} -o name")
    assert set(told.out.split()) == {"instructions", "runtime.digest"}, told
    history = shell(cluster, f"kubectl proctor rollout history clerk -n {ns.name} -o json")
    found = {each["number"]: (each["digest"], each["isPinned"]) for each in json.loads(history.out)["revisions"]}
    assert found == {1: (first.partition("@")[2], True), 2: (second.partition("@")[2], True)}

    ns.kubectl("annotate", "agent", "clerk", "--overwrite", f"proctor.dev/command=undo@{stable}/e2e")
    ns.wait(lambda it: it["status"]["revision"].get("stable") == stable, seconds=90)
    eventually(lambda: _ran(ns), lambda ran: ran == {first})
