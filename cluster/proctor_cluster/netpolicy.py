"""NetworkPolicies as firewall rules: a pure function from objects to the text that ``nft -f`` reads.

It follows networking.k8s.io/v1: a pod that some policy selects for a direction is isolated in it, and then only what
one of these policies names is let through, both ends permitting. The node itself always reaches its pods (probes), and
a pod always reaches itself. Connections that were let through once go on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

TABLE = "inet proctor"

Labels = dict[str, str]
Body = dict[str, Any]
Direction = Literal["ingress", "egress"]


@dataclass(frozen=True)
class Pod:
    """A pod with an address of its own in the pod network."""

    namespace: str
    name: str
    ip: str
    labels: Labels = field(default_factory=dict)
    ports: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: Body) -> Pod | None:
        """None for a pod without an address of its own: not started, ended, or on the host's network."""
        status, spec = body.get("status", {}), body["spec"]
        if spec.get("hostNetwork") or not status.get("podIP") or status.get("phase") in {"Succeeded", "Failed"}:
            return None
        ports = {
            (port.get("protocol", "TCP"), port["name"]): port["containerPort"]
            for container in (*spec["containers"], *spec.get("initContainers", []))
            for port in container.get("ports", [])
            if "name" in port
        }
        meta = body["metadata"]
        return cls(meta["namespace"], meta["name"], status["podIP"], meta.get("labels", {}), ports)


def ruleset(pods: Iterable[Pod], namespaces: Mapping[str, Labels], policies: Sequence[Body]) -> str:
    """All rules, to replace all rules before: read by nft as one transaction. No policies give an empty table."""
    cluster = _Cluster(sorted(pods, key=lambda pod: pod.ip), namespaces)
    leaving = dict(cluster.chains("egress", policies))
    entering = dict(cluster.chains("ingress", policies))
    return "\n".join(
        [
            f"table {TABLE}",
            f"delete table {TABLE}",
            f"table {TABLE} {{",
            *_verdict_map("leaving", leaving),
            *_verdict_map("entering", entering),
            *_chain("forward", [_hook("forward"), _GOING_ON, "ip saddr vmap @leaving", "ip daddr vmap @entering"]),
            # The node's own services, the API server among them, are behind this hook and not behind the one above.
            *_chain("input", [_hook("input"), _GOING_ON, "ip saddr vmap @leaving"]),
            *(line for ip, rules in leaving.items() for line in _chain(_chain_name("leaving", ip), rules)),
            *(line for ip, rules in entering.items() for line in _chain(_chain_name("entering", ip), rules)),
            "}",
            "",
        ]
    )


_GOING_ON = "ct state established,related accept"


def _hook(name: str) -> str:
    # Before the filter chains of others (priority 0), so that no accept of theirs is the last word.
    return f"type filter hook {name} priority -5; policy accept;"


def _chain_name(direction: str, ip: str) -> str:
    return f"{direction}_{ip.replace('.', '_')}"


def _chain(name: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"  chain {name} {{"
    yield from (f"    {line}" for line in lines)
    yield "  }"


def _verdict_map(name: str, chains: Iterable[str]) -> Iterator[str]:
    elements = ", ".join(f"{ip} : jump {_chain_name(name, ip)}" for ip in chains)
    yield f"  map {name} {{"
    yield "    type ipv4_addr : verdict"
    if elements:
        yield f"    elements = {{ {elements} }}"
    yield "  }"


@dataclass(frozen=True)
class _Cluster:
    pods: Sequence[Pod]
    namespaces: Mapping[str, Labels]

    def chains(self, direction: Direction, policies: Sequence[Body]) -> Iterator[tuple[str, list[str]]]:
        """For each pod that is isolated in this direction: its address and the rules of its chain."""
        for pod in self.pods:
            selecting = [policy for policy in policies if _isolates(policy, direction, pod)]
            if selecting:
                rules = [rule for policy in selecting for rule in policy["spec"].get(direction, [])]
                lines = [line for rule in rules for line in self._allowed(direction, rule, pod)]
                yield pod.ip, [f"{_FAR[direction]} {pod.ip} return", *dict.fromkeys(lines), "drop"]

    def _allowed(self, direction: Direction, rule: Body, pod: Pod) -> Iterator[str]:
        peers = rule.get(_PEERS[direction]) or [None]
        ports = rule.get("ports") or [None]
        for peer in peers:
            for far, where in self._places(direction, peer, pod.namespace):
                for port in ports:
                    # A named port is the receiving pod's: ours when it comes in, each receiver's own when it goes out.
                    receiver = pod if direction == "ingress" else far
                    for what in _port_matches(port, receiver, self.pods):
                        yield " ".join(filter(None, (where, what, "return")))

    def _places(self, direction: Direction, peer: Body | None, namespace: str) -> Iterator[tuple[Pod | None, str]]:
        """Who the peer is: each selected pod on its own, or a block of addresses."""
        far = _FAR[direction]
        if peer is None:
            yield None, ""
        elif "ipBlock" in peer:
            block = peer["ipBlock"]
            but = f" {far} != {{ {', '.join(block['except'])} }}" if block.get("except") else ""
            yield None, f"{far} {block['cidr']}{but}"
        else:
            for pod in self.pods:
                if self._selects(peer, pod, namespace):
                    yield pod, f"{far} {pod.ip}"

    def _selects(self, peer: Body, pod: Pod, namespace: str) -> bool:
        if "namespaceSelector" in peer:
            if not matches(peer["namespaceSelector"], self.namespaces.get(pod.namespace, {})):
                return False
        elif pod.namespace != namespace:
            return False
        return matches(peer.get("podSelector", {}), pod.labels)


_PEERS: dict[Direction, str] = {"ingress": "from", "egress": "to"}
_FAR: dict[Direction, str] = {"ingress": "ip saddr", "egress": "ip daddr"}


def _isolates(policy: Body, direction: Direction, pod: Pod) -> bool:
    spec = policy["spec"]
    kinds = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    return (
        direction.capitalize() in kinds
        and policy["metadata"]["namespace"] == pod.namespace
        and matches(spec.get("podSelector", {}), pod.labels)
    )


def _port_matches(port: Body | None, receiver: Pod | None, pods: Sequence[Pod]) -> Iterator[str]:
    """The nft words for a port; nothing at all for a named port that the receiver does not have."""
    if port is None:
        yield ""
        return
    protocol = port.get("protocol", "TCP")
    word = protocol.lower()
    number = port.get("port")
    if number is None:
        yield f"meta l4proto {word}"
    elif isinstance(number, int):
        yield f"{word} dport {number}-{port['endPort']}" if "endPort" in port else f"{word} dport {number}"
    elif receiver is not None and (protocol, number) in receiver.ports:
        yield f"{word} dport {receiver.ports[protocol, number]}"
    elif receiver is None:
        named = [(pod, pod.ports[protocol, number]) for pod in pods if (protocol, number) in pod.ports]
        yield from (f"ip daddr {pod.ip} {word} dport {found}" for pod, found in named)


def matches(selector: Body, labels: Labels) -> bool:
    """Whether a label selector selects these labels. The empty selector selects everything."""
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()) and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions") or []
    )


def _holds(expression: Body, labels: Labels) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case unknown:
            raise ValueError(f"label selector operator {unknown!r}")
