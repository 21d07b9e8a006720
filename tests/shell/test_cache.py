"""The cache: the newest of each object, nothing that is gone, and indices that agree with it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.api import names
from proctor.shell.cache import Cache, Key, key_of

KEY = Key("Deployment", "support", "refunds-1")


def body(
    name: str = "refunds-1", version: int = 1, uid: str = "u1", owner: str | None = "agent-uid", **more: Any
) -> dict[str, Any]:
    """A child of an agent, in some version."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "support",
        "uid": uid,
        "resourceVersion": str(version),
        "labels": {names.AGENT: "refunds"},
    }
    if owner:
        metadata["ownerReferences"] = [{"kind": "Agent", "name": "refunds", "uid": owner, "controller": True}]
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"version": version}, **more}


def test_a_newer_version_replaces_an_older_one() -> None:
    """Whichever way it came."""
    cache = Cache()
    assert cache.put(body(version=1))
    assert cache.put(body(version=2))
    assert cache.version(KEY) == 2


def test_an_older_version_is_no_news() -> None:
    """A late echo does not undo what is known."""
    cache = Cache()
    cache.put(body(version=2))
    assert not cache.put(body(version=1))
    assert not cache.put(body(version=2))
    assert cache.version(KEY) == 2


def test_versions_are_numbers() -> None:
    """10 is newer than 9."""
    cache = Cache()
    cache.put(body(version=9))
    assert cache.put(body(version=10))


def test_what_is_gone_does_not_come_back() -> None:
    """A late echo of an object that was deleted is no news, whatever its version."""
    cache = Cache()
    cache.put(body(version=1))
    assert cache.drop(KEY, "u1")
    assert not cache.put(body(version=9))
    assert cache.get(*KEY) is None


def test_an_object_of_the_same_name_is_another_one() -> None:
    """Its uid tells; what is told of the one before does not concern it."""
    cache = Cache()
    cache.put(body(version=1, uid="u1"))
    assert cache.put(body(version=5, uid="u2"))
    assert not cache.drop(KEY, "u1")
    assert not cache.put(body(version=9, uid="u1"))
    assert cache.uid(KEY) == "u2"


def test_a_pods_spec_is_not_kept() -> None:
    """Ten thousand pods have to fit: what a pod reports is kept, what is declared of it is not."""
    cache = Cache()
    metadata = {**body()["metadata"], "managedFields": [1], "annotations": {"a": "b"}}
    status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": []}
    cache.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"x": 1}, "status": status})
    pod = cache.get("Pod", "support", "refunds-1")
    assert pod is not None
    assert pod.get("spec") is None
    assert pod["status"] == {"phase": "Running", "conditions": []}
    assert "managedFields" not in pod["metadata"]


def test_the_copy_of_the_last_apply_is_not_kept() -> None:
    """The annotation of kubectl holds the whole object once more."""
    cache = Cache()
    last = "kubectl.kubernetes.io/last-applied-configuration"
    cache.put({**body(), "metadata": {**body()["metadata"], "annotations": {last: "{}", "kept": "yes"}}})
    found = cache.get(*KEY)
    assert found is not None
    assert found["metadata"]["annotations"] == {"kept": "yes"}


def test_tombstones_are_bounded(monkeypatch: Any) -> None:
    """The oldest is forgotten first; memory does not grow with all that ever was."""
    monkeypatch.setattr("proctor.shell.cache._TOMBSTONES", 2)
    cache = Cache()
    for uid in ("u1", "u2", "u3"):
        cache.drop(KEY, uid)
    assert not cache.put(body(uid="u3"))
    assert not cache.put(body(uid="u2"))
    assert cache.put(body(uid="u1"))


NAMES = ("one", "two")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "drop"]),
        st.sampled_from(NAMES),
        st.integers(1, 3).map("u{}".format),
        st.integers(1, 9),
        st.sampled_from([None, "owner-1", "owner-2"]),
    ),
    max_size=40,
)


@given(STEPS)
@settings(deadline=None, derandomize=True)
def test_whatever_comes_in_whatever_order(steps: list[tuple[str, str, str, int, str | None]]) -> None:
    """Versions of an object never go back, what was dropped stays away, and every index shows exactly what is there."""
    cache = Cache()
    gone: set[str] = set()
    for verb, name, uid, version, owner in steps:
        each = body(name=name, uid=f"{name}-{uid}", version=version, owner=owner)
        key, before = key_of(each), cache.version(key_of(each))
        if verb == "drop":
            cache.drop(key, each["metadata"]["uid"])
            gone.add(each["metadata"]["uid"])
        else:
            was_news = cache.put(each)
            assert was_news == (each["metadata"]["uid"] not in gone and (before is None or version > before))
        assert cache.uid(key) not in gone
        _agrees(cache)


def _agrees(cache: Cache) -> None:
    there = {name: found for name in NAMES if (found := cache.get("Deployment", "support", name))}
    assert len(cache) == len(there)
    assert {each["metadata"]["name"] for each in cache.within("Deployment", "support")} == set(there)
    assert {each["metadata"]["name"] for each in cache.of_agent("Deployment", "support", "refunds")} == set(there)
    for owner in ("owner-1", "owner-2"):
        expected = {name for name, found in there.items() if _owner(found) == owner}
        assert {each["metadata"]["name"] for each in cache.owned(owner)} == expected


def _owner(found: dict[str, Any]) -> str | None:
    return next((each["uid"] for each in found["metadata"].get("ownerReferences", ())), None)
