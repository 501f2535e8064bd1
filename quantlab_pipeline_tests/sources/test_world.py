"""A world as a source: its frames come back through the archive's bytes, its damage is found
exactly, its clean twin is silent, and its truth is nowhere in its files."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
import yaml

from quantlab_pipeline.core.clocks import days_between, to_us
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.market_data.basis import basis_state
from quantlab_pipeline.research.market_data.book import aggregate_book
from quantlab_pipeline.research.market_data.checks import CHECKS
from quantlab_pipeline.research.market_data.gate import judge_d0
from quantlab_pipeline.research.market_data.parsed import findings_frame
from quantlab_pipeline.research.market_data.qa import MarketTables, examine
from quantlab_pipeline.research.market_data.spec import D0Thresholds
from quantlab_pipeline.sources.base import DATASETS
from quantlab_pipeline.sources.world import WorldFiles, world_source
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.spec import Scenario
from quantlab_pipeline.worlds.truth import truth_from_json
from quantlab_pipeline_tests.sources.builders import MemorySink, ingest

SPECS = Path(__file__).parents[2] / "specs"
GRID_S = 5
TRUTH_CHECK = {
    "gap": "gaps",
    "duplicate_rows": "duplicates",
    "non_monotone": "non_monotone",
    "crossed_quotes": "crossed_quotes",
    "unit_error": "unit_shift",
    "time_shift": "timezone_shift",
    "price_outlier": "outliers",
    "zero_volume_run": "zero_volume_run",
    "missing_funding": "missing_settlement",
}
FOLLOWS = {
    *(("tob_perp", check) for check in ("crossed", "tob_mismatch", "stale")),
    *((f"bars_1m_{leg}", "totals_mismatch") for leg in ("perp", "spot")),
    *((f"bars_1m_{leg}", "totals_uncovered") for leg in ("perp", "spot")),
}
"""The same damage seen from beside: seconds of crossed quotes, a book beside damaged bars, the
hours that damaged minutes no longer add up to."""


def scenario(name: str) -> Scenario:
    return Scenario(**yaml.safe_load((SPECS / "scenarios" / f"{name}.yaml").read_text()))


def examined(name: str):
    """(truth, report, verdicts, thresholds) of a shipped scenario, through its archive's bytes."""
    sealed: list[bytes] = []
    spec = scenario(name)
    source = world_source(spec, seal=sealed.append, grid_s=GRID_S)
    days = days_between(spec.first_day, spec.last_day)
    tables, findings = {}, []
    for dataset, table in DATASETS.items():
        parsed = [ingest(source, dataset, days, s) for s in source.symbols()]
        tables[dataset] = table.validate(pl.concat([p.frame for p in parsed]))
        findings += [f for p in parsed for f in p.findings]
    book = aggregate_book(tables.pop("tob_snapshots"), grid_s=GRID_S)
    thresholds = D0Thresholds(**yaml.safe_load((SPECS / "gates.yaml").read_text())["d0"])
    report = examine(
        MarketTables(**tables, tob_1m_agg=book, raw_findings=findings_frame(findings)),
        days,
        source.symbols(),
        dict.fromkeys(DATASETS, "required"),
        thresholds,
    )
    return truth_from_json(sealed[0]), report, judge_d0(report, thresholds, GRID_S)


@pytest.fixture(scope="module")
def damaged():
    return examined("damaged")


def cells(report: pl.DataFrame) -> dict[tuple[str, str, date, str], tuple[int, object]]:
    rows = report.filter(pl.col("count") > 0).with_columns(
        pl.col("ts").dt.offset_by("-1us").dt.date().alias("day")
    )
    return {
        (dataset, symbol, day, check): (count, first)
        for dataset, symbol, day, check, count, first in rows.select(
            "dataset", "symbol", "day", "check", "count", "first_ts"
        ).iter_rows()
    }


def test_every_planted_damage_is_found_with_its_count_and_place(damaged):
    truth, report, _ = damaged
    found = cells(report)
    for item in truth.damage:
        if item.kind == "stale_burst":
            continue
        dataset = {"book": f"tob_{item.leg}"}.get(item.dataset, item.dataset)
        key = (dataset, item.symbol, date.fromisoformat(item.day), TRUTH_CHECK[item.kind])
        count, first = found.pop(key)
        assert count == item.count, key
        assert to_us(first) in item.places_us, key
    left = {(dataset, check) for dataset, _, _, check in found}
    assert left <= FOLLOWS | {("tob_perp", "silent")}


