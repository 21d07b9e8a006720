"""Which networks a node of our own uses: a pure function of a slot number, so that nodes never overlap."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SLOTS = 64

_LINKS = IPv4Network("10.235.0.0/24")
_SERVICES = IPv4Network("10.236.0.0/14")
_PODS = IPv4Network("10.240.0.0/14")


@dataclass(frozen=True)
class NodeNetwork:
    """The addresses of the node in one slot: a /30 to the host, and a /20 each for Services and pods."""

    slot: int

    @property
    def link(self) -> str:
        """Name of the host's end of the veth pair; the node's end is this name with an ``n`` until it is moved."""
        return f"proctor{self.slot}"

    @property
    def host_link(self) -> IPv4Network:
        """The /30 between host and node."""
        return _nth(_LINKS, 30, self.slot)

    @property
    def host_ip(self) -> IPv4Address:
        """The host, as the node sees it."""
        return self.host_link[1]

    @property
    def node_ip(self) -> IPv4Address:
        """The node and its API server, as the host sees them."""
        return self.host_link[2]

    @property
    def services(self) -> IPv4Network:
        """Cluster IPs of Services, routed from the host."""
        return _nth(_SERVICES, 20, self.slot)

    @property
    def pods(self) -> IPv4Network:
        """Pod IPs, routed from the host."""
        return _nth(_PODS, 20, self.slot)

    @property
    def api_ip(self) -> IPv4Address:
        """Cluster IP of the Service ``kubernetes``."""
        return self.services[1]

    @property
    def dns_ip(self) -> IPv4Address:
        """Cluster IP of the Service ``kube-dns``."""
        return self.services[10]

    def collides(self, routed: Iterable[IPv4Network]) -> bool:
        """Whether the host already routes any of these addresses elsewhere. A default route does not count."""
        ours = (self.host_link, self.services, self.pods)
        return any(net.prefixlen > 0 and net.overlaps(own) for net in routed for own in ours)


def slots_for(name: str) -> Iterator[NodeNetwork]:
    """All slots, in the order in which the cluster called ``name`` tries them; its first is always the same."""
    first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % SLOTS
    for offset in range(SLOTS):
        yield NodeNetwork((first + offset) % SLOTS)


def _nth(network: IPv4Network, prefix: int, n: int) -> IPv4Network:
    first = int(network.network_address) + n * 2 ** (32 - prefix)
    return IPv4Network((first, prefix))
