"""The null markets of the tail experiment are null, and it sees a rule that rejects too often."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.calibration import tail
from quantlab_pipeline.core.seeds import generator

N_QUICK, N_FULL, ALARM_Z = 12, 4_000, 3.09


def _row(sizes, rule, level):
    return sizes.filter(pl.col("rule") == rule, pl.col("level") == level).row(0, named=True)


@pytest.mark.parametrize("kind", ["heavy", "crash"])
def test_no_minute_of_a_null_market_has_an_expected_return(kind):
    means = []
    for k in range(20):
        prices = tail.null_prices(generator(1, k), kind)
        moves = np.diff(prices, axis=1) / prices[:, :-1]
        means.append(moves.mean())
    standard_error = np.std(means, ddof=1) / np.sqrt(len(means))
    assert abs(np.mean(means)) < ALARM_Z * standard_error
    kurtosis = np.mean((moves - moves.mean()) ** 4) / np.var(moves) ** 2
    assert kurtosis > 6, "tails are heavy"


def test_crashes_raise_the_volatility_after_them():
    prices = tail.null_prices(generator(7, 0), "crash")
    moves = np.diff(prices[0]) / prices[0, :-1]
    falls = [t for t in np.flatnonzero(moves < -0.02) if 60 < t < moves.size - 61]
    after = np.mean([np.std(moves[t + 1 : t + 61]) for t in falls])
    before = np.mean([np.std(moves[t - 60 : t]) for t in falls])
    assert after > 1.3 * before


def test_every_trigger_fires_knows_only_its_past_and_cools_down():
    prices = tail.null_prices(generator(3, 0), "heavy")
    cut = 40_000
    shocked = prices.copy()
    shocked[:, cut + 1 :] *= 1.5
    whole = tail.triggers(prices, generator(3, "shocks"))
    early = tail.triggers(shocked, generator(3, "shocks"))
    for name, (rows, sign), (rows_early, _) in zip(tail.TRIGGERS, whole, early, strict=True):
        assert len(rows) > 5, name
        assert set(np.unique(sign)) <= {-1.0, 1.0}
        np.testing.assert_array_equal(rows[rows[:, 1] <= cut], rows_early[rows_early[:, 1] <= cut])
        for i in range(tail.N_SYMBOLS):
            assert (np.diff(rows[rows[:, 0] == i, 1]) >= tail.COOLDOWN_MIN).all()


def test_size_is_nominal():
    sizes = tail.tail_sizes(11, N_QUICK, "heavy")
    for level in (0.05, 0.01):
        found = _row(sizes, "v1", level)
        assert found["ratio"] <= 1.0 + ALARM_Z * max(found["ratio_se"], 0.1)
        assert found["ratio"] <= _row(sizes, "raw", level)["ratio"]


def test_a_rule_that_takes_events_for_independent_is_seen(monkeypatch):
    """Each symbol by itself, squares added: the shared shocks are counted five times."""

    def blind(prices, events):
        alone = [
            tail_p(prices, [(rows[rows[:, 0] == i], sign[rows[:, 0] == i])])
            for rows, sign in events
            for i in range(tail.N_SYMBOLS)
        ]
        from scipy.special import ndtr, ndtri

        z = -ndtri(np.stack(alone)).sum(axis=0) / np.sqrt(len(alone))
        return ndtr(-z)

    def shocks_alone(prices, rng):
        rows = tail._cooled(tail._shared(rng, prices.shape))
        return [(rows, np.ones(len(rows)))]

    tail_p = tail.p_values
    monkeypatch.setattr(tail, "triggers", shocks_alone)
    monkeypatch.setattr(tail, "p_values", blind)
    monkeypatch.setattr(tail, "MIN_EVENTS", 5)
    monkeypatch.setattr(tail, "MIN_DAYS", 5)
    sizes = tail.tail_sizes(12, 40, "heavy")
    found = _row(sizes, "raw", 0.05)
    assert found["ratio"] > 1.0 + ALARM_Z * found["ratio_se"]


@pytest.mark.calibrate
def test_the_same_sizes_come_from_any_number_of_workers():
    assert tail.tail_sizes(11, 120, "heavy").equals(tail.tail_sizes(11, 120, "heavy", workers=2))


@pytest.mark.calibrate
@pytest.mark.parametrize("kind", ["heavy", "crash"])
def test_full_tail_is_no_heavier_than_nominal(kind):
    """K = 4,000 worlds, 320,000 tests: no level down to 1e-4 is exceeded beyond chance."""
    sizes = tail.tail_sizes(13, N_FULL, kind, workers=2)
    for row in sizes.filter(pl.col("rule") == "v1", pl.col("level") >= 1e-4).iter_rows(named=True):
        assert row["ratio"] <= 1.0 + ALARM_Z * max(row["ratio_se"], 0.05), row
