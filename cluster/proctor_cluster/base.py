"""Base images without any image registry: Debian's own packages, put together by mmdebstrap."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from proctor_cluster.command import run
from proctor_cluster.progress import progress

if TYPE_CHECKING:
    from pathlib import Path

_SUITE = "bookworm"
_WITHOUT = [f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("doc", "man", "locale")]

# What the images run on: Python and what it needs, unpacked and not installed; no other program, no shell.
_RUNTIME = [
    "--variant=extract",  # runs no scripts of packages, and of our hooks only those "after the extraction"
    "--include=base-files,base-passwd,ca-certificates,libstdc++6,netbase,python3,tzdata",
    '--extract-hook=cat "$1"/usr/share/ca-certificates/mozilla/*.crt > "$1/etc/ssl/certs/ca-certificates.crt"',
    '--extract-hook=rm -rf "$1"/var/lib/apt "$1"/var/cache/apt "$1"/var/lib/dpkg "$1"/usr/lib/*/gconv',
    '--extract-hook=find "$1"/bin "$1"/sbin "$1"/usr/bin "$1"/usr/sbin ! -type d ! -name "python3*" -delete',
]
# What the images are built with: the same Python, installed, with venv and pip.
_BUILDER = ["--variant=essential", "--include=ca-certificates,python3,python3-venv"]

RECIPES = {"runtime": _RUNTIME, "builder": _BUILDER}


def recipe_hash(kind: str) -> str:
    """Changes when the base image ``kind`` must be made anew."""
    return hashlib.sha256(repr((_SUITE, _WITHOUT, RECIPES[kind])).encode()).hexdigest()[:12]


def make(kind: str, archive: Path) -> None:
    """Write the root file system of the base image ``kind`` to ``archive``. Takes 10 to 30 s. Raises CommandError."""
    with progress(f"base image for {kind} from Debian packages"):
        run(["mmdebstrap", "--quiet", *RECIPES[kind], *_WITHOUT, _SUITE, archive])
