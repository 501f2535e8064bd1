"""The examination finds planted damage with its count and place, and nothing on a clean day."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import day_end, day_start
from quantlab_pipeline.core.findings import Finding
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.market_data import schema
from quantlab_pipeline.research.market_data.book import aggregate_book, snapshot_book
from quantlab_pipeline.research.market_data.checks import ABSENT, CAPTURE_FAULTS, CHECKS, HINDSIGHT
from quantlab_pipeline.research.market_data.gate import judge_d0
from quantlab_pipeline.research.market_data.parsed import findings_frame
from quantlab_pipeline.research.market_data.qa import MarketTables, examine
from quantlab_pipeline.research.market_data.universe import build_universe
from quantlab_pipeline_tests.research.market_data import builders as b

BEFORE = b.DAY - timedelta(days=1)
PERP_ONLY = {"bars_1m_perp": "required"}
THREE = PERP_ONLY | {"bars_1m_spot": "required", "mark_index": "optional"}
CLOSES = b.path()
BESIDE = {"tob_perp": CAPTURE_FAULTS, "tob_spot": CAPTURE_FAULTS, "bars_1m_perp": HINDSIGHT}
"""Checks that are in a report only where something was found."""


def look(needs=PERP_ONLY, days=(b.DAY,), symbols=(b.SYMBOL,), **tables) -> pl.DataFrame:
    report = examine(MarketTables(**tables), list(days), list(symbols), needs, b.thresholds())
    return schema.QA_REPORT.validate(report)


def three(perp=CLOSES, spot=CLOSES, mark=CLOSES) -> dict[str, pl.DataFrame]:
    noise = 1 + 1e-5 * np.sin(np.arange(CLOSES.size))
    return {
        "bars_1m_perp": b.bars(perp),
        "bars_1m_spot": b.bars(spot * noise),
        "mark_index": b.marks(mark),
    }


def minutes_of(rows) -> list[datetime]:
    """The closes of the day's minutes `rows`, counted from 0."""
    return [day_start(b.DAY) + timedelta(minutes=i + 1) for i in rows]


def places(report: pl.DataFrame, check: str) -> list[datetime]:
    return report.filter(pl.col("check") == check, pl.col("count") > 0)["places"][0].to_list()


def test_a_clean_day_has_every_check_at_zero():
    report = look(THREE, **three())
    assert b.found(report) == {}
    for dataset in THREE:
        seen = report.filter(pl.col("dataset") == dataset)["check"].to_list()
        assert sorted(seen) == sorted([ABSENT, *CHECKS[dataset]])


def test_gaps_are_the_minutes_without_a_row():
    bars = b.bars(CLOSES).filter(~pl.int_range(pl.len()).is_in([0, 5, 6, 1439]))
    report = look(bars_1m_perp=bars)
    assert b.found(report) == {("bars_1m_perp", "gaps"): 4}
    row = report.filter(pl.col("check") == "gaps").row(0, named=True)
    assert row["first_ts"] == day_start(b.DAY) + timedelta(minutes=1)
    assert row["ts"] == day_end(b.DAY)
    assert row["places"] == minutes_of([0, 5, 6, 1439])


@pytest.mark.parametrize("at", [0, 3, 700, 1436, 1439])
@pytest.mark.parametrize("factor", [1.2, 0.9])
def test_a_lone_bad_tick_is_an_outlier(at, factor):
    bad = pl.when(pl.int_range(pl.len()) == at).then(factor).otherwise(1.0)
    bars = b.bars(CLOSES).with_columns(pl.col("close") * bad)
    report = look(bars_1m_perp=bars)
    assert b.found(report) == {("bars_1m_perp", "outliers"): 1}
    first = report.filter(pl.col("check") == "outliers")["first_ts"][0]
    assert first == day_start(b.DAY) + timedelta(minutes=at + 1)


@pytest.mark.parametrize("at", [3, 700, 1436])
@pytest.mark.parametrize("factor", [1.2, 0.9])
def test_a_jump_that_stays_and_a_crash_that_recovers_are_no_outliers(at, factor):
    jumped = np.where(np.arange(1440) >= at, factor, 1.0) * CLOSES
    assert b.found(look(bars_1m_perp=b.bars(jumped))) == {}
    crashed = np.where(np.arange(1440) == at, factor, 1.0) * CLOSES
    assert b.found(look(bars_1m_perp=b.bars(crashed))) == {}, "the next bar opens where it ended"


