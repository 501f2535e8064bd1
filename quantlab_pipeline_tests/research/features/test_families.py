"""The families' promises, each on the table that the build makes: planted truths are found, brute
force agrees on ten thousand rows, and what comes later changes nothing.
"""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import DAY_MINUTES, day_start, days_between
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.spec import OWN
from quantlab_pipeline.research.market_data import schema
from quantlab_pipeline.research.market_data.basis import basis_state
from quantlab_pipeline.research.market_data.book import aggregate_book, snapshot_book
from quantlab_pipeline.worlds.effects import lay_out
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.paths import draw_paths
from quantlab_pipeline.worlds.spec import Scenario
from quantlab_pipeline_tests.oracles import rolling
from quantlab_pipeline_tests.research.features.builders import FIRST, market, shipped_specs
from quantlab_pipeline_tests.worlds.builders import scenario, shipped

Floats = npt.NDArray[np.float64]
SPECS = shipped_specs()
WEEK = 7
N = WEEK * DAY_MINUTES


def _built(inputs: FeatureInputs, n_days: int, symbol: str = "AAA") -> pl.DataFrame:
    return build_features(
        inputs, SPECS, days_between(FIRST, FIRST + timedelta(n_days - 1)), [symbol]
    )


def _floats(frame: pl.DataFrame, column: str) -> Floats:
    return frame[column].cast(pl.Float64).fill_null(math.nan).to_numpy()


@pytest.fixture(scope="module")
def holed() -> FeatureInputs:
    return market(WEEK, ["AAA"], seed=5, holes=True)


@pytest.fixture(scope="module")
def week(holed: FeatureInputs) -> pl.DataFrame:
    return _built(holed, WEEK)


def _raw(inputs: FeatureInputs, table: str, column: str, grid: pl.DataFrame) -> Floats:
    """A raw column on the grid, for tables whose rows are known at their own minute."""
    frame = inputs.tables()[table]
    if "leg" in frame.columns:
        frame = frame.filter(pl.col("leg") == "perp")
    return _floats(
        grid.select("ts").join(frame, on="ts", how="left", maintain_order="left"), column
    )


# --- spread, depth, imbalance, stress (S3-26 to 29) ----------------------------------------------


def _lag(x: Floats, rows: int) -> Floats:
    return np.concatenate([np.full(rows, math.nan), x[:-rows]])


def _close(got: Floats, want: Floats) -> None:
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12, equal_nan=True)


def test_spread_and_depth_equal_brute_force_on_ten_thousand_rows(
    holed: FeatureInputs, week: pl.DataFrame
) -> None:
    spread = _raw(holed, "tob_1m_agg", "spread_bps_mean", week)
    depth = _raw(holed, "tob_1m_agg", "depth_usd_mean", week)
    assert week.height == N > 10_000
    fullness = depth / rolling.mean(depth, 60, 45)
    with np.errstate(invalid="ignore"):
        collapsed = np.where(np.isnan(fullness), math.nan, fullness <= 0.4)
    brute = {
        "spread_bps": spread,
        "spread_rank_1d": rolling.rank(spread, 1440, 360),
        "spread_q95_1d_bps": rolling.quantile(spread, 1440, 0.95, 360),
        "spread_change_5m_bps": spread - _lag(spread, 5),
        "spread_ratio_1h": spread / rolling.mean(spread, 60, 45),
        "depth_usd": depth,
        "depth_rank_1d": rolling.rank(depth, 1440, 360),
        "depth_ratio_1h": fullness,
        "depth_collapse_flag": collapsed,
    }
    for name, want in brute.items():
        assert np.isfinite(want).sum() > 1_000, name
        _close(_floats(week, name), want)
    assert (week["spread_bps"].drop_nulls() > 0).all()
    assert (week["spread_q95_1d_bps"].drop_nulls() > 0).all()


