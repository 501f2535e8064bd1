"""What is wrong with funding: settlements that are missing, wild, or not what the venue announced.

Belongs here: the checks of the `funding` table, alone and against the published premium. Nothing is
judged here.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import TS, day_end, day_start
from quantlab_pipeline.research.market_data.checks import UNCOVERED
from quantlab_pipeline.research.market_data.funding_state import formula_rate, mean_premium
from quantlab_pipeline.research.market_data.spec import D0Thresholds
from quantlab_pipeline.research.market_data.tally import GROUP, dated, empty_tally, tally

MIN_PREMIUM_COVERED = 0.95
FORMULA_SHARE = 0.5


def examine_funding(
    funding: pl.DataFrame,
    mark_index: pl.DataFrame,
    raw_findings: pl.DataFrame,
    thresholds: D0Thresholds,
) -> list[pl.DataFrame]:
    """Tallies of every check on `funding`; each day by its own rows alone.

    A settlement that no landed file covers (a raw finding) is not missing.
    """
    rows = dated(funding).sort("symbol", "ts")
    wild = rows.filter(pl.col("settled_rate").abs() > thresholds.max_abs_funding_rate)
    uncovered = raw_findings.filter(pl.col("check") == UNCOVERED)
    missing = _missing_settlements(rows).join(uncovered, on=["symbol", "ts"], how="anti")
    return [
        tally(wild, "funding", "funding_out_of_range"),
        tally(missing, "funding", "missing_settlement"),
        tally(_early(rows), "funding", "interval_mismatch"),
        _off_formula(rows, mark_index, thresholds),
    ]


def _missing_settlements(rows: pl.DataFrame) -> pl.DataFrame:
    """Settlements that the intervals of each day's own rows call for and that are not there."""
    absent: list[tuple[str, date, datetime]] = []
    for (symbol, day), part in rows.group_by(GROUP, maintain_order=True):
        stamps, hours = part["ts"].to_list(), part["interval_h"].to_list()
        before = [day_start(day), *stamps]
        steps = [timedelta(hours=h) for h in (*hours, hours[-1])]
        for i, (start, step) in enumerate(zip(before, steps, strict=True)):
            if i < len(stamps):
                at = stamps[i] - step
                while at > start:
                    absent.append((symbol, day, at))
                    at -= step
            else:
                at = start + step
                while at <= day_end(day):
                    absent.append((symbol, day, at))
                    at += step
    columns: dict[str, Any] = {"symbol": pl.String, "day": pl.Date, "ts": TS}
    return pl.DataFrame(absent, schema=columns, orient="row")


def _early(rows: pl.DataFrame) -> pl.DataFrame:
    """Settlements that come before their published interval is over, or off its grid of hours."""
    spacing_h = pl.col("ts").diff().over(GROUP).dt.total_hours()
    off_grid = pl.col("ts").dt.hour().cast(pl.Int64) % pl.col("interval_h") != 0
    return rows.filter(off_grid | (spacing_h < pl.col("interval_h")).fill_null(value=False))


def _off_formula(
    rows: pl.DataFrame, mark_index: pl.DataFrame, thresholds: D0Thresholds
) -> pl.DataFrame:
    """Settled rates far from the formula's; a day's detail says how far, also where none is."""
    premium = mark_index.select("symbol", "ts", "premium_index").drop_nulls()
    if premium.is_empty() or rows.is_empty():
        return empty_tally()
    limit = pl.max_horizontal(
        pl.lit(thresholds.formula_min_bps / 1e4), FORMULA_SHARE * pl.col("formula").abs()
    )
    apart = (pl.col("settled_rate") - pl.col("formula")).abs()
    held = _held_against_formula(rows, premium).with_columns(apart.alias("apart"))
    seen = pl.format(
        "{} held against the formula, furthest {} bps off",
        pl.len(),
        (1e4 * pl.col("apart").max()).round(2),
    )
    off = tally(held.filter(pl.col("apart") > limit), "funding", "formula_mismatch")
    every_day = held.group_by(GROUP, maintain_order=True).agg(seen.alias("detail"))
    shown = every_day.join(off.drop("detail"), on=GROUP, how="left", maintain_order="left")
    return shown.with_columns(
        pl.lit("funding").alias("dataset"),
        pl.lit("formula_mismatch").alias("check"),
        pl.col("count").fill_null(0),
        pl.col("places").fill_null([]),
    ).select(empty_tally().columns)


def _held_against_formula(rows: pl.DataFrame, premium: pl.DataFrame) -> pl.DataFrame:
    """Settlements with the `formula`'s rate on the premium of their own interval, by their day.

    An interval with less than MIN_PREMIUM_COVERED of its minutes of premium is left out.
    """
    due = rows.select(
        *GROUP,
        "settled_rate",
        "interval_h",
        pl.col("ts").alias("settled"),
        (pl.col("ts") - pl.duration(hours=pl.col("interval_h"))).alias("since"),
    )
    inside = (
        dated(premium)
        .join(due, on=GROUP)
        .filter(pl.col("ts") > pl.col("since"), pl.col("ts") <= pl.col("settled"))
        .sort("symbol", "settled", "ts")
    )
    whole = mean_premium(inside, "since", ["symbol", "settled"]).unique(
        ["symbol", "settled"], keep="last", maintain_order=True
    )
    rate = formula_rate(pl.col("mean_premium"), pl.col("interval_h"), pl.col("settled"))
    return whole.filter(pl.col("covered") >= MIN_PREMIUM_COVERED).with_columns(
        rate.alias("formula"), pl.col("settled").alias("ts")
    )
