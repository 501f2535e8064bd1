"""PT-14: what D0 says of a damaged world, through the archive's bytes, against the sealed truth.

Every damage must be found with its count and its places, nothing else may be, and a reader that
mends silently must be caught.
"""

from __future__ import annotations

import typing
from datetime import date, timedelta
from functools import cache

import polars as pl
import pytest
import yaml

from quantlab_pipeline.calibration.damage import SIGNS, grade_damage, signs_of
from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.market_data import bars, book, funding, open_interest, parsed
from quantlab_pipeline.research.market_data.checks import CHECKS
from quantlab_pipeline.research.market_data.gate import judge_d0
from quantlab_pipeline.research.market_data.qa import MarketTables, examine
from quantlab_pipeline.research.market_data.spec import D0Thresholds
from quantlab_pipeline.sources.base import DATASETS
from quantlab_pipeline.sources.world import WorldFiles, world_source
from quantlab_pipeline.worlds.damage.spec import DamageSpec
from quantlab_pipeline.worlds.spec import Scenario
from quantlab_pipeline.worlds.truth import truth_from_json
from quantlab_pipeline_tests.sources.builders import ingest
from quantlab_pipeline_tests.worlds.builders import SHIPPED, scenario, shipped

GRID_S, COARSE_S = 5, 60
THRESHOLDS = D0Thresholds(**yaml.safe_load((SHIPPED.parent / "gates.yaml").read_text())["d0"])


@cache
def sealed_source(spec_name: str, grid_s: int = GRID_S):
    """(source, truth) of a scenario."""
    sealed: list[bytes] = []
    spec = every_table() if spec_name == "every_table" else shipped(spec_name)
    source = world_source(spec, seal=sealed.append, grid_s=grid_s)
    return source, truth_from_json(sealed[0]), days_between(spec.first_day, spec.last_day)


def read(source, days, symbols):
    """The tables and what was set aside on the way to them."""
    tables, findings = {}, []
    for dataset, table in DATASETS.items():
        read_in = [ingest(source, dataset, days, s) for s in symbols]
        tables[dataset] = table.validate(pl.concat([p.frame for p in read_in]))
        findings += [f for p in read_in for f in p.findings]
    return tables, findings


def report_of(tables, findings, days, symbols, grid_s):
    tables = dict(tables)
    minutes = book.aggregate_book(tables.pop("tob_snapshots"), grid_s=grid_s)
    raw = parsed.findings_frame(findings)
    return examine(
        MarketTables(**tables, tob_1m_agg=minutes, raw_findings=raw),
        days,
        symbols,
        dict.fromkeys(DATASETS, "required"),
        THRESHOLDS,
    )


@cache
def examined(spec_name: str, grid_s: int = GRID_S):
    source, truth, days = sealed_source(spec_name, grid_s)
    symbols = source.symbols()
    report = report_of(*read(source, days, symbols), days, symbols, grid_s)
    return report, grade_damage(truth.damage, report, grid_s)


def test_every_kind_is_planted_and_every_check_of_a_damage_is_one_of_d0():
    _, truth, _ = sealed_source("damaged")
    assert {d.kind for d in truth.damage} == set(SIGNS)
    assert len(SIGNS) >= 25
    known = {check for checks in CHECKS.values() for check in checks}
    main = {signs_of(d)[0].check for d in truth.damage}
    assert main <= known


def test_every_planted_damage_is_found_with_its_count_and_its_places():
    grade = examined("damaged")[1]
    assert grade.missed.rows() == []
    _, truth, _ = sealed_source("damaged")
    assert grade.found.filter(~pl.col("consequence")).height == len(truth.damage)


def test_no_finding_is_left_that_no_damage_explains():
    assert examined("damaged")[1].unexplained.rows() == []


def test_the_clean_twin_is_silent_and_was_looked_at_as_closely():
    report, grade = examined("damaged_clean")
    assert grade.unexplained.rows() == []
    assert report["count"].sum() == 0
    looked_for = report.select("dataset", "check").unique().height
    assert looked_for == sum(len(checks) + 1 for checks in CHECKS.values())
    verdicts = judge_d0(report, THRESHOLDS, GRID_S)
    assert {v.outcome for items in verdicts.values() for v in items} == {Outcome.PASS}


def test_the_gate_is_red_where_something_was_planted_and_green_elsewhere():
    _, truth, _ = sealed_source("damaged")
    verdicts = judge_d0(examined("damaged")[0], THRESHOLDS, GRID_S)
    planted = {(date.fromisoformat(d.day), d.symbol) for d in truth.damage}
    outcomes = {(day, v.item): v.outcome for day, items in verdicts.items() for v in items}
    assert {at for at, outcome in outcomes.items() if outcome is Outcome.FAIL} == planted
    assert set(outcomes.values()) == {Outcome.FAIL, Outcome.PASS}


# --- every kind in every table that it may hit --------------------------------------------------

EXTENT = {
    "length_min": 90, "length_buckets": 30, "n_rows": 2, "n_pairs": 1, "share": 0.03,
    "n_bursts": 2, "length_s": 1000, "interval_h": 8,
}  # fmt: skip
OFFSETS = {"open_interest": 150, "funding": 600}


