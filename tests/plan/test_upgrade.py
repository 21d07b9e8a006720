"""A whole upgrade, plan by plan: what is made, asked, counted and reported, with nothing carried out twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from proctor.api import names
from proctor.plan import upgrade
from proctor.plan.agent import plan_agent
from proctor.plan.progress import rollout_of
from proctor.plan.said import Finished, Heard, NoAnswer, OutcomeItem, Outcomes, Traffic
from proctor.plan.world import Plan, World, label_of, name_of
from tests.plan import examples
from tests.plan.examples import T0
from tests.plan.test_agent import carried_out, with_spec

STEPS = [
    {"weight": 20, "until": {"minTasks": 5, "minDuration": "10s"}},
    {"weight": 50, "approval": {"groups": ["sre"]}, "until": {"minTasks": 5, "minDuration": "0s"}},
]
RULES = {"steps": STEPS, "rollback": {"watch": {"for": "1m"}}}


class Upgraded:
    """An Agent with steps that serves, and is then told to do something else. Time passes as it is told to."""

    def __init__(self, instructions: str = "Others.") -> None:
        self.now = T0
        self.tasks: list[OutcomeItem] = []
        first = examples.world(examples.agent(runtime={"replicas": 4}, rollout=RULES))
        self.world = carried_out(first, plan_agent(first, T0))
        self.world = carried_out(self.world, plan_agent(self.world, T0))
        self.world = with_spec(self.world, instructions=instructions)

    @property
    def status(self) -> dict[str, Any]:
        """The Agent's status, as JSON."""
        return self.world.agent.status.dump()

    @property
    def phase(self) -> str:
        """Where the upgrade is."""
        return str(self.status["rollout"]["phase"])

    def step(self, seconds: float = 2.0, *, heard: Heard | None = None) -> Plan:
        """One look, carried out; right after it there is nothing left to do."""
        self.now += timedelta(seconds=seconds)
        seen = replace(self.world, heard=heard or self.heard())
        plan = plan_agent(seen, self.now)
        self.world = _versioned(carried_out(seen, plan), self.now)
        again = plan_agent(replace(self.world, heard=heard or self.heard()), self.now)
        twice = [name_of(each) for each in again.applies if name_of(each) in {name_of(other) for other in plan.applies}]
        assert not twice, "the same is written again"
        assert not again.deletions
        assert not again.withdrawals
        return plan

    def until(self, phase: str, most: int = 12) -> None:
        """Looks until it is in that phase."""
        for _ in range(most):
            if self.phase == phase:
                return
            self.step()
        raise AssertionError(f"{self.phase}, not {phase}: {self.status['rollout']}")

    def heard(self) -> Heard:
        """What the gateway says: it has seen the status that was written last."""
        rollout = rollout_of(self.world.agent.status)
        told = self.world.agent.status.rollout
        asked = upgrade.questions(self.world.agent, self.world.children)
        if rollout is None or told is None:
            return Heard()
        items = tuple(each for each in self.tasks if asked.outcomes and each.assignment > asked.outcomes[1])
        traffic = Traffic(
            as_of=self.now,
            gateways=1,
            rollout=told.id,
            stable=self.world.agent.status.revision.stable,
            weight=told.weight or 0,
            agreed=True,
            begun=self._begun(),
        )
        return Heard(
            outcomes=Outcomes(items=items, as_of=self.now) if asked.outcomes else None,
            traffic=traffic if asked.traffic else None,
            finished=Finished(as_of=self.now) if asked.finished else None,
        )

    def _begun(self) -> dict[str, int]:
        revisions = [each.revision for each in self.tasks]
        return {each: revisions.count(each) for each in set(revisions)}

    def serve(self, count: int, *, bad: bool = False) -> None:
        """So many tasks of either arm, at the weight there is; those of the candidate are good or bad."""
        status = self.world.agent.status
        assert status.rollout is not None
        for number in range(count):
            for arm, revision in (("Stable", status.revision.stable), ("Candidate", status.revision.candidate)):
                self.tasks.append(
                    OutcomeItem(
                        assignment=len(self.tasks) + 1,
                        task=f"t{number}",
                        revision=str(revision),
                        arm=arm,
                        propensity=Decimal(status.rollout.weight or 0) / 100,
                        assigned_at=self.now - timedelta(seconds=1),
                        finished_at=self.now,
                        phase="Failed" if bad and arm == "Candidate" else "Succeeded",
                    )
                )

    def sizes(self) -> dict[str, int]:
        """Pods that each revision is given."""
        deployments = (each for each in self.world.children if each["kind"] == "Deployment")
        return {str(label_of(each, names.REVISION)): each["spec"]["replicas"] for each in deployments}

    def answer(self, decision: str) -> None:
        """People answer the question that was put."""
        children = tuple(
            {**each, "status": {"decision": decision}} if each["kind"] == "Approval" else each
            for each in self.world.children
        )
        self.world = replace(self.world, children=children)


def _versioned(world: World, now: datetime) -> World:
    """Each object with a version, as the API server gives it."""
    version = str(int((now - T0).total_seconds() * 10))
    children = tuple({**each, "metadata": {**each["metadata"], "resourceVersion": version}} for each in world.children)
    return replace(world, children=children)


