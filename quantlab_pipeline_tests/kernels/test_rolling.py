"""The rolling kernels: equal to their oracles, blind to where an array began, hard on bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.kernels import rolling_order
from quantlab_pipeline.kernels.rolling_autoregression import rolling_ar1
from quantlab_pipeline.kernels.rolling_ewm import anchored_ewm
from quantlab_pipeline.kernels.rolling_extremes import rolling_max, rolling_min
from quantlab_pipeline.kernels.rolling_moments import rolling_mean_deviation
from quantlab_pipeline.kernels.rolling_quantile import rolling_quantile
from quantlab_pipeline.kernels.rolling_rank import rolling_rank
from quantlab_pipeline.kernels.sign_runs import sign_runs
from quantlab_pipeline_tests.oracles import rolling as oracle

Floats = npt.NDArray[np.float64]
Kernel = Callable[[Floats, int], Floats]

_VALUES = st.one_of(
    st.just(float("nan")),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 7.0]),
    st.floats(-1e6, 1e6, allow_nan=False),
)


@st.composite
def _series(draw: st.DrawFn) -> Floats:
    """Up to 60 rows with ties, runs of one value and runs of NaN."""
    runs = draw(st.lists(st.tuples(_VALUES, st.integers(1, 9)), min_size=1, max_size=25))
    return np.repeat([value for value, _ in runs], [length for _, length in runs])[:60]


_WINDOWS = st.integers(2, 17)
_STARTS = st.integers(0, 10**8)


def _agree(got: Floats, want: Floats, scale: float) -> None:
    assert np.array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * scale)


@settings(max_examples=150, deadline=None)
@given(x=_series(), start=_STARTS, window=_WINDOWS, min_valid=st.integers(1, 17))
def test_each_kernel_equals_its_oracle(x: Floats, start: int, window: int, min_valid: int) -> None:
    scale = float(np.nanmax(np.abs(x), initial=1.0))
    mean, deviation = rolling_mean_deviation(x, start, window, min_valid)
    _agree(mean, oracle.mean(x, window, min_valid), scale)
    _agree(deviation, oracle.deviation(x, window, min_valid), scale)
    maximum = rolling_max(x, start, window, min_valid)
    assert np.array_equal(maximum, oracle.maximum(x, window, min_valid), equal_nan=True)
    minimum = rolling_min(x, start, window, min_valid)
    assert np.array_equal(minimum, -oracle.maximum(-x, window, min_valid), equal_nan=True)
    rank = rolling_rank(x, window, min_valid)
    assert np.array_equal(rank, oracle.rank(x, window, min_valid), equal_nan=True)


@settings(max_examples=150, deadline=None)
@given(x=_series(), window=_WINDOWS, min_valid=st.integers(0, 17), q=st.floats(0, 1))
def test_a_quantile_is_numpys_to_the_last_bit(
    x: Floats, window: int, min_valid: int, q: float
) -> None:
    for share in (q, 0.0, 0.5, 1.0):
        got = rolling_quantile(x, window, share, min_valid)
        assert np.array_equal(got, oracle.quantile(x, window, share, min_valid), equal_nan=True)


@settings(max_examples=100, deadline=None)
@given(x=_series(), start=_STARTS, anchor=_WINDOWS, warmup=st.integers(0, 30))
def test_anchored_ewm_equals_each_row_run_alone(
    x: Floats, start: int, anchor: int, warmup: int
) -> None:
    got = anchored_ewm(x, start, 0.25, anchor, warmup, 2)
    assert np.array_equal(got, oracle.ewm(x, start, 0.25, anchor, warmup, 2), equal_nan=True)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**31), start=_STARTS, window=st.integers(4, 40), gaps=st.floats(0, 0.6))
def test_ar1_equals_least_squares(seed: int, start: int, window: int, gaps: float) -> None:
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.normal(0, 1, 80)) * 0.7 + rng.normal(0, 1, 80)
    x[rng.random(80) < gaps] = np.nan
    _agree(rolling_ar1(x, start, window, 4), oracle.ar1(x, window, 4), 1.0)


def test_ar1_without_variation_is_missing() -> None:
    assert np.isnan(rolling_ar1(np.full(50, 3.3), 5, 10, 3)).all()


@settings(max_examples=100, deadline=None)
@given(data=st.data(), window=st.integers(1, 30), cap=st.integers(1, 5))
def test_sign_runs_equals_its_oracle(data: st.DataObject, window: int, cap: int) -> None:
    steps = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=40))
    values = st.sampled_from([-2.0, -1.0, 0.0, 1.0, 3.0, float("nan")])
    value = np.array(data.draw(st.lists(values, min_size=len(steps), max_size=len(steps))))
    fact_at = np.cumsum(np.array(steps, float))
    now = 5.0 + np.maximum.accumulate(fact_at + np.arange(len(steps)))
    got = sign_runs(value, fact_at, now, float(window), cap)
    assert np.array_equal(got, oracle.sign_runs(value, fact_at, now, window, cap), equal_nan=True)


KERNELS: dict[str, tuple[Kernel, int]] = {
    "mean": (lambda x, start: rolling_mean_deviation(x, start, 60, 20)[0], 59),
    "deviation": (lambda x, start: rolling_mean_deviation(x, start, 60, 20)[1], 59),
    "max": (lambda x, start: rolling_max(x, start, 60, 20), 59),
    "rank": (lambda x, _start: rolling_rank(x, 60, 20), 59),
    "quantile": (lambda x, _start: rolling_quantile(x, 60, 0.95, 20), 59),
    "ar1": (lambda x, start: rolling_ar1(x, start, 60, 20), 60),
    "ewm": (lambda x, start: anchored_ewm(x, start, 0.2, 50, 70, 10), 119),
}
"""Each kernel with a window of about an hour, and how many rows before t it may read."""


@pytest.mark.parametrize("name", KERNELS)
def test_a_value_does_not_depend_on_where_the_array_began(name: str) -> None:
    kernel, reach = KERNELS[name]
    rng = np.random.default_rng(3)
    x = np.exp(rng.normal(0, 3, 700))
    x[rng.random(700) < 0.1] = np.nan
    x[300:340] = np.nan
    whole = kernel(x, 1_000)
    for begin in (1, 37, 60, 199, 301, 420):
        part = kernel(x[begin:], 1_000 + begin)[reach:]
        assert part.tobytes() == whole[begin + reach :].tobytes()


@pytest.mark.parametrize("name", KERNELS)
def test_a_value_does_not_depend_on_what_comes_later(name: str) -> None:
    kernel, _ = KERNELS[name]
    x = np.random.default_rng(4).normal(0, 1, 400)
    whole = kernel(x, 77)
    for end in (1, 59, 60, 61, 233, 399):
        assert kernel(x[:end], 77).tobytes() == whole[:end].tobytes()


@pytest.mark.parametrize("name", KERNELS)
def test_infinities_are_refused(name: str) -> None:
    x = np.ones(100)
    x[50] = np.inf
    with pytest.raises(ValueError, match="infinite"):
        KERNELS[name][0](x, 0)


def test_a_constant_window_has_no_deviation_at_all() -> None:
    x = np.full(500, 0.1)
    mean, deviation = rolling_mean_deviation(x, 17, 60, 1)
    assert (mean == 0.1).all()
    assert (deviation[1:] == 0.0).all()


def test_a_small_deviation_survives_a_large_mean() -> None:
    rng = np.random.default_rng(5)
    x = 1e9 + rng.normal(0, 1e-3, 5_000)
    _, deviation = rolling_mean_deviation(x, 11, 1_440, 1_440)
    want = oracle.deviation(x, 1_440, 1_440)
    np.testing.assert_allclose(deviation[1_440:], want[1_440:], rtol=1e-4)


def test_swapping_the_sign_swaps_the_mean_exactly() -> None:
    x = np.random.default_rng(6).normal(0.3, 1, 500)
    assert np.array_equal(
        rolling_mean_deviation(-x, 3, 60, 1)[0], -rolling_mean_deviation(x, 3, 60, 1)[0]
    )


def test_rank_on_ten_thousand_rows_with_ties() -> None:
    rng = np.random.default_rng(8)
    x = np.round(rng.normal(0, 1, 10_000), 1)
    x[rng.random(10_000) < 0.05] = np.nan
    got = rolling_rank(x, 1_440, 360)
    rows = rng.integers(0, 10_000, 400)
    for t in rows:
        window = x[max(t - 1_439, 0) : t + 1]
        want = oracle.last_rank(window, 360)
        assert got[t] == want or (np.isnan(got[t]) and np.isnan(want))


def test_a_quantile_outside_its_range_is_refused() -> None:
    for q in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="does not lie in"):
            rolling_quantile(np.ones(9), 5, q, 1)


def test_ranks_and_quantiles_do_not_depend_on_how_many_rows_are_ordered_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(10)
    x = np.cumsum(np.round(rng.normal(0, 1, 2_000), 1))
    x[rng.random(2_000) < 0.2] = np.nan
    whole = [(rolling_rank(x, w, 1), rolling_quantile(x, w, 0.9, 1)) for w in (1, 7, 64, 333)]
    monkeypatch.setattr(rolling_order, "CHUNK_ROWS", 128)
    for w, (rank, quantile) in zip((1, 7, 64, 333), whole, strict=True):
        assert rolling_rank(x, w, 1).tobytes() == rank.tobytes()
        assert rolling_quantile(x, w, 0.9, 1).tobytes() == quantile.tobytes()


_HOSTILE: dict[str, Floats] = {
    "nothing": np.array([]),
    "one row": np.array([3.0]),
    "all missing": np.full(300, math.nan),
    "one valid row": np.where(np.arange(300) == 150, 2.0, math.nan),
    "two zeros": np.where(np.arange(300) % 3 == 0, -0.0, np.arange(300) % 2),
    "subnormal": np.arange(300)[::-1] * 5e-324,
    "huge": 1.7e308 * np.linspace(-1, 1, 300),
    "neighbours": np.cumsum(np.full(300, np.spacing(1e9))) + 1e9,
    "a saw": np.where(np.arange(300) % 2 == 0, 1e6, -1e6) + np.arange(300),
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_ranks_and_quantiles_of_hostile_input(name: str) -> None:
    x = _HOSTILE[name]
    for window in (1, 2, 64, 65, 299, 5_000):
        rank = rolling_rank(x, window, 1)
        assert np.array_equal(rank, oracle.rank(x, window, 1), equal_nan=True)
        with np.errstate(over="ignore", invalid="ignore"):
            want = oracle.quantile(x, window, 0.25, 1)
        assert np.array_equal(rolling_quantile(x, window, 0.25, 1), want, equal_nan=True)


@pytest.mark.parametrize("outlier_every", [7, 37, 1_000])
def test_a_mean_and_a_deviation_are_exact_beside_outliers(outlier_every: int) -> None:
    x = np.random.default_rng(11).normal(0, 1e-3, 2_000)
    x[::outlier_every] = 1e9
    mean, deviation = rolling_mean_deviation(x, 5, 60, 60)
    for t in (60, 777, 1_059, 1_999):
        rows = [Fraction(v) for v in x[t - 59 : t + 1].tolist()]
        centre = sum(rows) / 60
        apart = math.sqrt(sum((v - centre) ** 2 for v in rows) / 59)
        assert mean[t] == pytest.approx(float(centre), rel=1e-13, abs=1e-17)
        assert deviation[t] == pytest.approx(apart, rel=1e-12)


def test_a_deviation_whose_square_overflows_is_missing() -> None:
    mean, deviation = rolling_mean_deviation(np.array([1e200, -1e200, 1.0, 2.0]), 0, 2, 1)
    assert np.isfinite(mean).all()
    assert np.isnan(deviation[:3]).all()
    assert deviation[3] == pytest.approx(math.sqrt(0.5))


def test_an_anchored_ewm_forgets_its_start() -> None:
    x = np.random.default_rng(9).normal(0, 1, 6_000)
    short = anchored_ewm(x, 0, 1 / 60, 1_440, 1_440, 60)[4_000:]
    long = anchored_ewm(x, 0, 1 / 60, 1_440, 2_880, 60)[4_000:]
    assert np.max(np.abs(short - long)) < 1e-6
