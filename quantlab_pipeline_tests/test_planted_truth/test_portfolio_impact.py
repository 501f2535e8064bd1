"""PT-20: two strategies that fill one market's capacity alone do not fit into it together.

Each trades one symbol at four fifths of its break-even size and earns what is left after its own
impact. Their signals fall on the same minutes and the same side, so that in a book they are one
order of twice the size, which costs the square root of two times as much a dollar.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.portfolio import book
from quantlab_pipeline.research.portfolio.gate import judge_p
from quantlab_pipeline.research.portfolio.spec import PortfolioSpec, PThresholds
from quantlab_pipeline.simulation.capacity import break_even_participation

DAYS = [date(2025, 1, 1) + timedelta(days=i) for i in range(60)]
HOLDOUT = DAYS[30]
SIGMA_D_BPS, VOLUME_USD, IMPACT_Y = 400.0, 1e9, 1.0
EDGE_BPS, FIXED_BPS, PER_DAY = 42.0, 12.0, 6
SIZE_USD = 0.8 * VOLUME_USD * break_even_participation(EDGE_BPS, FIXED_BPS, SIGMA_D_BPS, IMPACT_Y)
NET_BPS = EDGE_BPS - FIXED_BPS - 2 * IMPACT_Y * SIGMA_D_BPS * (SIZE_USD / VOLUME_USD) ** 0.5
"""What a trade keeps alone: the tenth of its surplus that impact leaves at this size."""

SPEC = PortfolioSpec(
    capital_usd=2 * SIZE_USD,
    weight_cap=0.5,
    cluster_cap=1.0,
    gross_cap=1.0,
    risk_aversion=0.01,
    turnover_cost_bps=0.0,
    impact_cost_bps=0.0,
    rebalance_days=5,
    min_history_days=10,
    mean_shrinkage=0.0,
    cluster_correlation=0.95,
    stress_correlation=0.5,
)
THRESHOLDS = PThresholds(
    min_net_bps_per_day=0.0,
    min_stress_sharpe=0.5,
    max_drawdown_bps=2_000.0,
    max_turnover_per_day=1.0,
    min_capacity_usd=1e5,
    min_days=20,
)


def world(seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Daily returns and trades of two strategies that signal together, each with its own noise."""
    rng = np.random.default_rng(seed)
    daily, trades = [], []
    for strategy in ("one", "two"):
        net = NET_BPS * PER_DAY + rng.normal(0.0, 5.0, len(DAYS))
        daily.append(
            pl.DataFrame(
                {
                    "strategy_id": strategy,
                    "day": DAYS,
                    "net_bps": net,
                    "segment": ["in_sample" if d < HOLDOUT else "holdout" for d in DAYS],
                    "capital_usd": SIZE_USD,
                }
            )
        )
        starts = [
            datetime(d.year, d.month, d.day, 2 + 3 * k, tzinfo=UTC)
            for d in DAYS
            for k in range(PER_DAY)
        ]
        trades.append(
            pl.DataFrame(
                {
                    "strategy_id": strategy,
                    "symbol": "BTC",
                    "side": pl.Series([1] * len(starts), dtype=pl.Int8),
                    "decided_at": pl.Series(starts, dtype=pl.Datetime("us", "UTC")),
                    "left_at": pl.Series(
                        [s + timedelta(hours=1) for s in starts], dtype=pl.Datetime("us", "UTC")
                    ),
                    "notional_usd": SIZE_USD,
                    "sigma_d_bps": SIGMA_D_BPS,
                    "volume_usd": VOLUME_USD,
                }
            )
        )
    return pl.concat(daily), pl.concat(trades)


def judged(
    daily: pl.DataFrame, trades: pl.DataFrame, *names: str
) -> tuple[Outcome, tuple[str, ...], float]:
    strategies = pl.DataFrame(
        {
            "strategy_id": names,
            "event_family": names,
            "horizon": ["1h"] * len(names),
            "capacity_usd": [2 * SIZE_USD] * len(names),
        }
    )
    mine = [f.filter(pl.col("strategy_id").is_in(names)) for f in (daily, trades)]
    table = book.build_portfolio(mine[0], mine[1], strategies, "book", SPEC, IMPACT_Y)
    (verdict,) = judge_p(table, THRESHOLDS)
    return verdict.outcome, verdict.reasons, table["book_net_bps_per_day"][0]


@pytest.mark.parametrize("seed", range(8))
def test_each_passes_alone_and_the_two_together_are_stopped(seed: int) -> None:
    daily, trades = world(seed)
    for name in ("one", "two"):
        assert judged(daily, trades, name)[0] is Outcome.PASS
    outcome, reasons, net = judged(daily, trades, "one", "two")
    assert outcome is Outcome.FAIL
    assert "NET_NOT_POSITIVE" in reasons
    together = EDGE_BPS - FIXED_BPS - (EDGE_BPS - FIXED_BPS - NET_BPS) * 2**0.5
    assert net == pytest.approx(together * PER_DAY, abs=3.0)


def test_a_book_that_does_not_add_its_orders_up_would_pass(monkeypatch) -> None:
    daily, trades = world(0)
    monkeypatch.setattr(book, "joint_impact", lambda *_: np.zeros((DAYS[-1] - HOLDOUT).days + 1))
    assert judged(daily, trades, "one", "two")[0] is Outcome.PASS


def test_signals_on_other_minutes_fit() -> None:
    daily, trades = world(1)
    later = pl.col("decided_at", "left_at") + pl.when(pl.col("strategy_id") == "two").then(
        pl.duration(minutes=17)
    ).otherwise(pl.duration(minutes=0))
    assert judged(daily, trades.with_columns(later), "one", "two")[0] is Outcome.PASS
