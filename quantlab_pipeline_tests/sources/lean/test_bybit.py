"""Twelve real hours of Bybit: a second venue's two books, from LEAN's files to D0's verdict."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.market_data.basis import basis_state
from quantlab_pipeline.research.market_data.book import aggregate_book
from quantlab_pipeline.research.market_data.gate import judge_d0
from quantlab_pipeline.research.market_data.parsed import findings_frame
from quantlab_pipeline.research.market_data.qa import MarketTables, examine
from quantlab_pipeline.sources.base import DATASETS, DiskTree
from quantlab_pipeline.sources.lean.source import GRID_S, Lean
from quantlab_pipeline_tests.research.market_data.builders import found, thresholds
from quantlab_pipeline_tests.sources.builders import SYMBOL, ingest

DAY = date(2022, 12, 13)
NOON = datetime(2022, 12, 13, 12, 1, tzinfo=UTC)
"""The close of the last minute that was recorded but for the spot trades."""


@pytest.fixture
def bybit(real_data: Path):
    """dataset -> ParsedTable of the day."""
    source = Lean(DiskTree(real_data / "lean_bybit"), grid_s=GRID_S)
    assert source.symbols() == [SYMBOL]
    offered = [n for n in DATASETS if source.offers(n, SYMBOL)]
    assert offered == ["bars_1m_perp", "bars_1m_spot", "funding", "tob_snapshots"]
    parsed = {n: ingest(source, n, [DAY]) for n in offered}
    for name, table in parsed.items():
        DATASETS[name].validate(table.frame)
    return parsed


def test_every_row_of_the_files_is_there(bybit):
    perp, spot = bybit["bars_1m_perp"].frame, bybit["bars_1m_spot"].frame
    assert (perp.height, spot.height) == (721, 1440)
    assert (perp["ts"][-1], spot["ts"][-1]) == (NOON, datetime(2022, 12, 14, tzinfo=UTC))
    first = perp.row(0, named=True)
    assert [first[c] for c in ("open", "high", "low", "close", "volume_base")] == [
        17194.0, 17199.5, 17193.5, 17199.0, 78.677,
    ]  # fmt: skip
    assert spot["close"][-1] == 17778.49
    rates = bybit["funding"].frame
    assert rates["ts"].dt.hour().to_list() == [8, 16]
    assert rates["settled_rate"].to_list() == [-0.00022398, -0.00038555]
    assert {(f.dataset, f.check, f.count) for t in bybit.values() for f in t.findings} == {
        ("funding", "uncovered_settlement", 1)
    }


def test_a_quote_that_stood_through_omitted_minutes_is_where_the_trades_were(bybit):
    """LEAN wrote 460 of 721 perpetual minutes: in the others every trade closed at that quote."""
    samples = bybit["tob_snapshots"].frame.filter(pl.col("ts") <= NOON)
    fresh = samples.filter(pl.col("n_updates") > 0).group_by("leg").len()
    assert dict(fresh.iter_rows()) == {"perp": 460, "spot": 721}
    perp = samples.filter(leg="perp")
    last = perp.row(-1, named=True)
    assert [last[c] for c in ("bid_px", "bid_qty", "ask_px", "ask_qty")] == [
        17435.0, 46.412, 17435.5, 11.592,
    ]  # fmt: skip
    stood = perp.filter(pl.col("n_updates") == 0).join(bybit["bars_1m_perp"].frame, on="ts")
    assert stood.height == 261
    assert stood.select(pl.col("close").is_between("bid_px", "ask_px")).to_series().all()
    assert round(stood["quote_age_s"].max()) == 16 * 60


def test_d0_says_of_the_half_day_what_is_missing_and_what_stood_still(bybit):
    tables = {n: t.frame for n, t in bybit.items()}
    samples = tables.pop("tob_snapshots")
    book = aggregate_book(samples, grid_s=GRID_S)
    assert set(book["valid_frac"].to_list()) == {0.0, 1.0}
    assert book["imbalance_std"].null_count() == book.height, "one sample has no deviation"
    counts, limits = [f for t in bybit.values() for f in t.findings], thresholds()
    market = MarketTables(**tables, tob_1m_agg=book, raw_findings=findings_frame(counts))
    needs = dict.fromkeys(bybit, "required")
    report = examine(market, [DAY], [SYMBOL], needs, limits)
    assert found(report) == {
        ("bars_1m_perp", "gaps"): 719,
        ("funding", "uncovered_settlement"): 1,
        ("tob_perp", "silent"): 719 + 261,
        ("tob_perp", "stale"): 717 + 87,
        ("tob_spot", "silent"): 719,
        ("tob_spot", "stale"): 717,
    }
    verdict = judge_d0(report, limits, GRID_S)[DAY][0]
    assert verdict.outcome is Outcome.FAIL
    assert set(verdict.reasons) == {"GAPS:bars_1m_perp", "STALE:tob_perp", "STALE:tob_spot"}
    assert verdict.measured["tob_perp.silent"] == (980.0, None), "one quote a minute is the most"


def test_the_basis_is_of_mids_that_stood_at_the_same_close(bybit):
    tables = {n: t.frame for n, t in bybit.items()}
    state = basis_state(
        tables["tob_snapshots"], tables["bars_1m_perp"], tables["bars_1m_spot"], GRID_S
    )
    sources = dict(state.group_by("basis_source").len().iter_rows())
    assert sources == {"mid": 636, "close": 87}
    mids = state.filter(basis_source="mid")
    assert mids["skew_s"].unique().to_list() == [0.0]
    assert mids["basis_bps"].mean() == pytest.approx(-7.296, abs=1e-3)
