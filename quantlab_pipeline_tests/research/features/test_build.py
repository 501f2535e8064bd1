"""The build: equal to its oracle, blind to how days were cut into runs, honest about what is
missing.
"""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import (
    MINUTE,
    MINUTE_US,
    TS,
    day_end,
    day_start,
    days_between,
    to_us,
)
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.schema import features_schema
from quantlab_pipeline.research.features.spec import FeatureSpec
from quantlab_pipeline_tests.oracles.features import features_at
from quantlab_pipeline_tests.research.features.builders import FIRST, market, shipped_specs

SPECS = shipped_specs()
DAYS = days_between(FIRST + timedelta(days=8), FIRST + timedelta(days=10))
SYMBOLS = ["AAA", "BBB"]


@pytest.fixture(scope="module")
def holed() -> FeatureInputs:
    return market(11, SYMBOLS, seed=3, holes=True)


@pytest.fixture(scope="module")
def built(holed: FeatureInputs) -> pl.DataFrame:
    return build_features(holed, SPECS, DAYS, SYMBOLS)


def _reach(inputs: FeatureInputs, day: date) -> FeatureInputs:
    """What a run of one day is given: its lookback and itself."""
    first, last = day_start(day - timedelta(days=SPECS.lookback_days)), day_end(day)
    inside = (pl.col("ts") > first) & (pl.col("ts") <= last)
    return inputs.with_tables({t: f.filter(inside) for t, f in inputs.tables().items()})


def test_a_row_a_symbol_and_minute_of_the_schema(built: pl.DataFrame) -> None:
    features_schema(SPECS).validate(built)
    assert built.height == len(SYMBOLS) * len(DAYS) * 1440
    assert built["ts"].min() == day_start(DAYS[0]) + MINUTE
    assert built["ts"].max() == day_end(DAYS[-1])
    assert built["available_at"].equals(built["ts"].alias("available_at"))
    assert built.equals(built.sort("symbol", "ts"))


def test_one_day_at_a_time_equals_the_range_bit_for_bit(
    holed: FeatureInputs, built: pl.DataFrame
) -> None:
    alone = [build_features(_reach(holed, day), SPECS, [day], SYMBOLS) for day in DAYS]
    together = pl.concat(alone).sort("symbol", "ts")
    for name in SPECS.names:
        left, right = (f[name].fill_null(math.nan).to_numpy() for f in (built, together))
        assert left.tobytes() == right.tobytes(), name
        assert np.isfinite(left).any(), name


def test_one_symbol_alone_equals_it_among_others(holed: FeatureInputs, built: pl.DataFrame) -> None:
    alone = build_features(holed, SPECS, DAYS[:1], ["BBB"])
    first = built.filter((pl.col("symbol") == "BBB") & (pl.col("ts") <= day_end(DAYS[0])))
    assert alone.equals(first)


def test_days_with_a_hole_between_them(holed: FeatureInputs, built: pl.DataFrame) -> None:
    outer = build_features(holed, SPECS, [DAYS[0], DAYS[2]], SYMBOLS)
    middle = (pl.col("ts") > day_start(DAYS[1])) & (pl.col("ts") <= day_end(DAYS[1]))
    assert outer.equals(built.filter(~middle))


def test_every_feature_equals_its_definition(holed: FeatureInputs, built: pl.DataFrame) -> None:
    rng = np.random.default_rng(1)
    rows = np.sort(rng.integers(0, built.height, 3))
    ages = {table: age.max_age_min for table, age in SPECS.tables.items()}
    for row in built[rows].iter_rows(named=True):
        minute = to_us(row["ts"]) // MINUTE_US
        want = features_at(holed.tables(), ages, row["symbol"], minute)
        assert sorted(want) == sorted(SPECS.names)
        for name, value in want.items():
            got = math.nan if row[name] is None else row[name]
            assert got == pytest.approx(value, rel=1e-7, abs=1e-7, nan_ok=True), name


def test_the_first_value_comes_after_the_stated_warm_up() -> None:
    inputs = market(2, ["AAA"])
    frame = build_features(inputs, SPECS, days_between(FIRST, FIRST + timedelta(days=1)), ["AAA"])
    late = {"open_interest": 5}
    for name, spec in SPECS.features.items():
        if spec.warmup_min >= 1440 or spec.needs[0].startswith("funding"):
            continue
        first = int(frame[name].is_not_null().arg_max() or 0)
        begin = spec.warmup_min + late.get(spec.needs[0], 0)
        assert first == begin if spec.verb != "half_life" else first >= begin, name


