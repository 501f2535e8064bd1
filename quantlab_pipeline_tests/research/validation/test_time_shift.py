"""Later entries: against the oracle, the same events at every lag, and what a flag needs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import minute_grid
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.validation.evaluate import (
    FOLLOWED_REJECTS,
    evaluate_family,
    followed,
    question_of,
)
from quantlab_pipeline.research.validation.family import expand_family
from quantlab_pipeline.research.validation.flags import flags_of
from quantlab_pipeline.research.validation.inputs import prepare
from quantlab_pipeline.research.validation.schema import LAGS_MIN, PHASE2_CANDIDATES
from quantlab_pipeline.research.validation.spec import FlagThresholds, V1Thresholds
from quantlab_pipeline.research.validation.time_shift import fair_multiple, time_shift
from quantlab_pipeline_tests.oracles import calendar_time as oracle
from quantlab_pipeline_tests.research.validation import builders

LIMITS = FlagThresholds()


@pytest.fixture(scope="module")
def made():
    return builders.world(21, n_symbols=2, n_days=8)


def _shift(inputs, side=1, half_life_min=2.0):
    family, costs = builders.family(), builders.free()
    arrays = prepare(inputs, family, costs)
    candidates = expand_family(family, question_of(inputs), costs)
    candidate = next(c for c in candidates if (c.event_type, c.side) == ("calm_drop", side))
    return time_shift(arrays, family, candidate, half_life_min)


def test_every_lag_equals_the_scalar_oracle(made):
    found = _shift(builders.inputs_of(made))
    funding, n = np.zeros_like(made.prices), made.prices.shape[1]
    rows = [(int(i), int(k) + 1) for i, k in made.events["calm_drop"] if k + 1 + 5 + 60 < n]
    assert found.n_events == len(rows)
    series = {}
    for lag, mean, se in zip(LAGS_MIN, found.mean_bps, found.se_bps, strict=True):
        y, _ = oracle.calendar_time(made.prices, funding, [(i, k + lag, 1) for i, k in rows], 60)
        series[lag] = np.array(y)
        variance = max(float(np.sum(series[lag] ** 2)), oracle.bartlett(y))
        assert mean == pytest.approx(1e4 * math.fsum(y) / len(rows), abs=1e-9)
        assert se == pytest.approx(1e4 * math.sqrt(variance) / len(rows), rel=1e-9)
    loss = (series[0] - series[1]) - fair_multiple(2.0) * (series[1] - series[5]) / 4.0
    z = loss.sum() / math.sqrt(max(float(np.sum(loss**2)), oracle.bartlett(loss)))
    assert found.drop_z == pytest.approx(z, rel=1e-8)


def test_sides_mirror_each_other(made):
    long, short = (_shift(builders.inputs_of(made), side) for side in (1, -1))
    assert long.mean_bps == tuple(-v for v in short.mean_bps)
    assert long.se_bps == short.se_bps
    assert long.drop_z == pytest.approx(-short.drop_z, rel=1e-12)
    assert (long.share_left is None) != (short.share_left is None)


def test_an_event_whose_late_path_has_no_price_leaves_every_lag(made):
    """The price five minutes after one entry is missing: only the latest entry would need it."""
    i, k = (int(v) for v in made.events["calm_drop"][0])
    inputs = builders.inputs_of(made)
    hole = (pl.col("symbol") == builders.symbols_of(made)[i]) & (
        pl.col("ts") == minute_grid(builders.days_of(made))[k + 1 + 5]
    )
    holed = _shift(replace(inputs, bars_perp=inputs.bars_perp.filter(~hole)))
    assert holed.n_events == _shift(inputs).n_events - 1


def test_without_an_event_there_is_nothing_to_shift(made):
    none = {name: np.empty((0, 2), dtype=np.int64) for name in builders.TYPES}
    assert _shift(builders.inputs_of(replace(made, events=none))) is None


def test_a_fair_loss_is_that_of_the_half_life():
    assert fair_multiple(1e9) == pytest.approx(1.0)
    # Of 1, half is lost in the first minute; the next four lose 1/4, 1/8, 1/16, 1/32.
    assert fair_multiple(1.0) == pytest.approx(0.5 / ((1 / 4 + 1 / 8 + 1 / 16 + 1 / 32) / 4))


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"lag1_share": 0.1, "lag1_drop_z": 5.0}, ("SUSPECT_SAME_BAR",)),
        ({"lag1_share": 0.95, "lag1_drop_z": 5.0}, ()),
        ({"lag1_share": 0.1, "lag1_drop_z": 3.0}, ()),
        ({"lag1_share": None, "lag1_drop_z": 5.0}, ()),
        ({"heterogeneity_p": 0.009}, ("HETEROGENEOUS:half=2",)),
        ({"heterogeneity_p": 0.011}, ()),
        (
            {"heterogeneity_p": 0.0, "lag1_share": -0.1, "lag1_drop_z": 9.0},
            ("HETEROGENEOUS:half=2", "SUSPECT_SAME_BAR"),
        ),
    ],
)
def test_a_flag_needs_size_and_significance(changes, flags):
    row = {"heterogeneity_p": 0.5, "strongest_slice": "half=2", **changes}
    assert flags_of(row, LIMITS) == flags


def test_survivors_and_nearest_misses_are_followed():
    states = (Outcome.PASS, Outcome.UNDERPOWERED, Outcome.FAIL, Outcome.NOT_EVALUABLE)
    rows = [
        {"status": states[k % 4].value, "p": None if k % 4 == 3 else k / 400, "candidate_id": k}
        for k in range(400)
    ]
    chosen = followed(rows)
    assert chosen[:100] == list(range(0, 400, 4))
    assert chosen[100:] == list(range(2, 400, 4))[:FOLLOWED_REJECTS]


def test_the_table_shows_how_its_survivors_fade_and_flags_change_no_verdict():
    made = builders.plant(builders.world(22), "calm_drop", 120.0, 60, only_high_vol=True)
    inputs, family = builders.inputs_of(made), builders.family()
    judged = [
        evaluate_family(inputs, family, builders.cost_model(), V1Thresholds(), 10_000, flags=flags)
        for flags in (LIMITS, FlagThresholds(heterogeneity_p=1e-99))
    ]
    for frame in judged:
        PHASE2_CANDIDATES.validate(frame)
    row = judged[0].filter(event_type="calm_drop", side=1).row(0, named=True)
    assert row["status"] == "PASS"
    assert row["lag0_bps"] == pytest.approx(row["gross_bps"], rel=0.05)
    # An even drift over an hour: each minute of delay loses one sixtieth.
    assert row["lag1_share"] == pytest.approx(59 / 60, abs=0.05)
    assert row["flags"] == "HETEROGENEOUS:vol_regime=high"
    assert judged[0].drop("flags").equals(judged[1].drop("flags"))
    assert judged[1]["flags"].unique().to_list() == [""]
