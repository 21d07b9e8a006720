"""The reference scenarios of upgrades by steps: what is done, and how it must end whatever goes wrong meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.sim import agents
from tests.sim.agent_scenarios import SECRETS, delete, instruct
from tests.sim.agents import AGENT, INSTRUCTIONS, NAMESPACE
from tests.sim.cluster.kinds import Body, Ref, labels_of
from tests.sim.scenario import Deed, staged
from tests.sim.world import Moment, World

PER_SECOND = 8.0
_SUITE = """name: refunds
cases:
  - name: small
    inputs: C-100 asks for 40 EUR
    expected_output: {decision: approve}
    evaluators:
      - LLMJudge: {rubric: It is polite, connector: llm, model: gpt-5-mini}
""" + "".join(
    f"  - {{name: case-{number}, inputs: C-{number} asks for 40 EUR, expected_output: {{decision: approve}}}}\n"
    for number in range(11)
)
STEPS: list[dict[str, Any]] = [
    {"evals": {}},
    {"replay": {"tasks": 40}},
    {"mirror": {"percent": 100, "minTasks": 5}},
    {"weight": 20, "until": {"minTasks": 8, "minDuration": "4s"}},
    {"weight": 50, "until": {"minTasks": 10, "minDuration": "4s"}},
]
RULES = {
    "steps": STEPS,
    "progressDeadline": "60s",
    "scaleDownDelay": "2s",
    "abortScaleDownDelay": "2s",
    "rollback": {"watch": {"for": "6s"}},
    # A wide margin, so that a scenario ends after a few dozen tasks: the machine is tested here, not the statistics.
    "analysis": {"metrics": [{"name": "answered", "margin": "0.3"}]},
}
_SLOS = [{"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "99"}]
_EXAM = Ref("ConfigMap", NAMESPACE, "refunds-exam")


@dataclass(frozen=True, eq=False)
class Upgrading:
    """A scenario of an upgrade. `broken` says what is not as it must be in the end."""

    name: str
    stage: Callable[[], Moment]
    act: Deed
    broken: Callable[[World], Iterator[str]]
    seconds: float = 60.0
    """Within which it ends when nothing goes wrong."""
    secrets: tuple[str, ...] = SECRETS


def _furnish(world: World) -> None:
    agents.furnish(world)
    metadata = {"name": _EXAM.name, "namespace": NAMESPACE}
    world.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"suite.yaml": _SUITE}})
    evals = [{"name": "golden", "configMapRef": {"name": _EXAM.name}, "minPass": "0.5"}]
    world.create(agents.agent(evals=evals, rollout=RULES, slos=_SLOS))


def _furnish_watched(world: World) -> None:
    _furnish(world)
    world.edit(AGENT, {"spec": {"rollout": {**RULES, "rollback": {"watch": {"for": "10m", "runLength": 1000}}}}})


def _improve(world: World) -> None:
    world.gateway.live(AGENT).begin(PER_SECOND)
    instruct("Better.")(world)
    world.run_for(60)


SERVING = staged(_furnish)
IMPROVED = staged(_improve, onto=SERVING, seconds=60)


def with_tasks(*deeds: tuple[float, Deed]) -> Deed:
    """Tasks come from now on, and each deed is done so many seconds after the one before."""

    def act(world: World) -> None:
        world.gateway.live(AGENT).begin(PER_SECOND)
        for seconds, deed in deeds:
            world.run_for(seconds)
            deed(world)

    return act


def status(world: World) -> Body:
    """The Agent's status."""
    found: Body = (world.store.get(AGENT) or {}).get("status", {})
    return found


def instructions(world: World, revision: str | None) -> str | None:
    """What a revision was told to do."""
    kept = world.store.get(Ref("ControllerRevision", NAMESPACE, f"{AGENT.name}-{revision}"))
    return str(kept["data"]["spec"]["instructions"]) if kept else None


def condition(world: World, type_: str) -> tuple[str, str]:
    """Status and reason of a condition."""
    found = (each for each in status(world).get("conditions", ()) if each["type"] == type_)
    return next(((each["status"], each["reason"]) for each in found), ("", ""))


def _serves(wanted: str, outcome: str | None = None) -> Callable[[World], Iterator[str]]:
    """The revision with these instructions serves alone, is settled, and the last upgrade ended like that."""

    def broken(world: World) -> Iterator[str]:
        found = status(world)
        stable, rollout = found.get("revision", {}).get("stable"), found.get("rollout", {})
        if instructions(world, stable) != wanted:
            yield f"I1 {instructions(world, stable)!r} serves, not {wanted!r}"
        if rollout.get("phase") != "Settled" or "candidate" in found.get("revision", {}):
            yield f"I1 the upgrade is not over: {rollout.get('phase')}"
        if outcome and rollout.get("lastOutcome", {}).get("type") != outcome and _was_begun(world):
            yield f"I1 it ended as {rollout.get('lastOutcome')}, not as {outcome}"
        if [condition(world, each)[0] for each in ("Ready", "Reconciling", "Stalled")] != ["True", "False", "False"]:
            yield f"I1 conditions: {found.get('conditions')}"
        yield from _only(world, {stable})

    return broken


def _was_begun(world: World) -> bool:
    """Whether a status ever named a candidate: what is wanted and taken back while nobody can see it never was."""
    told = (each.body.get("status", {}).get("revision", {}) for each in world.store.log if each.ref == AGENT)
    return any(each.get("candidate") and each.get("stable") for each in told)


