"""The examination: what is wrong with each dataset of each symbol's day, counted and located.

Belongs here: the checks inside one dataset, and the report that adds what parsing set aside. Checks
that hold several series against each other are in `cross_checks`. Nothing is judged here.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, timedelta

import polars as pl

from quantlab_pipeline.core.clocks import MINUTE, TS, day_of
from quantlab_pipeline.research.market_data import cross_checks, funding_checks, schema
from quantlab_pipeline.research.market_data.checks import ABSENT, CHECKS, TOB_DATASETS
from quantlab_pipeline.research.market_data.listing import ENDS, beside_the_ends, until_the_end
from quantlab_pipeline.research.market_data.open_interest import BUCKET
from quantlab_pipeline.research.market_data.parsed import MERGED
from quantlab_pipeline.research.market_data.spec import D0Thresholds, Dataset, Need
from quantlab_pipeline.research.market_data.tally import GROUP, dated, empty_tally, tally

_BARS = ("bars_1m_perp", "bars_1m_spot")
OUTLIER_SIDE = 3
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class MarketTables:
    """The market_data tables under examination; any may be empty, none is changed.

    `raw_findings` is what parsing counted (schema RAW_FINDINGS), `ends` (columns ENDS) who stopped
    for good. Frames may hold more days than are examined; the day before of the perpetual, where it
    is there, is its reference without peers.
    """

    bars_1m_perp: pl.DataFrame = field(default_factory=schema.BARS_1M_PERP.empty)
    bars_1m_spot: pl.DataFrame = field(default_factory=schema.BARS_1M_SPOT.empty)
    funding: pl.DataFrame = field(default_factory=schema.FUNDING.empty)
    mark_index: pl.DataFrame = field(default_factory=schema.MARK_INDEX.empty)
    open_interest: pl.DataFrame = field(default_factory=schema.OPEN_INTEREST.empty)
    tob_1m_agg: pl.DataFrame = field(default_factory=schema.TOB_1M_AGG.empty)
    raw_findings: pl.DataFrame = field(default_factory=schema.RAW_FINDINGS.empty)
    ends: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(ENDS)))


def examine(
    tables: MarketTables,
    days: Sequence[date],
    symbols: Sequence[str],
    needs: Mapping[Dataset, Need],
    thresholds: D0Thresholds,
) -> pl.DataFrame:
    """One row (schema QA_REPORT) per (dataset, symbol, day, check), zero counts included.

    `needs` maps each dataset of the market to `required` or `optional`. A dataset without a row (or
    a finding) on a day has one row, `absent_dataset`: count 1 if it is required, else 0 with the
    detail "optional, absent"; of a required book the perp leg alone is required. `ts` is the day's
    end. A check that was not possible has no row. After the end of a symbol nothing is missing.
    """
    shown = _restricted(tables, symbols)
    alive = until_the_end(dated(shown.tob_1m_agg), shown.ends).drop("day")
    looked = pl.concat([empty_tally(), *_look(replace(shown, tob_1m_agg=alive), thresholds)])
    found = beside_the_ends(looked, shown.ends).filter(pl.col("day").is_in(list(days)))
    raw = shown.raw_findings.select(
        *empty_tally().columns[:2], day_of("ts").alias("day"), *empty_tally().columns[3:]
    ).filter(pl.col("day").is_in(list(days)))
    counted = (
        pl.concat([found, raw])
        .group_by("dataset", "symbol", "day", "check", maintain_order=True)
        .agg(*MERGED)
    )
    grid = _grid(shown, raw, days, symbols, needs)
    key = ["dataset", "symbol", "day", "check"]
    report = grid.join(counted, on=key, how="full", coalesce=True).with_columns(
        pl.coalesce("count_right", "count").alias("count"),
        pl.coalesce("detail_right", "detail").alias("detail"),
        pl.col("places").fill_null([]),
        (pl.col("day").cast(TS).dt.offset_by("1d")).alias("ts"),
    )
    return schema.QA_REPORT.conform(report)


def _restricted(tables: MarketTables, symbols: Sequence[str]) -> MarketTables:
    """The tables of `symbols`; findings of others were not made by looking at them, and stay."""
    kept = {f.name: getattr(tables, f.name) for f in fields(tables) if f.name != "raw_findings"}
    own = {name: t.filter(pl.col("symbol").is_in(list(symbols))) for name, t in kept.items()}
    return MarketTables(**own, raw_findings=tables.raw_findings)


def _look(tables: MarketTables, thresholds: D0Thresholds) -> list[pl.DataFrame]:
    return [
        *_prices(tables, thresholds),
        *_frozen_marks(tables.mark_index, thresholds),
        *_open_interest(tables.open_interest, thresholds),
        *funding_checks.examine_funding(
            tables.funding, tables.mark_index, tables.raw_findings, thresholds
        ),
        *_mark_index(tables.mark_index),
        *_tob(tables, thresholds),
    ]


def _prices(tables: MarketTables, thresholds: D0Thresholds) -> list[pl.DataFrame]:
    """The bars by themselves, and every price series against the others."""
    prices = cross_checks.log_prices(tables.bars_1m_perp, tables.bars_1m_spot, tables.mark_index)
    factor = thresholds.unit_shift_min_factor
    found = [
        *cross_checks.unit_shift(prices, factor),
        *cross_checks.time_shift(prices, thresholds.time_shift_min_corr),
    ]
    apart = cross_checks.price_apart(prices, thresholds.price_apart_min_bps, factor)
    for dataset in _BARS:
        bars = getattr(tables, dataset)
        rows = dated(bars).sort("symbol", "ts")
        lone = _outliers(rows, thresholds)
        key = (dataset, "price_apart")
        apart[key] = apart[key].join(lone, on=["symbol", "ts"], how="anti", maintain_order="left")
        found += [
            _missing(bars, MINUTE, dataset, "gaps"),
            tally(lone, dataset, "outliers"),
            tally(_zero_volume(rows, thresholds), dataset, "zero_volume_run"),
            tally(_frozen_bars(rows, thresholds), dataset, "frozen_price"),
        ]
    return [*found, *(tally(rows, *key) for key, rows in apart.items())]


def _grid(
    tables: MarketTables,
    raw: pl.DataFrame,
    days: Sequence[date],
    symbols: Sequence[str],
    needs: Mapping[Dataset, Need],
) -> pl.DataFrame:
    """Every row the report must have, at count 0 (1 for a required dataset that is absent)."""
    seen = _present(tables) | set(raw.select("dataset", "symbol", "day").iter_rows())
    rows: list[tuple[str, str, date, str, int, str | None]] = []
    for dataset, need in _examined(needs):
        for symbol, day in itertools.product(symbols, days):
            if (dataset, symbol, day) in seen:
                rows += [(dataset, symbol, day, c, 0, None) for c in (ABSENT, *CHECKS[dataset])]
            else:
                count = int(need == "required")
                rows.append((dataset, symbol, day, ABSENT, count, f"{need}, absent"))
    columns = ["dataset", "symbol", "day", "check"]
    types = [*((c, pl.String) for c in columns), ("count", pl.Int64), ("detail", pl.String)]
    return pl.DataFrame(
        rows, schema={**dict(types[:2]), "day": pl.Date, **dict(types[3:])}, orient="row"
    )


def _examined(needs: Mapping[Dataset, Need]) -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    for dataset in sorted(needs):
        if dataset == "tob_snapshots":
            out += [("tob_perp", needs[dataset]), ("tob_spot", "optional")]
        else:
            out.append((dataset, needs[dataset]))
    return out


def _present(tables: MarketTables) -> set[tuple[str, str, date]]:
    seen: set[tuple[str, str, date]] = set()
    for dataset in (*_BARS, "funding", "mark_index", "open_interest"):
        keys = dated(getattr(tables, dataset)).select("symbol", "day").unique()
        seen |= {(dataset, *row) for row in keys.iter_rows()}
    legs = dated(tables.tob_1m_agg).select("leg", "symbol", "day").unique()
    return seen | {(TOB_DATASETS[leg], symbol, day) for leg, symbol, day in legs.iter_rows()}


def _missing(rows: pl.DataFrame, step: timedelta, dataset: str, check: str) -> pl.DataFrame:
    """Instants of each present (symbol, day), `step` apart, that have no row."""
    stamps = dated(rows).select(*GROUP, "ts")
    expected = (
        stamps.select(GROUP)
        .unique()
        .sort(GROUP)
        .with_columns(
            pl.datetime_ranges(
                pl.col("day").cast(TS) + step,
                pl.col("day").cast(TS).dt.offset_by("1d"),
                step,
            ).alias("ts")
        )
        .explode("ts")
    )
    absent = expected.join(stamps, on=[*GROUP, "ts"], how="anti", maintain_order="left")
    return tally(absent, dataset, check)


def _outliers(rows: pl.DataFrame, thresholds: D0Thresholds) -> pl.DataFrame:
    """Lone closes: far from the three before and the three after, and not where the next opens.

    A jump that stays is near one side; in a real crash trading goes on where the minute ended.
    """
    log_close = pl.col("close").log()
    before = log_close.shift(1).rolling_median(OUTLIER_SIDE, min_samples=1)
    after = log_close.reverse().shift(1).rolling_median(OUTLIER_SIDE, min_samples=1).reverse()
    off = pl.min_horizontal((log_close - before).abs(), (log_close - after).abs())
    torn = (pl.col("open").shift(-1).log() - log_close).abs() > off / 2
    step = pl.col("_step")
    scale = MAD_TO_SIGMA * (step - step.median()).abs().median()
    limit = pl.max_horizontal(
        thresholds.outlier_mad_k * pl.col("_scale"), pl.lit(thresholds.outlier_min_bps / 1e4)
    )
    return (
        rows.with_columns(
            off.over(GROUP).alias("_off"),
            torn.fill_null(value=True).over(GROUP).alias("_torn"),
            log_close.diff().over(GROUP).alias("_step"),
        )
        .with_columns(scale.over(GROUP).alias("_scale"))
        .filter(pl.col("_torn") & (pl.col("_off") > limit))
    )


def _zero_volume(rows: pl.DataFrame, thresholds: D0Thresholds) -> pl.DataFrame:
    return _long_runs(rows, pl.col("volume_base") == 0, thresholds.zero_volume_run_min)


def _frozen_bars(rows: pl.DataFrame, thresholds: D0Thresholds) -> pl.DataFrame:
    """Bars whose four prices are the one before's close, in long runs, while trades go on."""
    prices = ("open", "high", "low", "close")
    before = pl.col("close").shift(1).over(GROUP)
    still = pl.all_horizontal(pl.col(c) == before for c in prices) & (pl.col("volume_base") > 0)
    return _long_runs(rows, still.fill_null(value=False), thresholds.frozen_run_min)


