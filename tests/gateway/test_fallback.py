"""Who answers when the agent cannot?"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from proctor.api import names
from proctor.api.agent import Confidence, Fallback, Output
from proctor_gateway.cluster.port import Kind
from proctor_gateway.rules.calls import CallState
from proctor_gateway.rules.fallback import Legs, checked, next_hop
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault, Phase
from proctor_gateway.rules.verdict import End
from tests.gateway import objects
from tests.gateway.house import House
from tests.gateway.odd_system import OddSystem
from tests.gateway.serving import eventually, free_port, served
from tests.gateway.small_agent import SmallAgent
from tests.gateway.test_verdict import call

SMALL = {"after": ["ModelUnavailable", "LowConfidence"], "model": {"connector": "small", "name": "s"}}
BASIC = {"after": ["LowConfidence", "InvalidOutput"], "agent": "basic"}
SORRY = {"after": ["Any"], "reply": {"text": "Somebody will call you."}}
PAID = call(CallState.SUCCEEDED)


def legs(*fallbacks: dict[str, Any], agents: tuple[str, ...] = ("basic",)) -> Legs:
    """These fallbacks; the agents among them that could answer."""
    parsed = tuple(Fallback.model_validate(each) for each in fallbacks)
    return Legs(parsed, agents=dict.fromkeys(agents, "r2"))


def failed(reason: Reason) -> End:
    """An end of that reason."""
    return End(Phase.FAILED, None, Fault(reason, "x"))


ALL = legs(SMALL, BASIC, SORRY)
CASES = {
    "the first that matches": (failed(Reason.MODEL_UNAVAILABLE), [], ALL, 0, (1, True)),
    "the first again, anew": (failed(Reason.LOW_CONFIDENCE), [], ALL, 0, (1, False)),
    "one that does not match is passed over": (failed(Reason.INVALID_OUTPUT), [], ALL, 0, (2, False)),
    "anything": (failed(Reason.AGENT_ERROR), [], ALL, 0, (3, False)),
    "each once": (failed(Reason.LOW_CONFIDENCE), [], ALL, 1, (2, False)),
    "the last": (failed(Reason.LOW_CONFIDENCE), [], ALL, 2, (3, False)),
    "none is left": (failed(Reason.LOW_CONFIDENCE), [], ALL, 3, None),
    "an agent that could not answer": (failed(Reason.INVALID_OUTPUT), [], legs(BASIC, SORRY, agents=()), 0, (2, False)),
    "another model goes on after an effect": (failed(Reason.MODEL_UNAVAILABLE), [PAID], ALL, 0, (1, True)),
    "but does not begin anew after one": (failed(Reason.LOW_CONFIDENCE), [PAID], ALL, 0, (3, False)),
    "a success": (End(Phase.SUCCEEDED, 1, None), [], ALL, 0, None),
    "nobody knows": (End(Phase.INDETERMINATE, 1, Fault(Reason.OUTCOME_UNKNOWN, "x")), [], ALL, 0, None),
    "the stop button": (failed(Reason.SUSPENDED), [], ALL, 0, None),
    "the caller's wish": (End(Phase.CANCELLED, None, Fault(Reason.CANCELLED, "x")), [], ALL, 0, None),
}


@pytest.mark.parametrize(("end", "calls", "declared", "tried", "expected"), CASES.values(), ids=CASES)
def test_the_next_leg(end, calls, declared, tried, expected):
    """In order, by cause, each once; and nobody begins anew after something was changed."""
    hop = next_hop(end, calls, declared, tried)
    assert ((hop.leg, hop.continues) if hop else None) == expected


SURE = {
    "sure": ({"confidence": 0.9}, "Succeeded"),
    "just sure enough": ({"confidence": 0.7}, "Succeeded"),
    "not sure": ({"confidence": 0.69}, "Failed"),
    "does not say": ({}, "Failed"),
    "says a word": ({"confidence": "very"}, "Failed"),
    "says yes": ({"confidence": True}, "Failed"),
    "is no object": ("sure", "Failed"),
}


@pytest.mark.parametrize(("output", "phase"), SURE.values(), ids=SURE)
def test_an_answer_must_be_as_sure_as_declared(output, phase):
    """Without a number, nobody was sure."""
    wanted = Confidence.model_validate({"from": "output.confidence", "atLeast": 0.7})
    end = checked(End(Phase.SUCCEEDED, output, None), Legs(confidence=wanted), is_another=False)
    assert (end.phase, end.output) == (phase, output)
    assert end.fault is None or end.fault.reason is Reason.LOW_CONFIDENCE


def test_another_agents_answer_must_be_of_this_ones_form():
    """It was held to its own; the caller was promised this one's."""
    form = Legs(output=Output.model_validate({"schema": {"required": ["decision"]}}))
    good = End(Phase.SUCCEEDED, {"decision": "decline"}, None)
    assert checked(good, form, is_another=True) == good
    bad = checked(End(Phase.SUCCEEDED, {}, None), form, is_another=True)
    assert (bad.phase, bad.fault and bad.fault.reason) == (Phase.FAILED, Reason.INVALID_OUTPUT)


