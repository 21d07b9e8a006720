"""The Debian packages that a node of our own and image builds need."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proctor_cluster.command import run
from proctor_cluster.progress import progress, say

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Tool:
    """A program (a name on PATH, an absolute path, or a library that pkg-config knows), and the package it comes in."""

    name: str
    package: str
    is_library: bool = False


RUN = (
    Tool("conntrack", "conntrack"),
    Tool("ethtool", "ethtool"),
    Tool("ip", "iproute2"),
    Tool("iptables", "iptables"),
    Tool("nft", "nftables"),
    Tool("nsenter", "util-linux"),
    Tool("openssl", "openssl"),
    Tool("pgrep", "procps"),
    Tool("socat", "socat"),
    Tool("/usr/lib/cni/ptp", "containernetworking-plugins"),
)
BUILD = (
    Tool("gcc", "gcc"),
    Tool("/usr/include/stdlib.h", "libc6-dev"),
    Tool("pkg-config", "pkg-config"),
    Tool("libseccomp", "libseccomp-dev", is_library=True),
)
IMAGES = (
    Tool("buildah", "buildah"),
    Tool("mmdebstrap", "mmdebstrap"),
)


def absent(tools: Sequence[Tool]) -> list[Tool]:
    """Those of ``tools`` that are not on this machine."""
    return [tool for tool in tools if not _is_here(tool)]


def can_install() -> bool:
    """Whether ``install`` can work: apt-get is here and we are root."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(tools: Sequence[Tool]) -> None:
    """Install the packages of ``tools`` with apt-get, saying so; nothing when there are none. Raises CommandError."""
    names = sorted({tool.package for tool in tools})
    if not names:
        return
    say(f"installing Debian packages: {' '.join(names)}")
    with progress("apt-get"):
        run(["apt-get", "update"])
        run(["apt-get", "install", "-y", "--no-install-recommends", *names], env={"DEBIAN_FRONTEND": "noninteractive"})


def _is_here(tool: Tool) -> bool:
    if tool.is_library:
        return (
            bool(shutil.which("pkg-config"))
            and not subprocess.run(["pkg-config", "--exists", tool.name], check=False).returncode
        )
    return Path(tool.name).exists() if tool.name.startswith("/") else shutil.which(tool.name) is not None
