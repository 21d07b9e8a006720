"""Fields are explained from the models."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.api import kinds
from proctor.cli import examples
from proctor.cli.views import lexicon
from proctor.cli.views.lexicon import UnknownWord


@pytest.mark.parametrize(
    ("path", "type_", "default"),
    [
        ("agent.spec.limits.timeout", "duration", "1m"),
        ("agent.spec.limits.maxSteps", "integer", 12),
        ("agent.spec.limits.maxCost", "decimal in quotes", None),
        ("agent.spec.riskTier", "word", "Limited"),
        ("agent.spec.suspend", "boolean", False),
        ("ag.spec.tools.allow", "[]string", None),
        ("agents.spec.slos.window", "duration", "28d"),
        ("agent.spec.slos.minEvents", "integer", 20),
        ("agent.spec.model.parameters", "any JSON object", None),
        ("agent.spec.rollout.analysis.alpha", "decimal in quotes", "0.05"),
        ("connector.spec.tools.effect", "word", "Once"),
        ("conn.spec.auth.secretRef.key", "string", "token"),
    ],
)
def test_a_field_has_its_type_and_the_default_that_holds(path: str, type_: str, default: Any) -> None:
    """Also below a list, where the API server applies none but proctor does."""
    told = lexicon.explain(path)
    assert (told.type, told.default) == (type_, default)


def test_a_field_has_its_bounds_rules_and_fields() -> None:
    """What it may be, what must hold, and what is below it."""
    told = lexicon.explain("agent.spec.sandbox")
    assert [rule.message for rule in told.rules] == ["runtimeClassName needs profile Isolated"]
    profile = next(each for each in told.fields if each.name == "profile")
    assert profile.choices == ("Standard", "Hardened", "Isolated")
    assert lexicon.explain("agent.spec.limits.maxSteps").bounds == ("at least 1", "at most 1,000")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("agnet", "did you mean agent?"),
        ("nonsense", "there are agent, connector"),
        ("agent.spec.tols", "Agent.spec has no field tols; did you mean tools?"),
        ("agent.spec.suspend.more", "it has no fields of its own"),
    ],
)
def test_a_word_that_does_not_exist_leads_to_one_that_does(word: str, says: str) -> None:
    """Or to all that there are."""
    with pytest.raises(UnknownWord) as raised:
        lexicon.explain(word)
    assert says in str(raised.value)


@pytest.mark.parametrize("kind", [kinds.AGENT, kinds.CONNECTOR], ids=lambda kind: kind.name)
def test_every_field_has_an_example_of_its_own(kind: kinds.Kind) -> None:
    """None is explained without being shown."""
    for path in lexicon.paths(kind):
        steps = path.split(".")[1:]
        found: Any = examples.at(kind, steps)
        for step in steps:
            found = found[0] if isinstance(found, list) else found
            assert isinstance(found, dict), path
            assert step in found, path
            found = found[step]


def test_every_kind_can_be_listed() -> None:
    """With its short name and where it lives."""
    assert [each.name for each in lexicon.all_kinds()] == [kind.name for kind in kinds.ALL]