def test_every_planted_collapse_of_depth_is_flagged_and_flat_depth_never_is() -> None:
    inputs = market(2, ["AAA"])
    grid = _built(inputs, 2)["ts"]
    rng = np.random.default_rng(2)
    planted = np.sort(rng.choice(np.arange(60, 2 * DAY_MINUTES, 61), 12, replace=False))
    flat = 1e5 * np.exp(rng.normal(0, 0.1, grid.len()))
    collapsed = flat.copy()
    collapsed[planted] *= 0.3
    for depth, minutes in ((flat, []), (collapsed, planted.tolist())):
        book = inputs.tob_1m_agg.filter(pl.col("leg") == "perp")
        frame = book.with_columns(depth_usd_mean=pl.Series(depth))
        flags = _built(FeatureInputs(tob_1m_agg=frame), 2)["depth_collapse_flag"]
        assert np.flatnonzero(flags.fill_null(0).to_numpy() == 1.0).tolist() == minutes


@pytest.fixture(scope="module")
def quotes() -> tuple[pl.DataFrame, str]:
    """A day of a generated market's book, sampled, and its symbol."""
    world = generate(scenario(1, 1, first_day=FIRST, book={"legs": ["perp"], "change_mean_s": 5}))
    samples = snapshot_book(world.frames["book"], [FIRST], grid_s=5).frame
    return samples, world.truth.symbols[0]


def test_swapping_the_sides_of_the_book_flips_every_imbalance_exactly(
    quotes: tuple[pl.DataFrame, str],
) -> None:
    samples, symbol = quotes
    swapped = samples.with_columns(bid_qty="ask_qty", ask_qty="bid_qty")
    both = [
        _built(FeatureInputs(tob_1m_agg=aggregate_book(s, grid_s=5)), 1, symbol)
        for s in (samples, swapped)
    ]
    for name in ("imbalance", "imbalance_mean_15m", "imbalance_z_1d"):
        straight, mirrored = (_floats(frame, name) for frame in both)
        assert np.isfinite(straight).sum() > 1_000, name
        assert np.array_equal(mirrored, -straight, equal_nan=True), name
    assert both[0]["imbalance"].drop_nulls().is_between(-1, 1).all()
    assert both[0]["imbalance_mean_15m"].drop_nulls().is_between(-1, 1).all()


def test_stress_is_the_documented_sum_of_its_parts(week: pl.DataFrame) -> None:
    weights = dict(SPECS.features["liquidity_stress"].params)
    assert weights == {"weight_spread": 0.5, "weight_depth": 0.4, "weight_imbalance": 0.1}
    spread, depth = _floats(week, "spread_rank_1d"), _floats(week, "depth_rank_1d")
    lean = np.abs(_floats(week, "imbalance"))
    _close(_floats(week, "liquidity_stress"), 0.5 * spread + 0.4 * (1 - depth) + 0.1 * lean)


# --- funding, basis, mark against index, open interest (S3-30 to 33) -----------------------------


def test_persistence_equals_the_run_length_of_planted_settlements() -> None:
    signs = [1, 1, -1, -1, -1, 1, -1, -1, 1, 1, 1, 1]
    at = pl.datetime_range(
        day_start(FIRST), day_start(FIRST) + timedelta(hours=88), "8h", eager=True, time_unit="us"
    )
    funding = schema.FUNDING.conform(
        pl.DataFrame({"ts": at, "settled_rate": [1e-4 * s for s in signs]}).with_columns(
            symbol=pl.lit("AAA"), available_at="ts", raw_ts="ts", interval_h=pl.lit(8),
            next_funding_ts=pl.col("ts") + timedelta(hours=8),
            mark_price=pl.lit(None, pl.Float64),
        )
    )  # fmt: skip
    frame = _built(FeatureInputs(funding=funding), 4)
    known = frame.filter(pl.col("ts").is_in(at.implode()))["funding_persistence"].to_list()
    runs = [1, 2, -1, -2, -3, 1, -1, -2, 1, 2, 3, 4]
    assert known == runs[1:]


