"""The columns of `portfolio`: one row per strategy; `book_` columns repeat the whole's figures."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.columns import Column, TableSchema, count, figure, text


def _book(name: str, unit: str, meaning: str) -> Column:
    return figure(f"book_{name}", unit, meaning)


PORTFOLIO = TableSchema(
    "portfolio",
    (
        text("portfolio_id", "Name of the book: the study's."),
        text("strategy_id", "The strategy that is weighted."),
        count("cluster", "", "Strategies that share risk have one number."),
        Column("weight", pl.Float64, "1", "Share of capital after the last rebalance.", ge=0),
        Column("mean_weight", pl.Float64, "1", "Mean share over the days judged.", ge=0),
        Column("net_bps_per_day", pl.Float64, "bps/day", "Its own mean over the days judged."),
        Column("capacity_usd", pl.Float64, "USD", "Its own capacity.", nullable=True, ge=0),
        count("book_days", "days", "Days judged, none of them fitted."),
        _book("net_bps_per_day", "bps/day", "Mean return on capital net of all costs."),
        _book("cost_bps_per_day", "bps/day", "Cost and impact of changing weights."),
        _book(
            "impact_bps_per_day", "bps/day", "Impact of its own size beyond its strategies' own."
        ),
        _book("vol_bps_per_day", "bps/day", "Deviation of the daily return."),
        _book("sharpe", "1/sqrt(year)", "Annualised by sqrt(365)."),
        _book("stress_sharpe", "1/sqrt(year)", "The same with all correlations at the stress's."),
        _book("max_drawdown_bps", "bps", "Deepest fall from a peak."),
        _book("turnover_per_day", "1/day", "Mean share of capital that changed hands."),
        _book("capacity_usd", "USD", "Capital at which the first cluster is full."),
    ),
    key=("portfolio_id", "strategy_id"),
)
