"""Two values are compared field by field."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.cli.views.differences import Difference, differences


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({}, {"a": {"b": 1}}, [("a", None, {"b": 1})]),
        ({"a": []}, {}, []),
        ({"a": {"b": None}}, {"a": {}}, []),
        ({"a": False}, {}, [("a", False, None)]),
        ({"a": 0}, {"a": None}, [("a", 0, None)]),
        ({"l": [1, 2]}, {"l": [1, 3]}, [("l[1]", 2, 3)]),
        ({"l": [1]}, {"l": [1, 2]}, [("l", [1], [1, 2])]),
        (
            {"t": [{"name": "x", "e": 1}, {"name": "y", "e": 1}]},
            {"t": [{"name": "y", "e": 2}, {"name": "z", "e": 1}]},
            [("t[x]", {"name": "x", "e": 1}, None), ("t[y].e", 1, 2), ("t[z]", None, {"name": "z", "e": 1})],
        ),
        ({"t": [{"name": "x"}]}, {}, [("t", [{"name": "x"}], None)]),
    ],
)
def test_the_deepest_field_that_differs_is_named(before: Any, after: Any, found: list[tuple[str, Any, Any]]) -> None:
    """Lists of named things are compared by name; absent, null and empty are one and the same."""
    assert list(differences(before, after)) == [Difference(*each) for each in found]


def test_a_text_of_several_lines_differs_by_lines() -> None:
    """The lines that went and came, with one around them, so that a long prompt need not be read twice."""
    before, after = "a\nb\nc\nd\n", "a\nb\nC\nd\n"
    (found,) = differences({"t": before}, {"t": after})
    assert found.lines == ("@@ -2,3 +2,3 @@", " b", "-c", "+C", " d")


def test_a_text_of_one_line_differs_as_a_value() -> None:
    """Nothing is gained by showing one line as lines."""
    (found,) = differences({"t": "a"}, {"t": "b"})
    assert found.lines == ()
