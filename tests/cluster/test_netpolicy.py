"""NetworkPolicies as rules. What the kernel makes of the rules is seen in tests/e2e."""

from __future__ import annotations

import pytest
import yaml

from proctor_cluster.netpolicy import Pod, matches, ruleset

WEB = Pod("shop", "web", "10.0.0.1", {"app": "web"}, {("TCP", "http"): 8080})
DB = Pod("shop", "db", "10.0.0.2", {"app": "db"}, {("TCP", "sql"): 5432})
OTHER = Pod("other", "web", "10.0.0.3", {"app": "web"}, {("TCP", "http"): 9090})
PODS = [WEB, DB, OTHER]
NAMESPACES = {"shop": {"team": "a"}, "other": {"team": "b"}}


def _policy(spec: str) -> dict:
    return {"metadata": {"namespace": "shop", "name": "p"}, "spec": yaml.safe_load(spec)}


def _chain(rules: str, name: str) -> list[str] | None:
    """The rules of one chain; None when there is no such chain, so that the pod is not isolated."""
    lines = [line.strip() for line in rules.splitlines()]
    if f"chain {name} {{" not in lines:
        return None
    begin = lines.index(f"chain {name} {{") + 1
    return lines[begin : lines.index("}", begin)]


RULES = {
    "a policy without rules lets nothing in": (
        "{podSelector: {matchLabels: {app: web}}}",
        "entering_10_0_0_1",
        [],
    ),
    "an empty rule lets everything in": (
        "{podSelector: {}, ingress: [{}]}",
        "entering_10_0_0_1",
        ["return"],
    ),
    "a pod selector alone means the policy's own namespace": (
        "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}",
        "entering_10_0_0_2",
        ["ip saddr 10.0.0.1 return"],
    ),
    "a namespace selector means all pods in there": (
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}]}]}",
        "entering_10_0_0_2",
        ["ip saddr 10.0.0.3 return"],
    ),
    "both selectors in one peer must hold": (
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}]}]}",
        "entering_10_0_0_1",
        ["ip saddr 10.0.0.2 return"],
    ),
    "a selector that selects nobody lets nobody in": (
        "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: none}}}]}]}",
        "entering_10_0_0_1",
        [],
    ),
    "every port goes with every peer": (
        "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}],"
        " ports: [{port: 1}, {port: 2, protocol: UDP}]}]}",
        "entering_10_0_0_2",
        ["ip saddr 10.0.0.1 tcp dport 1 return", "ip saddr 10.0.0.1 udp dport 2 return"],
    ),
    "a range of ports": (
        "{podSelector: {}, ingress: [{ports: [{port: 1000, endPort: 2000}]}]}",
        "entering_10_0_0_1",
        ["tcp dport 1000-2000 return"],
    ),
    "a protocol without a port": (
        "{podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]}",
        "entering_10_0_0_1",
        ["meta l4proto udp return"],
    ),
    "a named port that comes in is the pod's own": (
        "{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: http}]}]}",
        "entering_10_0_0_1",
        ["tcp dport 8080 return"],
    ),
    "a named port that goes out is the receiver's": (
        "{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress],"
        " egress: [{to: [{namespaceSelector: {}}], ports: [{port: http}]}]}",
        "leaving_10_0_0_2",
        ["ip daddr 10.0.0.1 tcp dport 8080 return", "ip daddr 10.0.0.3 tcp dport 9090 return"],
    ),
    "a block of addresses with exceptions": (
        "{podSelector: {}, policyTypes: [Egress],"
        " egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]}",
        "leaving_10_0_0_1",
        ["ip daddr 10.0.0.0/8 ip daddr != { 10.1.0.0/16 } return"],
    ),
}