def test_the_expected_rate_is_the_settled_one_and_the_surprise_apart(
    whole_week: pl.DataFrame,
) -> None:
    expected, surprise, settled = (
        _floats(whole_week, f"funding_{name}_bps") for name in ("expected", "surprise", "last")
    )
    assert np.isfinite(surprise).sum() > 8_000
    _close(expected, settled + surprise)
    due = _floats(whole_week, "funding_due_min")
    assert np.nanmin(due) == 0
    assert np.nanmax(due) < 480
    steps = np.diff(due[np.isfinite(due)])
    assert set(steps.tolist()) == {-1.0, 479.0}


def test_equal_mids_have_no_basis_at_all(quotes: tuple[pl.DataFrame, str]) -> None:
    samples, symbol = quotes
    perp = samples.filter(pl.col("leg") == "perp")
    same = pl.concat([perp, perp.with_columns(leg=pl.lit("spot"))])
    none = schema.BARS_1M_PERP.empty()
    frame = _built(FeatureInputs(basis_state=basis_state(same, none, none, grid_s=5)), 1, symbol)
    assert frame["basis_bps"].drop_nulls().len() > 1_000
    assert (frame["basis_bps"].drop_nulls() == 0.0).all()
    assert frame["basis_z_1d"].null_count() == frame.height


@pytest.mark.parametrize("half_life_min", [8.0, 20.0, 45.0])
def test_the_half_life_of_a_planted_basis_is_recovered(half_life_min: float) -> None:
    rng = np.random.default_rng(3)
    slope = 0.5 ** (1 / half_life_min)
    inputs = market(WEEK, ["AAA"])
    basis = np.zeros(inputs.basis_state.height)
    for t in range(1, basis.size):
        basis[t] = slope * basis[t - 1] + rng.normal()
    planted = inputs.basis_state.with_columns(basis_bps=pl.Series(basis))
    frame = _built(FeatureInputs(basis_state=planted), WEEK)
    found = _floats(frame, "basis_half_life_min")[DAY_MINUTES:]
    assert np.nanmedian(found) == pytest.approx(half_life_min, rel=0.2)


def test_a_planted_jump_of_mark_against_index_is_flagged_at_its_minute_and_none_on_clean() -> None:
    inputs = market(2, ["AAA"])
    rng = np.random.default_rng(4)
    index = 100.0 * np.exp(np.cumsum(rng.normal(0, 5e-4, 2 * DAY_MINUTES)))
    apart = np.cumsum(rng.normal(0, 0.2, index.size))
    jump = 12.0 * (np.arange(index.size) >= 1_777)
    for gap, minutes in ((apart, []), (apart + jump, [1_777])):
        mark = pl.Series(index * np.exp(gap / 1e4))
        table = inputs.mark_index.with_columns(mark_price=mark, index_price=pl.Series(index))
        flags = _built(FeatureInputs(mark_index=table), 2)["mark_index_jump_flag"]
        assert flags.drop_nulls().len() > 2_000
        assert np.flatnonzero(flags.fill_null(0).to_numpy() == 1.0).tolist() == minutes


def test_open_interest_changes_are_of_what_was_published(
    holed: FeatureInputs, week: pl.DataFrame
) -> None:
    rows = holed.open_interest.sort("available_at")
    known = rows["available_at"].dt.epoch("us").to_numpy()
    now = week["ts"].dt.epoch("us").to_numpy()
    newest = np.searchsorted(known, now, side="right") - 1
    old = now - rows["ts"].dt.epoch("us").to_numpy()[newest] > 7 * 60_000_000
    published = np.where((newest < 0) | old, math.nan, rows["oi_base"].to_numpy()[newest])
    assert np.isnan(published[DAY_MINUTES:]).sum() > 100, "holes are part of the case"
    for name, lag in (("oi_change_5m_bps", 5), ("oi_change_1h_bps", 60)):
        _close(_floats(week, name), 1e4 * np.log(published / _lag(published, lag)))


# --- volatility (S3-34) --------------------------------------------------------------------------

RANKS = [name for name, spec in SPECS.features.items() if spec.verb == "rolling_rank"]


@pytest.fixture(scope="module")
def whole() -> FeatureInputs:
    return market(WEEK, ["AAA"], seed=6)


