"""Upgrades on a real Kubernetes, with live tasks all the while: one is promoted, one blocked, one rolled back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import yaml

from proctor_cluster import install
from proctor_cluster.command import CommandError
from proctor_cluster.settings import Settings
from tests.e2e import voting
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, condition, eventually
from tests.e2e.shoppers import Shoppers

_SAMPLE = install.MANIFESTS / "samples" / "refunds-upgrade"
_STEPS = [
    {"evals": {}},
    {"weight": 25, "until": {"minTasks": 5, "minDuration": "3s"}},
    {"weight": 50, "until": {"minTasks": 10, "minDuration": "3s"}},
]
# A wide margin, so that a few dozen tasks are enough; what the margins cost is measured elsewhere.
_RULES = {
    "steps": _STEPS,
    "progressDeadline": "90s",
    "scaleDownDelay": "2s",
    "abortScaleDownDelay": "2s",
    "rollback": {"drain": "30s", "watch": {"for": "5s"}},
    "analysis": {"metrics": [{"name": "answered", "margin": "0.25"}]},
}
_MOST_EXPOSED = 60


@pytest.fixture(scope="module")
def shop(cluster: Installed, settings: Settings) -> Iterator[Namespace]:
    """The sample of upgrades, with steps short enough for a test."""
    install.apply(settings, cluster.cluster, _SAMPLE, cluster.images)
    install.wait_for_rollout(cluster.cluster, "demo-systems")
    found = Namespace(cluster.kubectl, "support")
    found.kubectl("patch", "agent", "refunds", "--type=merge", "-p", yaml.safe_dump({"spec": {"rollout": _RULES}}))
    found.wait(_is_settled, "refunds", 120)
    yield found
    # Two writers had a part in its spec: who applies the plain sample next begins with a new object.
    found.kubectl("delete", "agent", "refunds", "--wait")


@pytest.fixture
def shoppers(cluster: Installed, shop: Namespace) -> Iterator[Shoppers]:
    """Live tasks while the test runs."""
    assert shop.name == "support"
    with Shoppers(cluster.cluster, "support", "refunds") as asking:
        yield asking


def _rollout(agent: Manifest) -> Manifest:
    found: Manifest = agent.get("status", {}).get("rollout", {})
    return found


def _is_settled(agent: Manifest) -> bool:
    return _rollout(agent).get("phase") in {"Settled", "Watching"} and condition(agent, "Ready")["status"] == "True"


def _change(shop: Namespace, candidate: str) -> str:
    """Somebody applies a candidate of the sample; the revision that it makes."""
    before = shop.agent("refunds")["status"]["revision"]
    known = [None, before.get("stable"), before.get("candidate")]
    patch = (_SAMPLE / "candidates" / f"{candidate}.yaml").read_text()
    shop.kubectl("patch", "agent", "refunds", "--type=merge", "-p", patch)
    tried = shop.wait(lambda it: it["status"]["revision"].get("candidate") not in known, "refunds")
    found: str = tried["status"]["revision"]["candidate"]
    return found


def _ends(shop: Namespace, revision: str, seconds: float = 200) -> Manifest:
    """The Agent when the upgrade to the revision is over."""

    def is_over(agent: Manifest) -> bool:
        outcome = _rollout(agent).get("lastOutcome", {})
        return outcome.get("revision") == revision and _rollout(agent).get("phase") in {"Settled", "Watching", "Failed"}

    return shop.wait(is_over, "refunds", seconds)


def _deployments(shop: Namespace) -> set[str]:
    found = shop.list("deployments", "proctor.dev/agent=refunds")
    return {each["metadata"]["labels"]["proctor.dev/revision"] for each in found}


@pytest.mark.timeout(400)
def test_a_good_change_is_promoted(shop: Namespace, shoppers: Shoppers) -> None:
    """Through its exam and two weights, on evidence; nobody meets an error on the way."""
    revision = _change(shop, "polite")
    agent = _ends(shop, revision)
    outcome = _rollout(agent)["lastOutcome"]
    assert outcome["type"] == "Promoted", outcome
    assert agent["status"]["revision"]["stable"] == revision
    assert outcome["exposed"] >= 15
    eventually(lambda: _deployments(shop), lambda there: there == {revision}, 60)
    assert {phase for _, phase in shoppers.ended} == {"Succeeded"}


@pytest.mark.timeout(400)
def test_a_change_that_fails_its_exam_gets_no_task(shop: Namespace, shoppers: Shoppers) -> None:
    """It is blocked, the status says by which case, and the old revision serves on."""
    before = shop.wait(_is_settled, "refunds")["status"]["revision"]["stable"]
    revision = _change(shop, "generous")
    agent = _ends(shop, revision)
    outcome = _rollout(agent)["lastOutcome"]
    assert (outcome["type"], outcome["reason"], outcome["exposed"]) == ("Failed", "ExamFailed", 0)
    assert agent["status"]["revision"]["stable"] == before
    assert agent["status"]["revision"]["blocked"] == [revision]
    assert revision not in {by for by, _ in shoppers.ended}
    assert condition(agent, "Available")["status"] == "True"
    assert condition(agent, "Ready")["reason"] == "ExamFailed"
    assert "too-old" in outcome["message"] or "too-expensive" in outcome["message"]


@pytest.mark.timeout(600)
def test_a_change_that_fails_in_earnest_is_rolled_back_whoever_dies(
    cluster: Installed, shop: Namespace, shoppers: Shoppers
) -> None:
    """It passes its exam and fails three of ten live tasks: rolled back, with few exposed, whoever is killed."""
    before = shop.wait(lambda it: bool(it["status"]["revision"].get("stable")), "refunds")["status"]["revision"]
    revision = _change(shop, "hasty")
    shop.wait(lambda it: _rollout(it).get("phase") == "Collecting", "refunds", 120)
    for victim in ("operator", "gateway"):
        threading.Timer(1, _kill, (cluster, victim)).start()
        time.sleep(2)
    agent = _ends(shop, revision, 300)
    outcome = _rollout(agent)["lastOutcome"]
    assert (outcome["type"], outcome["reason"]) == ("RolledBack", "Harm"), outcome
    assert 5 <= outcome["exposed"] <= _MOST_EXPOSED
    assert agent["status"]["revision"]["stable"] == before["stable"]
    assert agent["status"]["revision"]["blocked"] == [revision]
    words = [(each, condition(agent, each)["status"]) for each in ("Ready", "Stalled", "Available")]
    assert words == [("Ready", "False"), ("Stalled", "True"), ("Available", "True")]
    assert condition(agent, "Ready")["reason"] == "RolledBack"
    eventually(lambda: _deployments(shop), lambda there: there == {before["stable"]}, 60)
    print(f"exposed {outcome['exposed']}: {outcome['message']}")  # noqa: T201 - the figure of the run


@pytest.mark.timeout(500)
def test_people_are_asked_and_can_go_back(shop: Namespace, shoppers: Shoppers) -> None:
    """The step waits for a member of the group at the weight before; `undo` brings the older revision back, whole."""
    steps = [_STEPS[1], {**_STEPS[2], "approval": {"groups": ["sre"], "timeout": "1h"}}]
    shop.kubectl(
        "patch", "agent", "refunds", "--type=merge", "-p", yaml.safe_dump({"spec": {"rollout": {"steps": steps}}})
    )
    before = shop.agent("refunds")["status"]["revision"]["stable"]
    words = (
        "You decide refund requests of customers, kindly. Look up the customer and the order first. Refund what was "
    )
    words += "delivered in the last 30 days and costs at most 200 EUR, by calling refund once. Decline what is older."
    shop.kubectl("patch", "agent", "refunds", "--type=merge", "-p", yaml.safe_dump({"spec": {"instructions": words}}))
    waiting = shop.wait(lambda it: _rollout(it).get("phase") == "AwaitingApproval", "refunds", 150)
    assert _rollout(waiting)["weight"] == 25
    revision = waiting["status"]["revision"]["candidate"]
    voting.approve(shop, _rollout(waiting)["approval"])
    assert _rollout(_ends(shop, revision))["lastOutcome"]["type"] == "Promoted"

    shop.kubectl("annotate", "agent", "refunds", "--overwrite", f"proctor.dev/command=undo@{before}/e2e")
    back = shop.wait(lambda it: it["status"]["revision"].get("stable") == before, "refunds", 90)
    assert back["status"]["revision"]["undoneTo"] == before
    assert back["status"]["lastHandledCommand"] == f"undo@{before}/e2e"
    assert {phase for _, phase in shoppers.ended} == {"Succeeded"}


@pytest.mark.timeout(200)
def test_nobody_is_asked_about_an_upgrade_that_is_over(shop: Namespace) -> None:
    """Aborted while people are asked: the question is withdrawn, says why, and takes no vote any more."""
    steps = [{"approval": {"groups": ["sre"], "timeout": "1h"}}]
    change = {"rollout": {"steps": steps}, "instructions": "Decide refunds, whoever asks."}
    shop.kubectl("patch", "agent", "refunds", "--type=merge", "-p", yaml.safe_dump({"spec": change}))
    waiting = shop.wait(lambda it: _rollout(it).get("phase") == "AwaitingApproval", "refunds", 90)
    question, revision = _rollout(waiting)["approval"], waiting["status"]["revision"]["candidate"]
    shop.kubectl("annotate", "agent", "refunds", "--overwrite", f"proctor.dev/command=abort@{revision}/in-vain")

    told = eventually(lambda: shop.get("approval", question)["status"], _is_withdrawn, 30)
    assert told["withdrawn"].startswith(f"somebody aborted the upgrade to {revision}")
    with pytest.raises(CommandError, match="a vote changes nothing any more"):
        voting.approve(shop, question)
    assert _rollout(_ends(shop, revision))["lastOutcome"]["type"] == "Aborted"


def _is_withdrawn(status: Manifest) -> bool:
    told = {each["reason"] for each in status.get("conditions", ()) if each["type"] == "Ready"}
    return status.get("phase") == "Withdrawn" and told == {"Withdrawn"}


def _kill(cluster: Installed, victim: str) -> None:
    """As kill -9: no time to finish anything."""
    selector = f"app.kubernetes.io/name=proctor-{victim}"
    words = ("delete", "pod", "-l", selector, "--grace-period=0", "--force", "--wait=false")
    cluster.kubectl("-n", install.NAMESPACE, *words)
