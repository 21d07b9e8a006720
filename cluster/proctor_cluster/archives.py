"""Image archives. A docker archive holds all layers; a cluster that has most of them needs only the others."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def write_lacking(docker_archive: Path, reference: str, held: Container[str], path: Path) -> None:
    """Write the one image of a docker archive to ``path`` as an OCI archive, without the blobs that are ``held``.

    ``held`` are digests ("sha256:…"). The layers of the docker archive must not be compressed, as buildah writes them.
    """
    with tarfile.open(docker_archive) as source, tarfile.open(path, "w") as target:
        [image] = json.loads(_read(source, "manifest.json"))
        config = _read(source, image["Config"])
        layers = []
        for name, digest in zip(image["Layers"], json.loads(config)["rootfs"]["diff_ids"], strict=True):
            member = _resolved(source, name)
            layers.append({"mediaType": _LAYER, "digest": digest, "size": member.size})
            if digest not in held:
                _add(target, _blob(digest), source.extractfile(member), member.size)
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": _describe(_CONFIG, config),
                "layers": layers,
            }
        )
        named = _describe(_MANIFEST, manifest) | {"annotations": {"io.containerd.image.name": reference}}
        for content in (config, manifest):
            _add(target, _blob(_digest(content)), io.BytesIO(content), len(content))
        for file, content in (
            ("index.json", _json({"schemaVersion": 2, "manifests": [named]})),
            ("oci-layout", _json({"imageLayoutVersion": "1.0.0"})),
        ):
            _add(target, file, io.BytesIO(content), len(content))


def _resolved(archive: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    member = archive.getmember(name)
    # A layer that occurs twice is a link to its first occurrence.
    return archive.getmember(member.linkname.removeprefix("../")) if member.issym() else member


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is no file in the archive")
    return file.read()


def _add(archive: tarfile.TarFile, name: str, content: Any, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    archive.addfile(member, content)


def _describe(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