@pytest.fixture
async def odd(gateway: House) -> AsyncIterator[OddSystem]:
    """A system beside the demo's, and a model that is away."""
    async with OddSystem().serving() as system:
        gateway.connect("odd", "MCP", system.url)
        gateway.connect("gone", "Model", f"http://127.0.0.1:{free_port()}/v1")
        yield system


async def served_by(gateway: House) -> dict[tuple[str, str], float]:
    """How often who served after which cause, as Prometheus is told."""
    async with httpx2.AsyncClient(base_url=gateway.internal_url, trust_env=False, verify=False) as http:
        text = (await http.get("/metrics")).text
    found = re.findall(r"^proctor_fallbacks_total\{(.*)\} (.*)$", text, re.MULTILINE)
    labels = [dict(re.findall(r'(\w+)="([^"]*)"', each)) for each, _ in found]
    return {(each["leg"], each["cause"]): float(count) for each, (_, count) in zip(labels, found, strict=True)}


async def test_another_model_goes_on_where_the_first_did_not_answer(gateway: House, odd: OddSystem):
    """What was done stays done, and is not done again; the task says who served."""
    gateway.declare(
        model={"connector": "gone", "name": "big"},
        tools=[{"connector": "odd", "allow": ["works"]}],
        fallbacks=[{"after": ["ModelUnavailable"], "model": {"connector": "llm", "name": "gpt-5-mini"}}],
    )
    async with gateway.pod("one"):
        task = await gateway.done({"call": ["odd", "works", {}]}, {"must_chat": {"model": "big"}}, {"answer": "fine"})
    assert (task["phase"], task["output"], task["servedBy"]) == ("Succeeded", "fine", "model/llm/gpt-5-mini")
    assert (task["attempts"], odd.times("works"), task["usage"]["steps"]) == (2, 1, 1)
    asked = [(call["connector"], call["state"]) for call in await gateway.calls(task["id"]) if call["kind"] == "Model"]
    assert ("llm", "Succeeded") in asked


async def test_a_fixed_reply_is_the_last_word(gateway: House):
    """Whatever went wrong, the caller is told what was declared."""
    gateway.declare(fallbacks=[{"after": ["Any"], "reply": {"text": "Somebody will call you."}}])
    async with gateway.pod("one"):
        task = await gateway.done({"refuse": [500, {"reason": "Refused", "detail": "no"}]})
        counted = await served_by(gateway)
    assert (task["phase"], task["output"]) == ("Succeeded", {"text": "Somebody will call you."})
    assert task["servedBy"] == "reply"
    assert counted == {("reply", "Refused"): 1}


async def test_people_answer_when_nobody_else_can(gateway: House):
    """The task waits without a pod; what they answer is its output."""
    people = {"after": ["Any"], "human": {"groups": ["support-leads"], "timeout": "1h"}}
    gateway.declare(fallbacks=[people])
    async with gateway.pod("one"):
        refused = {"refuse": [500, {"reason": "Refused", "detail": "no"}]}
        task = (await gateway.task(refused)).json()["id"]
        await gateway.in_phase(task, "InputRequired")
        await eventually(lambda: gateway.cluster.objects(Kind.APPROVAL))
        assert await served_by(gateway) == {("human", "Refused"): 1}
        (approval,) = gateway.cluster.objects(Kind.APPROVAL)
        assert approval["spec"]["approvers"]["groups"] == ["support-leads"]
        assert approval["spec"]["subject"]["step"]["input"] == [refused]
        digest = approval["spec"]["subject"]["digest"]
        said = {"user": "alice", "decision": "Approve", "digest": digest, "answer": {"output": {"decision": "decline"}}}
        gateway.cluster.apply(Kind.APPROVAL, {**approval, "status": {"votes": [said]}})
        ended = await gateway.ended(task)
    assert (ended["phase"], ended["output"], ended["servedBy"]) == ("Succeeded", {"decision": "decline"}, "human")


