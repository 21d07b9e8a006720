"""What kopf is kept from doing."""

from __future__ import annotations

from typing import Any

from proctor.shell.stateless import NoDiffBase, NoMemories, NoProgress

_BODY: dict[str, Any] = {"kind": "Pod", "metadata": {"name": "a", "uid": "1", "annotations": {"kopf.dev/x": "{}"}}}


async def test_kopf_remembers_no_object() -> None:
    """However many objects there are, kopf keeps no record of any."""
    memories = NoMemories()
    first = await memories.recall(_BODY, noticed_by_listing=True, memobase=None)
    assert await memories.recall(_BODY) is not first
    assert not list(memories.iter_all_memories())


def test_kopf_sees_no_change_of_an_object() -> None:
    """Whatever an object holds, kopf finds nothing in it to compare and to store."""
    essence = NoDiffBase().build(body=_BODY, extra_fields=set())
    assert NoProgress().clear(essence=essence) == {}
