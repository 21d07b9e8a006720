"""The operator, broken on purpose in one way after another: the simulator must find out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from proctor.api.meta import Condition
from proctor.delivery import starting
from proctor.delivery.facts import Evidence, Seen
from proctor.plan import agent as agent_plan
from proctor.plan import conditions, evidence, isolation, pod, status
from proctor.plan.world import Manifest, Plan
from proctor.shell import apply, kube, reconcile
from proctor.shell.cache import Cache
from proctor.shell.lease import Leadership
from proctor.shell.ports import Ports
from proctor.shell.queue import Queue
from tests.sim.agent_scenarios import ACTS, SCENARIOS
from tests.sim.agents import INSTRUCTIONS
from tests.sim.campaign import Trial, single_faults
from tests.sim.faults import Act, Crash, LeaseTaken, OnDelivery, OnWrite
from tests.sim.run import Setting, reference
from tests.sim.scenario import Scenario

Patch = Callable[[pytest.MonkeyPatch], None]


def scenario(name: str) -> Scenario:
    """One of the scenarios."""
    return next(each for each in SCENARIOS if each.name == name)


def _status_before_children(patch: pytest.MonkeyPatch) -> None:
    async def carry_out(plan: Plan, about: Manifest, ports: Ports) -> None:
        if plan.status is not None:
            await apply._report(plan.status, about, ports)
        for manifest in plan.applies:
            await apply._apply(manifest, ports)
        for deletion in plan.deletions:
            await apply._delete(deletion, ports)

    patch.setattr(reconcile, "apply", carry_out)


def _deletions_before_status(patch: pytest.MonkeyPatch) -> None:
    original = apply.apply

    async def carry_out(plan: Plan, about: Manifest, ports: Ports) -> None:
        for deletion in plan.deletions:
            await apply._delete(deletion, ports)
        await original(replace(plan, deletions=()), about, ports)

    patch.setattr(reconcile, "apply", carry_out)


def _no_uid(patch: pytest.MonkeyPatch) -> None:
    original = kube.RealKube.delete

    async def delete(self: kube.RealKube, deletion: Any) -> Any:
        return await original(self, replace(deletion, uid=""))

    patch.setattr(kube.RealKube, "delete", delete)


def _no_tombstones(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Cache, "_bury", lambda _, __: None)


def _one_ready_pod_is_enough(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Seen, "all_ready", property(lambda self: self.ready >= min(1, self.wanted)))


def _zero_of_zero_is_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Seen, "is_proven", property(lambda self: self.all_ready))


def _everything_is_ready(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Evidence, "is_ready", lambda self, revision: self.of(revision) is not None)


def _counted_twice(patch: pytest.MonkeyPatch) -> None:
    original = evidence._seen

    def seen(*args: Any, **named: Any) -> Seen:
        found = original(*args, **named)
        return replace(found, ready=found.ready * 2)

    patch.setattr(evidence, "_seen", seen)


def _no_live_read(patch: pytest.MonkeyPatch) -> None:
    async def confirm(about: Manifest, ports: Ports) -> None:
        pass

    patch.setattr(apply, "_confirm", confirm)


def _failures_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    original = Queue.failed

    def failed(self: Queue, *args: Any) -> Any:
        delay = original(self, *args)
        self._due.pop(args[0])
        return delay

    patch.setattr(Queue, "failed", failed)


def _asks_no_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Leadership, "check", lambda _: None)


def _writable_root(patch: pytest.MonkeyPatch) -> None:
    original = pod.locked
    patch.setattr(pod, "locked", lambda: {**original(), "readOnlyRootFilesystem": False})


def _tells_instructions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(status, "_progress", lambda *_: f"starting with {INSTRUCTIONS}")


def _times_always_move(patch: pytest.MonkeyPatch) -> None:
    original = conditions._dated

    def dated(*args: Any) -> Condition:
        made = original(*args)
        return made.model_copy(update={"last_transition_time": args[3]})

    patch.setattr(conditions, "_dated", dated)


def _probe_belongs_to_nobody(patch: pytest.MonkeyPatch) -> None:
    original = isolation._metadata

    def metadata(world: Any) -> Any:
        return {key: value for key, value in original(world).items() if key != "ownerReferences"}

    patch.setattr(isolation, "_metadata", metadata)


def _refusal_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(starting, "failed", lambda rollout, wanted, _, now: starting.tried(rollout.stable, wanted, now))


def _old_pods_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(agent_plan, "_deletions", lambda *_: ())


def _events_are_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Cache, "put", _put_once)


_put = Cache.put


def _put_once(self: Cache, body: Manifest) -> bool:
    known = self.get(body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"])
    return _put(self, body) if known is None or body["kind"] != "Deployment" else False


def _calm(name: str) -> Iterator[Trial]:
    """No fault at all: what breaks this is broken in plain weather."""
    alone = Setting(scenario(name))
    yield Trial(alone, (), alone)


def _all(name: str) -> Iterator[Trial]:
    yield from single_faults(scenario(name))


def _at_each_write(name: str, fault: Any, setting: Setting | None = None) -> Iterator[Trial]:
    setting = setting or Setting(scenario(name))
    yield from (Trial(setting, (OnWrite(index, fault),), setting, with_history=False) for index in range(8))


def _late(name: str) -> Iterator[Trial]:
    alone = Setting(scenario(name))
    for index in range(reference(alone).events):
        yield Trial(alone, (OnDelivery(index, (3.0,)),), alone, with_history=False)


def _unseen(name: str) -> Iterator[Trial]:
    alone = Setting(scenario(name))
    yield Trial(alone, (OnDelivery(0, ()),), alone)


def _while_suspended(name: str) -> Iterator[Trial]:
    act = "suspends for a while"
    alone = Setting(scenario(name))
    later = replace(alone, later=ACTS[act])
    yield from (Trial(alone, (OnWrite(index, Act(act, ACTS[act])),), later, with_history=False) for index in range(8))


MUTATIONS: dict[str, tuple[Patch, Iterator[Trial], str]] = {
    "status before children": (_status_before_children, _all("new instructions"), "I7"),
    "deletions before status": (_deletions_before_status, _all("new instructions"), "I5"),
    "deletes without the uid": (_no_uid, _calm("new instructions"), "I8"),
    "no tombstones": (_no_tombstones, _late("supersede mid-rollout"), "cache"),
    "one ready pod is enough": (_one_ready_pod_is_enough, _calm("first deploy"), "I12"),
    "zero of zero is proof": (_zero_of_zero_is_proof, _while_suspended("new instructions"), "I12"),
    "everything is ready": (_everything_is_ready, _calm("first deploy"), "I12"),
    "ready pods are counted twice": (_counted_twice, _calm("first deploy"), "I12"),
    "nothing is read live": (_no_live_read, _unseen("delete"), "I3"),
    "failures are forgotten": (_failures_are_forgotten, _all("first deploy"), "I1"),
    "nobody asks for the lease": (
        _asks_no_lease,
        _at_each_write("first deploy", LeaseTaken(), Setting(scenario("first deploy"), operators=2, fence_seconds=2.1)),
        "fence",
    ),
    "a writable root": (_writable_root, _calm("first deploy"), "I10"),
    "instructions in a condition": (_tells_instructions, _calm("first deploy"), "I9"),
    "times always move": (_times_always_move, _calm("new instructions"), "I7"),
    "the probe belongs to nobody": (_probe_belongs_to_nobody, _calm("first deploy"), "I8"),
    "a refused revision is tried again": (_refusal_is_forgotten, _calm("broken image"), "I1"),
    "old pods stay": (_old_pods_stay, _calm("new instructions"), "I6"),
    "changes are not taken in": (_events_are_lost, _calm("first deploy"), "I1"),
    "a crash loses the status": (_old_pods_stay, _at_each_write("new instructions", Crash(after=True)), "I6"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("patch", "trials", "invariant"), MUTATIONS.values(), ids=list(MUTATIONS))
def test_a_broken_operator_is_found_out(
    patch: Patch, trials: Iterator[Trial], invariant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the invariant that is there for it. What the unbroken one ends like was recorded before."""
    prepared = list(trials)
    for trial in prepared:
        reference(trial.like, with_history=trial.with_history)
    patch(monkeypatch)
    for trial in prepared:
        if any(finding.startswith(invariant) for finding in trial.run().findings):
            return
    pytest.fail(f"{len(prepared)} runs, and nobody noticed")