def test_a_burst_of_silence_is_the_grid_seconds_and_minutes_inside_it(damaged):
    truth, report, _ = damaged
    burst = next(d for d in truth.damage if d.kind == "stale_burst")
    found = cells(report)
    day = date.fromisoformat(burst.day)
    grid, limit = GRID_S * 1_000_000, 3 * GRID_S * 1_000_000
    stale = silent = 0
    for last, first in burst.spans_us:
        instants = range(last - last % grid + grid, first, grid)
        stale += sum(t - last > limit for t in instants)
        minutes = range(last - last % 60_000_000 + 60_000_000, first, 60_000_000)
        silent += len(minutes) - 1
    assert found["tob_perp", burst.symbol, day, "silent"][0] == silent
    assert found["tob_perp", burst.symbol, day, "stale"][0] == stale


def test_the_gate_is_red_where_something_was_planted_and_green_elsewhere(damaged):
    truth, _, verdicts = damaged
    planted = {(date.fromisoformat(d.day), d.symbol) for d in truth.damage}
    refused = {
        (day, v.item) for day, items in verdicts.items() for v in items if v.outcome is Outcome.FAIL
    }
    assert refused == planted
    assert {v.outcome for items in verdicts.values() for v in items} == {Outcome.FAIL, Outcome.PASS}


def test_the_clean_twin_is_silent():
    _, report, verdicts = examined("damaged_clean")
    assert cells(report) == {}
    assert {v.outcome for items in verdicts.values() for v in items} == {Outcome.PASS}
    looked_for = report.select("dataset", "check").unique().height
    assert looked_for == sum(len(c) + 1 for c in CHECKS.values())


def test_frames_come_back_through_the_bytes_and_days_one_by_one_equal_the_range():
    world = generate(scenario("damaged_clean"))
    source = world_source(scenario("damaged_clean"), seal=lambda _: None, grid_s=GRID_S)
    days = [world.scenario.first_day + timedelta(days=i) for i in (1, 2)]
    for dataset, table in DATASETS.items():
        whole = ingest(source, dataset, days, "AAAUSDT").frame
        one_by_one = [ingest(source, dataset, [d], "AAAUSDT").frame for d in days]
        assert whole.equals(table.conform(pl.concat(one_by_one))), dataset
        if dataset == "tob_snapshots":
            continue
        frame = table.conform(world.frames[dataset])
        wanted = frame.filter(
            pl.col("symbol") == "AAAUSDT",
            pl.col("ts").dt.offset_by("-1us").dt.date().is_in(days),
        )
        assert whole.equals(wanted), dataset


def test_the_basis_of_a_world_is_its_mids():
    source = world_source(scenario("damaged_clean"), seal=lambda _: None, grid_s=GRID_S)
    day = [scenario("damaged_clean").first_day]
    book, perp, spot = (
        ingest(source, d, day, "AAAUSDT").frame
        for d in ("tob_snapshots", "bars_1m_perp", "bars_1m_spot")
    )
    state = basis_state(book, perp, spot, GRID_S)
    assert state.height == 1440
    assert state["basis_source"].unique().to_list() == ["mid"]
    assert state["basis_bps"].abs().max() < 500


def test_equal_worlds_have_equal_bytes_and_no_file_knows_the_truth():
    spec = scenario("damaged")
    one, two = WorldFiles(generate(spec)), WorldFiles(generate(spec))
    assert one.names() == two.names()
    sample = one.names()[::23]
    assert [one.read(n) for n in sample] == [two.read(n) for n in sample]
    assert not [n for n in one.names() if "truth" in n or not n.startswith("data/")]
    reachable = vars(world_source(spec, seal=lambda _: None))
    files = reachable["_tree"]
    assert not hasattr(files, "truth")
    assert all(not hasattr(v, "truth") for v in vars(files).values())


def test_landing_a_world_twice_adds_nothing():
    source = world_source(scenario("damaged_clean"), seal=lambda _: None)
    sink, day = MemorySink(), [scenario("damaged_clean").first_day]
    first = source.land("mark_index", "AAAUSDT", day, sink)
    new = sink.new
    assert source.land("mark_index", "AAAUSDT", day, sink) == first
    assert sink.new == new == 3
