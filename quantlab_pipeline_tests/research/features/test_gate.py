"""PIT-1's verdicts: what each attack finds and how it is told, missing datasets, tables that lie.

The zoo of leaks and their honest twins is `test_planted_truth`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from functools import partial

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import MINUTE, day_end, days_between
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.point_in_time import asof_join
from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.features import build as build_module
from quantlab_pipeline.research.features.build import CustomVerb, build_features
from quantlab_pipeline.research.features.gate import judge_pit1
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.leaks import Leak, Pit1Report
from quantlab_pipeline.research.features.spec import FeatureSpec, FeatureSpecs, Pit1Thresholds
from quantlab_pipeline_tests.research.features.builders import FIRST, market, shipped_specs

SYMBOLS = ["AAA", "BBB"]
LIMITS = Pit1Thresholds()
BARS = "bars_1m_perp"
DAY = FIRST + timedelta(days=2)


def _spec(source: str, lookback_min: int) -> FeatureSpec:
    return FeatureSpec(
        inputs=(source,), verb="custom", lookback_min=lookback_min, aggregation="last",
        normalisation="none", warmup_min=0, min_valid=1, unit="1",
        meaning="A column of the caller's own.", needs=(source.partition(".")[0],),
    )  # fmt: skip


def _judge(
    inputs: FeatureInputs, source: str, lookback_min: int, verb: CustomVerb, **more: bool
) -> Pit1Report:
    """PIT-1 on the one column `mine` that `verb` makes, stored as it came out."""
    specs = FeatureSpecs(
        version=1, tables=shipped_specs().tables, features={"mine": _spec(source, lookback_min)}
    )
    build = partial(build_features, extra={"mine": verb})
    stored = build(inputs, specs, [DAY], SYMBOLS)
    return judge_pit1(inputs, specs, stored, [DAY], SYMBOLS, LIMITS, 5, build, **more)


def _leak(report: Pit1Report, attack: str) -> Leak:
    (found,) = [leak for leak in report.leaks if leak.attack == attack]
    return found


def _closes(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.DataFrame:
    return asof_join(grid, inputs.bars_perp, ["close", "volume_base"], timedelta(0))


def _next_close(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    return _closes(inputs, grid).select(pl.col("close").shift(-3).over("symbol")).to_series()


def test_a_leak_is_told_with_its_first_row_its_column_and_how_far_it_saw() -> None:
    report = _judge(market(4, SYMBOLS), f"{BARS}.close", 10, _next_close)
    leak = _leak(report, "poison")
    assert (leak.source, leak.reach_s, leak.open_ended) == (f"{BARS}.close", 180.0, False)
    assert leak.tau - leak.ts == 2 * MINUTE
    assert (leak.symbol, leak.n_rows) == ("AAA", 3 * len(SYMBOLS))
    assert leak.honest is not None
    assert leak.harmed != leak.honest
    (verdict,) = report.verdicts[DAY]
    assert verdict.reasons == ("LEAK_PREFIX", "LEAK_POISON")
    assert verdict.measured["saw_ahead_min"] == (3.0, 0.0)
    assert [e["source"] for e in verdict.evidence] == [f"{BARS}.close"] * 2
    assert datetime.fromisoformat(verdict.evidence[0]["ts"]) == _leak(report, "prefix").ts


def test_a_leak_that_sees_all_that_was_loaded_is_open_ended() -> None:
    def mean_of_all(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
        means = inputs.bars_perp.group_by("symbol").agg(pl.col("close").mean())
        return grid.join(means, on="symbol", how="left", maintain_order="left")["close"]

    def mean_of_the_day(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
        return _closes(inputs, grid).select(pl.col("close").mean().over("symbol")).to_series()

    inputs = market(5, SYMBOLS)
    every = _leak(_judge(inputs, f"{BARS}.close", 10, mean_of_all), "prefix")
    assert every.open_ended
    daily = _leak(_judge(inputs, f"{BARS}.close", 10, mean_of_the_day), "prefix")
    assert not daily.open_ended
    assert daily.reach_s == 1439 * 60, "from the day's first minute to its last"


def test_a_leak_through_rows_alone_names_the_table() -> None:
    def count(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
        return pl.repeat(float(inputs.funding.height), grid.height, eager=True)

    report = _judge(market(4, SYMBOLS), "funding.settled_rate", 10, count)
    assert _leak(report, "prefix").source == "funding"


def test_what_is_older_than_declared_must_not_matter() -> None:
    def top_of_two_hours(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
        first: datetime = grid["ts"].min()  # type: ignore[assignment]
        before = [first - k * MINUTE for k in range(119, 0, -1)]
        early = pl.DataFrame({"ts": before}, schema={"ts": grid.schema["ts"]})
        early = grid.select(pl.col("symbol").unique().sort()).join(early, how="cross")
        longer = _closes(inputs, pl.concat([early, grid]).sort("symbol", "ts"))
        top = pl.col("close").rolling_max(120).over("symbol")
        return longer.with_columns(top).filter(pl.col("ts") >= first)["close"]

    report = _judge(market(4, SYMBOLS), f"{BARS}.close", 60, top_of_two_hours)
    assert {leak.attack for leak in report.leaks} == {"lookback"}
    leak = _leak(report, "lookback")
    assert leak.source == f"{BARS}.close"
    assert leak.reach_s is not None
    assert 60 < leak.reach_s / 60 <= 119
    assert report.by_feature()[0].reasons == ("LOOKBACK_EXCEEDED",)
    assert _judge(market(4, SYMBOLS), f"{BARS}.close", 119, top_of_two_hours).leaks == ()


def test_a_recursion_that_begins_where_its_data_begin_is_caught_twice() -> None:
    def smoothed(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
        by = pl.col("close").ewm_mean(alpha=1 / 60, adjust=False).over("symbol")
        return _closes(inputs, grid).select(by).to_series()

    report = _judge(market(4, SYMBOLS), f"{BARS}.close", 120, smoothed)
    assert report.by_feature()[0].reasons == ("LOOKBACK_EXCEEDED", "WARMUP_TOO_SHORT")
    assert _leak(report, "warmup").reach_s is None


def test_the_shipped_recursion_is_attacked_too() -> None:
    whole, specs = market(5, SYMBOLS), shipped_specs().only(["atr_1h_rank_1d"])
    eve = day_end(DAY) - timedelta(days=2)
    silent = pl.col("ts").is_between(eve + timedelta(minutes=30), eve + timedelta(hours=23))
    inputs = whole.with_tables({BARS: whole.bars_perp.filter(~silent)})

    def judged(min_valid: int) -> dict[str, tuple[str, ...]]:
        range_ = specs.features["atr_1h_bps"].model_copy(update={"min_valid": min_valid})
        own = specs.model_copy(update={"features": {**specs.features, "atr_1h_bps": range_}})
        stored = build_features(inputs, own, [DAY], SYMBOLS)
        report = judge_pit1(inputs, own, stored, [DAY], SYMBOLS, LIMITS, 1)
        return {v.item: v.reasons for v in report.by_feature()}

    assert judged(60)["atr_1h_bps"] == ("WARMUP_TOO_SHORT",)
    assert judged(1100)["atr_1h_bps"] == ()


@pytest.fixture(scope="module")
def shipped() -> tuple[FeatureInputs, FeatureSpecs, list[date], pl.DataFrame]:
    inputs, specs = market(11, SYMBOLS, holes=True), shipped_specs()
    days = days_between(FIRST + timedelta(days=9), FIRST + timedelta(days=10))
    return inputs, specs, days, build_features(inputs, specs, days, SYMBOLS)


def test_every_shipped_feature_passes_under_several_seeds(shipped) -> None:
    inputs, specs, days, stored = shipped
    for seed in (1, 2):
        report = judge_pit1(inputs, specs, stored, days, SYMBOLS, LIMITS, seed)
        assert list(report.verdicts) == days
        for verdicts in report.verdicts.values():
            assert [v.item for v in verdicts] == specs.names
            assert _outcomes(verdicts) == {Outcome.PASS}
            assert all(v.measured["compared_values"][0] > 0 for v in verdicts)
        assert report.coverage.n_days == len(days)
        assert sum(report.coverage.instants.values()) == len(days) * LIMITS.instants_per_day


def test_the_full_mode_attacks_many_more_instants(shipped) -> None:
    inputs, specs, days, stored = shipped
    few = specs.only(["oi_change_5m_bps", "funding_last_bps", "ret_1m_bps"])
    table = stored.select("symbol", "ts", "available_at", *few.names)
    report = judge_pit1(inputs, few, table, days[:1], SYMBOLS, LIMITS, 1, full=True)
    assert sum(report.coverage.instants.values()) == LIMITS.full_instants_per_day
    assert set(report.coverage.instants) == {
        "day_start", "settlement", "oi_bucket", "gap_end", "any_minute"
    }  # fmt: skip
    assert _outcomes(report.by_feature()) == {Outcome.PASS}


def test_a_days_verdict_does_not_depend_on_the_range_it_was_judged_in(shipped) -> None:
    inputs, specs, days, stored = shipped
    together = judge_pit1(inputs, specs, stored, days, SYMBOLS, LIMITS, 3)
    told: list[str] = []
    alone = judge_pit1(
        inputs, specs, stored, days[:1], SYMBOLS, LIMITS, 3,
        progress=lambda day, done, total: told.append(f"{day} {done}/{total}"),
    )  # fmt: skip
    assert alone.verdicts[days[0]] == together.verdicts[days[0]]
    assert told == [f"{days[0]} 1/1"]


def _outcomes(verdicts: Iterable[ItemVerdict]) -> set[Outcome]:
    return {v.outcome for v in verdicts}


def test_one_changed_bit_in_the_stored_table_fails_its_feature(shipped) -> None:
    inputs, specs, days, stored = shipped
    wrong = stored.with_columns(pl.col("rv_1h_bps") * (1.0 + 2.0**-52))
    report = judge_pit1(inputs, specs, wrong, days, SYMBOLS, LIMITS, 1)
    failed = [v for v in report.by_feature() if v.outcome is Outcome.FAIL]
    assert [(v.item, v.reasons) for v in failed] == [("rv_1h_bps", ("NOT_REPRODUCED",))]


def test_a_missing_column_and_a_column_without_a_spec(shipped) -> None:
    inputs, specs, days, stored = shipped
    report = judge_pit1(inputs, specs, stored.drop("wick_bps"), days, SYMBOLS, LIMITS, 1)
    assert _of(report, "wick_bps").reasons == ("NOT_BUILT",)
    with pytest.raises(SpecError, match="stray"):
        judge_pit1(inputs, specs, stored.with_columns(stray=0.0), days, SYMBOLS, LIMITS, 1)


def _of(report: Pit1Report, name: str) -> ItemVerdict:
    return next(v for v in report.by_feature() if v.item == name)


def test_rows_that_are_not_there_are_not_missed(shipped) -> None:
    inputs, specs, days, stored = shipped
    thinned = stored.filter(pl.col("ts").dt.minute() != 7)
    report = judge_pit1(inputs, specs, thinned, days[:1], SYMBOLS, LIMITS, 1)
    assert _outcomes(report.by_feature()) == {Outcome.PASS}


def test_features_of_absent_datasets_are_not_evaluable() -> None:
    whole, specs = market(3, ["AAA"]), shipped_specs()
    no_index = whole.mark_index.with_columns(index_price=pl.lit(None, pl.Float64))
    inputs = FeatureInputs(bars_perp=whole.bars_perp, mark_index=no_index)
    days = [FIRST + timedelta(days=1)]
    stored = build_features(inputs, specs, days, ["AAA"])
    report = judge_pit1(inputs, specs, stored, days, ["AAA"], LIMITS, 1)
    assert _of(report, "spread_bps").reasons == ("DATASET_ABSENT:tob_1m_agg",)
    assert _of(report, "spread_bps").outcome is Outcome.NOT_EVALUABLE
    assert _of(report, "oi_z_1d").reasons == ("DATASET_ABSENT:open_interest",)
    assert _of(report, "mark_index_bps").reasons == ("DATASET_ABSENT:mark_index.index_price",)
    assert _of(report, "ret_1m_bps").outcome is Outcome.PASS


def test_no_rows_are_not_evaluable() -> None:
    specs = shipped_specs()
    nothing = build_features(FeatureInputs(), specs, [], [])
    report = judge_pit1(FeatureInputs(), specs, nothing, [FIRST], ["AAA"], LIMITS, 1)
    assert {v.reasons for v in report.by_feature()} == {("UPSTREAM_EMPTY",)}


def test_a_build_that_joins_on_event_time_is_caught(shipped, monkeypatch) -> None:
    inputs, specs, days, _ = shipped
    honest = build_module.asof_rows

    def on_event_time(symbols, first_minute, n_minutes, facts, max_age=None):
        early = facts.with_columns(available_at="ts")
        return honest(symbols, first_minute, n_minutes, early, max_age)

    monkeypatch.setattr(build_module, "asof_rows", on_event_time)
    stored = build_module.build_features(inputs, specs, days, SYMBOLS)
    report = judge_pit1(inputs, specs, stored, days, SYMBOLS, LIMITS, 1)
    failed = {v.item for v in report.by_feature() if v.outcome is Outcome.FAIL}
    assert {"oi_change_5m_bps", "oi_change_1h_bps", "oi_z_1d", "funding_last_bps"} <= failed
    named = {leak.source for leak in report.leaks if leak.feature.startswith("oi_")}
    assert named == {"open_interest.oi_base"}


def test_a_value_that_depends_on_its_range_is_not_reproduced() -> None:
    def centred(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
        close = pl.col("close")
        by = (close - close.mean()).over("symbol")
        return _closes(inputs, grid).select(by).to_series()

    inputs, days = market(4, SYMBOLS), days_between(DAY, DAY + timedelta(days=1))
    specs = FeatureSpecs(
        version=1, tables=shipped_specs().tables, features={"mine": _spec(f"{BARS}.close", 10)}
    )
    build = partial(build_features, extra={"mine": centred})
    stored = build(inputs, specs, days, SYMBOLS)
    report = judge_pit1(inputs, specs, stored, days, SYMBOLS, LIMITS, 5, build)
    assert "NOT_REPRODUCED" in report.by_feature()[0].reasons
    assert report.by_feature()[0].measured["not_reproduced_rows"][0] == 1440 * len(SYMBOLS)


def test_no_attack_on_the_last_minute_needs_a_tomorrow() -> None:
    inputs = market(3, SYMBOLS)
    specs = shipped_specs().only(["ret_1m_bps"])
    stored = build_features(inputs, specs, [DAY], SYMBOLS)
    assert stored["ts"].max() == day_end(DAY)
    report = judge_pit1(inputs, specs, stored, [DAY], SYMBOLS, LIMITS, 2)
    assert _outcomes(report.by_feature()) == {Outcome.PASS}
    assert np.isfinite(report.coverage.n_values)
