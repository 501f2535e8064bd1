"""Gate S both ways: every limit stops alone, and what meets them all passes."""

from __future__ import annotations

import polars as pl
import pytest

from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.walk_forward.gate import judge_s
from quantlab_pipeline.research.walk_forward.spec import SThresholds

THRESHOLDS = SThresholds(
    min_oos_trades=30,
    min_oos_net_bps=0.0,
    max_oos_p=0.05,
    min_deflated_sharpe=0.95,
    min_neighbour_ratio=0.6,
    min_stress_net_bps=0.0,
    max_drawdown_bps=1000.0,
    max_pbo_upper=0.9,
)
GOOD = {
    "strategy_id": "s",
    "oos_trades": 50,
    "oos_net_bps": 10.0,
    "oos_p": 0.01,
    "deflated_sharpe": 0.99,
    "neighbour_ratio": 0.9,
    "stress_net_bps": 3.0,
    "max_drawdown_bps": 100.0,
    "pbo_upper": 0.4,
}


def test_what_meets_every_limit_passes() -> None:
    (verdict,) = judge_s(pl.DataFrame([GOOD]), THRESHOLDS)
    assert (verdict.outcome, verdict.reasons) == (Outcome.PASS, ())


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("oos_net_bps", -0.1, "OOS_NET"),
        ("oos_p", 0.051, "OOS_NOT_SIGNIFICANT"),
        ("deflated_sharpe", 0.949, "DEFLATED_SHARPE"),
        ("neighbour_ratio", 0.59, "RAZOR_EDGE"),
        ("stress_net_bps", -1.0, "STRESS"),
        ("max_drawdown_bps", 1001.0, "DRAWDOWN"),
        ("pbo_upper", 0.91, "OVERFIT"),
        ("deflated_sharpe", None, "MISSING:deflated_sharpe"),
    ],
)
def test_each_limit_stops_alone(column: str, value: float | None, reason: str) -> None:
    (verdict,) = judge_s(pl.DataFrame([{**GOOD, column: value}]), THRESHOLDS)
    assert (verdict.outcome, verdict.reasons) == (Outcome.FAIL, (reason,))


def test_few_trades_are_underpowered_never_a_pass() -> None:
    (verdict,) = judge_s(pl.DataFrame([{**GOOD, "oos_trades": 29}]), THRESHOLDS)
    assert (verdict.outcome, verdict.reasons[0]) == (Outcome.UNDERPOWERED, "FEW_TRADES")