FORM = {"type": "object", "required": ["decision"], "properties": {"decision": {"$ref": "#/$defs/word"}}}
SCHEMA = {**FORM, "$defs": {"word": {"enum": ["approve", "decline"]}}}
PEOPLE = {"after": ["Any"], "human": {"groups": ["leads"]}}
ANSWERED = {
    "of the form": ({"output": {"decision": "decline"}}, "Succeeded", None),
    "another word": ({"output": {"decision": "maybe"}}, "Failed", "the answer of alice does not match"),
    "no answer": (None, "Failed", "alice agreed, and gave no answer"),
}


def voted(gateway: House, number: int = 0, **vote: Any) -> None:
    """Alice votes on the open question of that number."""
    asked = sorted(gateway.cluster.objects(Kind.APPROVAL), key=lambda each: each["spec"]["subject"]["step"]["step"])
    approval = asked[number]
    said = {"user": "alice", "decision": "Approve", "digest": approval["spec"]["subject"]["digest"], **vote}
    gateway.cluster.apply(Kind.APPROVAL, {**approval, "status": {"votes": [said]}})


async def asking(gateway: House, count: int = 1, **answer: Any) -> str:
    """A task whose agent gives no good answer, when people are asked."""
    task: str = (await gateway.task(answer or {"answer": {"decision": "perhaps"}})).json()["id"]
    await asked(gateway, task, count)
    return task


async def asked(gateway: House, task: str, count: int) -> None:
    """People have been asked so often about the task."""
    await gateway.in_phase(task, "InputRequired")
    await eventually(lambda: len(gateway.cluster.objects(Kind.APPROVAL)) == count)


@pytest.mark.parametrize(("answer", "phase", "said"), ANSWERED.values(), ids=ANSWERED)
async def test_an_answer_of_people_has_the_form_that_the_agents_must_have(gateway: House, answer, phase, said):
    """The Approval says which; what is of another form is no answer, however the vote was written."""
    gateway.declare(output={"schema": SCHEMA}, fallbacks=[PEOPLE])
    async with gateway.pod("one"):
        task = await asking(gateway)
        (approval,) = gateway.cluster.objects(Kind.APPROVAL)
        assert approval["spec"]["answerSchema"]["properties"]["output"]["required"] == ["decision"]
        voted(gateway, **({"answer": answer} if answer else {}))
        ended = await gateway.ended(task)
    assert ended["phase"] == phase
    assert said is None or (ended["error"]["reason"] == "InvalidOutput" and said in ended["error"]["message"])


FIRST = {"after": ["InvalidOutput"], "human": {"groups": ["leads"]}}
DECLINED = {"after": ["Any"], "reply": {"decision": "decline"}}
MAYBE = {"answer": {"output": {"decision": "maybe"}}}


@pytest.mark.parametrize("vote", [MAYBE, {}], ids=["another word", "no answer"])
async def test_after_an_answer_of_people_that_is_none_the_next_leg_has_its_turn(gateway: House, vote):
    """The next one says what was declared."""
    gateway.declare(output={"schema": SCHEMA}, fallbacks=[FIRST, DECLINED])
    async with gateway.pod("one"):
        task = await asking(gateway)
        voted(gateway, **vote)
        ended = await gateway.ended(task)
        counted = await served_by(gateway)
    assert (ended["phase"], ended["output"], ended["servedBy"]) == ("Succeeded", {"decision": "decline"}, "reply")
    assert counted == {("human", "InvalidOutput"): 1, ("reply", "InvalidOutput"): 1}


async def test_after_people_a_model_may_be_asked_and_then_other_people(gateway: House):
    """The agent begins anew on a pod, and what it says then is judged as before."""
    other = {"after": ["InvalidOutput"], "model": {"connector": "llm", "name": "gpt-5-mini"}}
    gateway.declare(output={"schema": SCHEMA}, fallbacks=[FIRST, other, PEOPLE])
    async with gateway.pod("one") as pod:
        task = await asking(gateway)
        voted(gateway, **MAYBE)
        await asked(gateway, task, 2)
        assert len(pod.invocations) == 2
        voted(gateway, 1, answer={"output": {"decision": "approve"}})
        ended = await gateway.ended(task)
    assert (ended["phase"], ended["output"], ended["servedBy"]) == ("Succeeded", {"decision": "approve"}, "human")


