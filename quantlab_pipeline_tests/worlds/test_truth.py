"""The truth's arithmetic, by hand; its bytes, both ways."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.truth import (
    Truth,
    true_contrast_drift,
    true_net_drift,
    truth_from_json,
)
from quantlab_pipeline_tests.worlds.builders import FAMILIES, scenario

MINUTE = 60_000_000
ORIGIN = 1_735_689_600_000_000


def truth(rows):
    return Truth(
        scenario="hand",
        scenario_hash="sha256:0",
        seed=1,
        origin_us=ORIGIN,
        symbols=tuple(f"S{i}" for i in range(len(rows))),
        drift_log=np.array(rows, dtype=float),
        episodes=(),
    )


def at(*minutes):
    return ORIGIN + MINUTE * np.array(minutes, dtype=np.int64)


def test_net_drift_covers_the_minutes_after_the_delay():
    row = np.zeros(20)
    row[5] = np.log(1.01)
    known = truth([row])
    # Minute 5 ends at minute stamp 6: a position over (t0 + 1, t0 + 4] holds it for t0 in 2..4.
    got = true_net_drift(known, "S0", at(1, 2, 3, 4, 5), 3, 1)
    np.testing.assert_allclose(got, [0, 100, 100, 100, 0], atol=1e-9)
    np.testing.assert_allclose(
        true_net_drift(known, "S0", at(4), 3, -1, cost_bps=14.0), [-114.0], atol=1e-9
    )
    np.testing.assert_allclose(true_net_drift(known, "S0", at(5), 3, 1, delay_min=0), [100])


def test_net_drift_is_nan_where_the_world_ends():
    got = true_net_drift(truth([np.zeros(10)]), "S0", at(5, 6, 7), 3, 1)
    assert np.isnan(got).tolist() == [False, False, True]


def test_contrast_by_hand():
    """Drift 1 % in minutes 2 and 8 of ten; one event over (1 + 1, 1 + 3]: minutes 2 and 3."""
    row = np.zeros(10)
    row[[2, 8]] = np.log(1.01)
    entries = {"S0": at(1), "S1": at(8)}
    known = truth([row, np.zeros(10)])
    window = (ORIGIN, ORIGIN + 10 * MINUTE)
    # Weight 1 in minutes 2 and 3, mean 0.2: (0.8 - 0.2) * 1 % for the only event that fits.
    assert true_contrast_drift(known, entries, 2, 1, window) == pytest.approx(60)
    assert true_contrast_drift(known, entries, 2, -1, window, 14) == pytest.approx(-74)
    assert np.isnan(true_contrast_drift(known, {"S0": at(9)}, 2, 1, window))


def test_contrast_of_a_constant_drift_is_zero():
    known = truth([np.full(100, 1e-4)])
    window = (ORIGIN, ORIGIN + 100 * MINUTE)
    raw = true_net_drift(known, "S0", at(10, 40), 20, 1)
    assert (raw > 10).all()
    assert true_contrast_drift(known, {"S0": at(10, 40)}, 20, 1, window) == pytest.approx(0)


@given(
    st.lists(
        st.sampled_from([0.0, 1e-5, -2.5e-5, 0.1 + 0.2]), min_size=4, max_size=30
    ).map(lambda v: v[: len(v) // 2 * 2])
)  # fmt: skip
def test_truth_survives_its_bytes(values):
    known = truth(np.array(values).reshape(2, -1))
    back = truth_from_json(known.to_json())
    np.testing.assert_array_equal(back.drift_log, known.drift_log)
    assert back.digest() == known.digest()


def test_a_whole_world_survives_its_bytes():
    day = date(2025, 1, 7)
    made = generate(
        scenario(
            2,
            2,
            dynamics=FAMILIES["mean_revert"],
            episodes=[{"kind": "wick", "per_symbol_day": 1, "size": 40}],
            damage=[
                {
                    "kind": "gap", "dataset": "bars_1m_perp", "symbol": "AAAUSDT",
                    "day": day, "length_min": 3,
                }
            ],
        )
    ).truth  # fmt: skip
    back = truth_from_json(made.to_json())
    assert back.episodes == made.episodes
    assert back.damage == made.damage
    assert back.digest() == made.digest()
    assert back.digest().startswith("sha256:")


def test_a_changed_drift_changes_the_digest():
    one, other = np.zeros(10), np.zeros(10)
    other[3] = 1e-12
    assert truth([one]).digest() != truth([other]).digest()


def test_planted_drift_reaches_the_drift_array_exactly():
    episode = {
        "kind": "spread_burst",
        "per_symbol_day": 3,
        "size": 5,
        "drift": {"bps": 28, "over_min": 60, "sign": "down"},
    }
    made = generate(scenario(2, 2, episodes=[episode])).truth
    assert len(made.episodes) == 12
    for planted in made.episodes:
        decided = np.array([planted.drift_from_us - MINUTE])
        got = true_net_drift(made, planted.symbol, decided, 60, -1)
        np.testing.assert_allclose(got, [28.0], rtol=1e-9)
        quiet = true_net_drift(made, planted.symbol, decided - 30 * MINUTE, 30, -1)
        np.testing.assert_allclose(quiet, [0.0], atol=1e-9)
    assert np.count_nonzero(made.drift_log) == 12 * 60
