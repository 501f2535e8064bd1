"""The book through time: weights set before each day from earlier days, drift, cost, figures.

Weights that are judged on a day use returns of earlier days alone. The book pays for its own size:
what its orders move beyond what each strategy's backtest paid alone (`joint_impact`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantlab_pipeline.research.portfolio.allocate import allocate, shrunk_covariance
from quantlab_pipeline.research.portfolio.clusters import risk_clusters
from quantlab_pipeline.research.portfolio.joint_impact import joint_impact
from quantlab_pipeline.research.portfolio.schema import PORTFOLIO
from quantlab_pipeline.research.portfolio.spec import PortfolioSpec

Vector = NDArray[np.float64]
DAYS_A_YEAR = 365.0


@dataclass(frozen=True, slots=True)
class BookPath:
    """Daily weights (days, n) held, and the book's return, cost and turnover of each day."""

    weights: Vector
    net: Vector
    cost: Vector
    turnover: Vector
    last_weights: Vector
    failures: tuple[str, ...]


def run_book(
    returns: Vector, clusters: NDArray[np.int64], first: int, spec: PortfolioSpec
) -> BookPath:
    """Trade the book over days `first`.. of `returns` (days, n), fractions of allotted capital.

    Every `rebalance_days` the weights are set from the days before; between, they drift with the
    returns, and the drift is known before the next change is priced.
    """
    n_days, n = returns.shape
    held = np.zeros(n)
    weights, net, cost, turnover, failures = [], [], [], [], []
    for day in range(first, n_days):
        paid = change = 0.0
        if (day - first) % spec.rebalance_days == 0 and day >= spec.min_history_days:
            past = returns[:day]
            mean = (1.0 - spec.mean_shrinkage) * past.mean(axis=0)
            chosen = allocate(mean, shrunk_covariance(past), held, clusters, spec)
            failures += [chosen.failure] if chosen.failure else []
            moved = np.abs(chosen.weights - held)
            change = float(moved.sum())
            paid = 1e-4 * float(
                spec.turnover_cost_bps * moved.sum() + spec.impact_cost_bps * (moved**1.5).sum()
            )
            held = chosen.weights
        gain = float(held @ returns[day]) - paid
        weights.append(held)
        net.append(gain)
        cost.append(paid)
        turnover.append(change)
        held = held * (1.0 + returns[day]) / (1.0 + gain)
    columns = (np.array(net), np.array(cost), np.array(turnover))
    shape = (n_days - first, n)
    return BookPath(np.array(weights).reshape(shape), *columns, held, tuple(failures))


def stress_sharpe(path: BookPath, returns: Vector, first: int, correlation: float) -> float | None:
    """Annualised Sharpe ratio if every pair of strategies had `correlation`; None if no risk."""
    weights = path.weights.mean(axis=0)
    deviation = returns[first:].std(axis=0, ddof=1) * weights
    variance = (1 - correlation) * float(deviation @ deviation) + correlation * deviation.sum() ** 2
    return None if variance <= 0 else float(path.net.mean() / variance**0.5 * DAYS_A_YEAR**0.5)


def combined_capacity_usd(
    weights: Vector, capacities: Vector, clusters: NDArray[np.int64]
) -> float | None:
    """Capital at which the first cluster is full; its strategies share the largest one's capacity.

    NaN capacities are unknown: None then, and where nothing is weighted.
    """
    used = weights > 0
    if not used.any() or np.isnan(capacities[used]).any():
        return None
    rooms = []
    for cluster in np.unique(clusters[used]):
        inside = used & (clusters == cluster)
        rooms.append(capacities[inside].max() / weights[inside].sum())
    return float(min(rooms))