def test_a_long_run_without_trades_is_counted_and_a_short_one_is_not():
    idle = pl.int_range(pl.len()).is_between(100, 139) | pl.int_range(pl.len()).is_between(500, 509)
    bars = b.bars(CLOSES).with_columns(
        pl.when(idle).then(0.0).otherwise("volume_base").alias("volume_base")
    )
    assert b.found(look(bars_1m_perp=bars)) == {("bars_1m_perp", "zero_volume_run"): 40}


@pytest.mark.parametrize("dataset", ["perp", "spot", "mark"])
@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_of_three_series_the_one_in_another_unit_is_named(dataset, factor):
    table = {"perp": "bars_1m_perp", "spot": "bars_1m_spot", "mark": "mark_index"}[dataset]
    report = look(THREE, **three(**{dataset: CLOSES * factor}))
    assert b.found(report) == {(table, "unit_shift"): 1440}


def test_part_of_a_lone_series_in_another_unit_is_found_and_so_is_a_whole_day():
    part = np.where(np.arange(1440) < 200, 1000.0, 1.0) * CLOSES
    assert b.found(look(bars_1m_perp=b.bars(part))) == {("bars_1m_perp", "unit_shift"): 200}
    both = np.concatenate([CLOSES, 1000 * CLOSES])
    bars = b.bars(both, (BEFORE, b.DAY))
    assert b.found(look(bars_1m_perp=bars)) == {("bars_1m_perp", "unit_shift"): 1440}


@pytest.mark.parametrize("dataset", ["perp", "spot", "mark"])
@pytest.mark.parametrize("minutes", [60, -60, 330])
def test_of_three_series_the_one_in_another_time_zone_is_named(dataset, minutes):
    table = {"perp": "bars_1m_perp", "spot": "bars_1m_spot", "mark": "mark_index"}[dataset]
    report = look(THREE, **three(**{dataset: np.roll(CLOSES, minutes)}))
    shifts = {k: n for k, n in b.found(report).items() if k[1] == "timezone_shift"}
    assert shifts == {(table, "timezone_shift"): 1440}
    detail = report.filter(pl.col("check") == "timezone_shift", pl.col("count") > 0)["detail"][0]
    assert f"{minutes:+d} min" in detail


@pytest.mark.parametrize("dataset", ["perp", "spot", "mark"])
@pytest.mark.parametrize("minutes", [1, -3, 15])
def test_of_three_series_the_one_that_runs_some_minutes_beside_the_others_is_named(
    dataset, minutes
):
    table = {"perp": "bars_1m_perp", "spot": "bars_1m_spot", "mark": "mark_index"}[dataset]
    report = look(THREE, **three(**{dataset: np.roll(CLOSES, minutes)}))
    shifts = {k: n for k, n in b.found(report).items() if k[1].endswith("_shift")}
    assert shifts == {(table, "minute_shift"): 1440}


@pytest.mark.parametrize("dataset", ["perp", "spot", "mark"])
@pytest.mark.parametrize("factor", [0.95, 1.06])
def test_of_several_series_the_one_that_stands_apart_for_some_minutes_is_named(dataset, factor):
    table = {"perp": "bars_1m_perp", "spot": "bars_1m_spot", "mark": "mark_index"}[dataset]
    off = np.where((np.arange(1440) >= 100) & (np.arange(1440) < 140), factor, 1.0) * CLOSES
    tables = three(**{dataset: off})
    if dataset == "mark":
        index = pl.Series("index_price", CLOSES)
        tables["mark_index"] = tables["mark_index"].with_columns(index)
    report = look(THREE, **tables)
    assert b.found(report) == {(table, "price_apart"): 40}
    assert places(report, "price_apart") == minutes_of(range(100, 140))


def test_of_two_series_apart_both_are_named_and_a_lone_bad_tick_is_not_counted_twice():
    both = {"bars_1m_perp": "required", "bars_1m_spot": "required"}
    off = np.where(np.arange(1440) < 40, 1.06, 1.0) * CLOSES
    tables = {"bars_1m_perp": b.bars(off), "bars_1m_spot": b.bars(CLOSES)}
    assert b.found(look(both, **tables)) == {
        ("bars_1m_perp", "price_apart"): 40,
        ("bars_1m_spot", "price_apart"): 40,
    }
    bad = pl.when(pl.int_range(pl.len()) == 700).then(1.2).otherwise(1.0)
    tables = {**three(), "bars_1m_perp": b.bars(CLOSES).with_columns(pl.col("close") * bad)}
    assert b.found(look(THREE, **tables)) == {("bars_1m_perp", "outliers"): 1}


