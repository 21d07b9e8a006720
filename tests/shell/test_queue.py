"""The keyed queue: nothing is lost, nothing is worked on twice at a time, nobody waits for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proctor.shell.cache import Key
from proctor.shell.queue import Queue

T0 = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
A, B, C = (Key("Agent", "support", name) for name in "abc")
FAR = Key("Agent", "shop", "a")


def after(seconds: float) -> datetime:
    """A time so many seconds later."""
    return T0 + timedelta(seconds=seconds)


def taken(queue: Queue, now: datetime) -> list[Key]:
    """All keys that are due."""
    found = []
    while key := queue.take(now):
        found.append(key)
    return found


def test_a_key_is_taken_when_it_is_due() -> None:
    """Not a moment earlier."""
    queue = Queue()
    queue.add(A, after(1))
    assert queue.take(after(0.999)) is None
    assert queue.take(after(1)) == A


def test_the_earliest_time_wins() -> None:
    """A later request does not put a key off, an earlier one brings it forward."""
    queue = Queue()
    queue.add(A, after(5))
    queue.add(A, after(9))
    queue.add(A, after(2))
    assert queue.next_due() == after(2)
    assert taken(queue, after(10)) == [A]


def test_what_is_asked_for_meanwhile_is_done_afterwards() -> None:
    """A key that is being worked on is not given out again until then."""
    queue = Queue()
    queue.add(A, T0)
    assert queue.take(T0) == A
    queue.add(A, T0)
    assert queue.take(after(1)) is None
    queue.done(A, after(60))
    assert queue.take(after(1)) == A


def test_a_key_is_looked_at_again_when_its_plan_says() -> None:
    """`wake_at` is a time like any other."""
    queue = Queue()
    queue.add(A, T0)
    queue.take(T0)
    queue.done(A, after(60))
    assert queue.next_due() == after(60)


def test_a_key_without_a_further_time_is_forgotten() -> None:
    """What is gone is not looked at for ever."""
    queue = Queue()
    queue.add(A, T0)
    queue.take(T0)
    queue.done(A, None)
    assert queue.next_due() is None
    assert len(queue) == 0


def test_failures_wait_longer_and_longer() -> None:
    """The delay doubles to a minute, and begins anew after a success."""
    queue = Queue()
    delays = [_fail(queue) for _ in range(12)]
    assert delays[:4] == [0.2, 0.4, 0.8, 1.6]
    assert delays[-1] == 60
    _succeed(queue)
    assert _fail(queue) == 0.2


def test_the_server_may_ask_for_a_longer_wait() -> None:
    """Retry-After is the least wait, not the most."""
    queue = Queue()
    assert _fail(queue, after_seconds=7) == 7
    assert _fail(queue, after_seconds=0.01) == 0.4


def test_news_does_not_undo_the_back_off() -> None:
    """A key that fails and is asked for all the time still backs off."""
    queue = Queue()
    queue.add(A, T0)
    queue.take(T0)
    queue.add(A, T0)
    queue.failed(A, T0, timedelta(seconds=30))
    assert queue.next_due() == after(30)


def test_a_namespace_with_many_keys_does_not_keep_others_waiting() -> None:
    """Namespaces take turns."""
    queue = Queue()
    for index in range(100):
        queue.add(Key("Agent", "crowded", f"agent-{index:03}"), T0)
    queue.add(FAR, T0)
    first = [queue.take(T0), queue.take(T0)]
    assert FAR in first


def test_whoever_waits_is_told_of_an_earlier_time() -> None:
    """Only news that can change what is next wakes the worker."""
    queue = Queue()
    told: list[int] = []
    queue.on_add = lambda: told.append(1)
    queue.add(A, after(5))
    queue.add(A, after(6))
    assert len(told) == 1
    queue.add(A, after(1))
    assert len(told) == 2


def _fail(queue: Queue, after_seconds: float = 0) -> float:
    queue.add(A, T0)
    assert queue.take(after(10_000)) == A
    return queue.failed(A, T0, timedelta(seconds=after_seconds)).total_seconds()


def _succeed(queue: Queue) -> None:
    assert queue.take(after(10_000)) == A
    queue.done(A, None)


class QueueMachine(RuleBasedStateMachine):
    """The queue beside a model of it: for each key, when it is due, and whether it is being worked on."""

    keys = st.sampled_from([A, B, C, FAR])
    delays = st.integers(0, 20)

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()
        self.now = T0
        self.due: dict[Key, datetime] = {}
        self.working: dict[Key, datetime | None] = {}

    @rule(key=keys, delay=delays)
    def add(self, key: Key, delay: int) -> None:
        """Somebody asks for a key."""
        at = self.now + timedelta(seconds=delay)
        self.queue.add(key, at)
        if key in self.working:
            again = self.working[key]
            self.working[key] = min(again, at) if again else at
        else:
            self.due[key] = min(self.due.get(key, at), at)

    @rule()
    def take(self) -> None:
        """Somebody is free to work: a due key is given out if there is one, and no other."""
        due = {key for key, at in self.due.items() if at <= self.now}
        key = self.queue.take(self.now)
        assert (key in due) if due else (key is None)
        if key is not None:
            del self.due[key]
            self.working[key] = None

    @precondition(lambda self: self.working)
    @rule(data=st.data(), delay=st.none() | delays)
    def done(self, data: Any, delay: int | None) -> None:
        """Work succeeds."""
        key = data.draw(st.sampled_from(sorted(self.working)))
        wake_at = self.now + timedelta(seconds=delay) if delay is not None else None
        self.queue.done(key, wake_at)
        times = [at for at in (self.working.pop(key), wake_at) if at is not None]
        if times:
            self.due[key] = min(times)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def failed(self, data: Any) -> None:
        """Work fails."""
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.due[key] = self.now + self.queue.failed(key, self.now)
        del self.working[key]

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)

    @invariant()
    def nothing_is_lost(self) -> None:
        """All that is asked for is still there, and the next time is the earliest, or one that has passed."""
        assert len(self.queue) == len(self.due)
        assert self.queue.is_working == bool(self.working)
        earliest, told = min(self.due.values(), default=None), self.queue.next_due()
        assert (told is None) == (earliest is None)
        if told and earliest:
            assert told == earliest or max(told, earliest) <= self.now

    def teardown(self) -> None:
        """In the end everything that is due is given out, each key once."""
        end = self.now + timedelta(days=1)
        assert sorted(taken(self.queue, end)) == sorted(self.due)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)


@given(st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), st.integers(0, 30)), min_size=1, max_size=60))
@settings(deadline=None, derandomize=True)
def test_no_namespace_waits_for_more_than_a_round(asked: list[tuple[str, int]]) -> None:
    """Between two keys of a namespace that waits, each other namespace has one turn at most."""
    queue = Queue()
    for namespace, index in asked:
        queue.add(Key("Agent", namespace, f"agent-{index}"), T0)
    order = [key.namespace for key in taken(queue, T0)]
    for namespace in set(order):
        places = [index for index, each in enumerate(order) if each == namespace]
        for before, here in pairwise(places):
            between = order[before + 1 : here]
            assert len(between) == len(set(between))