@pytest.mark.parametrize(("spec", "chain", "allowed"), RULES.values(), ids=RULES)
def test_a_policy_says_what_passes(spec, chain, allowed):
    """An isolated pod always reaches itself, then what its policies name passes, then nothing."""
    itself = (
        f"ip {'saddr' if chain.startswith('entering') else 'daddr'} {chain.partition('_')[2].replace('_', '.')} return"
    )
    assert _chain(ruleset(PODS, NAMESPACES, [_policy(spec)]), chain) == [itself, *allowed, "drop"]


DIRECTIONS = {
    "policyTypes left out, no egress rules": ("{podSelector: {}}", True, False),
    "policyTypes left out, egress rules": ("{podSelector: {}, egress: [{}]}", True, True),
    "only egress": ("{podSelector: {}, policyTypes: [Egress]}", False, True),
    "both": ("{podSelector: {}, policyTypes: [Ingress, Egress]}", True, True),
    "a pod that is not selected": (
        "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress]}",
        False,
        False,
    ),
}


@pytest.mark.parametrize(("spec", "entering", "leaving"), DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_policy_isolates_in_its_directions(spec, entering, leaving):
    """A direction is left open unless some policy isolates the pod in it."""
    rules = ruleset(PODS, NAMESPACES, [_policy(spec)])
    assert (_chain(rules, "entering_10_0_0_1") is not None) == entering
    assert (_chain(rules, "leaving_10_0_0_1") is not None) == leaving


def test_a_policy_says_nothing_about_other_namespaces():
    """The same labels in another namespace are other pods."""
    assert _chain(ruleset(PODS, NAMESPACES, [_policy("{podSelector: {}}")]), "entering_10_0_0_3") is None


def test_policies_add_up():
    """A pod that two policies select may do what either of them says."""
    one, two = (
        _policy("{podSelector: {}, ingress: [{ports: [{port: 1}]}]}"),
        _policy("{podSelector: {}, ingress: [{ports: [{port: 2}]}]}"),
    )
    assert _chain(ruleset(PODS, NAMESPACES, [one, two]), "entering_10_0_0_1")[1:] == [
        "tcp dport 1 return",
        "tcp dport 2 return",
        "drop",
    ]


POD_BODIES = {
    "a pod without an address": ({}, {"phase": "Pending"}),
    "a pod on the host's network": ({"hostNetwork": True}, {"podIP": "10.0.0.9"}),
    "a pod that has ended, whose address may be another's": ({}, {"podIP": "10.0.0.9", "phase": "Succeeded"}),
}


@pytest.mark.parametrize(("spec", "status"), POD_BODIES.values(), ids=POD_BODIES)
def test_a_pod_without_an_address_of_its_own_has_no_rules(spec, status):
    """Rules are about addresses: one that is not this pod's must not be taken for it."""
    body = {"metadata": {"name": "p", "namespace": "shop"}, "spec": {"containers": [], **spec}, "status": status}
    assert Pod.parse(body) is None


SELECTORS = {
    "empty": ("{}", True),
    "equal": ("{matchLabels: {app: web}}", True),
    "not equal": ("{matchLabels: {app: db}}", False),
    "in": ("{matchExpressions: [{key: app, operator: In, values: [web, db]}]}", True),
    "not in": ("{matchExpressions: [{key: app, operator: NotIn, values: [web]}]}", False),
    "not in, for a key that is not there": ("{matchExpressions: [{key: tier, operator: NotIn, values: [x]}]}", True),
    "exists": ("{matchExpressions: [{key: app, operator: Exists}]}", True),
    "does not exist": ("{matchExpressions: [{key: app, operator: DoesNotExist}]}", False),
    "all must hold": ("{matchLabels: {app: web}, matchExpressions: [{key: tier, operator: Exists}]}", False),
}


@pytest.mark.parametrize(("selector", "selected"), SELECTORS.values(), ids=SELECTORS)
def test_a_selector_selects_as_kubernetes_does(selector, selected):
    """Against the labels {app: web}."""
    assert matches(yaml.safe_load(selector), {"app": "web"}) == selected
