"""When the webhook's certificates are renewed, and that no replica ever serves with what is not trusted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from proctor.plan.certificates import Authority, Kept, Lifetimes, Renewal, Serving, plan

T0 = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
HOSTS = ("proctor-operator.proctor-system.svc",)
LIFETIMES = Lifetimes(authority=timedelta(days=365), serving=timedelta(days=90))


def carried_out(kept: Kept, renewal: Renewal, made: int, hosts: tuple[str, ...] = HOSTS) -> Kept:
    """What the Secret holds afterwards; `made` names a new authority."""
    authorities = tuple(each for each in kept.authorities if each.name in renewal.trusted)
    if renewal.authority is not None:
        authorities = (*authorities, Authority(f"authority-{made}", renewal.authority))
    serving = Serving(authorities[-1].name, hosts, renewal.serving) if renewal.serving else kept.serving
    return Kept(authorities, serving)


def first() -> Kept:
    """What is made when there is nothing."""
    return carried_out(Kept(), plan(Kept(), frozenset(), HOSTS, LIFETIMES, T0), 0)


def named(kept: Kept) -> frozenset[str]:
    """The authorities, as the API server trusts them once it was told."""
    return frozenset(each.name for each in kept.authorities)


def test_nothing_kept_means_both_anew():
    """An empty or a broken Secret is filled at once."""
    renewal = plan(Kept(), frozenset(), HOSTS, LIFETIMES, T0)
    assert renewal.authority is not None
    assert renewal.serving is not None
    assert not renewal.trusted


def test_at_rest_nothing_is_renewed():
    """Before two thirds of the lifetime a look changes nothing."""
    kept = first()
    for days in (0, 30, 59):
        assert plan(kept, named(kept), HOSTS, LIFETIMES, T0 + timedelta(days=days)).is_noop


def test_a_serving_certificate_is_renewed_at_two_thirds():
    """By the same authority: nobody has to be told."""
    kept = first()
    renewal = plan(kept, named(kept), HOSTS, LIFETIMES, T0 + timedelta(days=61))
    assert renewal.authority is None
    assert renewal.serving is not None
    assert renewal.serving.ends == T0 + timedelta(days=61 + 90)


def test_a_certificate_for_another_name_is_replaced():
    """The installation moved to another namespace."""
    kept = first()
    assert plan(kept, named(kept), ("proctor-operator.elsewhere.svc",), LIFETIMES, T0).serving is not None


def test_a_new_authority_signs_only_once_it_is_trusted():
    """First it is made, then the API server is told, then, a moment later, it signs; the old one stays till it ends."""
    kept, late = first(), T0 + timedelta(days=250)
    kept = carried_out(kept, plan(kept, named(kept), HOSTS, LIFETIMES, T0 + timedelta(days=200)), 1)
    renewal = plan(kept, named(kept), HOSTS, LIFETIMES, late)
    assert renewal.authority is not None
    assert renewal.serving is None
    trusted, kept = named(kept), carried_out(kept, renewal, 2)
    assert len(kept.authorities) == 2
    assert plan(kept, trusted, HOSTS, LIFETIMES, late + timedelta(minutes=5)).is_noop
    assert plan(kept, named(kept), HOSTS, LIFETIMES, late + timedelta(seconds=5)).is_noop
    renewal = plan(kept, named(kept), HOSTS, LIFETIMES, late + timedelta(minutes=1))
    assert renewal.serving is not None
    assert len(renewal.trusted) == 2
    kept = carried_out(kept, renewal, 3)
    assert kept.serving is not None
    assert kept.serving.signed_by == "authority-2"
    assert plan(kept, named(kept), HOSTS, LIFETIMES, T0 + timedelta(days=366)).trusted == ("authority-2",)


@given(st.lists(st.tuples(st.integers(1, 200_000), st.booleans()), min_size=1, max_size=60))
def test_whatever_the_looks_nothing_untrusted_is_served(looks):
    """While what is served with is valid, it is replaced only by what the API server trusts already.

    However long apart the leader's looks are, and whether or not they reach the API server.
    """
    lifetimes = Lifetimes(authority=timedelta(hours=60), serving=timedelta(hours=20))
    now, kept, trusted = T0, Kept(), frozenset[str]()
    for number, (seconds, reaches) in enumerate(looks):
        now += timedelta(seconds=seconds)
        served, renewal = kept.serving, plan(kept, trusted, HOSTS, lifetimes, now)
        kept = carried_out(kept, renewal, number)
        assert kept.serving is not None
        assert kept.serving.valid.holds(now)
        assert kept.serving.signed_by in named(kept)
        assert now < renewal.wake_at
        if served is not None and served.valid.holds(now) and served != kept.serving and served.signed_by in trusted:
            assert kept.serving.signed_by in trusted
        if reaches:
            trusted = named(kept)