def _frozen_marks(rows: pl.DataFrame, thresholds: D0Thresholds) -> list[pl.DataFrame]:
    """Mark prices that are the one before's, in long runs."""
    days = dated(rows).sort("symbol", "ts")
    still = pl.col("mark_price") == pl.col("mark_price").shift(1).over(GROUP)
    long = _long_runs(days, still.fill_null(value=False), thresholds.frozen_run_min)
    return [tally(long, "mark_index", "frozen_price")]


def _long_runs(rows: pl.DataFrame, holds: pl.Expr, at_least: int) -> pl.DataFrame:
    """Rows in runs of `at_least` rows of one day for which `holds` is true."""
    marked = rows.with_columns(holds.alias("_holds"))
    runs = marked.with_columns(pl.col("_holds").rle_id().over(GROUP).alias("_run"))
    return runs.filter(pl.col("_holds") & (pl.len().over(*GROUP, "_run") >= at_least))


def _mark_index(rows: pl.DataFrame) -> list[pl.DataFrame]:
    published = pl.col("index_price").is_not_null().any().over(GROUP)
    holes = dated(rows).filter(pl.col("index_price").is_null() & published)
    return [
        _missing(rows, MINUTE, "mark_index", "mark_index_gap"),
        tally(holes, "mark_index", "index_gap"),
    ]


