"""Random walks: people, systems and machines do what they do, in any order; in the end all comes to rest."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.sim import agents, ending
from tests.sim.agent_scenarios import BARE, SECRETS
from tests.sim.campaign import ALSO_ON_ONE, ON_ONE, STAGGERED_ON_ONE
from tests.sim.cluster.kinds import Body, Ref, ref_of
from tests.sim.faults import WriteFault
from tests.sim.guard import Guard
from tests.sim.injector import Injector
from tests.sim.scenario import staged
from tests.sim.world import World

_SEED = int(os.environ.get("PROCTOR_SEED", random.SystemRandom().randrange(2**32)))
_QUICK = settings(
    max_examples=50,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
_LONG = settings(_QUICK, max_examples=1000, stateful_step_count=50, derandomize=False, print_blob=True)
_REST_SECONDS = 1200.0

AGENTS = st.sampled_from(["refunds", "orders"]).map(lambda name: Ref("Agent", agents.NAMESPACE, name))
CONNECTORS = st.sampled_from([agents.MODEL, agents.TOOLS])
IMAGES = st.sampled_from(["registry.example/one:1", "registry.example/two:1"])
FATES = st.sampled_from(["runs", "no-image", "crashes", "never-ready"])
SECONDS = st.sampled_from([0.05, 0.3, 1.0, 5.0, 61.0, 301.0])
FAULTS = st.sampled_from(ON_ONE + STAGGERED_ON_ONE + ALSO_ON_ONE)
SPECS = st.one_of(
    st.sampled_from(["One.", "Two.", "Three."]).map(lambda text: {"instructions": text}),
    (st.none() | IMAGES).map(lambda image: {"runtime": {"image": image}}),
    st.integers(0, 3).map(lambda replicas: {"runtime": {"replicas": replicas}}),
    st.booleans().map(lambda on: {"suspend": on}),
)


def _two_agents(world: World) -> None:
    world.create(agents.agent("refunds"), agents.agent("orders"))


TWO = staged(_two_agents, onto=BARE)


class Walk(RuleBasedStateMachine):
    """A cluster with two agents, and one operator that is always started again."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(between=self._between)

    def _between(self, world: World) -> Injector:
        self.injector = Injector(world)
        return self.injector

    @initialize()
    def begin(self) -> None:
        """Two agents that serve, and a running operator."""
        self.world.__enter__()
        self.world.load(TWO())
        self.guard = Guard(self.world, secrets=SECRETS)
        self.world.start_operator()
        self.injector.arm()
        self.world.run_for(1)

    @rule(ref=AGENTS, seconds=SECONDS, is_unseen=st.booleans())
    def create(self, ref: Ref, seconds: float, *, is_unseen: bool) -> None:
        """Somebody makes an agent anew."""
        if is_unseen:
            self.world.operator.disconnect(1)
        self.world.delete(ref)
        self.world.create(agents.agent(ref.name))
        self.world.run_for(seconds)

    @rule(ref=AGENTS, seconds=SECONDS)
    def delete(self, ref: Ref, seconds: float) -> None:
        """Somebody deletes an agent, and makes it again some time later."""
        self.world.delete(ref)
        self.world.run_for(seconds)
        if self.world.store.get(ref) is None:
            self.world.create(agents.agent(ref.name))

    @rule(ref=AGENTS, spec=SPECS, fault=st.none() | FAULTS, seconds=SECONDS)
    def edit(self, ref: Ref, spec: Body, fault: WriteFault | None, seconds: float) -> None:
        """Somebody changes a spec, and perhaps the next write is struck."""
        if fault is not None:
            self.injector.strike_next(fault)
        self.world.edit(ref, {"spec": spec})
        self.world.run_for(seconds)

    @rule(image=IMAGES, fate=FATES)
    def change_fate(self, image: str, fate: Any) -> None:
        """An image breaks, or is mended."""
        self.world.nature.images[image] = fate

    @rule(ref=CONNECTORS)
    def toggle_connector(self, ref: Ref) -> None:
        """Somebody deletes a Connector, or makes it again."""
        if self.world.store.get(ref):
            self.world.delete(ref)
        else:
            self.world.create(agents.model() if ref == agents.MODEL else agents.tools())

    @rule(data=st.data())
    def damage(self, data: Any) -> None:
        """Somebody deletes a child."""
        children = [body for body in self.world.store.all() if _is_child(body)]
        if children:
            self.world.delete(ref_of(data.draw(st.sampled_from(children))))

    @rule(ref=AGENTS)
    def clear_status(self, ref: Ref) -> None:
        """Somebody removes a status."""
        self.guard.forgive(ref)
        self.world.edit_status(ref, {})

    @rule(fault=FAULTS, seconds=SECONDS)
    def strike(self, fault: WriteFault, seconds: float) -> None:
        """The next write is struck."""
        self.injector.strike_next(fault)
        self.world.run_for(seconds)

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0]))
    def lag(self, seconds: float) -> None:
        """The watches are late."""
        self.injector.lag(seconds, None)

    @rule(seconds=st.sampled_from([0.5, 3.0]))
    def disconnect(self, seconds: float) -> None:
        """The watches break."""
        self.world.operator.disconnect(seconds)

    @rule(number=st.none() | st.integers(0, 99))
    def jitter(self, number: int | None) -> None:
        """Requests take longer or shorter, so that what runs side by side comes in another order."""
        self.injector.jitter = None if number is None else random.Random(number)  # noqa: S311 - not a secret

    @rule(is_up=st.booleans())
    def gateway(self, *, is_up: bool) -> None:
        """The gateway goes, or comes back."""
        self.world.gateway.is_up = is_up

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.world.run_for(seconds)

    @invariant()
    def nothing_is_broken(self) -> None:
        """At no moment is an invariant of safety broken."""
        assert not self.guard.found, "\n".join([*self.guard.found, *map(str, self.world.story.writes[-40:])])

    def teardown(self) -> None:
        """All is mended; what is left comes to rest, and is as declared."""
        try:
            if self.world.processes:
                self._come_to_rest()
        finally:
            self.world.__exit__(None, None, None)

    def _come_to_rest(self) -> None:
        self.injector.calm_down()
        self.world.gateway.is_up = True
        for ref, make in ((agents.MODEL, agents.model), (agents.TOOLS, agents.tools)):
            if self.world.store.get(ref) is None:
                self.world.create(make())
        self.world.run_for(_REST_SECONDS)
        faults = [*self.guard.end(), *ending.disorder(self.world), *self._unsettled()]
        assert not faults, "\n".join([*faults, *map(str, self.world.story.writes[-40:])])

    def _unsettled(self) -> list[str]:
        return [
            f"I1 {ref_of(body)}: {fault}"
            for body in self.world.store.all("Agent")
            if (fault := _unsettled(self.world, body)) is not None
        ]