async def test_a_rejection_by_people_is_the_last_word(gateway: House):
    """They have decided that there is no answer: nothing that is declared may say otherwise."""
    gateway.declare(output={"schema": SCHEMA}, fallbacks=[FIRST, DECLINED])
    async with gateway.pod("one"):
        task = await asking(gateway)
        voted(gateway, decision="Reject", comment="not so")
        ended = await gateway.ended(task)
    assert (ended["phase"], ended["error"]["reason"]) == ("Failed", "ApprovalRejected")


async def test_after_silence_of_people_the_next_leg_has_its_turn(gateway: House):
    """Nobody answered in time: whoever answers after anything does."""
    gateway.declare(
        output={"schema": SCHEMA},
        fallbacks=[{**FIRST, "human": {"groups": ["leads"], "timeout": "1s"}}, DECLINED],
    )
    async with gateway.pod("one"):
        ended = await gateway.ended((await gateway.task({"answer": {"decision": "perhaps"}})).json()["id"])
    assert (ended["phase"], ended["output"], ended["servedBy"]) == ("Succeeded", {"decision": "decline"}, "reply")


@pytest.mark.parametrize("last", [(), (PEOPLE,)], ids=["the last", "not the last"])
async def test_a_fixed_reply_of_another_form_is_no_answer(gateway: House, last):
    """It never goes out as one, though the gateway was given it: the next leg is asked, or the task fails."""
    wrong = {"after": ["InvalidOutput"], "reply": {"decision": "maybe"}}
    gateway.declare(output={"schema": SCHEMA}, fallbacks=[wrong, *last])
    async with gateway.pod("one"):
        task = (await gateway.task({"answer": {"decision": "perhaps"}})).json()["id"]
        if last:
            await asked(gateway, task, 1)
            voted(gateway, answer={"output": {"decision": "decline"}})
        ended = await gateway.ended(task)
    if last:
        assert (ended["phase"], ended["output"], ended["servedBy"]) == ("Succeeded", {"decision": "decline"}, "human")
        return
    assert (ended["phase"], ended["error"]["reason"], ended["servedBy"]) == ("Failed", "InvalidOutput", "reply")
    assert "the fixed reply does not match output.schema at /decision" in ended["error"]["message"]


async def test_another_agent_answers_with_what_it_may_do_itself(gateway: House):
    """An answer that is not sure enough goes to the other agent, with its own revision and its own pods."""
    spec = objects.agent_spec(instructions="Be simple.")
    revision, recorded = objects.revision_of(spec)
    name = names.of_revision("basic", revision)
    labels = names.revision_labels("basic", revision)
    recorded = {**recorded, "metadata": {"namespace": objects.NAMESPACE, "name": name, "labels": labels}}
    gateway.cluster.revisions[objects.NAMESPACE, name] = recorded
    body = objects.agent(spec, revision)
    gateway.cluster.apply(Kind.AGENT, {**body, "metadata": {**body["metadata"], "name": "basic"}})
    gateway.declare(
        confidence={"from": "output.confidence", "atLeast": 0.7},
        fallbacks=[{"after": ["LowConfidence"], "agent": "basic"}],
    )
    basic = SmallAgent(gateway.agents_url)
    async with (
        gateway.pod("one") as first,
        served(basic.application(), "127.0.0.2", gateway.settings.pod_port),
    ):
        pod = objects.pod("other", revision, "127.0.0.2")
        gateway.cluster.apply(Kind.POD, {**pod, "metadata": {**pod["metadata"], "labels": labels}})
        await gateway.settled()
        task = await gateway.done({"call": ["crm", "get_customer", {"customer_id": "C-1042"}]}, {"answer": {"a": 1}})
        sure = await gateway.done({"answer": {"confidence": 0.9}})
    assert (task["phase"], task["servedBy"], task["revision"]) == ("Succeeded", "agent/basic", gateway.revision)
    assert (len(first.invocations), len(basic.invocations)) == (2, 1)
    assert (sure["phase"], sure["servedBy"]) == ("Succeeded", None)
