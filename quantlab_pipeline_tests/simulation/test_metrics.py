import csv
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.simulation import metrics
from quantlab_pipeline.simulation.metrics import (
    Moments,
    deflated_sharpe,
    expected_max_sharpe,
    max_drawdown,
    min_track_record,
    moments,
    probabilistic_sharpe,
    probabilistic_sharpes,
    profit_factor,
    robust_variance,
    sharpe,
    sortino,
    time_to_recovery,
    win_rate,
    worst_1pct,
)
from quantlab_pipeline_tests.oracles import metrics as oracle

GOLDEN = Path(__file__).parent / "golden"
PAPER = Moments(sharpe=2.5 / math.sqrt(250), skew=-3.0, kurtosis=10.0, n=1250)


@pytest.mark.parametrize(("trials", "dsr"), [(100, 0.9004), (88, 0.9102), (46, 0.9505)])
def test_the_deflated_sharpe_ratio_repeats_the_paper(trials, dsr):
    assert deflated_sharpe(PAPER, 0.5 / 250, trials).value == pytest.approx(dsr, abs=5e-5)


def test_the_expected_best_of_worthless_trials_meets_its_golden_numbers():
    assert expected_max_sharpe(0.5 / 250, 100) == pytest.approx(0.1132, abs=5e-5)
    best = [expected_max_sharpe(1.0, n) for n in (10, 100, 450, 1000)]
    assert best == pytest.approx([1.5746, 2.5306, 3.0207, 3.2551], abs=5e-5)
    assert expected_max_sharpe(1.0, 1) == 0.0


@pytest.mark.parametrize(
    ("annual", "skew", "kurtosis", "years"),
    [(1.0, 0.0, 3.0, 2.712), (2.0, 0.0, 3.0, 0.683), (1.0, -1.0, 10.0, 2.867)],
)
def test_the_minimum_track_record_meets_its_golden_numbers(annual, skew, kurtosis, years):
    m = Moments(annual / math.sqrt(365), skew, kurtosis, 0)
    value = min_track_record(m).value
    assert value is not None
    assert value / 365 == pytest.approx(years, abs=5e-4)


def golden(name):
    with (GOLDEN / name).open(newline="") as file:
        return list(csv.DictReader(file))


def golden_series():
    series = {}
    for row in golden("returns.csv"):
        series.setdefault(row["series"], []).append(row["pnl"])
    return series


@pytest.mark.parametrize("figure", [f.__name__ for f in oracle.FIGURES])
def test_every_figure_meets_its_golden_value_to_1e_9(figure):
    rows = [row for row in golden("metrics.csv") if row["figure"] == figure]
    series = golden_series()
    assert [row["series"] for row in rows] == list(series)
    for row in rows:
        pnl = series[row["series"]]
        by_loops = getattr(oracle, figure)([Decimal(v) for v in pnl])
        got = getattr(metrics, figure)(np.array(pnl, dtype=np.float64))
        if row["reason"]:
            assert (got.value, got.reason, by_loops) == (None, row["reason"], row["reason"])
        else:
            assert abs(Decimal(row["value"]) - by_loops) < Decimal("1e-15")
            assert abs(got.value - float(row["value"])) <= 1e-9


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_recovery_is_counted_from_the_first_deepest_trough_to_the_old_peak(moves):
    got = time_to_recovery(np.array(moves) * 0.1)
    by_loops = oracle.time_to_recovery([Decimal(m) for m in moves])
    if isinstance(by_loops, str):
        assert got.reason == by_loops
    else:
        assert got.value == float(by_loops)


def test_the_worst_hundredth_is_whole_days_and_at_least_one():
    days = -np.arange(1.0, 251.0)
    assert worst_1pct(days).value == -249.5
    assert worst_1pct(days[:99]).value == -99.0


