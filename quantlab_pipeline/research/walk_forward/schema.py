"""The columns of `walkforward`: one row per strategy, everything gate S asks about."""

from __future__ import annotations

from quantlab_pipeline.core.columns import TableSchema, count, figure, text

WALKFORWARD = TableSchema(
    "walkforward",
    (
        text("strategy_id", "The strategy that was refitted."),
        text("event_family", "Family of its event type."),
        text("horizon", "Its candidate's horizon."),
        count("n_folds", "folds", "Test segments with at least one trade."),
        text("chosen", "Parameters chosen in each fold, joined by `;`."),
        count("oos_trades", "trades", "Trades outside every fit."),
        figure("oos_net_bps", "bps", "Mean net return of a trade outside every fit."),
        figure("oos_se_bps", "bps", "Its standard error over calendar days."),
        figure("oos_p", "1", "One-sided p for a mean of at most 0."),
        figure("is_net_bps", "bps", "Mean net return where it was fitted."),
        figure("fold_deviation_bps", "bps", "Deviation of the folds' means."),
        figure("sharpe", "1/sqrt(year)", "Of the daily net return, whole period."),
        figure("deflated_sharpe", "1", "Probability that its Sharpe ratio beats the luckiest."),
        count("n_trials", "trials", "Trials counted by it, from the ledger."),
        figure("min_track_years", "years", "Track record that would be needed at 95 %."),
        figure("pbo", "1", "Probability of backtest overfitting among the parameters."),
        figure("pbo_upper", "1", "Upper end of its 95 % interval."),
        figure(
            "neighbour_ratio",
            "1",
            "Median of the optimum's neighbours over the optimum, along the sharpest parameter.",
        ),
        figure("plateau", "1", "Neighbours on bars that keep half of the rule's mean.", 0, 1),
        figure("stress_net_bps", "bps", "Mean net return under the worst of the judged stresses."),
        figure("max_drawdown_bps", "bps", "Deepest fall of the daily sum from its peak."),
    ),
    key=("strategy_id",),
)