def _open_interest(rows: pl.DataFrame, thresholds: D0Thresholds) -> list[pl.DataFrame]:
    log_oi = pl.col("oi_base").log()
    off = (log_oi - log_oi.median()).abs().over(GROUP)
    jumped = dated(rows).filter(off > pl.lit(thresholds.unit_shift_min_factor).log())
    return [
        _missing(rows, BUCKET, "open_interest", "oi_holes"),
        tally(jumped, "open_interest", "unit_shift"),
    ]


def _tob(tables: MarketTables, thresholds: D0Thresholds) -> list[pl.DataFrame]:
    found = []
    bars = {"perp": tables.bars_1m_perp, "spot": tables.bars_1m_spot}
    for leg, dataset in TOB_DATASETS.items():
        rows = dated(tables.tob_1m_agg.filter(pl.col("leg") == leg))
        found.append(_missing(rows.drop("day"), MINUTE, dataset, "gaps"))
        for check in ("crossed", "locked", "stale", "invalid"):
            counted = rows.with_columns(pl.col(f"n_{check}").alias("n")).filter(pl.col("n") > 0)
            found.append(tally(counted, dataset, check, "grid seconds"))
        mute = rows.filter(pl.col("n_updates") == 0)
        found.append(tally(mute, dataset, "silent", "minutes without a message"))
        closes = bars[leg].select("symbol", "ts", "close")
        apart = (pl.col("mid_last") / pl.col("close")).log().abs() * 1e4
        both = rows.join(closes, on=["symbol", "ts"], maintain_order="left")
        off = both.filter(apart > thresholds.tob_mismatch_min_bps)
        found.append(tally(off, dataset, "tob_mismatch"))
    return found
