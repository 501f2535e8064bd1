"""The real captures of third parties: every message loads, and what is odd in them is found."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
import yaml

from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.market_data.book import aggregate_book
from quantlab_pipeline.research.market_data.gate import judge_d0
from quantlab_pipeline.research.market_data.parsed import findings_frame
from quantlab_pipeline.research.market_data.qa import MarketTables, examine
from quantlab_pipeline.research.market_data.spec import D0Thresholds
from quantlab_pipeline.sources.base import DATASETS, DiskTree
from quantlab_pipeline.sources.capture.lines import pieces_of
from quantlab_pipeline.sources.capture.source import Capture
from quantlab_pipeline.sources.capture.survey import CAPTURE_CHECKS
from quantlab_pipeline_tests.sources.builders import ingest

GATES = Path(__file__).parents[3] / "specs" / "gates.yaml"
SPRING = [date(2023, 4, 4), date(2023, 4, 5)]
AUGUST = [date(2024, 8, 8)]


@pytest.fixture(scope="module")
def folder(real_data):
    return real_data / "ws_capture"


@pytest.fixture(scope="module")
def source(folder):
    return Capture(DiskTree(folder))


@pytest.mark.parametrize(
    ("name", "lines", "books", "marks", "trades"),
    [
        ("usdm/btcusdt_20230404.dat.gz", 13_384, 6_765, 99, 2_197),
        ("usdm/btcusdt_20230405.dat.gz", 60_381, 37_440, 415, 10_738),
        ("usdm/btcusdt_20240808.gz", 93_954, 66_089, 0, 21_313),
        ("spot/btcusdt_20230405.dat.gz", 15_088, 8_015, 0, 3_144),
        ("spot/btcusdt_20240808.gz", 41_249, 28_040, 0, 9_757),
    ],
)
def test_every_line_is_accounted_for(folder, name, lines, books, marks, trades):
    count: Counter[str] = Counter()
    for piece in pieces_of((folder / name).read_bytes(), name, "BTCUSDT"):
        count.update({kind: frame.height for kind, frame in piece.messages.items()})
        count.update(lines=piece.lines, garbage=piece.garbage.height, heard=piece.heard.len())
    assert (count["lines"], count["heard"], count["garbage"]) == (lines, lines, 0)
    kinds = ("bookTicker", "markPrice", "trade", "aggTrade")
    assert tuple(count[k] for k in kinds) == (books, marks, trades, 0)


def quoted(frame: pl.DataFrame, leg: str) -> int:
    return frame.filter(pl.col("leg") == leg)["n_updates"].sum()


def test_the_spring_of_2023_loads_with_its_timeless_spot_quotes_as_the_only_finding(source):
    parsed = ingest(source, "tob_snapshots", SPRING)
    DATASETS["tob_snapshots"].validate(parsed.frame)
    assert (quoted(parsed.frame, "perp"), quoted(parsed.frame, "spot")) == (6_765 + 37_440, 8_015)
    assert [(f.dataset, f.check, f.day, f.count) for f in parsed.findings] == [
        ("tob_spot", "no_event_time", SPRING[1], 8_015)
    ]
    assert len(parsed.findings[0].places) == 7


def test_the_recorder_of_2024_is_found_to_be_behind_and_no_quote_is_known_before_its_event(source):
    parsed = ingest(source, "tob_snapshots", AUGUST)
    found = {(f.dataset, f.check): f for f in parsed.findings}
    assert set(found) == {
        ("tob_perp", "clock_offset"),
        ("tob_spot", "clock_offset"),
        ("tob_spot", "no_event_time"),
    }
    for leg in ("tob_perp", "tob_spot"):
        offset = found[leg, "clock_offset"]
        assert offset.count == len(offset.places) == 6
        assert offset.detail.startswith("local clock 1.27 s behind the venue")
    assert found["tob_spot", "no_event_time"].count == 28_040
    # The first spot quote came at 23:54:14.09 by a clock that was 1.27 s behind.
    spot = parsed.frame.filter(pl.col("leg") == "spot")
    assert spot["ts"][0] == datetime(2024, 8, 8, 23, 54, 16, tzinfo=UTC)


def test_both_legs_of_2024_move_together_once_the_clock_is_mended(source):
    frame = ingest(source, "tob_snapshots", AUGUST).frame
    mids = frame.select("leg", "ts", (pl.col("bid_px") + pl.col("ask_px")).alias("mid") / 2)
    both = mids.pivot("leg", index="ts", values="mid").drop_nulls().sort("ts")
    basis_bps = 1e4 * (both["perp"] / both["spot"]).log()
    assert both.height > 340
    assert -8 < basis_bps.mean() < 0
    assert basis_bps.std() < 2


def test_bars_are_of_the_minutes_heard_whole(source):
    perp = ingest(source, "bars_1m_perp", SPRING)
    DATASETS["bars_1m_perp"].validate(perp.frame)
    stamps = [t.strftime("%d %H:%M") for t in perp.frame["ts"]]
    assert stamps == ["05 00:00", *(f"05 00:0{m}" for m in range(1, 7))]
    assert perp.frame["n_trades"].to_list() == [1243, 2196, 1823, 1549, 1295, 1193, 1430]
    # A trade of the insurance fund at 28,722.5, two per cent off the market, is in no bar.
    assert perp.frame["high"].max() < 28_200
    assert [(f.check, f.count) for f in perp.findings] == [("non_market_trades", 1)]
    spot = ingest(source, "bars_1m_spot", SPRING)
    assert (spot.frame.height, spot.findings) == (6, ())
    assert ingest(source, "bars_1m_perp", AUGUST).frame.height == 5


def test_bars_equal_a_plain_loop_over_the_raw_lines(source, folder):
    bars: dict[int, list[tuple[float, float]]] = {}
    text = gzip.decompress((folder / "spot/btcusdt_20240808.gz").read_bytes()).decode()
    for raw in text.splitlines():
        data = json.loads(raw.partition(" ")[2]).get("data", {})
        if data.get("e") == "trade":
            bars.setdefault(data["T"] // 60_000, []).append((float(data["p"]), float(data["q"])))
    frame = ingest(source, "bars_1m_spot", AUGUST).frame
    assert frame.height == 5
    for row in frame.iter_rows(named=True):
        trades = bars[int(row["open_ts"].timestamp()) // 60]
        prices = [p for p, _ in trades]
        assert [row[c] for c in ("open", "high", "low", "close", "n_trades")] == [
            prices[0], max(prices), min(prices), prices[-1], len(trades),
        ]  # fmt: skip
        assert row["volume_base"] == pytest.approx(sum(q for _, q in trades), rel=1e-12)
        assert row["volume_quote"] == pytest.approx(sum(p * q for p, q in trades), rel=1e-12)


def report_of(source, days, thresholds):
    needs = dict.fromkeys(("bars_1m_perp", "bars_1m_spot", "mark_index"), "optional")
    needs |= {"tob_snapshots": "required"}
    parsed = {dataset: ingest(source, dataset, days) for dataset in needs}
    frames = {d: p.frame for d, p in parsed.items() if d != "tob_snapshots"}
    found = findings_frame([f for p in parsed.values() for f in p.findings])
    agg = aggregate_book(parsed["tob_snapshots"].frame)
    tables = MarketTables(**frames, tob_1m_agg=agg, raw_findings=found)
    return examine(tables, days, ["BTCUSDT"], needs, thresholds)


def test_d0_tells_what_is_odd_in_a_capture_and_refuses_a_day_of_minutes(source):
    thresholds = D0Thresholds(**yaml.safe_load(GATES.read_text())["d0"])
    reports = {days[-1].year: report_of(source, days, thresholds) for days in (SPRING, AUGUST)}
    told = {
        year: report.filter((pl.col("count") > 0) & pl.col("check").is_in(CAPTURE_CHECKS))
        .select("dataset", "check", "count")
        .rows()
        for year, report in reports.items()
    }
    assert sorted(told[2023]) == [
        ("bars_1m_perp", "non_market_trades", 1),
        ("tob_spot", "no_event_time", 8_015),
    ]
    assert sorted(told[2024]) == [
        ("tob_perp", "clock_offset", 6),
        ("tob_spot", "clock_offset", 6),
        ("tob_spot", "no_event_time", 28_040),
    ]
    (verdict,) = judge_d0(reports[2024], thresholds)[AUGUST[0]]
    assert verdict.outcome == Outcome.FAIL
    gaps = ("bars_1m_perp", "bars_1m_spot", "tob_perp", "tob_spot")
    assert sorted(verdict.reasons) == [f"GAPS:{dataset}" for dataset in gaps]


def test_marks_are_those_known_by_each_close(source):
    parsed = ingest(source, "mark_index", SPRING)
    DATASETS["mark_index"].validate(parsed.frame)
    assert (parsed.frame.height, parsed.findings) == (9, ())
    assert parsed.frame["mark_price"][0] == 28_151.7
    assert parsed.frame["predicted_rate"].null_count() == 0
    settles = parsed.frame["next_funding_ts"].dt.hour().to_list()
    assert settles == [0, 0, *[8] * 7]
    assert ingest(source, "mark_index", AUGUST).frame.is_empty()
