from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from simulator.world import portable, portable_table


def units(n=200_001):
    """Uniforms as `Draw` makes them, multiples of 2**-53, with the extremes."""
    edges = [0.0, 2.0**-53, 2.0**-30, 0.25, 0.5 - 2.0**-53, 0.5, 0.75, 1 - 2.0**-30, 1 - 2.0**-53]
    return np.concatenate([edges, np.floor(np.linspace(0, 1, n)[:-1] * 2**53) / 2**53])


def test_normal_quantile_is_scipys_within_1e_8():
    u = units()
    # Far in the upper tail u + 2**-54 is not a double, so the reference uses the symmetry as well.
    reference = np.where(u < 0.5, special.ndtri(u + 2.0**-54), -special.ndtri((1 - u) - 2.0**-54))
    assert np.abs(portable.normal_quantile(u) - reference).max() < 1e-8


def test_normal_quantile_is_symmetric_and_rises():
    u = np.sort(units())
    z = portable.normal_quantile(u)
    assert (np.diff(z) >= 0).all()
    mirrored = portable.normal_quantile((1 - u) - 2.0**-53)
    np.testing.assert_array_equal(mirrored[u < 0.5], -z[u < 0.5])


def test_exponential_quantile_is_scipys_within_2e_9():
    u = units()
    assert np.abs(portable.exponential_quantile(u) + special.log1p(-u)).max() < 2e-9


def test_logarithms_and_exponentials_match_libm():
    x = 10.0 ** np.linspace(-300, 300, 100_001)
    assert np.abs(portable.log2(x) - np.log2(x)).max() < 2e-9
    y = np.linspace(-600, 600, 100_001)
    assert np.abs(portable.exp(y) / np.exp(y) - 1).max() < 1e-10
    z = np.linspace(-40, 40, 10_001)
    assert np.abs(portable.logistic(z) - special.expit(z)).max() < 1e-10


def test_powers_of_two_are_exact():
    exponents = np.arange(-300, 300)
    powers = np.ldexp(1.0, exponents)
    np.testing.assert_array_equal(portable.exp2(exponents.astype(float)), powers)
    np.testing.assert_array_equal(portable.log2(powers), exponents)


def test_the_committed_table_is_what_the_generator_makes():
    committed = np.load(portable_table.PATH, allow_pickle=False)
    assert committed.tobytes() == portable_table.make().tobytes()


def test_an_altered_table_is_refused(tmp_path, monkeypatch):
    altered = tmp_path / "portable.npy"
    raw = bytearray(portable_table.PATH.read_bytes())
    raw[-1] ^= 1
    altered.write_bytes(raw)
    monkeypatch.setattr(portable, "PATH", altered)
    with pytest.raises(portable.TableAlteredError, match="not the committed table"):
        portable._load()
