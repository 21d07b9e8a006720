"""The networks of nodes side by side."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations

from proctor_cluster.network import SLOTS, NodeNetwork, slots_for


def test_no_two_nodes_share_an_address():
    """Every slot has a link, pods and Services of its own."""
    networks = [net for slot in range(SLOTS) for net in _all(NodeNetwork(slot))]
    assert not [(one, other) for one, other in combinations(networks, 2) if one.overlaps(other)]


def test_every_slot_can_be_reached_from_every_name():
    """A name whose own slot is taken tries all others, each once."""
    for name in ("dev", "test", "demo"):
        assert sorted(network.slot for network in slots_for(name)) == list(range(SLOTS))


def test_a_name_begins_at_the_same_slot_each_time():
    """A node that is started again tends to have the addresses it had."""
    assert next(slots_for("dev")) == next(slots_for("dev"))


def test_the_names_of_links_fit_the_kernel():
    """A link's name has at most 15 characters, the node's end included."""
    assert max(len(f"{NodeNetwork(slot).link}n") for slot in range(SLOTS)) <= 15


def test_what_the_host_routes_elsewhere_is_left_alone():
    """A slot that overlaps a route of the host, a VPN's for instance, is not taken; a default route is no reason."""
    network = NodeNetwork(3)
    assert network.collides([IPv4Network("10.0.0.0/8")])
    assert network.collides([network.pods])
    assert not network.collides([IPv4Network("0.0.0.0/0"), IPv4Network("192.168.0.0/16")])


def _all(network: NodeNetwork) -> tuple[IPv4Network, ...]:
    return network.host_link, network.pods, network.services
