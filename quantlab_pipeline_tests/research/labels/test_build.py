"""Labels against their definition, their invariants, and the way a range was cut."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import MINUTE
from quantlab_pipeline.research.labels.build import build_labels, gap_lengths, path_labels
from quantlab_pipeline.research.labels.schema import HORIZONS_MIN, LABELS_FWD
from quantlab_pipeline_tests.oracles import label_paths
from quantlab_pipeline_tests.research.labels.builders import bars, label_specs, no_book

START = datetime(2025, 3, 1, tzinfo=UTC)
DAYS = [date(2025, 3, d) for d in (1, 2, 3, 4)]
SPECS = label_specs()
LENGTHS = list(HORIZONS_MIN.values())


def _walk(n: int, seed: int, gap_share: float = 0.0) -> list[float | None]:
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(np.cumsum(rng.standard_normal(n) * 1e-3))
    gone = rng.random(n) < gap_share
    return [None if g else float(p) for p, g in zip(prices, gone, strict=True)]


def _labels_of(prices: list[float | None]) -> np.ndarray:
    raw = np.array([np.nan if p is None else p for p in prices])
    fresh = ~np.isnan(raw)
    newest = np.maximum.accumulate(np.where(fresh, np.arange(len(raw)), 0))
    return path_labels(raw[newest], fresh, SPECS)


@pytest.mark.parametrize(("seed", "gap_share"), [(1, 0.0), (2, 0.004), (3, 0.03), (4, 0.3)])
def test_kernel_equals_the_scalar_definition(seed: int, gap_share: float) -> None:
    prices = [100.0, *_walk(5200, seed, gap_share)]
    labels = _labels_of(prices)
    rng = np.random.default_rng(seed)
    around_tile = range(4070, 4110)
    for t in [*rng.integers(0, len(prices), 250).tolist(), *around_tile]:
        for k, horizon in enumerate(LENGTHS):
            expected = label_paths.label(prices, t, horizon)
            if expected is None:
                assert np.isnan(labels[k, :, t]).all()
            else:
                np.testing.assert_allclose(labels[k, :, t], expected, rtol=0, atol=1e-12)


def test_planted_path_has_exact_values() -> None:
    closes = [100.0, 200.0, 240.0, 150.0, 210.0, 100.0, 220.0, 400.0]
    table = build_labels(bars("A", START, closes), no_book(), SPECS, DAYS[:1], ["A"])
    row = table.row(0, named=True)
    assert row["fwd_ret_5m"] == pytest.approx(math.log(220 / 200), abs=1e-12)
    assert row["mfe_5m"] == pytest.approx(math.log(240 / 200), abs=1e-12)
    assert row["mae_5m"] == pytest.approx(math.log(100 / 200), abs=1e-12)
    assert row["price_source"] == "close"
    assert row["available_at"] - row["ts"] == timedelta(hours=24, minutes=1)
    assert table["fwd_ret_15m"].null_count() == len(closes)
    assert table["fwd_ret_5m"].to_list()[2:] == [None] * 6


@given(
    moves=st.lists(st.floats(-0.05, 0.05), min_size=70, max_size=140),
    scale=st.floats(1e-4, 1e4),
)
@settings(max_examples=40, deadline=None)
def test_invariants_of_the_path(moves: list[float], scale: float) -> None:
    prices: list[float | None] = [float(p) for p in 100 * np.exp(np.cumsum(moves))]
    ret, mfe, mae = (_labels_of(prices)[:, j] for j in range(3))
    known = ~np.isnan(ret)
    assert (mae[known] <= np.minimum(0, ret[known])).all()
    assert (mfe[known] >= np.maximum(0, ret[known])).all()
    longer_known = known[1:]
    assert (mfe[1:][longer_known] >= mfe[:-1][longer_known]).all()
    assert (mae[1:][longer_known] <= mae[:-1][longer_known]).all()
    inverted = _labels_of([1 / p for p in prices if p is not None])
    np.testing.assert_allclose(inverted[:, 0], -ret, atol=1e-12)
    np.testing.assert_allclose(inverted[:, 1], -mae, atol=1e-12)
    np.testing.assert_allclose(inverted[:, 2], -mfe, atol=1e-12)
    scaled = _labels_of([p * scale for p in prices if p is not None])
    np.testing.assert_allclose(scaled[:, 1], mfe, atol=1e-12)


def test_a_day_alone_equals_the_range() -> None:
    closes = _walk(4 * 1440, 7, 0.01)
    closes[2870:2900] = [None] * 30
    frame = pl.concat([bars("A", START, closes), bars("B", START, _walk(4 * 1440, 8, 0.002))])
    whole = build_labels(frame, no_book(), SPECS, DAYS[:2], ["A", "B"])
    for i in (0, 1):
        begin = START + timedelta(days=i)
        visible = frame.filter((pl.col("ts") > begin) & (pl.col("ts") <= begin + timedelta(days=3)))
        alone = build_labels(visible, no_book(), SPECS, [DAYS[i]], ["A", "B"])
        of_day = whole.filter((pl.col("ts") > begin) & (pl.col("ts") <= begin + timedelta(days=1)))
        assert alone.equals(of_day)
    LABELS_FWD.validate(whole)


def test_delisting_and_the_samples_end_leave_nulls() -> None:
    table = build_labels(bars("A", START, _walk(300, 3)), no_book(), SPECS, DAYS[:1], ["A"])
    assert table["fwd_ret_1h"].null_count() == 61
    assert table["fwd_ret_24h"].null_count() == 300


def test_missing_entry_exit_and_path() -> None:
    closes = _walk(400, 5)
    closes[101] = None
    closes[200:203] = [None] * 3
    closes[300:304] = [None] * 4
    labels = _labels_of(closes)
    assert np.isnan(labels[0, 0, 100])
    assert np.isnan(labels[0, 0, 96]), "5 m tolerates no missing minute in its path"
    assert not np.isnan(labels[3, 0, 96])
    hour_exit_in_short_gap, hour_exit_in_long_gap = 201 - 61, 301 - 61
    assert not np.isnan(labels[2, 0, hour_exit_in_short_gap])
    assert np.isnan(labels[2, 0, hour_exit_in_long_gap])
    assert np.isnan(labels[2, 0, 290]), "4 of 60 minutes is over 5 %"


def test_gap_lengths_of_open_gaps_are_without_limit() -> None:
    fresh = np.array([False, True, False, False, True, False])
    assert gap_lengths(fresh)[1:5].tolist() == [0, 2, 2, 0]
    assert gap_lengths(fresh)[0] > 10**9
    assert gap_lengths(fresh)[5] > 10**9


def test_source_is_the_entrys() -> None:
    frame = bars("A", START, [100.0] * 10)
    book = pl.DataFrame(
        {"symbol": ["A"], "leg": ["perp"], "ts": [START + 4 * MINUTE], "mid_last": [100.5]}
    ).with_columns(pl.col("ts").cast(frame.schema["ts"]))
    table = build_labels(frame, book, SPECS, DAYS[:1], ["A"])
    sources = table["price_source"].to_list()
    assert sources[2] == "mid"
    assert sources[3] == "close"
    assert table["fwd_ret_5m"][2] == pytest.approx(math.log(100 / 100.5), abs=1e-12)


def test_unknown_symbols_and_days_give_no_rows() -> None:
    frame = bars("A", START, [100.0] * 10)
    assert build_labels(frame, no_book(), SPECS, [date(2024, 1, 1)], ["A"]).is_empty()
    assert build_labels(frame, no_book(), SPECS, DAYS[:1], ["B"]).is_empty()