def build_portfolio(
    daily: pl.DataFrame,
    trades: pl.DataFrame,
    strategies: pl.DataFrame,
    portfolio_id: str,
    spec: PortfolioSpec,
    impact_y: float,
) -> pl.DataFrame:
    """The `portfolio` table.

    `daily`: strategy_id, day, net_bps, capital_usd, segment (`in_sample` before, `holdout` judged),
    every day of the study. `trades`: their closed trades, as `joint_impact` wants them.
    `strategies`: strategy_id, event_family, horizon, capacity_usd. No strategies: empty.
    """
    if strategies.is_empty():
        return PORTFOLIO.empty()
    ids = strategies.sort("strategy_id")["strategy_id"].to_list()
    wide = daily.filter(pl.col("strategy_id").is_in(ids)).pivot(
        "strategy_id", index=["day", "segment"], values="net_bps"
    )
    wide = wide.sort("day").with_columns(pl.col(ids).fill_null(0.0))
    returns = wide.select(ids).to_numpy() * 1e-4
    first = int((wide["segment"] == "in_sample").sum())
    facts = strategies.sort("strategy_id")
    labels = list(zip(facts["event_family"], facts["horizon"], strict=True))
    clusters = risk_clusters(labels, returns[:first], spec.cluster_correlation)
    path = run_book(returns, clusters, first, spec)
    moved = _own_impact(path, daily, trades, ids, wide["day"][first:], spec, impact_y)
    path = replace(path, net=path.net - moved)
    capacity = facts["capacity_usd"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    rows = pl.DataFrame(
        {
            "portfolio_id": [portfolio_id] * len(ids),
            "strategy_id": ids,
            "cluster": clusters,
            "weight": path.weights[-1] if len(path.weights) else np.zeros(len(ids)),
            "mean_weight": path.weights.mean(axis=0) if len(path.weights) else np.zeros(len(ids)),
            "net_bps_per_day": 1e4 * returns[first:].mean(axis=0) if first < len(returns) else 0.0,
            "capacity_usd": facts["capacity_usd"].cast(pl.Float64),
        }
    )
    book = _book_figures(path, moved, returns, first, capacity, clusters, spec)
    return PORTFOLIO.conform(
        rows.with_columns(pl.lit(v, dtype=PORTFOLIO_DTYPES[k]).alias(k) for k, v in book.items())
    )


PORTFOLIO_DTYPES = {c.name: c.dtype for c in PORTFOLIO.columns}


def _own_impact(
    path: BookPath,
    daily: pl.DataFrame,
    trades: pl.DataFrame,
    ids: list[str],
    days: pl.Series,
    spec: PortfolioSpec,
    impact_y: float,
) -> Vector:
    """What the book's size costs beyond its strategies' own, per judged day, share of capital."""
    capital = dict(daily.unique("strategy_id").select("strategy_id", "capital_usd").iter_rows())
    scale = pl.DataFrame(
        {
            "strategy_id": ids * len(days),
            "day": pl.Series(np.repeat(days.to_numpy(), len(ids))).cast(pl.Date),
            "scale": (path.weights * spec.capital_usd / [capital[s] for s in ids]).ravel(),
        },
        schema={"strategy_id": pl.String, "day": pl.Date, "scale": pl.Float64},
    )
    return joint_impact(trades, scale, days.to_list(), impact_y) / spec.capital_usd


def _book_figures(
    path: BookPath,
    moved: Vector,
    returns: Vector,
    first: int,
    capacity: Vector,
    clusters: NDArray[np.int64],
    spec: PortfolioSpec,
) -> dict[str, float | int | None]:
    days = len(path.net)
    if days < 2:
        return {c.name: None for c in PORTFOLIO.columns if c.name.startswith("book_")} | {
            "book_days": days
        }
    deviation = float(path.net.std(ddof=1))
    equity = np.concatenate([[0.0], np.cumsum(path.net)])
    return {
        "book_days": days,
        "book_net_bps_per_day": 1e4 * float(path.net.mean()),
        "book_cost_bps_per_day": 1e4 * float(path.cost.mean()),
        "book_impact_bps_per_day": 1e4 * float(moved.mean()),
        "book_vol_bps_per_day": 1e4 * deviation,
        "book_sharpe": float(path.net.mean() / deviation * DAYS_A_YEAR**0.5) if deviation else None,
        "book_stress_sharpe": stress_sharpe(path, returns, first, spec.stress_correlation),
        "book_max_drawdown_bps": 1e4 * float((np.maximum.accumulate(equity) - equity).max()),
        "book_turnover_per_day": float(path.turnover.mean()),
        "book_capacity_usd": combined_capacity_usd(path.weights.mean(axis=0), capacity, clusters),
    }
