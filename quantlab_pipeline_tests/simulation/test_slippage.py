"""Slippage of bar fills: golden numbers, monotone in both parameters, unknown where it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.simulation.slippage import (
    SlippageModel,
    one_minute_bps,
    slippage_bps,
    slipped,
)

some = st.floats(0.0, 50.0)


def test_a_buy_and_a_sell_slip_by_base_and_volatility_to_the_last_digit():
    """A day's 379.4733... bps are 10 bps a minute; 0.5 + 0.1 x 10 = 1.5 bps a side."""
    minute = one_minute_bps(np.array([10.0 * np.sqrt(1440.0)]))
    bps = slippage_bps(SlippageModel(base_bps=0.5, vol_multiple=0.1), minute)
    np.testing.assert_allclose(bps, [1.5], rtol=1e-12)
    side = np.array([1, -1], dtype=np.int8)
    got = slipped(np.array([50_000.0, 50_000.0]), side, np.repeat(bps, 2))
    np.testing.assert_allclose(got, [50_007.5, 49_992.5], rtol=1e-12)


@given(some, some, st.floats(0, 2), st.floats(0, 2), st.lists(some, min_size=1, max_size=5))
def test_slippage_never_falls_with_base_multiple_or_volatility(base, more, k, more_k, sigma):
    calm = np.array(sigma)
    now = slippage_bps(SlippageModel(base_bps=base, vol_multiple=k), calm)
    assert (slippage_bps(SlippageModel(base_bps=base + more, vol_multiple=k), calm) >= now).all()
    assert (slippage_bps(SlippageModel(base_bps=base, vol_multiple=k + more_k), calm) >= now).all()
    assert (slippage_bps(SlippageModel(base_bps=base, vol_multiple=k), calm + 1.0) >= now).all()
    assert (now >= 0.0).all()


def test_an_unknown_volatility_is_an_unknown_slippage_and_a_negative_one_is_refused():
    model = SlippageModel(base_bps=1.0, vol_multiple=0.1)
    assert np.isnan(slippage_bps(model, np.array([np.nan]))[0])
    with pytest.raises(ValueError, match="negative"):
        slippage_bps(model, np.array([-1.0]))
