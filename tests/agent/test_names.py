"""What a tool is called towards the model."""

from __future__ import annotations

import re

import pytest

from proctor_agent.toolset import name_for_model

NAMES = {
    "plain": ("crm", "get_customer", "crm__get_customer"),
    "a dash": ("my-crm", "get-order", "my-crm__get-order"),
    "a dot": ("crm", "orders.get", "crm__orders_get_1ebabfb8"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_tool_is_named_after_its_connector(case: str) -> None:
    """The name is `<connector>__<tool>`, with what a model's API does not take replaced and told apart by a hash."""
    connector, tool, name = NAMES[case]
    assert name_for_model(connector, tool) == name


def test_long_names_stay_apart() -> None:
    """Two long names that begin alike remain two names, each short enough."""
    names = {name_for_model("crm", "x" * 80 + end) for end in "ab"}
    assert len(names) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)