def test_an_index_that_stands_apart_from_all_prices_is_named():
    marks = b.marks(CLOSES).with_columns(
        pl.col("index_price") * pl.when(pl.int_range(pl.len()) < 30).then(1.07).otherwise(1.0)
    )
    report = look(THREE, **(three() | {"mark_index": marks}))
    assert b.found(report) == {("mark_index", "index_price_apart"): 30}


def test_a_price_that_stands_still_while_trades_go_on_is_frozen_and_an_idle_one_is_not():
    still = np.repeat(CLOSES[99], 20)
    closes = np.concatenate([CLOSES[:100], still, CLOSES[120:]])
    report = look(bars_1m_perp=b.bars(closes))
    assert b.found(report) == {("bars_1m_perp", "frozen_price"): 20}
    assert places(report, "frozen_price") == minutes_of(range(100, 120))
    short = np.concatenate([CLOSES[:100], still[:14], CLOSES[114:]])
    assert b.found(look(bars_1m_perp=b.bars(short))) == {}
    idle = b.bars(closes).with_columns(
        pl.when(pl.int_range(pl.len()).is_between(100, 119))
        .then(0.0)
        .otherwise("volume_base")
        .alias("volume_base")
    )
    assert b.found(look(bars_1m_perp=idle)) == {}, "fewer than thirty minutes without a trade"


def test_a_mark_that_stands_still_is_frozen():
    still = np.concatenate([CLOSES[:100], np.repeat(CLOSES[99], 15), CLOSES[115:]])
    report = look({"mark_index": "required"}, mark_index=b.marks(still))
    assert b.found(report) == {("mark_index", "frozen_price"): 15}


def test_what_only_a_stream_can_have_is_in_the_report_where_it_was_found():
    at = day_start(b.DAY) + timedelta(minutes=7)
    offset = Finding("tob_perp", "clock_offset", b.SYMBOL, b.DAY, 6, at, "1.4 s behind", (at,))
    report = look(bars_1m_perp=b.bars(CLOSES), raw_findings=findings_frame([offset]))
    assert b.found(report) == {("tob_perp", "clock_offset"): 6}
    row = report.filter(pl.col("check") == "clock_offset").row(0, named=True)
    assert (row["detail"], row["places"]) == ("1.4 s behind", [at])
    verdict = judge_d0(report, b.thresholds())[b.DAY][0]
    assert verdict.outcome is Outcome.PASS
    assert verdict.measured["tob_perp.clock_offset"] == (6.0, None)


def test_findings_of_one_check_from_parsing_and_from_examination_add_up():
    gap = day_start(b.DAY) + timedelta(minutes=3)
    bars = b.bars(CLOSES).filter(pl.int_range(pl.len()) != 5)
    raw = [
        Finding("bars_1m_perp", "gaps", b.SYMBOL, b.DAY, 2, gap, "seen in parsing", (gap,)),
        Finding("bars_1m_perp", "gaps", b.SYMBOL, b.DAY, 1, gap, "seen twice", (gap,)),
    ]
    report = look(bars_1m_perp=bars, raw_findings=findings_frame(raw))
    assert b.found(report) == {("bars_1m_perp", "gaps"): 4}
    assert places(report, "gaps") == [gap, *minutes_of([5])]


def test_a_required_dataset_that_is_absent_makes_the_day_not_evaluable():
    report = look(THREE | {"open_interest": "optional"}, bars_1m_perp=b.bars(CLOSES))
    assert b.found(report) == {("bars_1m_spot", ABSENT): 1}
    verdict = judge_d0(report, b.thresholds())[b.DAY][0]
    assert verdict.outcome is Outcome.NOT_EVALUABLE
    assert verdict.reasons == ("DATASET_ABSENT:bars_1m_spot",)
    other = look(PERP_ONLY, symbols=["NOSUCH"], bars_1m_perp=b.bars(CLOSES))
    assert b.found(other) == {("bars_1m_perp", ABSENT): 1}


