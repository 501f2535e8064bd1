"""The columns of `walkforward`: one row per strategy, everything gate S asks about."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.columns import Column, TableSchema


def _number(name: str, unit: str, meaning: str) -> Column:
    return Column(name, pl.Float64, unit, meaning, nullable=True)


WALKFORWARD = TableSchema(
    "walkforward",
    (
        Column("strategy_id", pl.String, "", "The strategy that was refitted."),
        Column("event_family", pl.String, "", "Family of its event type."),
        Column("horizon", pl.String, "", "Its candidate's horizon."),
        Column("n_folds", pl.Int64, "folds", "Test segments with at least one trade.", ge=0),
        Column("chosen", pl.String, "", "Parameters chosen in each fold, joined by `;`."),
        Column("oos_trades", pl.Int64, "trades", "Trades outside every fit.", ge=0),
        _number("oos_net_bps", "bps", "Mean net return of a trade outside every fit."),
        _number("oos_se_bps", "bps", "Its standard error over calendar days."),
        _number("oos_p", "1", "One-sided p for a mean of at most 0."),
        _number("is_net_bps", "bps", "Mean net return where it was fitted."),
        _number("fold_deviation_bps", "bps", "Deviation of the folds' means."),
        _number("sharpe", "1/sqrt(year)", "Of the daily net return, whole period."),
        _number("deflated_sharpe", "1", "Probability that its Sharpe ratio beats the luckiest."),
        Column("n_trials", pl.Int64, "trials", "Trials counted by it, from the ledger.", ge=0),
        _number("min_track_years", "years", "Track record that would be needed at 95 %."),
        _number("pbo", "1", "Probability of backtest overfitting among the parameters."),
        _number("pbo_upper", "1", "Upper end of its 95 % interval."),
        _number("neighbour_ratio", "1", "Median of the optimum's neighbours over the optimum."),
        _number("stress_net_bps", "bps", "Mean net return under the worst of the judged stresses."),
        _number("max_drawdown_bps", "bps", "Deepest fall of the daily sum from its peak."),
    ),
    key=("strategy_id",),
)
