"""The demonstration of a leak shows what it says, and fast."""

from __future__ import annotations

import time

import polars as pl
import pytest

from quantlab_pipeline.calibration.leak_demo import LEAKED, next_minute_bps, run_leak_demo
from quantlab_pipeline.core.clocks import MINUTE
from quantlab_pipeline.core.verdicts import Gate, Outcome, overall
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline_tests.calibration import builders


def test_the_gate_names_the_leak_and_clears_the_rest():
    began = time.perf_counter()
    demo = run_leak_demo(builders.load_planted, builders.documents(), builders.market(), 1)
    # Two seconds on a quiet machine.
    assert time.perf_counter() - began < 20
    assert {leak.feature for leak in demo.leaks} == {LEAKED}
    for leak in demo.leaks:
        assert leak.source == "bars_1m_perp.close"
        assert leak.reach_s == 60.0
        assert leak.ts == leak.tau
        assert leak.symbol == "AAAUSDT"
    assert overall(Gate.PIT1, demo.verdicts) is Outcome.FAIL
    assert [v.item for v in demo.verdicts if v.outcome is not Outcome.PASS] == [LEAKED]
    assert demo.n_green == demo.n_honest == len(demo.verdicts) - 1 >= 30


def test_the_leaked_column_is_the_next_minutes_return():
    bars = builders.small_world().frames["bars_1m_perp"]
    grid = bars.select("symbol", "ts").head(100)
    values = next_minute_bps(FeatureInputs(bars_perp=bars), grid)
    closes = dict(zip(bars["ts"].head(101), bars["close"].head(101), strict=True))
    for ts, value in zip(grid["ts"], values, strict=True):
        assert value == pytest.approx(1e4 * (closes[ts + MINUTE] / closes[ts] - 1))
    assert next_minute_bps(FeatureInputs(), grid).null_count() == 100
    assert values.dtype == pl.Float64
