"""Archives for a cluster that has most of the layers already."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from proctor_cluster.archives import write_lacking

LAYERS = [b"first layer", b"second layer"]
DIGESTS = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in LAYERS]


def test_only_layers_that_are_lacking_are_sent(tmp_path):
    """A layer that the cluster holds is named, with digest and size, and not carried."""
    manifest, blobs = _converted(tmp_path, held={DIGESTS[0]})
    assert [layer["digest"] for layer in manifest["layers"]] == DIGESTS
    assert [layer["size"] for layer in manifest["layers"]] == [len(layer) for layer in LAYERS]
    assert DIGESTS[0] not in blobs
    assert blobs[DIGESTS[1]] == LAYERS[1]


def test_a_cluster_that_has_nothing_gets_everything(tmp_path):
    """All layers and the config are there, each under the digest of its content."""
    manifest, blobs = _converted(tmp_path, held=set())
    assert {*DIGESTS, manifest["config"]["digest"]} <= blobs.keys()
    assert all(digest == f"sha256:{hashlib.sha256(content).hexdigest()}" for digest, content in blobs.items())


def _converted(tmp_path: Path, held: set[str]) -> tuple[dict, dict[str, bytes]]:
    source, target = tmp_path / "docker.tar", tmp_path / "oci.tar"
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": DIGESTS}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": ["n:t"], "Layers": ["a.tar", "b.tar"]}]).encode()
    with tarfile.open(source, "w") as archive:
        for name, content in {
            "config.json": config,
            "manifest.json": manifest,
            "a.tar": LAYERS[0],
            "b.tar": LAYERS[1],
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    write_lacking(source, "localhost/n:t", held, target)
    with tarfile.open(target) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}
    [named] = json.loads(files["index.json"])["manifests"]
    assert named["annotations"] == {"io.containerd.image.name": "localhost/n:t"}
    blobs = {
        name.removeprefix("blobs/").replace("/", ":"): data for name, data in files.items() if name.startswith("blobs/")
    }
    return json.loads(blobs[named["digest"]]), blobs