@pytest.fixture(scope="module")
def whole_week(whole: FeatureInputs) -> pl.DataFrame:
    return _built(whole, WEEK)


@pytest.mark.parametrize("name", RANKS)
def test_a_percentile_is_the_brute_force_midrank_on_ten_thousand_rows(
    whole: FeatureInputs,
    whole_week: pl.DataFrame,
    holed: FeatureInputs,
    week: pl.DataFrame,
    name: str,
) -> None:
    spec = SPECS.features[name]
    table, column = spec.sources[0]
    for inputs, frame in ((whole, whole_week), (holed, week)):
        x = _floats(frame, column) if table == OWN else _raw(inputs, table, column, frame)
        x = np.abs(x) if spec.params.get("magnitude") else x
        want = rolling.rank(x, int(spec.params["window_min"]), spec.min_valid)
        assert np.array_equal(_floats(frame, name), want, equal_nan=True)
    assert whole_week[name].drop_nulls().len() > 8_000


def _volatility_world(world: Scenario) -> tuple[pl.DataFrame, Floats]:
    """Features of the bars of every symbol, and the true deviation of each row's minute."""
    generated = generate(world)
    paths = draw_paths(world, world.seed, lay_out(world, [], ()))
    symbols = [s.symbol for s in paths.symbols]
    last = world.first_day + timedelta(minutes=world.duration_min - 1)
    days = days_between(world.first_day, last)
    bars = FeatureInputs(bars_perp=generated.frames["bars_1m_perp"])
    frame = build_features(bars, SPECS, days, sorted(symbols))
    return frame, np.concatenate([paths.sigma[symbols.index(s)] for s in sorted(symbols)])


def _precision(flag: pl.Series, truth: npt.NDArray[np.bool_]) -> float:
    hit = flag.fill_null(0).to_numpy() == 1.0
    assert hit.sum() > 30
    return float(truth[hit].mean())


@pytest.mark.parametrize("name", ["regime_switch_small", "vol_cluster_small"])
def test_flags_are_right_about_the_true_regime_of_a_world(name: str) -> None:
    """True regime: the minute's deviation against the mean of the day before it."""
    world = shipped(name)
    frame, sigma = _volatility_world(world)
    usual = np.concatenate(
        [rolling.mean(s, 1440, 1) for s in sigma.reshape(len(world.symbols), -1)]
    )
    assert _precision(frame["expansion_flag"], sigma > usual) >= 0.8
    assert _precision(frame["compression_flag"], sigma < usual) >= 0.8


# --- nothing is known too early ------------------------------------------------------------------


def _changed(frame: pl.DataFrame, later: pl.Expr) -> pl.DataFrame:
    """Every number of the rows that `later` picks, times a factor of its own."""
    rng = np.random.default_rng(9)
    numbers = [c for c, kind in frame.schema.items() if kind == pl.Float64]
    factors = {c: pl.Series(np.exp(rng.normal(0, 1, frame.height))) for c in numbers}
    return frame.with_columns(
        pl.when(later).then(pl.col(c) * factors[c]).otherwise(c).alias(c) for c in numbers
    )


@pytest.mark.parametrize("cut_min", [1_000, 3 * DAY_MINUTES + 482, 5 * DAY_MINUTES])
def test_what_is_not_known_yet_changes_no_feature(
    whole: FeatureInputs, whole_week: pl.DataFrame, cut_min: int
) -> None:
    cut = day_start(FIRST) + timedelta(minutes=cut_min)
    later = pl.col("available_at") > cut
    for poison in (lambda f: _changed(f, later), lambda f: f.filter(~later)):
        poisoned = whole.with_tables({t: poison(f) for t, f in whole.tables().items()})
        frame = _built(poisoned, WEEK)
        for name in SPECS.names:
            left, right = (
                _floats(f.filter(pl.col("ts") <= cut), name) for f in (whole_week, frame)
            )
            assert left.tobytes() == right.tobytes(), name
    assert not [n for n in SPECS.names if frame[n].equals(whole_week[n])], "the last poison works"
