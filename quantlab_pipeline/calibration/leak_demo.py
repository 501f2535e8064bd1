"""A leak on purpose: one column that reads the next minute, under a name that says nothing.

Belongs here: the demonstration that gate PIT-1 names the column, its first row and the table it saw
through, and leaves the honest columns alone. The gate is given no hint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import polars as pl

from quantlab_pipeline.calibration.in_memory import Documents, Progress, market_tables, silent
from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE
from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline.research.features.gate import judge_pit1
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.leaks import Leak
from quantlab_pipeline.research.features.spec import FeatureSpec, FeatureSpecs
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.spec import Scenario

LEAKED = "pressure_5m"
"""The leaked column's name, as neutral as an honest one's."""

N_DAYS = 3
N_SYMBOLS = 2


@dataclass(frozen=True, slots=True)
class LeakDemo:
    """What PIT-1 said of a build with one leaked column.

    `leaks` are the gate's own findings (feature, first row that saw ahead, through which input, by
    how many seconds), `verdicts` one per column. Of `n_honest` other columns `n_green` pass, on
    values that were there to compare.
    """

    leaks: tuple[Leak, ...]
    verdicts: list[ItemVerdict]
    n_honest: int
    n_green: int


def run_leak_demo(
    load: Callable[[type[Scenario]], Scenario],
    documents: Documents,
    market: MarketSpec,
    seed: int,
    progress: Progress = silent,
) -> LeakDemo:
    """A few days of the scenario that `load` reads, its features and a leak, before gate PIT-1."""
    world = generate(_slice(load(Scenario)), seed)
    days, symbols = world.scenario.days, list(world.truth.symbols)
    inputs = market_tables(world.frames, market, symbols, days[-1])
    progress("a few days of the world", 1, 3)
    specs = with_leak(documents.features)
    build = partial(build_features, extra={LEAKED: next_minute_bps})
    features = build(inputs, specs, days[-1:], symbols)
    progress("features, one of them leaked", 2, 3)
    thresholds = documents.gates.pit1
    report = judge_pit1(inputs, specs, features, days[-1:], symbols, thresholds, seed, build)
    progress("gate PIT-1", 3, 3)
    verdicts = report.by_feature()
    honest = [v for v in verdicts if v.item != LEAKED]
    green = sum(
        v.outcome is Outcome.PASS and bool(v.measured["compared_values"][0]) for v in honest
    )
    return LeakDemo(report.leaks, verdicts, len(honest), green)


def with_leak(specs: FeatureSpecs) -> FeatureSpecs:
    """`specs` and, as an honest author would state it, a column of the last minute's bars."""
    leaked = FeatureSpec(
        inputs=("bars_1m_perp.close",),
        verb="custom",
        lookback_min=5,
        aggregation="last",
        normalisation="none",
        warmup_min=0,
        min_valid=1,
        unit="bps",
        meaning="Pressure of the last five minutes' trades.",
        needs=("bars_1m_perp",),
    )
    return specs.model_copy(update={"features": {**specs.features, LEAKED: leaked}})


def next_minute_bps(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The return of the minute after each row, bps: a close that nobody knows yet, joined on ts."""
    closes = inputs.bars_perp.select("symbol", "ts", "close").unique(
        ["symbol", "ts"], keep="first", maintain_order=True
    )
    later = closes.select("symbol", pl.col("ts") - MINUTE, pl.col("close").alias("next"))
    rows = grid.join(closes, on=["symbol", "ts"], how="left", maintain_order="left").join(
        later, on=["symbol", "ts"], how="left", maintain_order="left"
    )
    return rows.select(1e4 * (pl.col("next") / pl.col("close") - 1.0)).to_series()


def _slice(scenario: Scenario) -> Scenario:
    """The first days and symbols of `scenario`, undamaged."""
    last_day = scenario.first_day + timedelta(days=N_DAYS - 1)
    book = scenario.book and scenario.book.model_copy(update={"last_day": last_day})
    changes = {
        "duration_min": N_DAYS * DAY_MINUTES,
        "symbols": scenario.symbols[:N_SYMBOLS],
        "book": book,
        "damage": (),
    }
    return scenario.model_copy(update=changes)
