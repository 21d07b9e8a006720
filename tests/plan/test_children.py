"""The objects that an Agent owns: whole, as the golden files show them, and confined whatever the profile."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from proctor.api.agent import Agent
from proctor.plan import children, revision
from proctor.plan.world import Manifest, Platform
from tests.plan import examples
from tests.plan.examples import PLATFORM
from tests.sim.guard import faults_of_pod

GOLDEN = Path(__file__).parent / "golden"
OWN_PROGRAM = {
    "image": "registry.example/mine:1",
    "command": ["serve"],
    "args": ["--fast"],
    "env": [{"name": "MODE", "value": "fast"}],
    "resources": {"requests": {"cpu": "200m"}, "limits": {"memory": "1Gi"}},
}
AGENTS: dict[str, dict[str, Any]] = {
    "standard": {},
    "hardened": {"sandbox": {"profile": "Hardened"}},
    "isolated": {"sandbox": {"profile": "Isolated", "runtimeClassName": "gvisor"}},
    "own-program": {"runtime": OWN_PROGRAM, "limits": {"timeout": "2h", "maxTokens": 1000}},
}


class Plain(yaml.SafeDumper):
    """Writes everything out where it stands."""

    def ignore_aliases(self, data: object) -> bool:
        """What stands in two places is written twice."""
        return True


def made(agent: Agent, platform: Platform = PLATFORM) -> list[Manifest]:
    """All children of the agent's first revision."""
    world = examples.world(agent, platform=platform)
    first = revision.of_spec(world, world.instructions or "")
    return [
        children.make_service_account(agent),
        children.make_network_policy(agent, platform),
        children.make_disruption_budget(agent, first.hash),
        children.make_controller_revision(agent, first, 1),
        children.make_config(agent, first),
        children.make_deployment(agent, first, 2, platform),
    ]


def pod_of(manifests: list[Manifest]) -> dict[str, Any]:
    """The spec of the pods."""
    spec: dict[str, Any] = next(each for each in manifests if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("name", AGENTS)
def test_children_are_as_the_golden_file_shows(name: str) -> None:
    """The difference is the review. Set PROCTOR_GOLDEN=write to accept it."""
    text = yaml.dump_all(made(examples.agent(**AGENTS[name])), Dumper=Plain, sort_keys=False)
    file = GOLDEN / f"{name}.yaml"
    if os.environ.get("PROCTOR_GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("name", AGENTS)
def test_every_profile_is_confined(name: str) -> None:
    """Pod Security restricted, and more: no token, no writable root, no volume of the node's."""
    assert list(faults_of_pod(pod_of(made(examples.agent(**AGENTS[name]))))) == []


def test_a_profile_adds_its_own_fence() -> None:
    """Hardened has a user namespace, Isolated another runtime: the spec's, or the installation's."""
    assert pod_of(made(examples.agent(sandbox={"profile": "Hardened"})))["hostUsers"] is False
    installed = Platform(agent_image="a", isolated_runtime_class="kata")
    isolated = {"profile": "Isolated"}
    assert pod_of(made(examples.agent(sandbox=isolated), installed))["runtimeClassName"] == "kata"
    own = {**isolated, "runtimeClassName": "gvisor"}
    assert pod_of(made(examples.agent(sandbox=own), installed))["runtimeClassName"] == "gvisor"


def test_every_child_belongs_to_its_agent() -> None:
    """By uid, so that the cluster deletes it with the agent, and not with a namesake."""
    for each in made(examples.agent()):
        (owner,) = each["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Agent", "refunds", "uid-of-refunds")
        assert owner["controller"] is True


def test_the_config_holds_no_more_than_the_program_needs() -> None:
    """The instructions and the names of model and tools; no address, no key, no rule to find a way around."""
    config = next(each for each in made(examples.agent()) if each["kind"] == "ConfigMap")
    content = json.loads(config["data"]["agent.json"])
    assert content["model"] == {"name": "gpt-5-mini", "parameters": {}}
    assert content["tools"] == [{"connector": "crm", "allow": ["get_order", "get_customer"]}]
    assert "https://" not in config["data"]["agent.json"]


def test_nothing_goes_in_or_out_but_by_the_gateway() -> None:
    """And DNS, without which the gateway has no name."""
    policy = next(each for each in made(examples.agent()) if each["kind"] == "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (entry,) = policy["ingress"]
    gateway = entry["from"][0]
    assert gateway["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "proctor-gateway"}}
    to_gateway, to_dns = policy["egress"]
    assert to_gateway["to"] == [gateway]
    assert {each["port"] for each in to_dns["ports"]} == {53}


def test_a_pod_has_time_to_finish_its_tasks() -> None:
    """As long as a task may take, ten minutes at most."""
    assert pod_of(made(examples.agent(limits={"timeout": "30s"})))["terminationGracePeriodSeconds"] == 35
    assert pod_of(made(examples.agent(limits={"timeout": "2h"})))["terminationGracePeriodSeconds"] == 605


@pytest.mark.parametrize("length", [1, 40, 63])
def test_names_fit(length: int) -> None:
    """Whatever an agent is called, each name is a DNS label."""
    for each in made(examples.agent("a" * length)):
        assert len(each["metadata"]["name"]) <= 63
