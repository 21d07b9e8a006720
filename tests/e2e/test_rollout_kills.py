"""Kill -9 of the operator and of the gateway while an upgrade is under way, on a real Kubernetes with live tasks.

It ends as it would have, and at no moment the candidate has more than its step allows: by what the gateway's store
holds of each task, and by the record, which must say the same. The short form kills at moments that matter most,
`make bench-rollout-kills` in every phase.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence

import pytest

from proctor_cluster.settings import Settings
from tests.e2e import refunds, tracks
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, is_
from tests.e2e.own_model import model_connector, scripted_model
from tests.e2e.refunds import bring_up
from tests.e2e.tracks import PHASES, PROMOTED, REFUSED, REVERTED, WITHDRAWN, Track
from tests.e2e.upgrading import Kill, Played, play

VICTIMS = (("operator",), ("gateway",), ("operator", "gateway"))
_TRIES = 3
TRACKS = {"promoted": PROMOTED, "withdrawn": WITHDRAWN, "reverted": REVERTED, "refused": REFUSED}


@pytest.fixture(scope="module")
def shop(cluster: Installed, settings: Settings) -> Iterator[Namespace]:
    """A namespace with an agent that serves, and a model of its own."""
    bring_up(cluster, settings)
    name = f"kills-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    found = Namespace(cluster.kubectl, name)
    found.apply(*scripted_model(name, cluster.images["proctor-demo"], tracks.RULES), *model_connector(name))
    found.kubectl("rollout", "status", "deployment/model", "--timeout=90s")
    found.kubectl("wait", "--for=condition=Ready", "connectors", "--all", "--timeout=90s")
    suite: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "suite", "namespace": name}}
    found.apply({**suite, "data": {"suite.yaml": tracks.SUITE}}, tracks.the_agent(name))
    found.wait(is_("Ready", "True"), seconds=180)
    yield found
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def _told(cluster: Installed, shop: Namespace, revision: str) -> set[str]:
    """The live tasks that began on the revision, by the tamper-evident record."""
    words = f"kubectl proctor audit show --agent {shop.name}/clerk --type run.start -o json"
    records = map(json.loads, refunds.shell(cluster, words).out.splitlines())
    return {
        each["run"]["id"]
        for each in records
        if each["agent"]["revision"] == revision and "purpose" not in each["run"] and each["run"]["attempt"] == 1
    }


def _goes(cluster: Installed, shop: Namespace, track: Track, kills: Sequence[Kill]) -> Played:
    """The upgrade goes its way, and all that must hold of it does."""
    played = play(cluster, shop, track, kills)
    print(played)  # noqa: T201 - the figures of the run
    assert not played.excesses, "\n".join(played.excesses[:20])
    assert played.outcome == track.outcome
    assert played.status["rollout"]["phase"] == track.ends_in
    serves = played.status["revision"]["stable"] == played.candidate
    assert serves == (track.outcome[0] == "Promoted")
    told = _told(cluster, shop, played.candidate)
    assert {each.task for each in played.begun if each.on_candidate} == told, "the store and the record differ"
    assert played.is_seen_through or not played.exposed, "the judge sees nothing"
    assert bool(played.exposed) == (track is not REFUSED)
    if track.all_succeed:
        assert played.answered == {"Succeeded"}
    return played


@pytest.mark.timeout(240, func_only=True)
def test_it_is_promoted_whoever_dies(cluster: Installed, shop: Namespace) -> None:
    """The operator dies in the replay, the gateway at the first weight; nobody who asked meets an error."""
    kills = [Kill(PHASES["replay"][1], ("operator",)), Kill(PHASES["first weight"][1], ("gateway",))]
    assert _goes(cluster, shop, PROMOTED, kills).kills == 2


@pytest.mark.timeout(240, func_only=True)
def test_it_is_withdrawn_whoever_dies(cluster: Installed, shop: Namespace) -> None:
    """Both die the moment that the weight is 0 and not all gateways know: no task is begun on it once they do."""
    assert _goes(cluster, shop, WITHDRAWN, [Kill(PHASES["withdrawing"][1], ("operator", "gateway"))]).kills == 1


@pytest.mark.nightly
@pytest.mark.timeout(600, func_only=True)
@pytest.mark.parametrize("victims", VICTIMS, ids=[" and ".join(each) for each in VICTIMS])
@pytest.mark.parametrize("name", TRACKS)
def test_it_ends_as_it_would_have(cluster: Installed, shop: Namespace, name: str, victims: tuple[str, ...]) -> None:
    """Killed in every phase of one upgrade, again and again: the same end as without."""
    moments = [moment for track, moment in PHASES.values() if track is TRACKS[name]]
    played = _goes(cluster, shop, TRACKS[name], [Kill(each, victims, is_again=True) for each in moments])
    # A phase that was over while nobody was there to see it is none.
    assert played.kills >= len(moments) - 1


@pytest.mark.nightly
@pytest.mark.timeout(600, func_only=True)
@pytest.mark.parametrize("victims", VICTIMS, ids=[" and ".join(each) for each in VICTIMS])
@pytest.mark.parametrize("phase", PHASES, ids=[each.replace(" ", "-") for each in PHASES])
def test_one_kill_changes_nothing(cluster: Installed, shop: Namespace, phase: str, victims: tuple[str, ...]) -> None:
    """Killed once, in that phase: the same end as without. A phase that nobody saw in time is tried again."""
    track, moment = PHASES[phase]
    tried = (_goes(cluster, shop, track, [Kill(moment, victims)]).kills for _ in range(_TRIES))
    assert any(kills == 1 for kills in tried)
