"""The tail of the chi-square distribution beside SciPy's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import chdtrc

from sickbay.stats.chisquare import tail


@given(free=st.integers(1, 2000), ratio=st.floats(1e-6, 20))
def test_the_tail_is_scipys(free, ratio):
    statistic = ratio * free
    assert tail(statistic, free) == pytest.approx(float(chdtrc(free, statistic)), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("free", [1, 2, 3, 50, 1001])
def test_the_ends(free):
    assert (tail(0.0, free), tail(-1.0, free), tail(math.inf, free)) == (1.0, 1.0, 0.0)
    assert math.isnan(tail(math.nan, free))
    assert 0.0 <= tail(1e9, free) < 1e-300


def test_without_degrees_of_freedom_there_is_no_tail():
    with pytest.raises(ValueError, match="0 degrees of freedom"):
        tail(1.0, 0)
