"""Every stage from raw files to the portfolio report on real data, where it is.

A generated market is taken that far by `test_second_venue`. Gates after E-1 are waived, so that
every stage runs; what follows is inadmissible.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.core.verdicts import ADMITTED, Gate, Outcome
from quantlab_pipeline_tests.chain.builders import ALL_AFTER_E1, project_with, run_chain
from quantlab_pipeline_tests.chain.checks import every_stage_ran, is_inadmissible


def test_recorded_data(tmp_path: Path, repository: Path, real_data: Path) -> None:
    symbols = ["BTCUSDT", "ETHUSDT"]
    days = {"first_day": date(2025, 5, 24), "last_day": date(2025, 6, 4)}
    edits = {
        "markets/binance_freqtrade": {
            "symbols": symbols,
            **days,
            "source": {"kind": "freqtrade", "path": str(real_data / "freqtrade")},
        },
        "studies/real_btc_eth_2025": days,
    }
    run = run_chain(project_with(tmp_path, repository, edits), "real_btc_eth_2025", ALL_AFTER_E1)
    every_stage_ran(run)
    is_inadmissible(run)
    verdicts = {g.gate: g.outcome for g in run.outcome.gates}
    assert verdicts[Gate.D0] is Outcome.PASS
    assert verdicts[Gate.V1] is Outcome.WAIVED, "twelve days of two symbols are no evidence"
    bridge = run.outcome.table("bridge_results")
    assert bridge is not None
    traded = bridge.filter(pl.col("n_trades") > 0)
    assert set(traded["spread_source"]) == {"assumed"}, "candles have no book"
    executions = run.outcome.table("bridge_executions")
    assert executions is not None
    assert set(executions["measured_share"].drop_nulls()) == {0.0}


@pytest.mark.calibrate
def test_planted_types_survive_to_the_book(tmp_path: Path, repository: Path) -> None:
    run = run_chain(project_with(tmp_path, repository, {}), "planted_edges")
    assert run.exit_code == 0
    book = run.outcome.table("portfolio")
    assert book is not None
    kept = set(book["strategy_id"].str.replace(r"-[0-9a-f]+$", ""))
    assert "spread_blowout.all.1h.directional.with" in kept
    assert "oi_surge.all.1h.directional.against" in kept


@pytest.mark.calibrate
def test_the_null_twin_stops_at_v1(tmp_path: Path, repository: Path) -> None:
    run = run_chain(project_with(tmp_path, repository, {}), "null")
    verdicts = {g.gate: g.outcome for g in run.outcome.gates}
    assert verdicts[Gate.E1] is Outcome.PASS
    assert verdicts[Gate.V1] not in ADMITTED
    assert verdicts[Gate.B] is Outcome.NOT_EVALUABLE
