"""From tables to candidates: figures against the oracle, and what must not change them."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE, day_end, minute_grid
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.market_data.schema import FUNDING
from quantlab_pipeline.research.validation.evaluate import evaluate_family
from quantlab_pipeline.research.validation.family import results_of
from quantlab_pipeline.research.validation.inputs import prepare
from quantlab_pipeline.research.validation.schema import PHASE2_CANDIDATES
from quantlab_pipeline.research.validation.spec import Template, V1Thresholds
from quantlab_pipeline_tests.oracles import calendar_time as oracle
from quantlab_pipeline_tests.research.validation import builders

LIMITS = V1Thresholds()
BUDGET = 10_000
CARRY = Template(name="carry", rule="against", feature="funding_last_bps", dataset="funding")


@pytest.fixture(scope="module")
def made():
    return builders.world(7, n_symbols=2, n_days=10)


@pytest.fixture(scope="module")
def inputs(made):
    return builders.inputs_of(made)


def _evaluate(inputs, family=None, costs=None, **more):
    family = family or builders.family()
    return evaluate_family(inputs, family, costs or builders.cost_model(), LIMITS, BUDGET, **more)


def _row(frame, event_type="calm_drop", side=1, **where):
    found = frame.filter(
        pl.col("event_type") == event_type,
        pl.col("side") == side,
        *(pl.col(k) == v for k, v in where.items()),
    )
    assert found.height == 1
    return found.row(0, named=True)


def _first_minutes(made, n):
    """The world cut after `n` minutes' worth of its first symbol's events, for slow oracles."""
    return [(i, k + 1, 1) for i, k in made.events["calm_drop"] if k + 1 + n < made.prices.shape[1]]


def test_table_is_of_its_schema_and_holds_the_whole_family(inputs):
    frame = _evaluate(inputs, builders.shipped_family())
    PHASE2_CANDIDATES.validate(frame)
    assert frame.height == builders.shipped_family().size(2)
    assert not frame["admissible"].any()
    assert {t.candidate_hash for t in results_of(frame)} == set(frame["candidate_hash"])


def test_figures_equal_the_scalar_oracle(made, inputs):
    frame = _evaluate(inputs, costs=builders.cost_model(impact_y=0.0))
    row = _row(frame)
    events = _first_minutes(made, 60)
    funding = np.zeros_like(made.prices)
    n, cost = len(events), len(events) * 3e-4
    z_raw, z_contrast = oracle.z_scores(made.prices, funding, events, 60, cost)
    values = [oracle.simple_return(made.prices[i], funding[i], k, 60) for i, k, _ in events]
    assert (row["n_events"], row["cost_bps"]) == (n, pytest.approx(3.0, abs=1e-12))
    assert row["gross_bps"] == pytest.approx(1e4 * math.fsum(values) / n, abs=1e-9)
    assert row["net_bps"] == pytest.approx(row["gross_bps"] - 3.0, abs=1e-12)
    assert row["z_raw"] == pytest.approx(z_raw, rel=1e-9)
    assert row["z_contrast"] == pytest.approx(z_contrast, rel=1e-9)
    assert row["p"] == pytest.approx(0.5 * math.erfc(min(z_raw, z_contrast) / math.sqrt(2)))
    net = np.array(values) - 3e-4
    assert row["z_naive"] == pytest.approx(net.mean() / (net.std(ddof=1) / math.sqrt(n)))
    assert row["sigma_h_bps"] == pytest.approx(1e4 * net.std())


def test_mirrored_sides_differ_by_twice_the_cost(inputs):
    frame = _evaluate(inputs, builders.family(horizons=("5m", "4h")))
    for horizon in ("5m", "4h"):
        long, short = (_row(frame, side=s, horizon=horizon) for s in (1, -1))
        assert long["gross_bps"] == -short["gross_bps"]
        assert long["cost_bps"] == short["cost_bps"]
        assert long["n_eff"] == short["n_eff"]
        assert long["net_bps"] + short["net_bps"] == pytest.approx(-2 * long["cost_bps"])


def _funding(symbol, ts, rate, mark):
    row = {
        "symbol": [symbol],
        "ts": [ts],
        "available_at": [ts],
        "raw_ts": [ts],
        "settled_rate": [rate],
        "interval_h": [8],
        "next_funding_ts": [ts + timedelta(hours=8)],
        "mark_price": [mark],
    }
    schema = {c.name: c.dtype for c in FUNDING.columns}
    return pl.DataFrame(row, schema=schema)


@pytest.mark.parametrize(("at", "paid"), [(0, False), (1, True), (60, True), (61, False)])
def test_funding_is_paid_after_entry_up_to_and_with_the_exit(made, at, paid):
    """The first event alone; a settlement `at` minutes after its entry."""
    i, k = made.events["calm_drop"][0]
    single = replace(made, events={"calm_drop": np.array([[i, k]])})
    symbol = builders.symbols_of(made)[i]
    stamp = minute_grid(builders.days_of(made))[int(k) + 1 + at]
    bare, charged = (
        _row(_evaluate(builders.inputs_of(single, **more)))["gross_bps"]
        for more in ({}, {"funding": _funding(symbol, stamp, 1e-3, 101.0)})
    )
    expected = 1e4 * 1e-3 * 101.0 / made.prices[i, k + 1] if paid else 0.0
    assert bare - charged == pytest.approx(expected, abs=1e-9)


def test_spreads_are_those_of_the_entry_and_exit_minutes(made, inputs):
    i, k = made.events["calm_drop"][0]
    grid = minute_grid(builders.days_of(made))
    spreads = np.full(len(grid), 7.0)
    spreads[k], spreads[k + 1], spreads[k + 61] = 99.0, 3.0, 5.0
    book = pl.DataFrame(
        {
            "symbol": [builders.symbols_of(made)[i]] * len(grid),
            "leg": ["perp"] * len(grid),
            "ts": grid,
            "spread_bps_mean": spreads,
            "mid_last": made.prices[i],
        }
    )
    single = builders.inputs_of(
        replace(made, events={"calm_drop": np.array([[i, k]])}), tob_1m_agg=book
    )
    row = _row(_evaluate(single, costs=builders.cost_model(fee_bps=2.0, impact_y=0.0)))
    assert row["cost_bps"] == pytest.approx(1.5 + 2.5 + 4.0, abs=1e-12)
    assert row["assumed_spread_share"] == 0.0
    assert _row(_evaluate(inputs))["assumed_spread_share"] == 1.0


def test_truncated_events_and_events_in_gaps_leave_both_sides(made, inputs):
    i, k = (int(v) for v in made.events["calm_drop"][0])
    whole = _row(_evaluate(inputs, builders.family(horizons=("24h",))))
    grid = minute_grid(builders.days_of(made))
    gap = (pl.col("symbol") == builders.symbols_of(made)[i]) & (pl.col("ts") == grid[k + 1])
    holed = replace(inputs, bars_perp=inputs.bars_perp.filter(~gap))
    cut = _row(_evaluate(holed, builders.family(horizons=("24h",))))
    assert cut["n_events"] == whole["n_events"] - 1
    assert cut["n_dropped"] == whole["n_dropped"] + 1
    shorter = replace(inputs, days=inputs.days[:-1])
    truncated = _row(_evaluate(shorter, builders.family(horizons=("24h",))))
    events = made.events["calm_drop"]
    fits = int((events[:, 1] + 1 + DAY_MINUTES < 9 * DAY_MINUTES).sum())
    assert truncated["n_events"] == fits


def test_nothing_after_the_window_is_read(made, inputs):
    days = inputs.days[:-2]
    end = day_end(days[-1])
    cut = replace(
        inputs,
        days=days,
        bars_perp=inputs.bars_perp.filter(pl.col("ts") <= end),
        features=inputs.features.filter(pl.col("ts") <= end),
        events=inputs.events.filter(pl.col("ts") <= end),
    )
    family = builders.shipped_family()
    assert _evaluate(replace(inputs, days=days), family).equals(_evaluate(cut, family))


def test_a_rule_sees_its_feature_as_known_at_the_decision(made, inputs):
    family = builders.family(templates=(CARRY,))
    plain = _evaluate(inputs, family)
    late = inputs.features.with_columns(
        (pl.col("ts") + MINUTE).alias("available_at"), -pl.col("funding_last_bps")
    )
    flipped = _evaluate(replace(inputs, features=late), family)
    assert plain["n_events"].sum() > 0
    # Known one minute later: no row is both fresh and known, save the minute before.
    shifted = inputs.features.with_columns(
        pl.col("funding_last_bps").shift(-1).over("symbol"),
        (pl.col("ts") + MINUTE).alias("available_at"),
    )
    known = _evaluate(replace(inputs, features=shifted), family)
    assert known.select("n_events", "gross_bps").equals(plain.select("n_events", "gross_bps"))
    assert not flipped.select("gross_bps").equals(plain.select("gross_bps"))


def test_row_order_of_the_tables_changes_nothing(inputs):
    shuffled = replace(
        inputs,
        events=inputs.events.sample(fraction=1.0, shuffle=True, seed=1),
        features=inputs.features.sample(fraction=1.0, shuffle=True, seed=2),
        bars_perp=inputs.bars_perp.sample(fraction=1.0, shuffle=True, seed=3),
    )
    family = builders.shipped_family()
    assert _evaluate(shuffled, family).equals(_evaluate(inputs, family))


def test_what_cannot_be_tested_is_listed_with_its_reason(inputs):
    lacking = replace(
        inputs,
        admitted=("calm_drop",),
        event_specs={**inputs.event_specs, "no_book": {}},
        missing={"no_book": "tob_1m_agg"},
        absent_datasets=("funding",),
    )
    frame = _evaluate(lacking, builders.family(templates=(builders.DIRECTIONAL, CARRY)))
    assert frame.height == 12
    reasons = {
        (r["event_type"], r["template"]): r["reason_codes"] for r in frame.iter_rows(named=True)
    }
    assert reasons["wide_spread", "directional"] == "E1_NOT_PASSED"
    assert reasons["no_book", "directional"] == "DATASET_ABSENT:tob_1m_agg"
    assert reasons["calm_drop", "carry"] == "DATASET_ABSENT:funding"
    untested = frame.filter(pl.col("not_evaluable").is_not_null())
    assert untested["status"].unique().to_list() == ["NOT_EVALUABLE"]
    assert untested["p"].null_count() == untested.height == 10


def test_a_spent_budget_shows_no_result(inputs):
    frame = _evaluate(inputs, refused="BUDGET_SPENT")
    PHASE2_CANDIDATES.validate(frame)
    assert frame["reason_codes"].unique().to_list() == ["BUDGET_SPENT"]
    assert frame["gross_bps"].null_count() == frame.height


def test_a_study_without_events_is_underpowered(made, inputs):
    empty = {name: np.empty((0, 2), dtype=np.int64) for name in builders.TYPES}
    frame = _evaluate(builders.inputs_of(replace(made, events=empty)))
    PHASE2_CANDIDATES.validate(frame)
    assert frame["status"].unique().to_list() == ["UNDERPOWERED"]
    assert frame["reason_codes"].str.contains("NO_EVENTS").all()


def test_a_gate_looser_than_its_family_is_refused(inputs):
    with pytest.raises(SpecError, match="looser"):
        evaluate_family(
            inputs, builders.family(), builders.cost_model(), V1Thresholds(q=0.2), BUDGET
        )


def test_capacity_is_the_most_profitable_share_of_a_days_volume(made):
    """The square-root law by hand: 4/9 ((e - c) / (2 Y sigma_d))^2 V_d."""
    rich = builders.plant(made, "calm_drop", 80.0, 60)
    inputs, costs = builders.inputs_of(rich), builders.cost_model()
    row = _row(_evaluate(inputs, costs=costs))
    arrays = prepare(inputs, builders.family(), costs)
    mine = arrays.costs.sigma_d_bps[arrays.where["calm_drop"]]
    share = 4 / 9 * ((row["gross_bps"] - 3.0) / (2 * 0.7 * np.median(mine))) ** 2
    assert row["capacity_usd"] == pytest.approx(share * 1e9, rel=1e-6)
