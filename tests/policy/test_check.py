"""What an agent is told that it does not follow."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.api.agent import NetworkIsolation
from proctor.policy.check import check
from proctor.policy.finding import Compliance, compliance
from proctor.policy.upgrades import frozen, gate, next_turn
from tests.policy import examples
from tests.policy.examples import DIGEST, T0, after, policy

HUMAN = {"after": ["Any"], "human": {"groups": ["support"]}}
OTHER_MODEL = {"after": ["ModelUnavailable"], "model": {"connector": "llm", "name": "small-preview"}}
CAREFUL = {
    "steps": [{"evals": {}}, {"weight": 10, "until": {"minTasks": 30, "minDuration": "20m"}}, {"weight": 60}],
    "analysis": {"alpha": "0.05", "metrics": []},
}
EVALS = [{"name": "golden", "configMapRef": {"name": "golden"}}]

DECLARED = ["Confidence", "Evals", "HumanFallback", "MaxCost", "MaxTokens", "OutputSchema", "PinnedTools"]


def rules_of(part: str, demands: Any, now: Any = T0, **spec: Any) -> list[str]:
    """The rules that the agent breaks of a policy with this part."""
    effective = examples.effective(policy(**{part: demands}), now=now)
    return [each.rule for each in check(examples.agent(**spec), examples.connectors(), effective, now)]


CHECKS: dict[str, tuple[str, Any, dict[str, Any], list[str]]] = {
    "fields": ("require", {"fields": DECLARED}, {}, [f"require/{each}" for each in DECLARED]),
    "a human": ("require", {"fields": ["HumanFallback"]}, {"fallbacks": [HUMAN]}, []),
    "another fallback": (
        "require",
        {"fields": ["HumanFallback"]},
        {"fallbacks": [OTHER_MODEL]},
        ["require/HumanFallback"],
    ),
    "evals": ("require", {"fields": ["Evals"]}, {"evals": EVALS}, []),
    "an image by tag": (
        "require",
        {"fields": ["ImageDigest"]},
        {"runtime": {"image": "r.example/a:1"}},
        ["require/ImageDigest"],
    ),
    "an image by digest": ("require", {"fields": ["ImageDigest"]}, {"runtime": {"image": f"r.example/a@{DIGEST}"}}, []),
    "the default agent": ("require", {"fields": ["ImageDigest"]}, {}, []),
    "labels": ("require", {"labels": ["stage"]}, {}, ["require/labels"]),
    "objectives": ("require", {"slos": ["Latency", "TaskSuccess"]}, {}, ["require/slos", "require/slos"]),
    "a registry": ("images", {"registries": ["r.example/*"]}, {"runtime": {"image": "r.example/a:1"}}, []),
    "another registry": (
        "images",
        {"registries": ["r.example/*"]},
        {"runtime": {"image": "x.example/r.example/a:1"}},
        ["images/registries"],
    ),
    "hosts": ("egress", {"hosts": ["*.example.com"]}, {}, []),
    "other hosts": ("egress", {"hosts": ["crm.example.com"]}, {}, ["egress/hosts", "egress/hosts"]),
    "a model": ("models", {"allow": [{"name": "gpt-5-*"}]}, {}, []),
    "another model": ("models", {"allow": [{"name": "gpt-6"}]}, {}, ["models/allow"]),
    "a model of a region": ("models", {"allow": [{"connectorLabels": {"region": "us"}}]}, {}, ["models/allow"]),
    "a fallback's model": ("models", {"deny": [{"name": "*-preview"}]}, {"fallbacks": [OTHER_MODEL]}, ["models/deny"]),
    "tools by effect": ("tools", {"deny": [{"effects": ["Once"]}]}, {}, ["tools/deny"]),
    "tools by data": ("tools", {"deny": [{"data": ["pii"]}]}, {}, ["tools/deny"]),
    "tools by name": ("tools", {"allow": [{"connector": "crm"}]}, {}, ["tools/allow"]),
    "all three dangers": ("tools", {"trifecta": "Deny"}, {}, ["tools/trifecta"]),
    "all three, asked about": ("tools", {"trifecta": "RequireApproval"}, {}, []),
    "data to a model": ("data", {"denyFlows": [{"data": ["pii"], "to": ["llm*"]}]}, {}, ["data/denyFlows"]),
    "data to another": ("data", {"denyFlows": [{"data": ["pii"], "to": ["mail"]}]}, {}, []),
    "limits": (
        "limits",
        {"maxTimeout": "30s", "maxSteps": 5, "maxCost": "1"},
        {},
        ["limits/maxCost", "limits/maxSteps", "limits/maxTimeout"],
    ),
    "within limits": ("limits", {"maxTimeout": "2m", "maxSteps": 12}, {}, []),
    "a sandbox": ("sandbox", {"minimumProfile": "Hardened"}, {}, ["sandbox/minimumProfile"]),
    "a stronger sandbox": ("sandbox", {"minimumProfile": "Hardened"}, {"sandbox": {"profile": "Isolated"}}, []),
    "a measured network": ("sandbox", {"requireVerifiedIsolation": True}, {}, ["sandbox/requireVerifiedIsolation"]),
    "no steps at all": (
        "rollout",
        {"maxInitialWeight": 20, "requireSteps": ["Evals"]},
        {},
        ["rollout/maxInitialWeight", "rollout/requireSteps"],
    ),
    "careful steps": (
        "rollout",
        {"maxInitialWeight": 10, "maxWeightStep": 50, "requireSteps": ["Evals", "Weight"]},
        {"rollout": CAREFUL, "evals": EVALS},
        [],
    ),
    "a leap": ("rollout", {"maxWeightStep": 40}, {"rollout": CAREFUL, "evals": EVALS}, ["rollout/maxWeightStep"]),
    "haste": (
        "rollout",
        {"minDuration": "15m", "minTasks": 25},
        {"rollout": CAREFUL, "evals": EVALS},
        ["rollout/minDuration", "rollout/minTasks"],
    ),
    "an error": ("rollout", {"maxAlpha": "0.01"}, {}, ["rollout/maxAlpha"]),
    "the undecided": ("rollout", {"onInconclusive": ["Rollback"]}, {}, ["rollout/onInconclusive"]),
    "an approval": (
        "rollout",
        {"approval": {"groups": ["sre"]}},
        {"rollout": {"steps": [{"weight": 10, "approval": {"groups": ["devs"]}}]}},
        ["rollout/approval"],
    ),
    "the approval": (
        "rollout",
        {"approval": {"groups": ["sre"]}},
        {"rollout": {"steps": [{"weight": 10, "approval": {"groups": ["sre"]}}]}},
        [],
    ),
    "an expression": (
        "expressions",
        [{"name": "x", "expression": "connectors.all(c, c.metadata.labels['region'] == 'eu')", "message": "EU only."}],
        {},
        ["expressions/x"],
    ),
    "one that holds": (
        "expressions",
        [{"name": "x", "expression": "agent.spec.limits.maxSteps <= 12", "message": "Short."}],
        {},
        [],
    ),
    "one at rollout": (
        "expressions",
        [{"name": "x", "at": "Rollout", "expression": "size(rollout.steps) > 0", "message": "By steps."}],
        {},
        ["expressions/x"],
    ),
}


@pytest.mark.parametrize(("part", "demands", "spec", "rules"), CHECKS.values(), ids=CHECKS)
def test_what_an_agent_does_not_follow(part, demands, spec, rules):
    """Every rule that is broken is named, in one order; what is followed is not."""
    assert rules_of(part, demands, **spec) == rules


def test_a_measured_network_is_enough():
    """Isolation that was measured as Verified fulfils the rule; one that is not enforced does not."""
    effective = examples.effective(policy(sandbox={"requireVerifiedIsolation": True}))
    verdicts = {
        state: bool(check(examples.agent(), examples.connectors(), effective, T0, state)) for state in NetworkIsolation
    }
    assert verdicts == {
        NetworkIsolation.VERIFIED: False,
        NetworkIsolation.NOT_ENFORCED: True,
        NetworkIsolation.UNKNOWN: True,
    }


def test_how_an_agent_stands():
    """Violating outweighs what is not known, which outweighs what is excepted."""
    broken = examples.effective(policy(limits={"maxSteps": 1}))
    freed = examples.effective(policy(limits={"maxSteps": 1}, exceptions=[examples.exception("limits")]))
    violation, excepted = (check(examples.agent(), examples.connectors(), each, T0) for each in (broken, freed))
    assert compliance(violation, is_whole=False) is Compliance.VIOLATING
    assert compliance(excepted, is_whole=False) is Compliance.UNKNOWN
    assert compliance(excepted) is Compliance.EXCEPTED
    assert compliance(()) is Compliance.COMPLIANT


def test_freezes_hold_and_end():
    """Once or again and again, with their reason and their end; a zone that nobody knows freezes until it is mended."""
    weekend = {"schedule": "0 18 * * FRI", "duration": "2d14h", "timeZone": "Europe/Berlin"}
    nowhere = {**weekend, "timeZone": "Europe/Atlantis"}
    windows = [
        {"name": "weekend", "reason": "Nobody is on call.", "recurring": weekend},
        {"name": "nowhere", "reason": "A typo.", "recurring": nowhere},
    ]
    effective = examples.effective(policy(rollout={"freeze": windows}))
    monday, saturday = T0, after(days=5)
    assert [each.window for each in frozen(effective, monday)] == ["nowhere"]
    found = {each.window: each.until for each in frozen(effective, saturday)}
    assert found == {"weekend": after(days=6, hours=-1) + (after(hours=24) - T0), "nowhere": None}
    assert next_turn(effective, monday) == after(days=4, hours=9)


def test_the_most_careful_gate_holds():
    """Of several gates for the error budget the higher shares."""
    one = policy("one", rollout={"budgetGate": {"freezeBelow": "0", "slowBelow": "0.5"}})
    two = policy("two", rollout={"budgetGate": {"freezeBelow": "0.1", "slowBelow": "0.2"}})
    found = gate(examples.effective(one, two))
    assert found is not None
    assert (str(found.freeze_below), str(found.slow_below)) == ("0.1", "0.5")