def _is_child(body: Body) -> bool:
    owner: Body = next(iter(body["metadata"].get("ownerReferences", ())), {})
    return owner.get("kind") == "Agent" and body["kind"] != "ControllerRevision"


def _unsettled(world: World, agent: Body) -> str | None:
    """What is not as it must be after so long a time without faults."""
    status, spec = agent.get("status", {}), agent["spec"]
    if status.get("observedGeneration") != agent["metadata"]["generation"]:
        return "the newest spec was not observed"
    phase = status["rollout"]["phase"]
    is_resting = spec.get("suspend") or spec["runtime"].get("replicas", 1) == 0
    is_broken = world.nature.images.get(spec["runtime"].get("image"), "runs") != "runs"
    expected = {"Initial", "Progressing", "Settled", "Failed"} if is_resting else {"Settled", "Failed"}
    if phase not in expected:
        return f"after so long it is still {phase}"
    ready = next(each["status"] for each in status["conditions"] if each["type"] == "Ready")
    if phase == "Settled" and not is_resting and not is_broken and ready != "True":
        return f"it is settled, and Ready is {ready}"
    return None


@pytest.mark.slow
def test_walks() -> None:
    """The same ones each time."""
    run_state_machine_as_test(Walk, settings=_QUICK)


@pytest.mark.slow
@pytest.mark.nightly
def test_walks_by_night(capsys: pytest.CaptureFixture[str]) -> None:
    """Others each night; PROCTOR_SEED repeats one."""
    with capsys.disabled():
        print(f"PROCTOR_SEED={_SEED}")  # noqa: T201 - to repeat it
    run_state_machine_as_test(seed(_SEED)(Walk), settings=_LONG)
