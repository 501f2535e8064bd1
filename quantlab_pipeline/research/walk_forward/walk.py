"""From blueprints to `walkforward`: strategies refitted fold by fold, judged outside their fit.

The one stage that may call upstream verbs: it runs the backtest's own blueprints through the same
engine, once for each holding time, and chooses among the trades.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import DAY_US, day_of, day_start, to_us
from quantlab_pipeline.research.backtest.backtest import by_way
from quantlab_pipeline.research.backtest.blueprint import Blueprint, intents_of
from quantlab_pipeline.research.walk_forward.folds import holdout_segments
from quantlab_pipeline.research.walk_forward.overfitting import probability_of_overfitting
from quantlab_pipeline.research.walk_forward.plateau import ground_of
from quantlab_pipeline.research.walk_forward.refit import Fold, neighbour_ratio, walk
from quantlab_pipeline.research.walk_forward.schema import WALKFORWARD
from quantlab_pipeline.research.walk_forward.spec import WalkForwardSpec
from quantlab_pipeline.simulation import metrics
from quantlab_pipeline.simulation.simulator import Simulator
from quantlab_pipeline.simulation.tape import MarketTables
from quantlab_pipeline.simulation.trades import CLOSED

Floats = NDArray[np.float64]

VARIANT_COLUMNS = (
    *("strategy_id", "hold_scale", "event_id"),
    *("ts", "decide_us", "exit_us", "severity", "net_bps"),
)


@dataclass(frozen=True, slots=True)
class Trials:
    """What the deflated Sharpe ratio counts: trials so far, their daily Sharpe ratios' variance."""

    n: int
    daily_sharpe_variance: float


@dataclass(frozen=True, slots=True)
class History:
    """What upstream found: daily returns, stress results, each event type's family, the trials."""

    returns: pl.DataFrame
    stresses: pl.DataFrame
    families: Mapping[str, str]
    trials: Trials


def trials_of(candidates: pl.DataFrame, n_trials: int, n_days: int) -> Trials:
    """Dispersion of the tested candidates' daily Sharpe ratios, z over the root of the days.

    Before costs: net of them, trials differ by how dear they are, which is no luck to be beaten.
    By the median absolute deviation: the few true effects that are looked for must not raise the
    bar against themselves.
    """
    z = (candidates["gross_bps"] / candidates["se_bps"]).drop_nulls().drop_nans().to_numpy()
    return Trials(max(n_trials, 1), metrics.robust_variance(z) / n_days)


def variant_trades(
    plans: Sequence[Blueprint],
    entries: pl.DataFrame,
    tables: MarketTables,
    simulator: Simulator,
    spec: WalkForwardSpec,
) -> pl.DataFrame:
    """Closed trades of every plan under every hold scale.

    Its columns are `VARIANT_COLUMNS`. `entries` are signed entries with `severity`.
    """
    severity = entries.select("candidate_id", "event_id", "severity").unique(
        ["candidate_id", "event_id"], maintain_order=True
    )
    frames = []
    ways = by_way(plans, simulator.costs)
    for scale, (way, group) in itertools.product(spec.hold_scales, ways):
        intents = pl.concat([intents_of(_held(plan, scale), entries) for plan in group])
        (run,) = simulator.execute(intents, tables, [way])
        frames.append(
            run.trades.filter(pl.col("status").is_in(CLOSED))
            .with_columns(pl.lit(scale).alias("hold_scale"))
            .join(
                severity,
                left_on=["strategy_id", "event_id"],
                right_on=["candidate_id", "event_id"],
                how="left",
                maintain_order="left",
            )
        )
    return pl.concat(frames).select(VARIANT_COLUMNS)


def _held(plan: Blueprint, scale: float) -> Blueprint:
    """`plan` with its holding time scaled, to whole minutes and at least one."""
    return plan.model_copy(update={"horizon_min": max(1, round(plan.horizon_min * scale))})


def build_walkforward(
    plans: Sequence[Blueprint],
    trades: pl.DataFrame,
    history: History,
    days: list[date],
    holdout_from: date,
    spec: WalkForwardSpec,
) -> pl.DataFrame:
    """The `walkforward` table. `trades` are `variant_trades`; days are the study's, all of them."""
    tests = holdout_segments([d for d in days if d >= holdout_from], spec.n_folds)
    rows = []
    for plan in plans:
        mine = trades.filter(pl.col("strategy_id") == plan.strategy_id).sort(
            "hold_scale", "decide_us", "event_id"
        )
        rows.append(
            {
                "strategy_id": plan.strategy_id,
                "event_family": history.families[plan.event_type],
                "horizon": plan.horizon,
                **_outside(walk(mine, tests, spec)),
                **_inside(mine, days, holdout_from, spec),
                **_around(neighbour_ratio(_before(mine, holdout_from), spec), plan, history),
                **_track(plan.strategy_id, history),
            }
        )
    schema = {c.name: c.dtype for c in WALKFORWARD.columns}
    return WALKFORWARD.conform(pl.DataFrame(rows, schema=schema))


