from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from reference_service.guards.fair_share import FairShare

SECOND = 1_000_000_000
MS = SECOND // 1000
START = 1_700_000_000 * SECOND


def taken(share, caller, now_ns, times, gap_ns=5 * MS):
    return sum(share.take(caller, now_ns, gap_ns) for _ in range(times))


def test_a_full_bucket_holds_its_burst_and_no_more():
    assert taken(FairShare(64, 8), "a", START, 100) == 8


def test_a_lone_caller_may_have_the_whole_pace():
    share = FairShare(64, 8)
    assert sum(taken(share, "a", START + k * MS, 10) for k in range(1000)) == 8 + 199


def test_two_callers_have_half_each_however_much_one_asks():
    share = FairShare(64, 1)
    share.take("b", START, 5 * MS)
    a = b = 0
    for k in range(1, 10_000):
        a += taken(share, "a", START + k * MS, 5)
        b += taken(share, "b", START + k * MS, 1) if k % 20 == 0 else 0
    assert a <= 1005
    assert b == 499


def test_who_has_asked_for_nothing_for_a_second_has_no_part():
    share = FairShare(64, 1)
    for name in "abcd":
        share.take(name, START, 5 * MS)
    later = START + 2 * SECOND
    assert sum(taken(share, "a", later + k * 5 * MS, 1) for k in range(100)) == 100


def test_inventing_addresses_gains_nothing():
    share = FairShare(4, 1)
    assert sum(share.take(f"10.0.0.{k}", START, 5 * MS) for k in range(1000)) == 5
    assert share.crowded == 996
    assert not share.take("another", START + MS, 5 * MS)


def test_a_pause_saves_up_no_more_than_the_burst():
    share = FairShare(64, 8)
    assert share.take("a", START, 5 * MS)
    assert taken(share, "a", START + 900 * MS, 100) == 8


def test_a_share_that_shrinks_gives_nothing_back():
    share = FairShare(64, 2)
    assert taken(share, "a", START, 2) == 2
    assert share.take("b", START, 5 * MS)
    assert not share.take("a", START, 5 * MS)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20 * MS)), max_size=400), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_law_nobody_gets_more_than_the_burst_and_the_pace(asked, burst):
    share, now, got, first = FairShare(4, burst), START, {}, {}
    for caller, wait in asked:
        now += wait
        name = str(caller)
        if share.take(name, now, 5 * MS):
            got[name] = got.get(name, 0) + 1
            first.setdefault(name, now)
    for name, count in got.items():
        assert count <= burst + (now - first[name]) / (5 * MS) + 1e-6
