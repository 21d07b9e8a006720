"""An upgrade that the error budget freezes, and people who let it go on: who, why, and until when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proctor.api import names
from proctor.api.approval import Approval
from proctor.api.fields import format_time
from proctor.plan.override import Override, make_approval, override_of
from proctor.plan.world import Manifest, World
from tests.plan import examples
from tests.plan.examples import T0, after
from tests.plan.test_freeze import CAREFUL, ENOUGH, SLOS, SPENT, counted, reconciling, standing, thawed
from tests.plan.test_upgrade import RULES, Upgraded

REVISION = "b" * 10
OVERRIDE = {"groups": ["sre"], "for": "2h"}
FROZEN = "answered has -20 % of its error budget left; upgrades are frozen below 0 %"


def name_of(number: int) -> str:
    """The name of the Approval that is asked for as that one."""
    return names.of_override("refunds", REVISION, number)


def asked(number: int, status: dict[str, Any] | None = None, **rules: Any) -> Manifest:
    """An Approval of an override, by these rules."""
    agent = examples.agent(rollout={"budgetOverride": {**OVERRIDE, **rules}})
    made = make_approval(agent, REVISION, name_of(number), FROZEN, T0)
    return {**made, "metadata": {**made["metadata"], "uid": f"uid-{number}"}, "status": status or {}}


def approved(at: float, comment: str | None = "the fix") -> dict[str, Any]:
    """Approved so many minutes after T0."""
    said = {"decision": "Approve", "phase": "Decided", "decidedAt": format_time(after(minutes=at))}
    return {**said, **({"comment": comment} if comment else {})}


WITHDRAWN = {"phase": "Withdrawn", "withdrawn": "why"}
REJECTED = {"decision": "Reject", "phase": "Decided"}
LIFTED = Override(name_of(0), is_asked=True, until=after(minutes=130))
STANDINGS: dict[str, tuple[tuple[Manifest, ...], float, Override]] = {
    "nobody was asked yet": ((), 0, Override(name_of(0))),
    "people are asked": ((asked(0),), 60, Override(name_of(0), is_asked=True)),
    "asked for longer than it would last": ((asked(0),), 999, Override(name_of(0), is_asked=True)),
    "approved": ((asked(0, approved(10)),), 60, LIFTED),
    "approved, at its end": ((asked(0, approved(10)),), 130, Override(name_of(1))),
    "approved for no reason": ((asked(0, approved(10, None)),), 60, Override(name_of(1))),
    "rejected, for ever": ((asked(0, REJECTED),), 999, Override(name_of(0), is_asked=True, is_refused=True)),
    "withdrawn": ((asked(0, WITHDRAWN),), 60, Override(name_of(1))),
    "approved again": (
        (asked(0, approved(-999)), asked(1, WITHDRAWN), asked(2, approved(10))),
        60,
        replace(LIFTED, name=name_of(2)),
    ),
    "others were asked": ((asked(0, approved(10), groups=["friends"]),), 60, Override(name_of(1))),
    "it was for longer": ((asked(0, approved(10), **{"for": "99h"}),), 60, Override(name_of(1))),
    "unreadable": (({**asked(0, approved(10)), "spec": {}},), 60, Override(name_of(1))),
}


@pytest.mark.parametrize(("there", "minutes", "expected"), STANDINGS.values(), ids=list(STANDINGS))
def test_the_approvals_say_how_it_stands(there: tuple[Manifest, ...], minutes: float, expected: Override) -> None:
    """Silence lifts nothing, nor does what was said of something else, or is over."""
    world = examples.world(examples.agent(rollout={"budgetOverride": OVERRIDE}), children=there)
    assert override_of(world, REVISION, after(minutes=minutes)) == expected


def test_without_a_rule_nobody_is_asked() -> None:
    """Whatever Approvals there are."""
    assert override_of(examples.world(children=(asked(0, approved(10)),)), REVISION, after(minutes=60)) is None


def test_the_question_says_what_is_spent_and_for_how_long() -> None:
    """It is bound to agent, revision and duration."""
    question = Approval.parse(asked(0)).spec
    assert FROZEN in question.question
    assert f"support/refunds to {REVISION} go on all the same, for 2h" in question.question
    assert question.subject.digest != Approval.parse(asked(0, **{"for": "3h"})).spec.subject.digest


def suspend(it: Upgraded, *, to: bool) -> None:
    """Say so in the spec."""
    agent = it.world.agent
    it.world = replace(it.world, agent=agent.model_copy(update={"spec": agent.spec.model_copy(update={"suspend": to})}))


def frozen(*, suspended: bool = False) -> Upgraded:
    """An agent whose budget is spent, and of which something else is wanted."""
    it = Upgraded()
    spec = it.world.agent.spec.model_validate(
        {
            **it.world.agent.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
            "slos": SLOS,
            "suspend": suspended,
            "rollout": {**RULES, "budgetOverride": OVERRIDE},
        }
    )
    it.world = counted(replace(it.world, agent=it.world.agent.model_copy(update={"spec": spec})), SPENT)
    it.step()
    return it


def questions(it: Upgraded) -> list[Manifest]:
    """The Approvals that there are."""
    return [each for each in it.world.children if each["kind"] == "Approval"]


def answer(it: Upgraded, **status: Any) -> None:
    """People answer the newest question."""
    *others, last = questions(it)
    kept = tuple(each for each in it.world.children if each["kind"] != "Approval")
    said = {"phase": "Decided", "decidedAt": format_time(it.now), "comment": "the fix", **status}
    it.world = replace(it.world, children=(*kept, *others, {**last, "status": said}))


def phases(it: Upgraded) -> list[str | None]:
    """Of all questions."""
    return [each.get("status", {}).get("phase") for each in questions(it)]


def test_an_upgrade_goes_on_slowly_until_the_override_ends() -> None:
    """People are asked once; it goes on at half of its weights; at the end it waits again, and they are asked again."""
    it = frozen()
    assert it.phase == "Settled"
    name = questions(it)[0]["metadata"]["name"]
    assert reconciling(it)["message"].endswith(f"Approval {name} would let this upgrade go on")
    it.step()
    assert phases(it) == [None]
    answer(it, decision="Approve")
    until = format_time(it.now.replace(hour=it.now.hour + 2))
    it.until("Collecting")
    assert it.status["rollout"]["weight"] == 10
    gate = it.status["releaseGate"]
    assert (gate["state"], gate["override"], gate["overrideUntil"]) == ("Freeze", name, until)
    assert reconciling(it)["reason"] == "CanaryInProgress"
    it.step(7200)
    assert reconciling(it)["reason"] == "UpgradesFrozen"
    assert "override" not in it.status["releaseGate"]
    assert phases(it) == ["Decided", None]


def test_of_a_suspended_agent_nobody_is_asked() -> None:
    """Its upgrade would not go on, and says what is spent; people are asked once it is suspended no more."""
    it = frozen(suspended=True)
    assert questions(it) == []
    assert reconciling(it)["reason"] == "UpgradesFrozen"
    assert "Approval" not in reconciling(it)["message"]
    suspend(it, to=False)
    it.step()
    assert phases(it) == [None]


def test_what_people_are_asked_stays_asked_while_the_agent_is_suspended() -> None:
    """They are not asked anew afterwards."""
    it = frozen()
    suspend(it, to=True)
    it.step()
    suspend(it, to=False)
    it.step()
    assert phases(it) == [None]


def test_what_was_rejected_waits_for_budget() -> None:
    """Nobody is asked twice."""
    it = frozen()
    answer(it, decision="Reject")
    it.step()
    assert it.phase == "Settled"
    assert reconciling(it)["message"].endswith("was rejected")
    assert phases(it) == ["Decided"]


def _rich(world: World) -> World:
    return counted(world, ENOUGH)


def _careful(world: World) -> World:
    return standing(counted(world, SPENT), CAREFUL)


def test_with_budget_nobody_is_asked_any_more() -> None:
    """The question is withdrawn, for the upgrade goes on by itself."""
    it = frozen()
    it.world = _rich(it.world)
    it.step()
    assert phases(it) == ["Withdrawn"]
    assert it.phase != "Settled"


def test_an_override_is_of_one_revision() -> None:
    """Another change is another question, and nobody waits for the first."""
    it = frozen()
    answer(it, decision="Approve")
    agent = it.world.agent
    spec = agent.spec.model_copy(update={"instructions": "Third."})
    it.world = replace(it.world, agent=agent.model_copy(update={"spec": spec}), instructions="Third.")
    it.step()
    assert it.phase == "Settled"
    assert phases(it) == ["Decided", None]


def test_what_a_policy_demands_nobody_overrides() -> None:
    """Neither is anybody asked, nor does it help who was."""
    it = frozen()
    answer(it, decision="Approve")
    it.world = _careful(it.world)
    it.step()
    assert it.phase == "Settled"
    assert reconciling(it)["reason"] == "UpgradesFrozen"
    it.world = replace(it.world, children=tuple(each for each in it.world.children if each["kind"] != "Approval"))
    it.step()
    assert not questions(it)
    it.world = thawed(it.world)
    it.until("Collecting")