def test_missing_datasets_give_nulls_and_nothing_else() -> None:
    bars = market(2, ["AAA"]).bars_perp
    frame = build_features(FeatureInputs(bars_perp=bars), SPECS, [FIRST], ["AAA"])
    for name, spec in SPECS.features.items():
        if spec.needs != ("bars_1m_perp",):
            assert frame[name].null_count() == 1440, name
    assert frame["ret_1m_bps"].null_count() == 1


def test_a_symbol_without_data_has_null_rows() -> None:
    frame = build_features(market(1, ["AAA"]), SPECS, [FIRST], ["AAA", "ZZZ"])
    nothing = frame.filter(pl.col("symbol") == "ZZZ").select(SPECS.names)
    assert nothing.height == 1440
    assert nothing.null_count().row(0) == (1440,) * len(SPECS.names)


def test_no_days_or_symbols_give_an_empty_table() -> None:
    for days, symbols in (([], ["AAA"]), ([FIRST], [])):
        features_schema(SPECS).validate(build_features(FeatureInputs(), SPECS, days, symbols))


def test_infinite_and_absurd_input_is_missing_never_infinite() -> None:
    bars = market(2, ["AAA"]).bars_perp
    odd = pl.col("ts").dt.minute()
    bars = bars.with_columns(
        close=pl.when(odd == 3).then(math.inf).when(odd == 4).then(1e-310).otherwise("close"),
        volume_base=pl.when(odd == 5).then(math.inf).when(odd == 6).then(5e-324).otherwise(1.0),
        volume_quote=pl.when(odd == 7).then(5e-324).otherwise("volume_quote"),
    )
    frame = build_features(
        FeatureInputs(bars_perp=bars), SPECS, [FIRST + timedelta(days=1)], ["AAA"]
    )
    for name in SPECS.names:
        assert frame[name].drop_nulls().is_finite().all(), name


def test_a_late_bar_never_reaches_a_minute_that_had_closed() -> None:
    bars = market(1, ["AAA"]).bars_perp
    at = day_start(FIRST) + timedelta(hours=5)
    came = pl.lit(at + timedelta(hours=2)).cast(TS)
    late = bars.with_columns(
        pl.when(pl.col("ts") == at).then(came).otherwise("available_at").alias("available_at")
    )
    with_late = build_features(FeatureInputs(bars_perp=late), SPECS, [FIRST], ["AAA"])
    without = build_features(
        FeatureInputs(bars_perp=bars.filter(pl.col("ts") != at)), SPECS, [FIRST], ["AAA"]
    )
    assert with_late.equals(without)


def test_old_open_interest_is_a_hole_not_a_carried_value() -> None:
    inputs = market(1, ["AAA"])
    gap = pl.col("ts").dt.hour() == 6
    holed = inputs.with_tables({"open_interest": inputs.open_interest.filter(~gap)})
    frame = build_features(holed, SPECS, [FIRST], ["AAA"])
    hour = frame.filter(pl.col("ts").dt.hour() == 6)["oi_change_5m_bps"]
    assert hour[:3].null_count() == 0
    assert hour[3:].null_count() == 57


def _custom(verb: str = "custom") -> FeatureSpec:
    return FeatureSpec(
        inputs=("bars_1m_perp.close",), verb=verb, lookback_min=0, aggregation="last",
        normalisation="none", warmup_min=0, min_valid=1, unit="1", needs=("bars_1m_perp",),
        meaning="A column of the caller's own.",
    )  # fmt: skip


def test_a_custom_column_is_built_and_one_without_a_spec_is_refused() -> None:
    bars = market(1, ["AAA"]).bars_perp
    specs = SPECS.plus(mine=_custom())

    def mine(_inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
        return grid["ts"].dt.minute().cast(pl.Float64)

    inputs = FeatureInputs(bars_perp=bars)
    frame = build_features(inputs, specs, [FIRST], ["AAA"], extra={"mine": mine})
    assert frame["mine"][:3].to_list() == [1.0, 2.0, 3.0]
    with pytest.raises(SpecError, match="no spec defines it"):
        build_features(inputs, SPECS, [FIRST], ["AAA"], extra={"mine": mine})
    with pytest.raises(SpecError, match="no function was passed"):
        build_features(inputs, specs, [FIRST], ["AAA"])
