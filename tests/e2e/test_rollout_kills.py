"""Kill -9 of the operator and of the gateway while an upgrade is under way, on a real Kubernetes with live tasks.

It ends as it would have, and at no moment the candidate has more than its step allows: by the gateway's own record of
each task. The short form kills at moments that matter most; `make bench-rollout-kills` at every phase, one at a time.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from proctor_cluster.settings import Settings
from tests.e2e import tracks
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, is_
from tests.e2e.own_model import model_connector, scripted_model
from tests.e2e.refunds import bring_up
from tests.e2e.tracks import PHASES, Track
from tests.e2e.upgrading import Kill, Played, play

VICTIMS = (("operator",), ("gateway",), ("operator", "gateway"))


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


def _judge(track: Track, played: Played) -> None:
    print(played)  # noqa: T201 - the figures of the run
    assert not played.excesses, "\n".join(played.excesses[:20])
    assert played.outcome == track.outcome
    assert played.status["rollout"]["phase"] == track.ends_in
    serves = played.status["revision"]["stable"] == played.candidate
    assert serves == (track.outcome[0] == "Promoted")
    assert played.is_seen_through or not played.exposed, "the judge sees nothing"
    assert played.exposed or track is tracks.REFUSED
    if track.all_succeed:
        assert played.answered == {"Succeeded"}


@pytest.mark.timeout(240, func_only=True)
def test_it_is_promoted_whoever_dies(cluster: Installed, shop: Namespace) -> None:
    """The operator dies in the replay, the gateway at the first weight; nobody who asked meets an error."""
    kills = [Kill(PHASES["replay"][1], ("operator",)), Kill(PHASES["first weight"][1], ("gateway",))]
    _judge(tracks.PROMOTED, play(cluster, shop, tracks.PROMOTED, kills))


@pytest.mark.timeout(240, func_only=True)
def test_it_is_withdrawn_whoever_dies(cluster: Installed, shop: Namespace) -> None:
    """Both die the moment that the weight is 0 and not all gateways know: no task is begun on it once they do."""
    kills = [Kill(PHASES["withdrawing"][1], ("operator", "gateway"))]
    _judge(tracks.WITHDRAWN, play(cluster, shop, tracks.WITHDRAWN, kills))


@pytest.mark.nightly
@pytest.mark.timeout(300, func_only=True)
@pytest.mark.parametrize("victims", VICTIMS, ids=[" and ".join(each) for each in VICTIMS])
@pytest.mark.parametrize("phase", PHASES, ids=[each.replace(" ", "-") for each in PHASES])
def test_it_ends_as_it_would_have(cluster: Installed, shop: Namespace, phase: str, victims: tuple[str, ...]) -> None:
    """Killed once in that phase: the same end as without."""
    track, moment = PHASES[phase]
    _judge(track, play(cluster, shop, track, [Kill(moment, victims)]))
