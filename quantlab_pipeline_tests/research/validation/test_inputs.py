"""What a year's features come down to before they are joined: nothing that a decision could see
is left out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import MINUTE
from quantlab_pipeline.core.point_in_time import asof_join, decision_minute
from quantlab_pipeline.research.validation import inputs as room
from quantlab_pipeline.research.validation.evaluate import question_of
from quantlab_pipeline.research.validation.family import expand_family
from quantlab_pipeline.research.validation.inputs import prepare
from quantlab_pipeline.simulation.fees import FeeRates
from quantlab_pipeline_tests.research.validation import builders

COLUMN = "range_pos_1d"


def _hostile(features, seed):
    """Rows off the minute, rows known late, holes, doubled stamps and another symbol's rows."""
    rng = np.random.default_rng(seed)
    n = features.height
    seconds = np.where(rng.random(n) < 0.3, rng.integers(-59, 60, n), 0)
    delays = np.where(rng.random(n) < 0.3, rng.integers(0, 150, n), 0)
    moved = features.with_columns(pl.col("ts") + pl.duration(seconds=pl.Series(seconds)))
    known = moved.with_columns(available_at=pl.col("ts") + pl.duration(seconds=pl.Series(delays)))
    holed = known.filter(pl.Series(rng.random(n) > 0.1))
    stranger = holed.head(500).with_columns(symbol=pl.lit("XUSDT"))
    return pl.concat([holed, holed.sample(300, seed=seed), stranger]).sample(
        fraction=1.0, shuffle=True, seed=seed
    )


@pytest.mark.parametrize("seed", range(4))
def test_features_near_decisions_join_as_all_features_do(seed):
    base = builders.inputs_of(builders.world(seed, n_symbols=3, n_days=5, shocks_per_day=20))
    inputs = replace(base, features=_hostile(base.features, seed))
    rows = inputs.events.with_columns(decided_at=decision_minute()).sort("symbol", "decided_at")
    near = room._seen_by(rows, inputs)
    few, every = (
        asof_join(rows, table, [COLUMN], max_age=MINUTE, decided_at="decided_at")
        for table in (near, inputs.features)
    )
    assert few[COLUMN].equals(every[COLUMN])
    assert 0 < few[COLUMN].null_count() < few.height
    assert near.height < 0.2 * inputs.features.height


def test_the_row_of_the_minute_before_the_window_is_seen():
    """An event at the window's first minute, whose own row is missing."""
    made = builders.world(1, n_symbols=1, n_days=3)
    first = replace(made, events={"calm_drop": np.array([[0, 0]])})
    inputs = builders.inputs_of(first)
    row = inputs.features.head(1)
    back = [(pl.col(name) - MINUTE).alias(name) for name in ("ts", "available_at")]
    earlier = row.with_columns(*back, funding_last_bps=pl.lit(-7.0))
    features = pl.concat([earlier, inputs.features[1:]])
    carry = builders.family(templates=builders.shipped_family().templates[2:3])
    arrays = prepare(replace(inputs, features=features), carry, builders.free())
    assert arrays.signs["carry"].tolist() == [1.0]


def test_a_study_without_events_has_no_arrays():
    inputs = builders.inputs_of(builders.world(2, n_symbols=2, n_days=3))
    none = replace(inputs, events=inputs.events.filter(pl.lit(False)))
    arrays = prepare(none, builders.shipped_family(), builders.cost_model())
    assert arrays.entry.size == 0
    assert not arrays.where


def test_an_unknown_regime_is_none_of_the_known():
    base = builders.inputs_of(builders.world(3, n_symbols=2, n_days=5))
    odd = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("unknown")).otherwise("vol_regime")
    inputs = replace(base, events=base.events.with_columns(vol_regime=odd))
    codes = prepare(inputs, builders.family(), builders.free()).regimes["vol_regime"]
    places = {"low": 0, "mid": 1, "high": 2, "unknown": -1}
    expected = [places[v] for v in inputs.events["vol_regime"]]
    assert sorted(codes.tolist()) == sorted(expected)
    assert -1 in codes


def test_a_symbol_with_fees_of_its_own_pays_them_twice_a_round_trip():
    inputs = builders.inputs_of(builders.world(3, n_symbols=2, n_days=5))
    own = FeeRates(maker_bps=0.0, taker_bps=7.0)
    plain = builders.cost_model(fee_bps=1.0)
    schedule = plain.fees["here"].model_copy(update={"instruments": {inputs.symbols[1]: own}})
    dearer = plain.model_copy(update={"fees": {"here": schedule}})
    before, after = (prepare(inputs, builders.family(), c) for c in (plain, dearer))
    extra = np.where(before.symbol == 1, 12.0, 0.0)
    np.testing.assert_allclose(after.costs.total - before.costs.total, [extra], atol=1e-9)
    np.testing.assert_allclose(after.costs.fixed - before.costs.fixed, [extra], atol=1e-9)
    hashes = [
        {c.candidate_hash for c in expand_family(builders.family(), question_of(inputs), costs)}
        for costs in (plain, dearer)
    ]
    assert not hashes[0] & hashes[1]
