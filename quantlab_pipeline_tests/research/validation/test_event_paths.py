"""The path around an event: a slow twin agrees, and the band never counts a shared minute twice."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE, days_between, minute_grid
from quantlab_pipeline.research.events.schema import EVENTS
from quantlab_pipeline.research.validation.event_paths import PATH_MINUTES, event_paths
from quantlab_pipeline.simulation.prices import REFERENCE_PRICE_SCHEMA
from quantlab_pipeline_tests.oracles.event_paths import is_whole, path_point
from quantlab_pipeline_tests.research.validation.builders import FIRST_DAY

DAYS = days_between(FIRST_DAY, FIRST_DAY)
GRID = minute_grid(DAYS)
NAMES = ("BBBUSDT", "AAAUSDT")
"""Not in the order of the alphabet: the order of the study counts."""
MINUTES = (-60, -15, -3, 0, 1, 5, 60, 240)


def walk(seed=3, n_symbols=2, n=DAY_MINUTES):
    """Prices [I, T] with a common factor, so that symbols move together."""
    rng = np.random.default_rng(seed)
    common, own = rng.standard_t(4, n), rng.standard_t(4, (n_symbols, n))
    return 100.0 * np.cumprod(1.0 + 5e-4 * (common + own), axis=1)


def prices_of(matrix, names=NAMES, grid=GRID):
    """The matrix as rows of reference prices; NaN gives none."""
    frames = [
        pl.DataFrame({"symbol": [n] * len(grid), "ts": grid, "price": p, "price_source": "mid"})
        for n, p in zip(names, matrix, strict=True)
    ]
    return pl.concat(frames).filter(pl.col("price").is_not_nan())


def events_of(at, event_type="shock", names=NAMES, grid=GRID):
    """Rows of schema `events` from (symbol index, minute) pairs, known at their own minute."""
    rows = [
        {
            "symbol": names[i],
            "ts": grid[t],
            "available_at": grid[t],
            "event_id": f"{event_type}{i}-{t}",
            "event_type": event_type,
            "version": 1,
            "severity": 1.0,
            "n_triggers_1d": 1,
            "vol_regime": "low",
            "liq_regime": "low",
        }
        for i, t in at
    ]
    return pl.DataFrame(rows, schema=EVENTS.empty().schema)


def holed(matrix):
    """The same prices with gaps of several lengths, a late start and an early end."""
    out = matrix.copy()
    out[0, 300:303] = np.nan
    out[0, 700:740] = np.nan
    out[1, :90] = np.nan
    out[1, 1300:] = np.nan
    return out


HOSTILE = [
    *((0, t) for t in (0, 59, 60, 61, 299, 301, 420, 560, 701, 980, 1199, 1200, 1439)),
    *((1, t) for t in (10, 149, 150, 151, 152, 153, 600, 1058, 1059, 1060)),
]
"""Both edges of the day, inside gaps and beside them, overlapping, before and after the prices."""


def test_a_path_is_that_of_the_slow_twin_on_gaps_edges_and_overlaps() -> None:
    matrix = holed(walk())
    kept = [e for e in HOSTILE if is_whole(matrix[e[0]], e[1], 60, 240, 0.05)]
    assert 8 <= len(kept) <= len(HOSTILE) - 8, "the rule is tried from both sides"
    found = event_paths(events_of(HOSTILE), prices_of(matrix), DAYS, NAMES, MINUTES)
    assert found["minute"].to_list() == list(MINUTES)
    assert found["n_events"].unique().to_list() == [len(kept)]
    for row in found.iter_rows(named=True):
        mean, se = path_point(matrix.tolist(), kept, row["minute"])
        assert row["mean_bps"] == pytest.approx(mean, rel=1e-10, abs=1e-10)
        assert row["se_bps"] == pytest.approx(se, rel=1e-10, abs=1e-10)
        assert row["high_bps"] - row["low_bps"] == pytest.approx(2 * 1.959963984540054 * se)


def test_one_event_reads_as_its_own_price_path() -> None:
    matrix = walk()
    found = event_paths(events_of([(1, 500)]), prices_of(matrix), DAYS, NAMES)
    assert found["minute"].to_list() == list(PATH_MINUTES)
    prices = dict(zip(found["minute"], found["mean_bps"], strict=True))
    own = matrix[1]
    assert prices[0] == 0.0
    assert prices[240] == pytest.approx(1e4 * (own[740] / own[500] - 1))
    assert prices[-60] == pytest.approx(-1e4 * (own[500] / own[440] - 1))


def test_an_event_at_the_samples_edge_has_no_path_and_nobody_elses_is_cut() -> None:
    edges = [(0, 0), (0, 59), (0, DAY_MINUTES - 240), (0, DAY_MINUTES - 1)]
    prices = prices_of(walk())
    assert event_paths(events_of(edges), prices, DAYS, NAMES).is_empty()
    found = event_paths(events_of([*edges, (0, 60), (0, 1199)]), prices, DAYS, NAMES)
    assert found["n_events"].unique().to_list() == [2]


def test_what_comes_after_the_days_cannot_be_seen() -> None:
    two = days_between(FIRST_DAY, FIRST_DAY + 1440 * MINUTE)
    grid = minute_grid(two)
    matrix = walk(n=2 * DAY_MINUTES)
    events = events_of([(0, 800), (0, 1300), (1, 1500)], grid=grid)
    seen = event_paths(events, prices_of(matrix, grid=grid), DAYS, NAMES)
    poisoned = matrix.copy()
    poisoned[:, DAY_MINUTES:] *= 7.0
    assert seen.equals(event_paths(events, prices_of(poisoned, grid=grid), DAYS, NAMES))
    assert seen["n_events"].unique().to_list() == [1]


def test_the_same_shock_on_two_symbols_is_one_observation() -> None:
    """A naive t would grow by the root of two where the whole universe is duplicated."""
    one = walk(n_symbols=1)
    twin = np.vstack([one, one])
    at = [(0, t) for t in range(100, 1100, 37)]
    single = event_paths(events_of(at), prices_of(one, NAMES[:1]), DAYS, NAMES[:1])
    both = event_paths(events_of([*at, *((1, t) for _, t in at)]), prices_of(twin), DAYS, NAMES)
    assert both["n_events"][0] == 2 * single["n_events"][0]
    np.testing.assert_allclose(both["mean_bps"], single["mean_bps"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(both["se_bps"], single["se_bps"], rtol=1e-9, atol=1e-9)


def test_an_event_known_late_is_anchored_where_it_was_known() -> None:
    late = events_of([(0, 500)]).with_columns(pl.col("available_at") + 90.5 * MINUTE)
    on_time = events_of([(0, 591)])
    prices = prices_of(walk())
    assert event_paths(late, prices, DAYS, NAMES).equals(event_paths(on_time, prices, DAYS, NAMES))


def test_each_type_has_its_own_path_and_strangers_have_none() -> None:
    events = pl.concat(
        [
            events_of([(0, 400)], "b_type"),
            events_of([(1, 500), (0, 600)], "a_type"),
            events_of([(0, 700)], "c_type", names=("ZZZUSDT",)),
        ]
    )
    prices = prices_of(walk())
    found = event_paths(events, prices, DAYS, NAMES)
    assert found["event_type"].unique(maintain_order=True).to_list() == ["a_type", "b_type"]
    alone = event_paths(events_of([(0, 400)], "b_type"), prices, DAYS, NAMES)
    assert found.filter(event_type="b_type").equals(alone)
    shuffled = events.sample(fraction=1.0, shuffle=True, seed=1)
    assert event_paths(shuffled, prices, DAYS, NAMES).equals(found)


def test_no_event_and_no_price_give_no_path() -> None:
    none = event_paths(EVENTS.empty(), prices_of(walk()), DAYS, NAMES)
    assert none.is_empty()
    assert none.columns[:3] == ["event_type", "minute", "mean_bps"]
    no_prices = pl.DataFrame(schema=REFERENCE_PRICE_SCHEMA)
    assert event_paths(events_of([(0, 500)]), no_prices, DAYS, NAMES).is_empty()


def test_a_flat_price_has_a_flat_path_without_a_band() -> None:
    flat = np.full((2, DAY_MINUTES), 100.0)
    found = event_paths(events_of([(0, 500), (1, 510)]), prices_of(flat), DAYS, NAMES)
    assert set(found["mean_bps"].to_list()) <= {0.0, -0.0}
    assert all(math.isclose(v, 0.0) for v in found["se_bps"])


def test_the_band_holds_the_truth_of_a_null_world_nineteen_times_in_twenty() -> None:
    held = []
    for seed in range(200):
        matrix = walk(seed)
        rng = np.random.default_rng(1000 + seed)
        at = [(i, int(t)) for t in rng.integers(60, 1200, 12) for i in (0, 1)]
        found = event_paths(events_of(at), prices_of(matrix), DAYS, NAMES, (-60, 0, 60))
        held += [r["low_bps"] <= 0.0 <= r["high_bps"] for r in found.iter_rows(named=True)
                 if r["minute"]]  # fmt: skip
    assert np.mean(held) == pytest.approx(0.95, abs=0.04)
