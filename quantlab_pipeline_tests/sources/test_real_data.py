"""Real files of third parties: all of them load, with the rows that are known to be in them."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
import yaml

from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.market_data import schema
from quantlab_pipeline.research.market_data.gate import judge_d0
from quantlab_pipeline.research.market_data.parsed import findings_frame
from quantlab_pipeline.research.market_data.qa import MarketTables, examine
from quantlab_pipeline.research.market_data.spec import D0Thresholds
from quantlab_pipeline.sources import zipped_csv
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.sources.archive.source import BinanceArchive
from quantlab_pipeline.sources.base import DATASETS, DiskTree
from quantlab_pipeline.sources.freqtrade import Freqtrade
from quantlab_pipeline_tests.sources.builders import ingest

DATA = os.environ.get("QUANTLAB_REAL_DATA")
GATES = Path(__file__).parents[2] / "specs" / "gates.yaml"
pytestmark = pytest.mark.skipif(not DATA, reason="QUANTLAB_REAL_DATA names no folder")

FEBRUARY = days_between(date(2026, 2, 1), date(2026, 2, 28))
ALTS = ["ALGOUSDT", "AVAXUSDT", "DOTUSDT", "FILUSDT", "LINKUSDT", "LTCUSDT", "NEARUSDT"]
SHARED = days_between(date(2025, 5, 20), date(2025, 6, 23))


@pytest.fixture(scope="module")
def archive():
    return BinanceArchive(DiskTree(Path(DATA) / "binance_archive"))


@pytest.fixture(scope="module")
def freqtrade():
    return Freqtrade(DiskTree(Path(DATA) / "freqtrade"))


def verdicts(tables, findings, days, symbols, needs):
    thresholds = D0Thresholds(**yaml.safe_load(GATES.read_text())["d0"])
    market = MarketTables(**tables, raw_findings=findings_frame(findings))
    return judge_d0(examine(market, days, symbols, needs, thresholds), thresholds)


def test_the_official_samples_load_in_both_dialects():
    folder = Path(DATA) / "official_samples"
    for name in ("futures-um-klines-BTCUSDT-1h-2024-10-28", "spot-klines-BTCUSDT-1h-2024-10-28"):
        rows = zipped_csv.read_rows((folder / f"{name}.zip").read_bytes(), name, codec.KLINES)
        assert rows.height == 24
        assert rows["open_time"][0].hour == 0
        assert (rows["close_time"] - rows["open_time"]).unique().to_list() == [
            timedelta(hours=1, milliseconds=-1)
        ]


def test_every_month_of_the_archive_loads_whole(archive):
    assert archive.symbols() == ALTS
    assert archive.days("bars_1m_perp", "DOTUSDT") == (FEBRUARY[0], FEBRUARY[-1])
    bars, findings, settlements = [], [], []
    for symbol in ALTS:
        parsed = ingest(archive, "bars_1m_perp", FEBRUARY, symbol)
        assert parsed.frame.height == 28 * 1440
        rates = ingest(archive, "funding", FEBRUARY, symbol)
        assert rates.frame.height == 28 * 3 - 1, "the last midnight is in March's file"
        bars.append(parsed.frame)
        settlements.append(rates.frame)
        findings += [*parsed.findings, *rates.findings]
    assert {(f.check, f.day) for f in findings} == {("uncovered_settlement", FEBRUARY[-1])}
    tables = {"bars_1m_perp": pl.concat(bars), "funding": pl.concat(settlements)}
    for name, frame in tables.items():
        DATASETS[name].validate(frame)
    judged = verdicts(tables, findings, FEBRUARY, ALTS, dict.fromkeys(tables, "required"))
    assert {v.outcome for day in judged.values() for v in day} == {Outcome.PASS}


def test_every_freqtrade_file_loads(freqtrade):
    assert freqtrade.symbols() == [
        "ADAUSDT", "BNBUSDT", "BTCUSDT", "DOGEUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT",
    ]  # fmt: skip
    rows = {
        "ADAUSDT": 43_200,
        "BNBUSDT": 43_199,
        "BTCUSDT": 73_139,
        "DOGEUSDT": 43_200,
        "ETHUSDT": 73_140,
        "SOLUSDT": 43_199,
        "XRPUSDT": 43_199,
    }
    for symbol, count in rows.items():
        first, last = freqtrade.days("bars_1m_perp", symbol)
        days = days_between(first, last)
        parsed = ingest(freqtrade, "bars_1m_perp", days, symbol)
        assert (parsed.frame.height, parsed.findings) == (count, ()), symbol
        funding = ingest(freqtrade, "funding", days_between(date(2025, 3, 6), last), symbol)
        assert funding.frame.height == (329 if symbol in {"BTCUSDT", "ETHUSDT"} else 89)
        assert funding.frame["interval_h"].unique().to_list() == [8]
        assert funding.frame["mark_price"].null_count() == 0
        assert funding.findings == ()


def test_the_shared_window_of_btc_and_eth_passes_d0(freqtrade):
    symbols = ["BTCUSDT", "ETHUSDT"]
    tables, findings = {}, []
    for dataset in ("bars_1m_perp", "bars_1m_spot", "funding"):
        parsed = [ingest(freqtrade, dataset, SHARED, s) for s in symbols]
        tables[dataset] = DATASETS[dataset].validate(pl.concat([p.frame for p in parsed]))
        findings += [f for p in parsed for f in p.findings]
    assert {name: t.height for name, t in tables.items()} == {
        "bars_1m_perp": 2 * 35 * 1440,
        "bars_1m_spot": 2 * 35 * 1440,
        "funding": 2 * 35 * 3,
    }
    needs = {s.name: "optional" for s in schema.LANDED} | {"bars_1m_perp": "required"}
    judged = verdicts(tables, findings, SHARED, symbols, needs)
    assert {v.outcome for day in judged.values() for v in day} == {Outcome.PASS}
