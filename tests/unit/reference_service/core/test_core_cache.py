"""The exact cache: what it returns is what was put, it stays in its bounds, and it stands aside where it is no use."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_service.core import cache as caching
from reference_service.core.cache import Cache, Known, pays


def entry(key=b"k"):
    return caching._ENTRY + len(key)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=80), st.integers(0, 6))
def test_it_only_says_what_it_was_told_and_stays_within_its_bound(asked, room):
    cache = Cache(room * entry())
    for number in asked:
        key = bytes([number])
        found = cache.get(key)
        assert found in (None, float(number))
        if found is None:
            cache.put(key, float(number))
            assert (cache.get(key) == float(number)) == (room > 0)
        assert len(cache) <= room
    assert cache.hits + cache.misses >= len(asked)


def test_what_is_asked_for_again_outlives_what_is_not():
    cache = Cache(3 * entry())
    for key in (b"a", b"b", b"c"):
        cache.put(key, 1.0)
    cache.get(b"a")
    cache.put(b"d", 1.0)
    assert [cache.get(key) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    assert cache.evictions == 1


def test_the_bound_is_kept_in_bytes_of_memory():
    limit = 1 << 20
    tracemalloc.start()
    cache = Cache(limit)
    for number in range(20_000):
        cache.put(bytes(32) + number.to_bytes(20, "big"), float(number))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.5 * limit < held <= limit
    assert cache.evictions > 10_000


def test_two_bundles_never_share_a_margin():
    def encode(values, codes):
        codes[:] = values

    cache = Cache(1 << 16)
    one, other = (Known(cache, digest * 32, 2, encode) for digest in ("aa", "bb"))
    row, near = np.array([[1.0, 2.0]]), np.array([[1.0, 3.0]])
    cache.put(one.key(row), 5.0)
    assert one.get(one.key(row)) == 5.0
    assert one.get(one.key(near)) is None
    assert other.get(other.key(row)) is None


@pytest.mark.parametrize(("always", "looks"), [(False, False), (True, True)])
def test_it_rests_after_a_window_that_was_not_worth_it(always, looks):
    cache = Cache(1 << 16, always=always)
    for number in range(caching._WINDOW):
        assert cache.worth()
        cache.get(number.to_bytes(4, "big"))
    assert cache.worth() is looks


def test_it_looks_again_after_its_rest_and_goes_on_while_it_is_worth_it():
    cache = Cache(1 << 16)
    cache.put(b"k", 1.0)
    for _ in range(caching._WINDOW):
        cache.get(b"?")
    assert sum(not cache.worth() for _ in range(2 * caching._REST)) == caching._REST
    for _ in range(3 * caching._WINDOW):
        assert cache.worth()
        cache.get(b"k")


def test_only_forests_that_are_slow_enough_have_one():
    assert not pays(7)  # 200 trees of 31 leaves
    assert pays(63)  # 2,000