def test_a_good_candidate_becomes_stable() -> None:
    """Weight by weight, asked about where the step says so, with all its pods before it serves."""
    it = Upgraded()
    before = it.status["revision"]["stable"]
    it.until("Collecting")
    candidate = it.status["revision"]["candidate"]
    assert it.status["rollout"]["weight"] == 20
    assert it.sizes() == {before: 4, candidate: 1}
    told = next(each for each in it.status["conditions"] if each["type"] == "Reconciling")
    assert (told["status"], told["reason"]) == ("True", "CanaryInProgress")
    it.serve(10)
    it.step(12)
    assert it.phase == "AwaitingApproval"
    assert it.status["rollout"]["weight"] == 20
    assert [each["kind"] for each in it.world.children if each["kind"] == "Approval"] == ["Approval"]
    it.answer("Approve")
    it.step()
    assert (it.phase, it.status["rollout"]["weight"]) == ("Collecting", 50)
    assert it.sizes()[candidate] == 2
    it.serve(150)
    it.until("Promoting")
    assert it.sizes() == {before: 4, candidate: 4}
    it.until("Watching")
    assert it.status["revision"]["stable"] == candidate
    assert "weight" not in it.status["rollout"]
    assert it.sizes() == {before: 4, candidate: 4}
    it.step(31)
    assert it.sizes() == {candidate: 4}
    it.step(31)
    assert it.phase == "Settled"
    assert it.status["rollout"]["lastOutcome"]["type"] == "Promoted"


def test_a_candidate_uses_up_no_disruption() -> None:
    """What may be missing is counted of the pods that serve: one that does not get ready keeps no node from a drain."""
    it = Upgraded()
    stable = it.status["revision"]["stable"]

    def counted() -> Any:
        budget = next(each for each in it.world.children if each["kind"] == "PodDisruptionBudget")
        return budget["spec"]["selector"]["matchLabels"][names.REVISION]

    it.until("Collecting")
    candidate = it.status["revision"]["candidate"]
    assert counted() == stable
    it.serve(10)
    it.step(12)
    it.answer("Approve")
    it.step()
    it.serve(150)
    it.until("Watching")
    assert counted() == candidate


def test_a_bad_candidate_is_withdrawn_in_order() -> None:
    """Weight 0 first; its pods go last; then the status says what happened, and Available stays."""
    it = Upgraded()
    it.until("Collecting")
    stable, candidate = it.status["revision"]["stable"], it.status["revision"]["candidate"]
    it.serve(20, bad=True)
    plan = it.step()
    assert it.phase == "Aborting"
    assert "weight" not in it.status["rollout"]
    assert candidate in it.sizes()
    assert not plan.deletions
    it.until("Failed", most=40)
    assert it.sizes() == {stable: 4}
    status = it.status
    assert [each["revision"] for each in status["revision"].pop("images")] == [stable]
    assert status["revision"] == {"stable": stable, "blocked": [candidate], "served": [stable]}
    assert status["rollout"]["verdict"]["text"] == "Harm: success"
    assert status["rollout"]["lastOutcome"]["exposed"] == 20
    told = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}
    assert told["Ready"] == ("False", "RolledBack")
    assert told["Stalled"][0] == "True"
    assert told["Available"][0] == "True"
    assert told["RolloutHealthy"] == ("False", "RolledBack")
    for _ in range(3):
        it.step(600)
    assert it.phase == "Failed"


def test_what_was_promoted_is_withdrawn_when_the_gateways_know_who_is_stable() -> None:
    """The weight is 0 before and after: only that another revision is stable takes its traffic away."""
    it = Upgraded()
    it.until("Collecting")
    it.serve(20, bad=True)
    it.step()
    assert it.phase == "Aborting"
    rollout, said = rollout_of(it.world.agent.status), it.heard().traffic
    assert isinstance(said, Traffic)
    for stable, is_withdrawn in ((it.status["revision"]["candidate"], False), (said.stable, True)):
        heard = replace(it.world, heard=Heard(traffic=replace_stable(said, stable)))
        found = upgrade.known_of(heard, rollout, it.now).evidence.traffic
        assert found is not None
        assert found.is_withdrawn is is_withdrawn


def replace_stable(said: Traffic, stable: str | None) -> Traffic:
    """The same, of a gateway that takes another revision for the stable one."""
    return said.model_copy(update={"stable": stable})


def test_a_silent_gateway_holds() -> None:
    """Nothing moves, the status says so, and the evidence stays."""
    it = Upgraded()
    it.until("Collecting")
    it.serve(10)
    it.step(1)
    away = Heard(outcomes=NoAnswer("away"), traffic=NoAnswer("away"))
    for _ in range(3):
        it.step(60, heard=away)
    assert it.phase == "Collecting"
    told = {each["type"]: (each["status"], each["reason"]) for each in it.status["conditions"]}
    assert told["EvidenceAvailable"] == ("False", "GatewaySilent")
    assert told["Ready"][0] == "True"
    it.step(2)
    assert it.phase == "AwaitingApproval"


def test_nothing_is_asked_of_the_gateway_without_an_upgrade() -> None:
    """Ten thousand settled agents are ten thousand times nothing."""
    settled = examples.world(examples.agent(runtime={"replicas": 2}))
    settled = carried_out(settled, plan_agent(settled, T0))
    settled = carried_out(settled, plan_agent(settled, T0))
    assert upgrade.questions(settled.agent, settled.children) == upgrade.Questions()