def _outside(folds: Sequence[Fold]) -> dict[str, Any]:
    taken = [f for f in folds if f.trades.height]
    row: dict[str, Any] = {
        "n_folds": len(taken),
        "chosen": ";".join(_choice(f) for f in folds),
        "oos_trades": sum(f.trades.height for f in taken),
        "oos_net_bps": None,
        "oos_se_bps": None,
        "oos_p": None,
        "is_net_bps": None,
        "fold_deviation_bps": None,
    }
    if not taken:
        return row
    whole = pl.concat([f.trades for f in taken])
    net = whole["net_bps"].to_numpy()
    error, p = _by_day(whole)
    means = [float(f.trades["net_bps"].to_numpy().mean()) for f in taken]
    row |= {"oos_net_bps": float(net.mean()), "oos_se_bps": error, "oos_p": p}
    row["is_net_bps"] = float(np.mean([f.train_net_bps for f in taken]))
    row["fold_deviation_bps"] = float(np.std(means, ddof=1)) if len(means) > 1 else None
    return row


def _choice(fold: Fold) -> str:
    if fold.hold_scale is None:
        return "none"
    return f"hold x{fold.hold_scale:g}, severity above q{fold.severity_quantile:g}"


def _by_day(trades: pl.DataFrame) -> tuple[float | None, float | None]:
    """Standard error of the mean trade, clustered by day, and the one-sided p on G - 1 degrees."""
    from scipy.special import stdtr

    day = trades.select(day_of().alias("day"))["day"].to_numpy()
    net = trades["net_bps"].to_numpy()
    days, index = np.unique(day, return_inverse=True)
    if days.size < 2:
        return None, None
    sums = np.bincount(index, net - net.mean(), days.size)
    error = float(np.sqrt(sums @ sums * days.size / (days.size - 1)) / net.size)
    if error == 0.0:
        return 0.0, None
    return error, float(stdtr(days.size - 1, -net.mean() / error))


def _inside(
    trades: pl.DataFrame, days: list[date], holdout_from: date, spec: WalkForwardSpec
) -> dict[str, Any]:
    """Overfitting among the holding times, on the days before the holdout."""
    before = _before(trades, holdout_from)
    train_days = [d for d in days if d < holdout_from]
    first = to_us(day_start(days[0]))
    of_scale = (before.filter(pl.col("hold_scale") == scale) for scale in spec.hold_scales)
    daily = np.column_stack([_daily(t, first, len(train_days)) for t in of_scale])
    found = probability_of_overfitting(daily, spec.pbo_blocks)
    return {
        "pbo": found[0] if found else None,
        "pbo_upper": found[2] if found else None,
    }


def _before(trades: pl.DataFrame, holdout_from: date) -> pl.DataFrame:
    """The trades that were over before the holdout began."""
    return trades.filter(pl.col("exit_us") <= to_us(day_start(holdout_from)))


def _around(of_hold: float | None, plan: Blueprint, history: History) -> dict[str, Any]:
    """Gate S's ratio is that of the sharpest parameter; one that is not known leaves none.

    Holding times are those of the engine's trades, every other parameter stands on bars.
    """
    ground = ground_of(plan.strategy_id, history.stresses)
    ratios = [of_hold, *(r for name, r in ground.ratios.items() if name != "hold")]
    known = [r for r in ratios if r is not None]
    return {
        "neighbour_ratio": min(known) if len(known) == len(ratios) else None,
        "plateau": ground.plateau,
    }


def _daily(trades: pl.DataFrame, first_us: int, n_days: int) -> Floats:
    day = (trades["decide_us"].to_numpy() - 1 - first_us) // DAY_US
    return np.bincount(day, trades["net_bps"].to_numpy(), n_days).astype(np.float64)[:n_days]


def _track(strategy_id: str, history: History) -> dict[str, Any]:
    mine = history.returns.filter(pl.col("strategy_id") == strategy_id).sort("day")
    daily = mine["net_bps"].to_numpy()
    found = metrics.moments(daily)
    row: dict[str, Any] = {
        "sharpe": metrics.sharpe(daily).value,
        "n_trials": history.trials.n,
        "deflated_sharpe": None,
        "min_track_years": None,
        "stress_net_bps": _worst_stress(strategy_id, history.stresses),
        "max_drawdown_bps": metrics.max_drawdown(daily).value,
    }
    if found is not None:
        trials = history.trials
        row["deflated_sharpe"] = metrics.deflated_sharpe(
            found, trials.daily_sharpe_variance, trials.n
        ).value
        needed = metrics.min_track_record(found).value
        row["min_track_years"] = None if needed is None else needed / metrics.DAYS_PER_YEAR
    return row


def _worst_stress(strategy_id: str, stresses: pl.DataFrame) -> float | None:
    """Lowest mean net per trade over the judged stresses, both segments together."""
    judged = stresses.filter(
        (pl.col("strategy_id") == strategy_id) & pl.col("judged") & pl.col("net_bps").is_not_null()
    )
    means = [
        float(np.average(group["net_bps"].to_numpy(), weights=group["n_trades"].to_numpy()))
        for _, group in judged.group_by(["scenario"], maintain_order=True)
    ]
    return min(means) if means else None
