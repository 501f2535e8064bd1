"""Funding: what was known minute by minute, the venue's formula, what D0 sees of settlements."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import TS, day_end, day_start, days_between
from quantlab_pipeline.core.findings import Finding
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.market_data import schema
from quantlab_pipeline.research.market_data.funding_state import funding_state
from quantlab_pipeline.research.market_data.gate import judge_d0
from quantlab_pipeline.research.market_data.parsed import findings_frame, within
from quantlab_pipeline.research.market_data.qa import MarketTables, examine
from quantlab_pipeline_tests.oracles.funding import predicted_rates, rate_of
from quantlab_pipeline_tests.research.market_data import builders as b

NEEDS = {"funding": "required", "mark_index": "optional"}
TWO = days_between(b.DAY, b.DAY + timedelta(days=1))
JITTER = timedelta(milliseconds=17)


def look_at(needs, days=(b.DAY,), **tables) -> pl.DataFrame:
    report = examine(MarketTables(**tables), list(days), [b.SYMBOL], needs, b.thresholds())
    return schema.QA_REPORT.validate(report)


def funding(hours: list[int], interval: int = 8, rate: float = 1e-4, day=b.DAY) -> pl.DataFrame:
    stamps = [day_start(day) + timedelta(hours=h) for h in hours]
    frame = pl.DataFrame({"ts": pl.Series(stamps, dtype=TS)}).with_columns(
        pl.lit(b.SYMBOL).alias("symbol"),
        pl.col("ts").alias("available_at"),
        pl.col("ts").alias("raw_ts"),
        pl.lit(rate).alias("settled_rate"),
        pl.lit(interval, pl.Int64).alias("interval_h"),
        (pl.col("ts") + timedelta(hours=interval)).alias("next_funding_ts"),
        pl.lit(None, pl.Float64).alias("mark_price"),
    )
    return schema.FUNDING.conform(frame)


@pytest.mark.parametrize(
    ("hours", "interval", "missing"),
    [
        ([8, 16, 24], 8, 0),
        ([16, 24], 8, 1),
        ([8, 24], 8, 1),
        ([8, 16], 8, 1),
        ([8], 8, 2),
        ([4, 8, 12, 16, 20, 24], 4, 0),
        ([12], 4, 5),
        (list(range(1, 25)), 1, 0),
    ],
)
def test_missing_settlements_follow_from_the_interval(hours, interval, missing):
    report = look_at({"funding": "required"}, funding=funding(hours, interval))
    expected = {("funding", "missing_settlement"): missing} if missing else {}
    assert b.found(report) == expected


def test_a_settlement_that_no_file_covers_is_not_missing():
    uncovered = findings_frame(
        [Finding("funding", "uncovered_settlement", b.SYMBOL, b.DAY, 1, day_end(b.DAY), "")]
    )
    report = look_at({"funding": "required"}, funding=funding([8, 16]), raw_findings=uncovered)
    assert b.found(report) == {("funding", "uncovered_settlement"): 1}
    verdict = judge_d0(report, b.thresholds())[b.DAY][0]
    assert verdict.outcome is Outcome.PASS


def test_a_rate_out_of_range_is_counted():
    report = look_at({"funding": "required"}, funding=funding([8, 16, 24], rate=-0.2))
    assert b.found(report) == {("funding", "funding_out_of_range"): 3}


@pytest.mark.parametrize(
    ("hours", "published", "at"),
    [
        ([4, 8, 12, 16, 20, 24], 8, [4, 8, 12, 16, 20, 24]),
        ([8, 16, 24], 8, []),
        ([4, 8, 12, 16, 20, 24], 4, []),
        (list(range(1, 25)), 8, list(range(1, 25))),
    ],
)
def test_a_settlement_before_its_published_interval_is_over_is_named(hours, published, at):
    report = look_at({"funding": "required"}, funding=funding(hours, published))
    row = report.filter(pl.col("check") == "interval_mismatch").row(0, named=True)
    assert row["count"] == len(at)
    assert row["places"] == [day_start(b.DAY) + timedelta(hours=h) for h in at]


def test_a_switch_of_the_interval_is_no_fault():
    switched = pl.concat([funding([8]), funding([12, 16], 4), funding(list(range(17, 25)), 1)])
    report = look_at({"funding": "required"}, funding=switched)
    assert b.found(report) == {}


# --- the formula -------------------------------------------------------------------------------


def premium(values: np.ndarray, days) -> pl.DataFrame:
    frame = b.marks(b.path(days), days)
    return frame.with_columns(pl.Series("premium_index", values))


def wave(n: int, seed: int = 3) -> np.ndarray:
    draw = np.random.Generator(np.random.PCG64(seed))
    return 4e-4 * np.sin(np.arange(n) / 200) + draw.normal(0, 1e-4, n)


@pytest.mark.parametrize(
    ("mean", "hours", "at", "rate"),
    [
        (0.0, 8, date(2025, 1, 1), 1e-4),
        (3e-4, 8, date(2025, 1, 1), 1e-4),
        (1e-3, 8, date(2025, 1, 1), 5e-4),
        (-1e-3, 8, date(2025, 1, 1), -5e-4),
        (1e-3, 4, date(2025, 1, 1), 5e-4),
        (1e-3, 4, date(2025, 9, 19), 2.5e-4),
        (1e-3, 1, date(2025, 9, 19), 6.25e-5),
        (0.0, 1, date(2025, 9, 19), 1.25e-5),
    ],
)
def test_the_formula_gives_the_rates_that_the_venue_would(mean, hours, at, rate):
    assert rate_of(mean, hours, day_end(at)) == pytest.approx(rate, abs=1e-12)
    stamps = list(range(hours, 25, hours))
    flat = premium(np.full(1440, mean), [at])
    settled = funding(stamps, hours, rate, at)
    state = funding_state(settled, flat)
    assert state.drop_nulls("predicted_rate")["predicted_rate"].to_numpy() == pytest.approx(rate)
    assert b.found(look_at(NEEDS, [at], funding=settled, mark_index=flat)) == {}


def test_a_rate_off_the_formula_is_named_and_the_difference_told_on_every_day():
    values = wave(1440)
    right = [
        rate_of(np.average(values[s - 480 : s], weights=np.arange(1, 481)), 8, day_end(b.DAY))
        for s in (480, 960, 1440)
    ]
    settled = funding([8, 16, 24]).with_columns(pl.Series("settled_rate", right))
    clean = look_at(NEEDS, funding=settled, mark_index=premium(values, [b.DAY]))
    assert b.found(clean) == {}
    detail = clean.filter(pl.col("check") == "formula_mismatch")["detail"][0]
    assert detail == "3 held against the formula, furthest 0.0 bps off"
    percent = settled.with_columns(pl.col("settled_rate") * 100)
    report = look_at(NEEDS, funding=percent, mark_index=premium(values, [b.DAY]))
    assert b.found(report) == {("funding", "formula_mismatch"): 3}
    places = report.filter(pl.col("check") == "formula_mismatch")["places"][0].to_list()
    assert places == percent["ts"].to_list()
    verdict = judge_d0(report, b.thresholds())[b.DAY][0]
    assert verdict.reasons == ("FORMULA_MISMATCH:funding",)


def test_an_interval_without_its_premium_is_not_held_against_the_formula():
    rows = premium(wave(1440), [b.DAY]).filter(pl.int_range(pl.len()) % 480 >= 30)
    settled = funding([8, 16, 24], rate=0.03)
    assert ("funding", "formula_mismatch") not in b.found(
        look_at(NEEDS, funding=settled, mark_index=rows)
    )


# --- what was known ----------------------------------------------------------------------------


def settlements(stamps: list[datetime], hours: list[int], rates: list[float]) -> pl.DataFrame:
    """Settlements known JITTER after their stamp."""
    frame = pl.DataFrame({"ts": pl.Series(stamps, dtype=TS), "settled_rate": rates}).with_columns(
        pl.lit(b.SYMBOL).alias("symbol"),
        (pl.col("ts") + JITTER).alias("available_at"),
        (pl.col("ts") + JITTER).alias("raw_ts"),
        pl.Series("interval_h", hours, dtype=pl.Int64),
        pl.lit(None, pl.Float64).alias("mark_price"),
    )
    due = pl.col("ts") + pl.duration(hours=pl.col("interval_h"))
    return schema.FUNDING.conform(frame.with_columns(due.alias("next_funding_ts")))


def switching() -> pl.DataFrame:
    """Eight hours, then four, then one: the interval is data."""
    hours = [0, 8, 16, 20, 24, 28, 29, 30, 31, 32]
    spans = [8, 8, 8, 4, 4, 4, 1, 1, 1, 1]
    start = day_start(TWO[0])
    return settlements(
        [start + timedelta(hours=h) for h in hours], spans, [1e-4 * i for i in range(10)]
    )


def test_the_three_facts_of_funding_are_separate_and_each_is_as_known_then():
    state = schema.FUNDING_STATE.validate(funding_state(switching(), premium(wave(2880), TWO)))
    by_ts = {row["ts"]: row for row in state.iter_rows(named=True)}
    start = day_start(TWO[0])

    def at(hours: float) -> dict:
        return by_ts[start + timedelta(hours=hours)]

    before, after = at(8), at(8 + 1 / 60)
    assert (before["last_settled_rate"], after["last_settled_rate"]) == (0.0, 1e-4), (
        "a rate is not known at its own stamp, which is snapped, but from the raw one on"
    )
    assert before["next_funding_ts"] == before["ts"]
    assert after["next_funding_ts"] == start + timedelta(hours=16)
    assert after["last_settled_ts"] == start + timedelta(hours=8)
    assert (at(18)["interval_h"], at(21)["interval_h"], at(29.5)["interval_h"]) == (8, 4, 1)
    assert at(18)["next_funding_ts"] == start + timedelta(hours=24), "as announced, not as came"
    assert at(34)["next_funding_ts"] is None, "overdue: nothing is known of the next"
    assert at(34)["predicted_rate"] is None
    assert at(34)["last_settled_rate"] == pytest.approx(9e-4)


def test_predictions_equal_a_loop_over_minutes_and_end_at_the_formula_of_the_whole_interval():
    settled, rows = switching(), premium(wave(2880), TWO)
    state = funding_state(settled, rows)
    expected = predicted_rates(settled, rows)
    assert state["predicted_rate"].to_list() == pytest.approx(expected, nan_ok=True, abs=1e-15)
    assert set(state["predicted_source"].drop_nulls()) == {"formula"}


def test_a_prediction_that_the_venue_streamed_wins_and_says_so():
    due = day_start(b.DAY) + timedelta(hours=8)
    rows = premium(wave(1440), [b.DAY]).with_columns(
        pl.when(pl.int_range(pl.len()) < 60).then(2.5e-4).alias("predicted_rate"),
        pl.when(pl.int_range(pl.len()) < 60).then(pl.lit(due)).cast(TS).alias("next_funding_ts"),
    )
    state = funding_state(settlements([day_start(b.DAY)], [8], [0.0]), rows)
    assert state["predicted_rate"][:60].to_list() == [2.5e-4] * 60
    assert state["predicted_source"][:61].to_list() == ["venue"] * 60 + ["formula"]
    alone = funding_state(schema.FUNDING.empty(), rows)
    assert alone["predicted_rate"].count() == 60
    assert alone["next_funding_ts"][0] == due


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 400))
def test_a_day_alone_equals_the_day_in_a_range_and_the_future_changes_nothing(seed, holes):
    days = days_between(b.DAY, b.DAY + timedelta(days=2))
    rows = premium(wave(4320, seed), days)
    keep = np.random.Generator(np.random.PCG64(seed)).permutation(4320)[holes:]
    rows = rows.filter(pl.int_range(pl.len()).is_in(sorted(keep.tolist())))
    stamps = [day_start(days[0]) + timedelta(hours=8 * i) for i in range(10)]
    settled = settlements(stamps, [8] * 10, [1e-4] * 10)
    whole = funding_state(settled, rows)
    for day in days:
        near = [day - timedelta(days=1), day]
        alone = within(funding_state(within(settled, near), within(rows, near)), [day])
        assert alone.equals(within(whole, [day]))
        cut = funding_state(
            settled.filter(pl.col("available_at") <= day_end(day)),
            rows.filter(pl.col("available_at") <= day_end(day)),
        )
        assert within(cut, [day]).equals(within(whole, [day]))
