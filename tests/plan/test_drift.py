"""When an object is written again, and when it is left alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.api import names
from proctor.plan.drift import changed, quantity, stamped


def an_object(**spec: Any) -> dict[str, Any]:
    """What is wanted."""
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "one"}, "spec": spec}


def there(**spec: Any) -> dict[str, Any]:
    """The same as it would be in the cluster after we applied it."""
    return stamped(an_object(**spec))


def test_what_is_not_there_is_written() -> None:
    """With the digest of itself."""
    (written,) = changed([an_object(a=1)], [])
    assert written["metadata"]["annotations"][names.APPLIED]


def test_what_is_there_is_left_alone() -> None:
    """Whatever others have added to it, and whatever the API server has filled in."""
    observed = {**there(a=1, b=[{"x": 1}]), "status": {"ready": 1}}
    observed["spec"] = {**observed["spec"], "defaulted": True, "b": [{"x": 1, "added": 2}]}
    observed["metadata"] = {**observed["metadata"], "uid": "u", "labels": {"theirs": "yes"}}
    assert changed([an_object(a=1, b=[{"x": 1}])], [observed]) == ()


DIFFERENT: dict[str, dict[str, Any]] = {
    "a value was changed": {**there(a=1, b=[1]), "spec": {"a": 2, "b": [1]}},
    "a value was removed": {**there(a=1, b=[1]), "spec": {"b": [1]}},
    "an item was added to a list": {**there(a=1, b=[1]), "spec": {"a": 1, "b": [1, 2]}},
    "an item was removed from a list": {**there(a=1, b=[1]), "spec": {"a": 1, "b": []}},
    "a map became something else": {**there(a=1, b=[1]), "spec": None},
    "its digest was removed": {**an_object(a=1, b=[1])},
}


@pytest.mark.parametrize("observed", DIFFERENT.values(), ids=list(DIFFERENT))
def test_what_differs_is_written_again(observed: dict[str, Any]) -> None:
    """In the fields that we own."""
    assert len(changed([an_object(a=1, b=[1])], [observed])) == 1


def test_a_field_that_we_no_longer_want_is_noticed() -> None:
    """It is still there, and equal; only the digest tells that we would have it gone."""
    assert len(changed([an_object(a=1)], [there(a=1, b=2)])) == 1


def test_each_object_is_told_apart_by_kind_and_name() -> None:
    """A namesake of another kind is another object."""
    wanted = an_object(a=1)
    namesake = {**there(a=1), "kind": "ConfigMap"}
    assert len(changed([wanted], [namesake])) == 1


def test_the_order_is_kept() -> None:
    """What is created first is the fence."""
    wanted = [{**an_object(), "metadata": {"name": name}} for name in "cab"]
    assert [each["metadata"]["name"] for each in changed(wanted, [])] == ["c", "a", "b"]


SAME = [("0.5", "500m"), ("1", "1000m"), ("1Gi", "1024Mi"), ("1024", "1Ki"), ("2k", "2000"), ("0.1", "100m")]


@pytest.mark.parametrize(("mine", "theirs"), SAME)
def test_a_quantity_in_other_words_is_the_same(mine: str, theirs: str) -> None:
    """The API server writes quantities its own way."""
    assert changed([an_object(cpu=mine)], [{**there(cpu=mine), "spec": {"cpu": theirs}}]) == ()


@pytest.mark.parametrize(("mine", "theirs"), [("1", "2"), ("500m", "500"), ("1Gi", "1G"), ("one", "1"), ("", "0")])
def test_another_quantity_is_another(mine: str, theirs: str) -> None:
    """Even if it looks alike."""
    assert len(changed([an_object(cpu=mine)], [{**there(cpu=mine), "spec": {"cpu": theirs}}])) == 1


@pytest.mark.parametrize("text", ["", "x", "1x", "-1", "1.2.3", None, 5, [], {}])
def test_what_is_no_quantity_is_none(text: Any) -> None:
    """And is compared as it is."""
    assert quantity(text) is None


def test_a_quantity_is_a_number() -> None:
    """Exactly."""
    assert quantity("1.5Gi") == Decimal("1.5") * 2**30


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_what_was_applied_is_never_applied_again(spec: dict[str, Any]) -> None:
    """For any object: otherwise we would write it for ever."""
    wanted = an_object(**{f"x{key}": value for key, value in spec.items()})
    (written,) = changed([wanted], [])
    assert changed([wanted], [written]) == ()
