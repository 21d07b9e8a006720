"""A Connector's status: what was measured, of which spec, and when it is measured again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from proctor.api.connector import Connector
from proctor.plan.connector import ConnectorWorld, NoProbe, Probe, ProbedTool, is_probe_due, plan_connector
from proctor.plan.world import Manifest
from tests.plan import examples
from tests.plan.examples import DIGEST, OTHER_DIGEST, T0, after

GOOD = {"get_customer": DIGEST, "get_order": OTHER_DIGEST}


def found(tools: dict[str, str] | None = None, at: datetime = T0, **more: Any) -> Probe:
    """A probe that reached the system."""
    facts: dict[str, Any] = {"generation": 1, "reachable": True, "reason": "", "message": "", "models": (), **more}
    offered = GOOD if tools is None else tools
    return Probe(tools=tuple(ProbedTool(*each) for each in offered.items()), probed_at=at, **facts)


def missed(reason: str = "Timeout", at: datetime = T0, **more: Any) -> Probe:
    """A probe that did not."""
    return found({}, at, reachable=False, reason=reason, message="no answer in 30 s", **more)


def planned(connector: Connector, probe: Probe | NoProbe | None, now: datetime = T0) -> Manifest:
    """The status that is planned, or the one before if it stays."""
    return plan_connector(ConnectorWorld(connector, probe), now).status or connector.status.dump()


def then(connector: Connector, status: Manifest) -> Connector:
    """The Connector with that status."""
    return Connector.parse({**connector.model_dump(mode="json", by_alias=True, exclude_none=True), "status": status})


def condition(status: Manifest, type_: str) -> tuple[str, str] | None:
    """Status and reason of a condition."""
    return next(((each["status"], each["reason"]) for each in status["conditions"] if each["type"] == type_), None)


READINESS: dict[str, tuple[Connector, Probe | NoProbe, tuple[str, str]]] = {
    "all well": (examples.crm(), found(), ("True", "Reachable")),
    "a model": (examples.llm(), found({}, models=("gpt-5-mini",)), ("True", "Reachable")),
    "no answer": (examples.crm(), missed(), ("False", "Timeout")),
    "no key": (examples.crm(), missed("SecretNotFound"), ("False", "SecretNotFound")),
    "another definition": (
        examples.crm(),
        found({**GOOD, "get_customer": OTHER_DIGEST}),
        ("False", "DefinitionDrifted"),
    ),
    "a declared tool is missing": (examples.crm(), found({"get_customer": DIGEST}), ("False", "ToolNotFound")),
    "more tools than declared": (examples.crm(), found({**GOOD, "delete_all": DIGEST}), ("True", "Reachable")),
    "the gateway is away": (examples.crm(), NoProbe("no route"), ("Unknown", "GatewayUnreachable")),
    "the gateway is behind": (examples.crm(generation=2), found(), ("Unknown", "GatewayBehind")),
}


@pytest.mark.parametrize(("connector", "probe", "ready"), READINESS.values(), ids=list(READINESS))
def test_readiness_is_what_the_probe_showed(
    connector: Connector, probe: Probe | NoProbe, ready: tuple[str, str]
) -> None:
    """And unknown when nothing was shown."""
    assert condition(planned(connector, probe), "Ready") == ready


def test_a_type_that_is_not_acted_on_says_so() -> None:
    """Loudly, so that nobody waits for it."""
    status = planned(examples.connector("erp", type="HTTP", url="https://erp.example"), None)
    assert condition(status, "Ready") == ("False", "TypeNotActedOn")
    assert condition(status, "Stalled") == ("True", "TypeNotActedOn")


CREDENTIALS: dict[str, tuple[Probe, tuple[str, str]]] = {
    "accepted": (found(), ("True", "Accepted")),
    "refused": (missed("Unauthorized"), ("False", "Unauthorized")),
    "missing": (missed("SecretKeyMissing"), ("False", "SecretKeyMissing")),
    "nobody answered": (missed("Timeout"), ("Unknown", "Timeout")),
}


@pytest.mark.parametrize(("probe", "expected"), CREDENTIALS.values(), ids=list(CREDENTIALS))
def test_the_credential_is_judged_apart(probe: Probe, expected: tuple[str, str]) -> None:
    """Who only sees 'not reachable' looks in the wrong place."""
    connector = examples.crm(auth={"secretRef": {"name": "crm-key"}})
    assert condition(planned(connector, probe), "CredentialsResolved") == expected


def test_no_credential_is_no_condition() -> None:
    """There is nothing to judge."""
    assert condition(planned(examples.crm(), found()), "CredentialsResolved") is None


PINS: dict[str, tuple[list[dict[str, Any]], tuple[str, str]]] = {
    "all pinned": ([{"name": "get_customer", "definitionDigest": DIGEST}], ("True", "Pinned")),
    "one is not": (
        [{"name": "get_customer", "definitionDigest": DIGEST}, {"name": "get_order"}],
        ("False", "NotPinned"),
    ),
    "one has drifted": ([{"name": "get_customer", "definitionDigest": OTHER_DIGEST}], ("False", "DefinitionDrifted")),
}


@pytest.mark.parametrize(("tools", "expected"), PINS.values(), ids=list(PINS))
def test_pins_are_judged(tools: list[dict[str, Any]], expected: tuple[str, str]) -> None:
    """A tool without a pin may become another one at any time."""
    assert condition(planned(examples.crm(tools=tools), found()), "DefinitionsPinned") == expected


def test_a_measurement_of_an_older_spec_is_not_reported() -> None:
    """What is known stays, and the observed generation stays behind."""
    first = then(examples.crm(), planned(examples.crm(), found()))
    edited = then(examples.crm(generation=2), first.status.dump())
    status = planned(edited, found(at=after(minutes=1)), after(minutes=1))
    assert status["observedGeneration"] == 1
    assert [each["name"] for each in status["tools"]] == ["get_customer", "get_order"]


def test_an_outage_of_the_gateway_forgets_nothing() -> None:
    """The tools found are those found last; that it is unknown now is what the conditions say."""
    known = then(examples.crm(), planned(examples.crm(), found()))
    status = planned(known, NoProbe("no route"), after(minutes=5))
    assert status["tools"] == known.status.dump()["tools"]
    assert condition(status, "Reachable") == ("Unknown", "GatewayUnreachable")


def ill_for(minutes: float) -> Connector:
    """A Connector whose system did not answer for so long."""
    first = then(examples.crm(), planned(examples.crm(), missed()))
    last = missed(at=after(minutes=minutes))
    return then(first, planned(first, last, after(minutes=minutes)))


INTERVALS: dict[str, tuple[Connector, datetime, timedelta]] = {
    "well": (then(examples.crm(), planned(examples.crm(), found())), T0, timedelta(minutes=5)),
    "just fallen ill": (ill_for(0), T0, timedelta(seconds=20)),
    "ill for a minute": (ill_for(1), after(minutes=1), timedelta(minutes=1)),
    "ill for an hour": (ill_for(60), after(minutes=60), timedelta(minutes=5)),
}


@pytest.mark.parametrize(("connector", "probed_at", "interval"), INTERVALS.values(), ids=list(INTERVALS))
def test_how_long_until_the_next_probe(connector: Connector, probed_at: datetime, interval: timedelta) -> None:
    """As long as it has been ill, from twenty seconds to five minutes."""
    assert not is_probe_due(connector, probed_at + interval - timedelta(seconds=1))
    assert is_probe_due(connector, probed_at + interval)
    plan = plan_connector(ConnectorWorld(connector, None), probed_at)
    assert plan.wake_at == max(probed_at + interval, probed_at + timedelta(seconds=10))


def test_a_new_spec_is_probed_at_once() -> None:
    """The measurement before was of another one."""
    known = then(examples.crm(generation=2), planned(examples.crm(), found()))
    assert is_probe_due(known, T0)


def test_between_probes_nothing_is_written() -> None:
    """A look without a measurement changes nothing."""
    known = then(examples.crm(), planned(examples.crm(), found()))
    assert plan_connector(ConnectorWorld(known, None), after(minutes=1)).is_noop


def test_events_tell_of_turns() -> None:
    """A first success is no news, a failure is, and so is its end."""
    well = plan_connector(ConnectorWorld(examples.crm(), found()), T0)
    ill = plan_connector(ConnectorWorld(then(examples.crm(), well.status or {}), missed()), T0)
    again = plan_connector(ConnectorWorld(then(examples.crm(), ill.status or {}), found()), T0)
    assert [[(each.reason, each.type) for each in plan.events] for plan in (well, ill, again)] == [
        [],
        [("Timeout", "Warning")],
        [("Reachable", "Normal")],
    ]
