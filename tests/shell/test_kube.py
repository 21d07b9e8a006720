"""The API server behind the port: what its answers become, and what is never written."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.plan.world import Deletion, Edit, Event
from proctor.shell import kube as shell_kube
from proctor.shell.client import Conflict
from proctor.shell.errors import Blocked, Lost, Retry
from proctor.shell.kube import RealKube
from proctor.shell.lease import Leadership
from tests.plan.examples import T0, agent_body, metadata
from tests.shell.wire import Wire
from tests.sim.cluster.api import Answer, ApiServer, failure
from tests.sim.cluster.store import Store

ABOUT = agent_body()


def config(name: str = "one", **data: str) -> dict[str, Any]:
    """A ConfigMap of ours."""
    labels = {"app.kubernetes.io/managed-by": "proctor"}
    about = {"name": name, "namespace": "support", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": data}


def deletion(uid: str) -> Deletion:
    """The deletion of the ConfigMap with that uid."""
    return Deletion("v1", "ConfigMap", "support", "one", uid)


def edit(version: str, weight: int = 20) -> Edit:
    """An edit of the route's one weight, onto that version of it."""
    guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
    write = {"op": "add", "path": "/spec/rules/0/backendRefs/0/weight", "value": weight}
    return Edit("HTTPRoute", "support", "refunds", (guard, write))


class Setup:
    """A port, with what is behind it."""

    def __init__(self, *, leads: bool = True) -> None:
        self.store = Store(lambda: T0)
        self.wire = Wire(ApiServer(self.store))
        leadership = Leadership(lambda: 0.0)
        if leads:
            leadership.renewed(0.0)
        self.kube = RealKube(self.wire, leadership, "operator")

    def fails(self, *statuses: int, reason: str = "Injected") -> None:
        """The next requests fail."""
        self.wire.next_answers = [failure(status, reason, "injected") for status in statuses]


async def test_without_the_lease_nothing_is_written() -> None:
    """Neither an object nor a status, a deletion or an Event."""
    setup = Setup(leads=False)
    for write in (
        setup.kube.apply(config()),
        setup.kube.apply_status(ABOUT),
        setup.kube.delete(deletion("u")),
        setup.kube.edit(edit("1")),
        setup.kube.tell(ABOUT, Event("Reason", "words"), T0),
    ):
        with pytest.raises(Lost):
            await write
    assert setup.wire.seen == []


async def test_a_deletion_carries_its_uid() -> None:
    """In the request itself: the server judges, not we."""
    setup = Setup()
    made = await setup.kube.apply(config())
    assert await setup.kube.delete(deletion(made["metadata"]["uid"])) is None
    assert setup.wire.seen[-1].body["preconditions"] == {"uid": made["metadata"]["uid"]}
    assert not setup.store.all("ConfigMap")


async def test_a_deletion_of_what_is_gone_has_succeeded() -> None:
    """Whether nothing has the name, or another object has it."""
    setup = Setup()
    assert await setup.kube.delete(deletion("gone")) is None
    await setup.kube.apply(config())
    assert await setup.kube.delete(deletion("gone")) is None
    assert setup.store.all("ConfigMap")


async def test_a_conflict_over_the_object_itself_is_tried_again() -> None:
    """To take it for gone would leave it there for ever."""
    setup = Setup()
    made = await setup.kube.apply(config())
    setup.fails(409)
    with pytest.raises(Conflict):
        await setup.kube.delete(deletion(made["metadata"]["uid"]))


async def test_what_is_gone_is_no_bug() -> None:
    """A status without its object, an object without its namespace: later, there may be nothing to do any more."""
    setup = Setup()
    with pytest.raises(Retry):
        await setup.kube.apply_status({**ABOUT, "status": {}})
    setup.fails(404)
    with pytest.raises(Retry):
        await setup.kube.apply(config())


async def test_an_object_that_is_not_there_is_none() -> None:
    """It is an answer, not an error."""
    assert await Setup().kube.get("ConfigMap", "support", "one") is None


async def test_a_list_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each object once, with the kind that items of a list do not carry; of others' objects none."""
    monkeypatch.setattr(shell_kube, "_PAGE", "2")
    setup = Setup()
    for name in "abcde":
        await setup.kube.apply(config(name))
    setup.store.create({**config("theirs"), "metadata": {"name": "theirs", "namespace": "support"}}, "kubectl")
    found = [each async for each in setup.kube.list("ConfigMap")]
    assert [(each["kind"], each["metadata"]["name"]) for each in found] == [("ConfigMap", name) for name in "abcde"]