def test_a_book_that_is_no_book_of_these_bars_and_one_that_falls_silent_are_found():
    rows = [(s + 0.5, 99.5, 1, 100.5, 1) for s in range(0, 86_400, 2) if not 7200 <= s < 10_800]
    agg = aggregate_book(snapshot_book(b.quotes(rows), [b.DAY]).frame)
    report = look(
        PERP_ONLY | {"tob_snapshots": "required"},
        bars_1m_perp=b.bars(110 + 0.01 * (np.arange(1440) % 2)),
        tob_1m_agg=agg,
    )
    valid = agg.filter(pl.col("mid_last").is_not_null()).height
    assert b.found(report) == {
        ("tob_perp", "stale"): 3599,
        ("tob_perp", "silent"): 60,
        ("tob_perp", "tob_mismatch"): valid,
    }
    absent = report.filter(pl.col("dataset") == "tob_spot")
    assert absent.select("check", "count").rows() == [(ABSENT, 0)]


def test_the_gate_says_what_it_measured_beside_its_threshold():
    bars = b.bars(CLOSES).filter(pl.int_range(pl.len()) >= 72)
    verdict = judge_d0(look(bars_1m_perp=bars), b.thresholds())[b.DAY][0]
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reasons == ("GAPS:bars_1m_perp",)
    assert verdict.measured["max_missing_minutes_frac"] == (0.05, 0.02)
    others = {k: v for k, v in verdict.measured.items() if k != "max_missing_minutes_frac"}
    assert "max_faulty_rows" in others, "what was looked for and not found is measured too"
    assert {value for value, _ in others.values()} == {0.0}
    lenient = b.thresholds(max_missing_minutes_frac=0.05)
    assert judge_d0(look(bars_1m_perp=bars), lenient)[b.DAY][0].outcome is Outcome.PASS


def test_every_check_has_a_threshold_or_is_only_counted():
    rows = [
        (b.SYMBOL, day_end(b.DAY), dataset, check, 10**6, None, None, [])
        for dataset, checks in CHECKS.items()
        for check in (*checks, *BESIDE.get(dataset, ()))
    ]
    report = pl.DataFrame(
        rows, schema={c.name: c.dtype for c in schema.QA_REPORT.columns}, orient="row"
    )
    verdict = judge_d0(report, b.thresholds())[b.DAY][0]
    counted = [k for k, (_, limit) in verdict.measured.items() if limit is None]
    assert len(verdict.reasons) + len(counted) == len(rows), "each is above its threshold"
    assert {k.partition(".")[2] for k in counted} == {
        "crossed_quotes",
        "locked_quotes",
        "invalid_quotes",
        "uncovered_settlement",
        "totals_uncovered",
        *CAPTURE_FAULTS,
    } - {"garbage_lines"}


def test_a_report_does_not_depend_on_the_days_examined_with_it():
    days = [BEFORE, b.DAY]
    both = np.concatenate([CLOSES, CLOSES * 1.001])
    tables = {"bars_1m_perp": b.bars(both, days).filter(pl.int_range(pl.len()) % 97 != 0)}
    whole = look(days=days, **tables)
    parts = pl.concat([look(days=[d], **tables) for d in days])
    assert whole.equals(schema.QA_REPORT.conform(parts))


def test_the_universe_holds_members_with_what_was_known_of_their_liquidity():
    days = [BEFORE, b.DAY]
    walk = np.full(2880, 100.0)
    bars = pl.concat(
        [b.bars(walk, days, "BIG", volume=3.0), b.bars(walk, days, "SMALL", volume=1.0)]
    ).filter(
        ~((pl.col("symbol") == "SMALL") & (pl.col("ts") > day_end(b.DAY) - timedelta(hours=5)))
    )
    admitted = look(symbols=["BIG", "SMALL"], bars_1m_perp=bars)
    universe = schema.UNIVERSE.validate(build_universe(admitted, bars, [b.DAY]))
    assert universe["symbol"].to_list() == ["BIG", "SMALL"]
    assert universe["liquidity_usd"].to_list() == [300.0 * 1440, 100.0 * 1440]
    assert universe["liquidity_rank"].to_list() == [1, 2]
    assert universe["valid_to"].to_list() == [None, day_end(b.DAY) - timedelta(hours=5)]
    first = build_universe(look(days=[BEFORE], symbols=["BIG"], bars_1m_perp=bars), bars, [BEFORE])
    assert first["liquidity_usd"].to_list() == [None]
    assert build_universe(admitted.clear(), bars, [b.DAY]).is_empty()