def _refused(wanted: str, reason: str, ready: str, most: int | None) -> Callable[[World], Iterator[str]]:
    """The first revision serves on, the one with these instructions is blocked, and the status says why."""

    def broken(world: World) -> Iterator[str]:
        found = status(world)
        revision, outcome = found.get("revision", {}), found.get("rollout", {}).get("lastOutcome", {})
        if instructions(world, revision.get("stable")) != INSTRUCTIONS:
            yield f"I1 {instructions(world, revision.get('stable'))!r} serves"
        if [instructions(world, each) for each in revision.get("blocked", ())] != [wanted]:
            yield f"I5 blocked are {revision.get('blocked')}"
        if outcome.get("reason") != reason:
            yield f"I1 it ended as {outcome}"
        seen = [condition(world, each) for each in ("Ready", "Stalled", "Available")]
        if [seen[0], seen[1][0], seen[2][0]] != [("False", ready), "True", "True"]:
            yield f"I1 conditions: {found.get('conditions')}"
        exposed = outcome.get("exposed", 0)
        if most is not None and exposed > most:
            yield f"I12 {exposed} tasks met the candidate, at most {most} may"
        yield from _only(world, {revision.get("stable")})

    return broken


def _only(world: World, live: set[str | None]) -> Iterator[str]:
    there = {labels_of(body).get("proctor.dev/revision") for body in world.store.all("Deployment")}
    if there != live:
        yield f"I3 Deployments of {there}, not of {live}"


def _nothing(world: World) -> Iterator[str]:
    for kind in ("Agent", "Deployment", "ControllerRevision", "ConfigMap", "Approval", "Pod"):
        for body in world.store.all(kind):
            if labels_of(body).get("proctor.dev/agent") == AGENT.name or body["kind"] == "Agent":
                yield f"I6 {kind} {body['metadata']['name']} is left"


def undo(world: World) -> None:
    """Somebody goes back to the revision that served first."""
    first = next(each for each in world.store.all("ControllerRevision") if each["revision"] == 1)
    revision = labels_of(first)["proctor.dev/revision"]
    world.edit(AGENT, {"metadata": {"annotations": {"proctor.dev/command": f"undo@{revision}/n1"}}})


def when(phase: str, deed: Deed) -> Deed:
    """Does it as soon as the upgrade is in that phase; after a while, anyway."""

    def act(world: World) -> None:
        for _ in range(200):
            if status(world).get("rollout", {}).get("phase") == phase:
                break
            world.run_for(0.5)
        deed(world)

    return act


def say(verb: str) -> Deed:
    """Somebody says so of the revision that is tried, or refused."""

    def act(world: World) -> None:
        revision = status(world).get("revision", {})
        about = revision.get("candidate") or next(iter(revision.get("blocked", ())), "0" * 10)
        world.edit(AGENT, {"metadata": {"annotations": {"proctor.dev/command": f"{verb}@{about}/{verb}"}}})

    return act


SCENARIOS = (
    Upgrading("good candidate", SERVING, with_tasks((0, instruct("Better."))), _serves("Better.", "Promoted")),
    Upgrading(
        "fails live tasks", SERVING, with_tasks((0, instruct("FAILS"))), _refused("FAILS", "Harm", "RolledBack", 120)
    ),
    Upgrading(
        "flunks its exam",
        SERVING,
        with_tasks((0, instruct("FLUNKS"))),
        _refused("FLUNKS", "ExamFailed", "ExamFailed", 0),
        seconds=20,
    ),
    Upgrading(
        "does worse in its exam than what serves",
        SERVING,
        with_tasks((0, instruct("REGRESSES"))),
        _refused("REGRESSES", "ExamFailed", "ExamFailed", 0),
        seconds=25,
    ),
    Upgrading(
        "fails the replay",
        SERVING,
        with_tasks((0, instruct("WORSENS"))),
        _refused("WORSENS", "ReplayWorse", "ReplayWorse", 0),
        seconds=25,
    ),
    Upgrading(
        "superseded",
        SERVING,
        with_tasks((0, instruct("Second.")), (18, instruct("Third."))),
        _serves("Third.", "Promoted"),
        seconds=80,
    ),
    Upgrading(
        "taken back",
        SERVING,
        with_tasks((0, instruct("Second.")), (18, instruct(INSTRUCTIONS))),
        _serves(INSTRUCTIONS, "Cancelled"),
        seconds=30,
    ),
    Upgrading("deleted", SERVING, with_tasks((0, instruct("Second.")), (18, delete(AGENT))), _nothing, seconds=20),
    Upgrading(
        "decays once it is stable",
        staged(_furnish_watched),
        with_tasks((0, instruct("DECAYS"))),
        _refused("DECAYS", "WatchAlarm", "RolledBack", None),
        seconds=120,
    ),
    Upgrading(
        "superseded while it is withdrawn",
        SERVING,
        with_tasks((0, instruct("FAILS")), (10, when("Aborting", instruct("Third.")))),
        _serves("Third.", "Promoted"),
        seconds=60,
    ),
    Upgrading(
        "retried",
        SERVING,
        with_tasks((0, instruct("FLUNKS")), (5, when("Failed", say("retry"))), (5, when("Failed", lambda _: None))),
        _refused("FLUNKS", "ExamFailed", "ExamFailed", 0),
        seconds=10,
    ),
    Upgrading(
        "aborted by a person",
        SERVING,
        with_tasks((0, instruct("Better.")), (5, when("Collecting", say("abort")))),
        _refused("Better.", "Aborted", "Aborted", 60),
        seconds=20,
    ),
    Upgrading("undone", IMPROVED, with_tasks((1, undo)), _serves(INSTRUCTIONS, "Promoted"), seconds=20),
)
