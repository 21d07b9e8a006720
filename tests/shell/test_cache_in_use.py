"""Bodies in use are kept as they are, all others packed; nobody can tell the difference."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proctor.shell import cache as module
from proctor.shell.cache import Cache


def body(number: int, version: int = 1, **more: Any) -> dict[str, Any]:
    """One of many ConfigMaps."""
    metadata = {"name": f"c{number}", "namespace": "support", "uid": f"u{number}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"number": str(number)}, **more}


def test_more_objects_than_are_in_use_are_all_there() -> None:
    """What was put aside comes back as it was."""
    cache = Cache()
    count = module._IN_USE + 10
    for number in range(count):
        cache.put(body(number))
    assert [cache.get("ConfigMap", "support", f"c{number}") for number in range(count)] == [*map(body, range(count))]
    assert len(cache._in_use) == module._IN_USE


@given(st.lists(st.tuples(st.sampled_from(["put", "drop", "get", "holds"]), st.integers(0, 4), st.integers(1, 5))))
def test_however_few_are_in_use_the_newest_is_found(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is put, read and dropped: an object is known in its newest version, in use or packed."""
    cache, known, gone = Cache(), dict[int, int](), set[int]()
    cache._most_in_use = 2
    for what, number, version in steps:
        key = module.key_of(body(number))
        if what == "put":
            is_news = number not in gone and version > known.get(number, 0)
            assert cache.put(body(number, version)) == is_news
            known |= {number: version} if is_news else {}
        elif what == "drop":
            assert cache.drop(key, f"u{number}") == (number in known)
            known.pop(number, None)
            gone.add(number)
        elif what == "get":
            expected = body(number, known[number]) if number in known else None
            assert cache.get(*key) == expected
        else:
            assert cache.holds(body(number, version)) == (number in known)
            assert not cache.holds(body(number, version, data={"number": "other"}))
        assert len(cache._in_use) <= 2


@given(st.lists(st.integers(0, 5), max_size=30))
def test_unlike_bodies_are_packed_too(sizes: list[int]) -> None:
    """The first of a kind is only a help: a body that has nothing in common with it comes back as it was."""
    cache = Cache()
    cache._most_in_use = 0
    bodies = [body(number, data={str(number): "x" * 10**size}) for number, size in enumerate(sizes)]
    for each in bodies:
        cache.put(each)
    assert [cache.get("ConfigMap", "support", f"c{number}") for number in range(len(bodies))] == bodies


def test_what_a_watch_told_of_is_remembered() -> None:
    """As long as the object is there, whatever version came in by other ways."""
    cache = Cache()
    key = module.key_of(body(1))
    cache.hear(key, 3)
    assert cache.heard(key) == 0
    cache.put(body(1, version=4))
    cache.hear(key, 3)
    cache.put(body(1, version=9))
    assert cache.heard(key) == 3
    cache.drop(key, "u1")
    assert cache.heard(key) == 0