async def test_a_story_told_twice_is_one_event_counted() -> None:
    """Its name says what it says."""
    setup = Setup()
    for _ in range(3):
        await setup.kube.tell(ABOUT, Event("Promoted", "revision a serves"), T0)
    await setup.kube.tell(ABOUT, Event("Promoted", "revision b serves"), T0)
    counts = [each.get("series", {}).get("count", 1) for each in setup.store.all("Event")]
    assert sorted(counts) == [1, 3]


@pytest.mark.parametrize("status", [403, 404, 422, 429, 500])
async def test_an_event_that_cannot_be_told_stops_nothing(status: int) -> None:
    """A story with a hole beats none."""
    setup = Setup()
    setup.fails(status)
    await setup.kube.tell(ABOUT, Event("Promoted", "words"), T0)
    setup.fails(409, status)
    await setup.kube.tell(ABOUT, Event("Promoted", "words"), T0)


async def test_a_long_event_is_cut() -> None:
    """The API server takes 1,024 characters."""
    setup = Setup()
    await setup.kube.tell(ABOUT, Event("RolloutFailed", "x" * 5000), T0)
    (event,) = setup.store.all("Event")
    assert len(event["note"]) == 1024


async def test_an_event_names_whom_it_is_about() -> None:
    """By uid, so that `kubectl describe` shows it for this object and not for a namesake."""
    setup = Setup()
    await setup.kube.tell(ABOUT, Event("Promoted", "words"), T0)
    (event,) = setup.store.all("Event")
    expected = metadata("refunds")
    assert (event["regarding"]["kind"], event["regarding"]["uid"]) == ("Agent", expected["uid"])
    assert event["metadata"]["namespace"] == "support"


async def test_a_refusal_is_passed_on() -> None:
    """Whoever planned the object has to say so."""
    setup = Setup()
    setup.fails(422, reason="Invalid")
    with pytest.raises(Blocked) as refusal:
        await setup.kube.apply(config())
    assert refusal.value.obstacle.reason == "Invalid"


RULES = {
    "the kind is there": (
        Answer(200, body={"resources": [{"name": "podmonitors"}, {"name": "prometheusrules"}]}),
        True,
    ),
    "the group without the kind": (Answer(200, body={"resources": [{"name": "podmonitors"}]}), False),
    "no such group": (failure(404, "NotFound", "not here"), False),
    "the server does not answer": (failure(503, "ServiceUnavailable", "not now"), False),
    "nobody may ask": (failure(403, "Forbidden", "not you"), False),
}


@pytest.mark.parametrize(("answer", "expected"), RULES.values(), ids=RULES)
async def test_whether_there_are_rules(answer: Answer, expected: bool) -> None:
    """By discovery, which needs no right; what cannot be known is taken for no."""
    setup = Setup()
    setup.wire.next_answers = [answer]
    assert await setup.kube.has_rules() is expected
    assert setup.wire.seen[0].path == "/apis/monitoring.coreos.com/v1"


def _with_route(setup: Setup) -> dict[str, Any]:
    rules = [{"backendRefs": [{"name": "a", "weight": 0}], "timeouts": {"request": "9s"}}]
    api = "gateway.networking.k8s.io/v1"
    about = {"name": "refunds", "namespace": "support"}
    body = {"apiVersion": api, "kind": "HTTPRoute", "metadata": about, "spec": {"rules": rules}}
    return setup.store.create(body, "somebody")


async def test_an_edit_changes_its_fields_and_nothing_else() -> None:
    """Of somebody else's object, in the version that was seen."""
    setup = Setup()
    before = _with_route(setup)
    after = await setup.kube.edit(edit(before["metadata"]["resourceVersion"]))
    assert after["spec"]["rules"][0] == {"backendRefs": [{"name": "a", "weight": 20}], "timeouts": {"request": "9s"}}


async def test_an_edit_of_another_version_is_refused() -> None:
    """Somebody wrote in between: their change is looked at first."""
    setup = Setup()
    _with_route(setup)
    with pytest.raises(Conflict):
        await setup.kube.edit(edit("999"))


async def test_an_edit_of_what_is_gone_is_tried_again_from_the_start() -> None:
    """There may be another one soon."""
    with pytest.raises(Retry):
        await Setup().kube.edit(edit("1"))


@pytest.mark.parametrize(("answer", "serves"), [(["httproutes"], True), (["grpcroutes"], False), (None, False)])
async def test_whether_a_kind_is_there_is_asked(answer: list[str] | None, *, serves: bool) -> None:
    """What cannot be asked is not there, until it is asked again."""
    setup = Setup()
    found = Answer(200, body={"resources": [{"name": each} for each in answer or ()]})
    setup.wire.next_answers = [found if answer is not None else failure(404, "NotFound", "none")]
    assert await setup.kube.serves("HTTPRoute") is serves
