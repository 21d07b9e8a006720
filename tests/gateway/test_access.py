"""Who may send tasks."""

from __future__ import annotations

import pytest

from proctor.api.agent import Access
from proctor_gateway.rules.access import Identity, is_admitted

WEB = {"serviceAccount": {"namespace": "shop", "name": "web"}}

CASES = {
    "nobody is listed": ([], Identity("system:serviceaccount:shop:web"), False),
    "the service account": ([WEB], Identity("system:serviceaccount:shop:web"), True),
    "its name in another namespace": ([WEB], Identity("system:serviceaccount:evil:web"), False),
    "another name": ([WEB], Identity("system:serviceaccount:shop:webb"), False),
    "a user": ([{"user": "ada@example.com"}], Identity("ada@example.com"), True),
    "a user is not a group": ([{"group": "ada"}], Identity("ada"), False),
    "a group is not a user": ([{"user": "support"}], Identity("ada", frozenset({"support"})), False),
    "a group": ([WEB, {"group": "support"}], Identity("ada", frozenset({"support"})), True),
    "another group": ([{"group": "support"}], Identity("ada", frozenset({"support-leads"})), False),
}


@pytest.mark.parametrize(("callers", "identity", "admitted"), CASES.values(), ids=CASES)
def test_access(callers, identity, admitted):
    """A caller is admitted if one entry is exactly this service account, user or group."""
    assert is_admitted(identity, Access.model_validate({"callers": callers})) is admitted
