"""The feature page: coverage, distribution and drift of every column, and what PIT-1 says of it."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import DAY_MINUTES, days_between, minute_grid
from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.reports.charts_heat import VOID
from quantlab_pipeline.reports.feature_data import (
    FeatureFacts,
    FeaturePage,
    FeatureSummary,
    feature_page,
    stride_for,
    summarise_features,
)
from quantlab_pipeline.reports.feature_page import (
    coverage_level,
    distance_level,
    render_feature_page,
    sentence,
)
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline_tests.reports.pages import opens_alone

SPECS = Project().features()
FIRST = date(2025, 2, 1)
SYMBOLS = ("BBBUSDT", "AAAUSDT")
NAMES = ("ret_1m_bps", "spread_bps", "compression_flag")
FACTS = FeatureFacts("study_x", "market_y", False, FIRST + timedelta(days=99))


def span(n_days: int) -> list[date]:
    return days_between(FIRST, FIRST + timedelta(days=n_days - 1))


def frames(
    days: Sequence[date], symbols: Sequence[str] = SYMBOLS, names: Sequence[str] = NAMES
) -> Iterator[tuple[date, pl.DataFrame]]:
    """Days of `features_pt`; the second day lacks the first symbol, spreads begin at noon of the
    first day, and the flag is set on one minute in a hundred.
    """
    for d, day in enumerate(days):
        grid = minute_grid([day])
        here = symbols if d != 1 else symbols[1:]
        parts = []
        for i, symbol in enumerate(here):
            rng = np.random.default_rng([d, i])
            columns = {name: rng.standard_normal(DAY_MINUTES) + 0.05 * d for name in names}
            if "compression_flag" in columns:
                columns["compression_flag"] = (np.arange(DAY_MINUTES) % 100 == 0).astype(float)
            if d == 0 and "spread_bps" in columns:
                columns["spread_bps"][:720] = np.nan
            parts.append(
                pl.DataFrame({"symbol": symbol, "ts": grid, "available_at": grid, **columns})
            )
        yield day, pl.concat(parts).with_columns(pl.col(*names).fill_nan(None))


def summary_of(n_days: int, **changes) -> FeatureSummary:
    days = span(n_days)
    return summarise_features(frames(days), NAMES, SYMBOLS, days, **changes)


def page_of(n_days: int = 16, verdicts: Sequence[ItemVerdict] = ()) -> FeaturePage:
    return feature_page(FACTS, SPECS, summary_of(n_days), {v.item: v for v in verdicts})


# --- the reduction ------------------------------------------------------------------------------


def test_one_pass_counts_what_the_whole_table_holds() -> None:
    days = span(5)
    whole = pl.concat(frame for _, frame in frames(days))
    found = summary_of(5)
    assert found.n_rows == whole.height == (2 * 5 - 1) * DAY_MINUTES
    for f, name in enumerate(NAMES):
        values = whole[name].drop_nulls().to_numpy()
        assert found.known[f] == values.size
        assert found.zeros[f] == np.count_nonzero(values == 0)
        assert (found.lowest[f], found.highest[f]) == (values.min(), values.max())
        day3 = whole.filter(pl.col("ts").is_in(minute_grid([days[3]]).implode()))[name]
        expected = [*np.percentile(day3.drop_nulls(), (5, 50, 95)), day3.mean()]
        np.testing.assert_allclose(found.daily[f, :, 3], expected, atol=1e-12)


def test_coverage_is_by_symbol_and_day_and_an_absent_symbol_is_no_gap() -> None:
    coverage = summary_of(3).coverage
    spread = NAMES.index("spread_bps")
    np.testing.assert_array_equal(coverage[spread], [[0.5, np.nan, 1.0], [0.5, 1.0, 1.0]])
    np.testing.assert_array_equal(coverage[0], [[1.0, np.nan, 1.0], [1.0, 1.0, 1.0]])


def test_the_order_of_the_days_and_of_their_rows_does_not_matter() -> None:
    days = span(4)
    shuffled = [(d, f.sample(fraction=1.0, shuffle=True, seed=3)) for d, f in frames(days)]
    one = summary_of(4)
    other = summarise_features(shuffled, NAMES, SYMBOLS, days)
    for name in ("coverage", "daily", "known", "zeros", "sample", "sample_day"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_infinities_strangers_and_absent_columns_are_unknown() -> None:
    days = span(1)
    ((day, frame),) = frames(days)
    spoiled = frame.with_columns(
        pl.when(pl.col("symbol") == "AAAUSDT").then(math.inf).otherwise(1.0).alias("ret_1m_bps")
    ).drop("compression_flag")
    extra = spoiled.with_columns(pl.lit("ZZZUSDT").alias("symbol")).head(5)
    found = summarise_features([(day, pl.concat([spoiled, extra]))], NAMES, SYMBOLS, days)
    assert found.n_rows == 2 * DAY_MINUTES
    assert found.known.tolist() == [DAY_MINUTES, DAY_MINUTES, 0]
    assert (found.lowest[0], found.highest[0]) == (1.0, 1.0)


def test_a_sample_meets_every_minute_of_the_day() -> None:
    assert [stride_for(n, 100) for n in (0, 100, 101, 800, 10_000)] == [1, 1, 7, 11, 101]
    found = summary_of(16, sample_rows=7_000)
    assert found.stride == 7
    assert found.sample.shape[1] <= 7_000
    whole = summary_of(16)
    assert whole.stride == 1
    assert whole.sample.shape[1] == whole.n_rows


def test_memory_does_not_grow_with_the_study() -> None:
    def peak(n_days: int) -> int:
        days = span(n_days)
        tracemalloc.start()
        summarise_features(frames(days), NAMES, SYMBOLS, days, sample_rows=3_000)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(60) < 1.5 * peak(15)


# --- drift --------------------------------------------------------------------------------------


def test_each_week_is_compared_with_the_first_that_is_half_full() -> None:
    story = next(s for s in page_of(16).valued if s.name == "ret_1m_bps")
    assert story.reference == FIRST
    assert [(w.first_day, w.last_day) for w in story.weeks] == [
        (FIRST, FIRST + timedelta(days=6)),
        (FIRST + timedelta(days=7), FIRST + timedelta(days=13)),
        (FIRST + timedelta(days=14), FIRST + timedelta(days=15)),
    ]
    distances = [w.distance for w in story.weeks]
    assert distances[0] == 0.0
    # The mean moves by 0.05 deviations a day: 0.4 in eight days, a distance of 2 Phi(0.2) - 1.
    assert distances[2] == pytest.approx(0.23, abs=0.05)
    assert story.largest_distance == distances[2] > distances[1]


def test_a_feature_that_warms_up_for_a_week_is_compared_from_then_on() -> None:
    days = span(15)
    late = [
        (day, f.with_columns(pl.when(d >= 6).then("ret_1m_bps").alias("ret_1m_bps")))
        for d, (day, f) in enumerate(frames(days))
    ]
    summary = summarise_features(late, NAMES, SYMBOLS, days)
    story = feature_page(FACTS, SPECS, summary, {}).valued[0]
    assert [w.distance is None for w in story.weeks] == [True, False, False]
    assert story.reference == FIRST + timedelta(days=7)


# --- what is on the page ------------------------------------------------------------------------

VERDICTS = (
    ItemVerdict("ret_1m_bps", Outcome.PASS),
    ItemVerdict("compression_flag", Outcome.FAIL, ("LEAK_PREFIX",)),
    ItemVerdict("spread_bps", Outcome.NOT_EVALUABLE, ("DATASET_ABSENT:<tob>",)),
)


def without_spreads() -> FeaturePage:
    days = span(3)
    bare = (
        (d, f.with_columns(pl.lit(None, pl.Float64).alias("spread_bps"))) for d, f in frames(days)
    )
    summary = summarise_features(bare, NAMES, SYMBOLS, days)
    return feature_page(FACTS, SPECS, summary, {v.item: v for v in VERDICTS})


def test_a_feature_without_values_is_listed_with_its_reason_and_has_no_chart() -> None:
    page = without_spreads()
    text = render_feature_page(page)
    elements = opens_alone(text)
    assert [s.name for s in page.empty] == ["spread_bps"]
    meaning = SPECS.features["spread_bps"].meaning
    expected = ["spread_bps", "NOT EVALUABLE", "DATASET_ABSENT:<tob>", meaning, "tob_1m_agg"]
    assert expected in elements.rows
    assert "DATASET_ABSENT:&lt;tob&gt;" in text
    assert set(elements.ids) >= {"ret_1m_bps", "compression_flag"}
    assert "spread_bps" not in elements.ids
    assert sentence(page).endswith("PIT-1 admits 1, refuses 1 and cannot judge 1.")
    assert "PIT-1: FAIL · LEAK_PREFIX" in text


def test_a_card_says_what_the_feature_is() -> None:
    text = render_feature_page(page_of(verdicts=VERDICTS))
    spec = SPECS.features["spread_bps"]
    assert spec.meaning in text
    assert f"of {', '.join(spec.inputs)}" in text
    assert "p95" in text
    assert "spread_bps day by day: median, 5th and 95th percentile" in text
    assert "compression_flag day by day: share of minutes on which it is set" in text
    rows = {row[0]: row for row in opens_alone(text).rows if len(row) == 9}
    assert rows["compression_flag"][3:6] == ["100 %", "0", "0"]
    assert rows["compression_flag"][7] == "99 %", "zeros, of all values"


def test_levels_of_coverage_and_distance() -> None:
    shares = (math.nan, 0.0, 0.001, 0.5, 0.9499, 0.95, 0.9996, 1.0)
    assert [coverage_level(v) for v in shares] == [VOID, 0, 1, 2, 2, 3, 4, 4]
    assert [distance_level(v) for v in (None, 0.0, 0.1, 0.39, 0.4, 1.0)] == [VOID, 1, 2, 3, 4, 4]


def test_how_to_read_the_drift_and_what_is_unseen_is_said() -> None:
    text = " ".join(render_feature_page(page_of()).split())
    for words in ("Kolmogorov-Smirnov distance", "no p-value", f"Days from {FACTS.holdout_from}",
                  "Spearman's rank correlation"):  # fmt: skip
        assert words in text, words


def test_every_shipped_feature_fits_on_a_light_page_of_a_year() -> None:
    symbols = [f"{c * 3}USDT" for c in "ABCDE"]
    days = span(274)
    rng = np.random.default_rng(1)
    n, shape = len(SPECS.names), (len(SPECS.names), len(symbols), len(days))
    daily = np.sort(rng.standard_normal((n, 4, len(days))), axis=1)
    shares = rng.choice([0.0, 0.4, 0.9, 1.0], shape)
    summary = FeatureSummary(
        tuple(SPECS.names), tuple(symbols), tuple(days), 10, shares, daily,
        np.full(n, 10), np.full(n, -3.0), np.full(n, 3.0), np.zeros(n, int), 11,
        rng.standard_normal((n, 2740)), np.repeat(np.arange(274), 10),
    )  # fmt: skip
    text = render_feature_page(feature_page(FACTS, SPECS, summary, {}))
    elements = opens_alone(text)
    assert set(SPECS.names) <= set(elements.ids)
    assert len(text) < 2_500_000
    assert len(elements.seen) < 60_000


# --- a file that opens --------------------------------------------------------------------------


def test_the_same_days_give_the_same_bytes() -> None:
    once = render_feature_page(page_of(verdicts=VERDICTS), "digest")
    assert once == render_feature_page(page_of(verdicts=VERDICTS), "digest")
    assert '<meta name="made-from" content="digest">' in once[:400]


@pytest.mark.parametrize("n_days", [0, 1])
def test_no_row_at_all_is_still_a_page(n_days: int) -> None:
    days = span(n_days)
    summary = summarise_features([], NAMES, SYMBOLS, days)
    text = render_feature_page(feature_page(FACTS, SPECS, summary, {}))
    opens_alone(text)
    assert "No feature has a value on these days." in text
    assert "not judged: 3" in text


def test_one_known_value_is_a_page() -> None:
    days = span(1)
    ((day, frame),) = frames(days)
    one = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 5).then(0.25).alias("ret_1m_bps"),
        pl.lit(None, pl.Float64).alias("spread_bps"),
        pl.lit(0.0).alias("compression_flag"),
    )
    summary = summarise_features([(day, one)], NAMES, SYMBOLS, days)
    page = feature_page(FACTS, SPECS, summary, {})
    opens_alone(render_feature_page(page))
    assert page.valued[0].levels == (0.25,) * 5
    assert page.correlations.apart == ("ret_1m_bps", "compression_flag")