def every_item() -> list[dict[str, object]]:
    """One item for each kind and each table or leg that the scenario language allows."""
    items = []
    for model in typing.get_args(typing.get_args(DamageSpec)[0]):
        fields = model.model_fields
        extent = {k: v for k, v in EXTENT.items() if k in fields}
        for kind in typing.get_args(fields["kind"].annotation):
            where = "leg" if "leg" in fields else "dataset"
            for table in typing.get_args(fields[where].annotation) if where in fields else [None]:
                item = {"kind": kind, **extent} | ({where: table} if table else {})
                if kind == "off_grid":
                    item["offset_s"] = OFFSETS.get(table, 13)
                items.append(item)
    return items


def every_table() -> Scenario:
    """Every item in a symbol's day of its own, on a coarse book.

    A shift carries the day before along, so that shifts follow a symbol's clean first day.
    """
    items, symbols = every_item(), 6
    first = date(2025, 3, 3)
    shifts = [i for i in items if i["kind"] in {"time_shift", "late_clock"}]
    others = [i for i in items if i not in shifts]
    placed = []
    for n, item in enumerate([*shifts, *others]):
        symbol, day = "ABCDEF"[n % symbols] * 3 + "USDT", first + timedelta(days=1 + n // symbols)
        placed.append({**item, "symbol": symbol, "day": day})
    n_days = 1 + -(-len(placed) // symbols)
    return scenario(
        symbols, n_days, name="every_table", first_day=first, seed=20_260_214, damage=placed,
        funding={"interval_h": 4}, book={"legs": ["perp", "spot"], "change_mean_s": 60},
    )  # fmt: skip


def test_every_kind_is_found_in_every_table_that_it_may_hit():
    _, grade = examined("every_table", COARSE_S)
    assert grade.missed.rows() == []
    assert grade.unexplained.rows() == []
    assert grade.found.filter(~pl.col("consequence")).height == len(every_item()) > 70


# --- readers that mend silently -----------------------------------------------------------------


def sorted_first(monkeypatch):
    """Rows are sorted before anybody counts what was out of order."""
    honest = parsed.one_row_each
    for module in (bars, funding, open_interest):
        monkeypatch.setattr(
            module, "one_row_each", lambda rows, origin: honest(rows.sort("ts"), origin)
        )


def doubles_dropped(monkeypatch):
    """Repeated rows go before anybody counts them."""
    honest = parsed.one_row_each

    def once(rows, origin):
        return honest(rows.unique("ts", keep="first", maintain_order=True), origin)

    for module in (bars, funding, open_interest):
        monkeypatch.setattr(module, "one_row_each", once)


def gaps_filled(monkeypatch):
    """A missing minute is the one before."""
    honest = bars.build_bars

    def filled(raw, origin, schema):
        made = honest(raw, origin, schema)
        whole = made.frame.upsample("ts", every="1m").fill_null(strategy="forward")
        return parsed.ParsedTable(schema.conform(whole), made.findings)

    monkeypatch.setattr(bars, "build_bars", filled)


def quotes_sorted(monkeypatch):
    """A late quote is put where it belongs."""
    honest = book.snapshot_book
    monkeypatch.setattr(
        book,
        "snapshot_book",
        lambda pieces, days, grid_s: honest(
            pl.concat(list(pieces)).sort("symbol", "leg", "ts"), days, grid_s
        ),
    )


def quotes_mended(monkeypatch):
    """A crossed quote is turned around."""
    honest = book.snapshot_book
    low, high = pl.min_horizontal("bid_px", "ask_px"), pl.max_horizontal("bid_px", "ask_px")
    monkeypatch.setattr(
        book,
        "snapshot_book",
        lambda pieces, days, grid_s: honest(
            (p.with_columns(bid_px=low, ask_px=high) for p in pieces), days, grid_s
        ),
    )


@pytest.mark.parametrize(
    ("mutant", "symbol", "kinds"),
    [
        (sorted_first, "AAAUSDT", {"non_monotone"}),
        (doubles_dropped, "AAAUSDT", {"duplicate_rows"}),
        (gaps_filled, "AAAUSDT", {"gap", "off_grid", "broken_extremes", "missing_value"}),
        (quotes_sorted, "DDDUSDT", {"late_quotes"}),
        (quotes_mended, "DDDUSDT", {"crossed_quotes"}),
    ],
)
def test_a_reader_that_mends_silently_is_caught(monkeypatch, mutant, symbol, kinds):
    source, truth, days = sealed_source("damaged")
    mutant(monkeypatch)
    report = report_of(*read(source, days, [symbol]), days, [symbol], GRID_S)
    damage = [d for d in truth.damage if d.symbol == symbol]
    grade = grade_damage(damage, report, GRID_S)
    assert kinds <= set(grade.missed["kind"])
    assert grade.found.height > grade.missed.height


# --- the seal -----------------------------------------------------------------------------------


def test_the_files_of_a_damaged_world_say_nothing_of_its_damage():
    source, _, _ = sealed_source("damaged")
    files = vars(source)["_tree"]
    assert isinstance(files, WorldFiles)
    name = next(n for n in files.names() if "spot/daily/klines/AAAUSDT" in n and "02-05" in n)
    text = files.read(name)
    assert b"filed_on" not in text
    assert len(text.splitlines()) >= 1440 + 12
