"""An edge in a market, and its truth: each figure computed a second time, event by event."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab_pipeline.calibration.certificate.bench import Market, made_free
from quantlab_pipeline.calibration.certificate.judging import answer_of, measure, shown
from quantlab_pipeline.calibration.certificate.planting import (
    BPS,
    Cell,
    _reaching,
    drifted,
    edge_drift,
    even_drift,
    size_for_shift,
    true_effects,
)
from quantlab_pipeline.calibration.certificate.shapes import _by_turbulence, _cell_of
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.validation.paths import follow
from quantlab_pipeline.research.validation.spec import horizon_minutes
from quantlab_pipeline.simulation.prices import PriceGrid
from quantlab_pipeline_tests.calibration.certificate.builders import small_bench, small_market

BENCH = small_bench()
FAMILY = BENCH.family
CELL = Cell(("down_shock", "all"), "1h", "directional")


def naive_effect(market: Market, candidate, drift) -> tuple[float, float]:
    """Bps per event: what the drift adds to each event, and the mean position's share of it."""
    arrays, cell = market.arrays, _cell_of(candidate)
    rows, minutes = cell.events(arrays, FAMILY), horizon_minutes(cell.horizon)
    n_symbols, n_minutes = drift.shape
    raw, held = 0.0, np.zeros((n_symbols, n_minutes))
    for e in rows:
        i, start = arrays.symbol[e], arrays.entry[e]
        sign = candidate.side * arrays.signs[cell.template][e]
        grown = 1.0
        for t in range(start + 1, start + minutes + 1):
            held[i, t] += sign * grown
            grown *= 1.0 + drift[i, t]
        raw += sign * (grown - 1.0)
    contrast = raw
    for i in range(n_symbols):
        mean = held[i].sum() / np.count_nonzero(np.isfinite(arrays.paths.world.prices[i, 1:]))
        contrast -= mean * drift[i].sum()
    return BPS * raw / rows.size, BPS * contrast / rows.size


@pytest.mark.parametrize("name", ["edge", "even"])
def test_the_truth_of_a_candidate_is_that_of_its_events_one_by_one(name: str) -> None:
    market = small_market()
    rows = CELL.events(market.arrays, FAMILY)
    drift = {
        "edge": edge_drift(market.arrays, rows, 60, -80.0),
        "even": even_drift(market.arrays, 200.0),
    }[name]
    asked = [
        c for c in market.candidates if c.event_type in {"down_shock", "thin_tape"}
        and c.bucket.name in {"all", "liq_low"} and c.horizon in {"15m", "4h", "24h"}
    ]  # fmt: skip
    made = true_effects(market.arrays, FAMILY, asked, drift)
    for k, candidate in enumerate(asked):
        if np.isfinite(made.raw[k]):
            raw, contrast = naive_effect(market, candidate, drift)
            assert made.raw[k] == pytest.approx(raw, abs=1e-8)
            assert made.contrast[k] == pytest.approx(contrast, abs=1e-8)
    assert np.isfinite(made.raw).sum() > 20


def test_an_even_drift_is_no_edge_to_the_contrast() -> None:
    market = small_market()
    asked = market.candidates
    effects = true_effects(
        made_free(market.arrays), FAMILY, asked, even_drift(market.arrays, 200.0)
    )
    tested = np.isfinite(effects.raw)
    assert np.nanmax(np.abs(effects.raw)) > 100.0
    assert np.abs(effects.contrast[tested]).max() < 1e-7


def test_events_gain_exactly_what_is_planted_where_windows_do_not_overlap() -> None:
    market = small_market()
    arrays = market.arrays
    rows = CELL.events(arrays, FAMILY)
    planted = drifted(market, FAMILY, edge_drift(arrays, rows, 60, 55.0))
    h = FAMILY.horizons.index("1h")
    before = 1.0 + arrays.paths.long_return[h, rows]
    after = 1.0 + planted.arrays.paths.long_return[h, rows]
    apart = np.diff(arrays.entry[rows]) >= 60
    alone = np.concatenate([[True], apart | (np.diff(arrays.symbol[rows]) != 0)])
    np.testing.assert_allclose((after / before - 1.0)[alone] * BPS, 55.0, rtol=1e-9)
    assert alone.mean() > 0.9


@pytest.mark.parametrize("bps_day", [0.0, 300.0])
def test_a_drift_moves_prices_and_all_that_follows_as_the_stage_would(bps_day: float) -> None:
    market = small_market()
    arrays = market.arrays
    drift = even_drift(arrays, bps_day)
    made = drifted(market, FAMILY, drift).arrays.paths
    prices = arrays.paths.world.prices * np.cumprod(1.0 + drift, axis=1)
    grid = PriceGrid(prices, arrays.paths.observed.fresh)
    stage = follow(grid, np.zeros_like(prices), arrays.symbol, arrays.entry, FAMILY)
    for a, b in zip(
        (*made.world, *made.observed, made.long_return, made.valid),
        (*stage.world, *stage.observed, stage.long_return, stage.valid),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("part", ["all", "turbulent"])
def test_a_size_moves_the_binding_z_as_far_as_was_asked(part: str) -> None:
    """Over both sides of one market the noise cancels, and what is left is the expected z."""
    market = small_market()
    arrays = market.arrays
    every = CELL.events(arrays, FAMILY)
    rows = every if part == "all" else _by_turbulence(market, every)[0]
    z = {}
    for side in (1, -1):
        bps = size_for_shift(market, FAMILY, CELL, side, rows, 6.0)
        planted = drifted(market, FAMILY, edge_drift(arrays, rows, 60, side * bps))
        asked = [c for c in market.candidates if _cell_of(c) == CELL and c.side == side]
        told = answer_of(BENCH, measure(BENCH, shown(BENCH, planted.arrays, asked, free=False)))
        z[side] = np.array([told.figures[name][0] for name in ("z_raw", "z_contrast")])
    expected = (z[1] + z[-1]) / 2.0
    assert expected.min() == pytest.approx(6.0, rel=0.03)


def test_the_size_that_reaches_a_z_solves_its_equation_or_does_not_exist() -> None:
    x = _reaching(6.0, 2.0, 3.0, 5.0, 0.01)
    assert x * 2.0 - 3.0 == pytest.approx(6.0 * np.sqrt(5.0 + 0.01 * x * x))
    assert _reaching(6.0, 0.5, 3.0, 5.0, 0.01) == np.inf


def test_an_edge_that_is_all_that_varies_is_refused() -> None:
    few = CELL.events(small_market().arrays, FAMILY)[:2]
    with pytest.raises(SpecError, match="No edge after down_shock reaches"):
        size_for_shift(small_market(), FAMILY, CELL, 1, few, 40.0)
