"""Which rule answers which request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.demo.scripting import called, scripted

ORDER = json.dumps({"status": "delivered", "days": 12, "total": 50.0, "lines": [{"sku": "A/1"}], "note": None})
SHOP = called("crm__get_order", ORDER)

# Each is `when`, the messages, the tools offered, and whether it holds.
CONDITIONS: dict[str, tuple[str, list[Any], list[str], bool]] = {
    "nothing asked": ("{}", ["hi"], [], True),
    "the model": ("{model: m}", ["hi"], [], True),
    "another model": ("{model: 'm.+'}", ["hi"], [], False),
    "the task contains": ("{task: {contains: refund}}", ["a refund", "please"], [], True),
    "the user's last words": ("{user: {contains: refund}}", ["a refund", "please"], [], False),
    "the user lacks": ("{user: {lacks: refund}}", ["a refund", "please"], [], True),
    "the user in parts": (
        "{user: {contains: refund}}",
        [{"role": "user", "content": [{"type": "text", "text": "a ref"}, {"type": "text", "text": "und"}]}],
        [],
        True,
    ),
    "instructions": ("{system: {regex: '^You'}}", [{"role": "developer", "content": "You are"}, "hi"], [], True),
    "any message": ("{anyMessage: {contains: delivered}}", ["hi", *SHOP], [], True),
    "the last role": ("{lastRole: tool}", ["hi", *SHOP], [], True),
    "a tool offered": ("{tools: [get_order]}", ["hi"], ["crm__get_order"], True),
    "a tool of the full name": ("{tools: [crm__get_order]}", ["hi"], ["crm__get_order"], True),
    "a tool of another connector": ("{tools: [erp__get_order]}", ["hi"], ["crm__get_order"], False),
    "a tool not offered": ("{noTools: [refund]}", ["hi"], ["crm__get_order"], True),
    "the turn": ("{turn: 1}", ["hi", *SHOP], [], True),
    "a later turn": ("{turn: {atLeast: 2}}", ["hi", *SHOP], [], False),
    "a turn between": ("{turn: {atLeast: 1, atMost: 2}}", ["hi", *SHOP], [], True),
    "a tool that answered": ("{results: [{tool: get_order}]}", ["hi", *SHOP], [], True),
    "a tool that has not": ("{results: [{tool: refund}]}", ["hi", *SHOP], [], False),
    "no answer yet": ("{results: [{tool: refund, count: 0}]}", ["hi", *SHOP], [], True),
    "two answers": (
        "{results: [{tool: get_order, count: {equals: 2}}]}",
        ["hi", *SHOP, *called("crm__get_order", ORDER, 1)],
        [],
        True,
    ),
    "a text in an answer": ("{results: [{tool: get_order, text: {contains: delivered}}]}", ["hi", *SHOP], [], True),
    "a field equals": ("{results: [{tool: get_order, fields: [{at: /status, equals: delivered}]}]}", SHOP, [], True),
    "a field differs": ("{results: [{tool: get_order, fields: [{at: /status, differs: delivered}]}]}", SHOP, [], False),
    "a field is null": ("{results: [{tool: get_order, fields: [{at: /note, equals: null}]}]}", SHOP, [], True),
    "a field at most": ("{results: [{tool: get_order, fields: [{at: /days, atMost: 12}]}]}", SHOP, [], True),
    "a field above": ("{results: [{tool: get_order, fields: [{at: /days, above: 12}]}]}", SHOP, [], False),
    "a field below a template": (
        "{results: [{tool: get_order, fields: [{at: /days, below: '{get_order:/total}'}]}]}",
        SHOP,
        [],
        True,
    ),
    "a field inside a list": (
        "{results: [{tool: get_order, fields: [{at: /lines/0/sku, regex: '^A'}]}]}",
        SHOP,
        [],
        True,
    ),
    "a field that is missing": ("{results: [{tool: get_order, fields: [{at: /x, equals: 1}]}]}", SHOP, [], False),
    "a field wanted missing": ("{results: [{tool: get_order, fields: [{at: /x, exists: false}]}]}", SHOP, [], True),
    "a field not wanted": ("{results: [{tool: get_order, fields: [{at: /status, exists: false}]}]}", SHOP, [], False),
    "a field that is no number": (
        "{results: [{tool: get_order, fields: [{at: /status, above: 1}]}]}",
        SHOP,
        [],
        False,
    ),
    "a captured number": (
        "{task: {regex: '(?P<amount>\\d+) EUR'}, where: [{value: '{amount}', above: 200}]}",
        ["201 EUR"],
        [],
        True,
    ),
    "a captured number too small": (
        "{task: {regex: '(?P<amount>\\d+) EUR'}, where: [{value: '{amount}', above: 200}]}",
        ["200 EUR"],
        [],
        False,
    ),
}


@pytest.mark.parametrize("case", CONDITIONS)
async def test_a_condition_holds_or_not(tmp_path: Path, case: str) -> None:
    """Each condition of `when` selects what it says."""
    when, messages, tools, holds = CONDITIONS[case]
    model = scripted(tmp_path, f"rules: [{{name: one, when: {when}, then: {{text: yes it holds}}}}]")
    response = await model.ask(*messages, tools=tools)
    assert (response.status_code == 200) is holds, response.text


async def test_the_first_rule_that_holds_answers(tmp_path: Path) -> None:
    """Rules are tried in the order of the file."""
    model = scripted(tmp_path, "rules: [{name: a, then: {text: first}}, {name: b, then: {text: second}}]")
    assert await model.says("x") == "first"
    assert (await model.stats())["rules"] == {"a": 1, "b": 0}


async def test_only_the_first_so_many(tmp_path: Path) -> None:
    """`first: 2` holds twice, then the next rule answers; DELETE /stats lets it begin again."""
    model = scripted(tmp_path, "rules: [{name: a, first: 2, then: {text: a}}, {name: b, then: {text: b}}]")
    assert [await model.says("x") for _ in range(4)] == ["a", "a", "b", "b"]
    await model.client.delete("/stats")
    assert await model.says("x") == "a"


async def test_a_share_of_requests_fails(tmp_path: Path) -> None:
    """`probability: 0.3` draws about that share of different requests, the same ones each time."""
    rules = "seed: {seed}\nrules: [{{name: a, probability: 0.3, then: {{text: a}}}}, {{name: b, then: {{text: b}}}}]"
    model = scripted(tmp_path, rules.format(seed=1))
    first = [await model.says(f"request {n}") for n in range(300)]
    assert 60 <= first.count("a") <= 120
    assert [await model.says(f"request {n}") for n in range(300)] == first
    model.file.write_text(rules.format(seed=22))
    assert [await model.says(f"request {n}") for n in range(300)] != first


async def test_a_repeated_request_may_be_drawn_anew(tmp_path: Path) -> None:
    """Per `Occurrence` the same request sometimes fails and sometimes does not, as a flaky endpoint would."""
    model = scripted(
        tmp_path,
        "rules: [{name: a, probability: {share: 0.5, per: Occurrence}, then: {text: a}}, {name: b, then: {text: b}}]",
    )
    first = [await model.says("the same") for _ in range(40)]
    assert 8 <= first.count("a") <= 32
    await model.client.delete("/stats")
    assert [await model.says("the same") for _ in range(40)] == first


async def test_an_unmatched_request_is_explained(tmp_path: Path) -> None:
    """Where no rule holds the error says what was seen and which rules nearly held, the nearest first."""
    model = scripted(
        tmp_path,
        """
        rules:
          - {name: far, when: {task: {contains: x}, system: {contains: y}, tools: [z]}, then: {text: a}}
          - {name: near, when: {task: {contains: refund}, turn: 3}, then: {text: a}}
        """,
    )
    response = await model.ask("a refund", tools=["crm__get_order"])
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "NoRuleMatched")
    assert "user 'a refund'; tools crm__get_order; tool results none; turn 0; last role user" in error["message"]
    assert "- near: 1 of 2 conditions unmet: turn 3, got 0\n- far: 3 of 3" in error["message"]
    assert (await model.stats())["unmatched"] == 1