def test_ratios_meet_a_hand_case():
    daily = np.array([0.01, -0.02, 0.03, 0.0])
    assert sharpe(daily).value == pytest.approx(0.005 / daily.std(ddof=1) * math.sqrt(365))
    assert sortino(daily).value == pytest.approx(0.005 / math.sqrt(0.0004 / 4) * math.sqrt(365))
    assert max_drawdown(daily).value == pytest.approx(0.02)
    assert max_drawdown(np.array([-0.01, -0.01])).value == pytest.approx(0.02)
    assert win_rate(daily).value == 0.5
    assert profit_factor(daily).value == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("measure", "values", "reason"),
    [
        (sharpe, [0.1], "FEWER_THAN_2_DAYS"),
        (sharpe, [0.1, 0.1, 0.1], "NO_VARIATION"),
        (sortino, [0.1, 0.2], "NO_LOSING_DAY"),
        (max_drawdown, [], "NO_DAYS"),
        (time_to_recovery, [], "NO_DAYS"),
        (worst_1pct, [], "NO_DAYS"),
        (metrics.tail_5pct, [], "NO_DAYS"),
        (metrics.legacy_drawdown_of_peak, [], "NO_DAYS"),
        (metrics.legacy_sharpe_252, [0.1], "FEWER_THAN_2_DAYS"),
        (win_rate, [], "NO_TRADES"),
        (profit_factor, [1.0], "NO_LOSING_TRADE"),
    ],
)
def test_what_is_undefined_is_none_with_its_reason(measure, values, reason):
    got = measure(np.array(values, dtype=np.float64))
    assert (got.value, got.reason) == (None, reason)


def test_a_sharpe_ratio_below_its_benchmark_has_no_track_record():
    assert min_track_record(Moments(-0.1, 0.0, 3.0, 100)).reason == "SHARPE_NOT_ABOVE_BENCHMARK"


def test_nan_is_refused_rather_than_skipped():
    with pytest.raises(ValueError, match="finite"):
        sharpe(np.array([0.1, np.nan]))


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=50))
def test_moments_agree_with_scipy(values):
    from scipy import stats

    x = np.array(values)
    m = moments(x)
    if m is None or x.std() < 1e-6:
        return
    assert m.skew == pytest.approx(stats.skew(x), abs=1e-6)
    assert m.kurtosis == pytest.approx(stats.kurtosis(x, fisher=False), rel=1e-6)


def test_more_trials_never_raise_the_deflated_sharpe_ratio():
    values = [deflated_sharpe(PAPER, 0.5 / 250, n).value for n in (1, 2, 10, 100, 1000)]
    assert values == sorted(values, reverse=True)
    assert values[0] == probabilistic_sharpe(PAPER).value


def test_rows_together_have_the_figures_of_each_alone():
    rows = np.random.default_rng(3).standard_t(4, (20, 90)) + 0.1
    rows[4], rows[5] = 0.0, 2.5
    found = probabilistic_sharpes(rows, 0.05)
    for row, value in zip(rows, found, strict=True):
        alone = moments(row)
        expected = None if alone is None else probabilistic_sharpe(alone, 0.05).value
        assert (expected is None) == np.isnan(value)
        assert expected is None or value == pytest.approx(expected, rel=1e-12)
    assert np.isnan(probabilistic_sharpes(rows[:, :2])).all()
    assert moments(rows[4]) is moments(rows[0][:2]) is None


def test_moments_equal_those_of_scipy():
    from scipy.stats import kurtosis, skew

    row = np.random.default_rng(4).standard_t(4, 200)
    found = moments(row)
    assert found is not None
    assert found.sharpe == pytest.approx(row.mean() / row.std(ddof=1), rel=1e-12)
    assert found.skew == pytest.approx(skew(row), rel=1e-12)
    assert found.kurtosis == pytest.approx(kurtosis(row, fisher=False), rel=1e-12)


def test_the_robust_variance_is_that_of_the_many_whatever_the_few_are():
    values = np.random.default_rng(5).standard_normal(4001)
    assert robust_variance(values) == pytest.approx(1.0, abs=0.1)
    values[:40] = 1e6
    assert robust_variance(values) == pytest.approx(1.0, abs=0.1)
    assert robust_variance(np.empty(0)) == 0.0
