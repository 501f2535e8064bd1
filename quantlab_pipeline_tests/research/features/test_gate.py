"""PIT-1 against a zoo of leaks, their honest twins, missing datasets and stored tables that lie."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from functools import partial

import polars as pl
import pytest

from quantlab_pipeline.core.clocks import day_end, day_start, days_between
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.features import build as build_module
from quantlab_pipeline.research.features.attacks import attacked, instants
from quantlab_pipeline.research.features.build import Build, build_features
from quantlab_pipeline.research.features.gate import Leak, Pit1Report, judge_pit1
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.spec import FeatureSpec, FeatureSpecs, Pit1Thresholds
from quantlab_pipeline_tests.research.features.builders import FIRST, market, shipped_specs
from quantlab_pipeline_tests.research.features.leaks import BARS, LEAKS, TWINS

SYMBOLS = ["AAA", "BBB"]
LIMITS = Pit1Thresholds()


def _custom(table: str) -> FeatureSpec:
    column = {"funding": "settled_rate", "open_interest": "oi_base"}.get(table, "close")
    return FeatureSpec(
        inputs=(f"{table}.{column}",), verb="custom", lookback_min=1440, aggregation="last",
        normalisation="none", warmup_min=0, min_valid=1, unit="1",
        meaning="A column of the zoo.", needs=(table,),
    )  # fmt: skip


def _zoo() -> tuple[FeatureSpecs, Build]:
    entries = {**LEAKS, **TWINS}
    tables = shipped_specs().tables
    features = {name: _custom(table) for name, (_, table) in entries.items()}
    specs = FeatureSpecs(version=1, tables=tables, features=features)
    return specs, partial(build_features, extra={n: verb for n, (verb, _) in entries.items()})


@pytest.fixture(scope="module")
def zoo_report() -> Pit1Report:
    specs, build = _zoo()
    whole = market(4, SYMBOLS)
    inputs = FeatureInputs(
        bars_perp=whole.bars_perp.filter(pl.col("ts").dt.minute() != 17),
        funding=whole.funding,
        open_interest=whole.open_interest,
    )
    days = days_between(FIRST + timedelta(days=1), FIRST + timedelta(days=2))
    stored = build(inputs, specs, days, SYMBOLS)
    return judge_pit1(inputs, specs, stored, days, SYMBOLS, LIMITS, seed=5, build=build)


def _of(report: Pit1Report, name: str) -> ItemVerdict:
    return next(v for v in report.verdicts if v.item == name)


def _leaks(report: Pit1Report, name: str) -> list[Leak]:
    return [leak for leak in report.leaks if leak.feature == name]


@pytest.mark.parametrize("name", LEAKS)
def test_every_leak_is_caught_and_its_table_named(zoo_report: Pit1Report, name: str) -> None:
    verdict = _of(zoo_report, name)
    assert verdict.outcome is Outcome.FAIL
    assert {"LEAK_PREFIX", "LEAK_POISON"} & set(verdict.reasons)
    assert {leak.table for leak in _leaks(zoo_report, name)} == {LEAKS[name][1]}


@pytest.mark.parametrize("name", TWINS)
def test_no_honest_twin_is_accused(zoo_report: Pit1Report, name: str) -> None:
    verdict = _of(zoo_report, name)
    assert verdict.outcome is Outcome.PASS
    assert verdict.measured["compared_values"][0] > 0
    assert not _leaks(zoo_report, name)


@pytest.mark.parametrize(
    ("name", "at_least", "at_most"),
    [("shift_minus_one", 1, 1), ("centred_window", 1, 7), ("future_label", 59, 60)],
)
def test_the_reach_into_the_future_is_measured(
    zoo_report: Pit1Report, name: str, at_least: float, at_most: float
) -> None:
    ahead = _of(zoo_report, name).measured["saw_ahead_min"][0]
    assert at_least <= ahead <= at_most


def test_the_first_offending_row_is_named(zoo_report: Pit1Report) -> None:
    (prefix, *_) = [leak for leak in _leaks(zoo_report, "future_label") if leak.attack == "prefix"]
    assert prefix.tau - prefix.ts == timedelta(minutes=59)
    assert prefix.n_rows == 59 * len(SYMBOLS)
    assert prefix.seconds_ahead == 3_600.0


def test_both_attacks_are_needed(zoo_report: Pit1Report) -> None:
    assert _of(zoo_report, "length_epsilon").reasons[0] == "LEAK_PREFIX"
    assert "LEAK_PREFIX" not in _of(zoo_report, "revised_row").reasons
    assert "LEAK_POISON" in _of(zoo_report, "revised_row").reasons


def test_a_value_that_depends_on_its_range_is_not_reproduced(zoo_report: Pit1Report) -> None:
    assert "NOT_REPRODUCED" in _of(zoo_report, "full_sample_z").reasons


@pytest.fixture(scope="module")
def shipped() -> tuple[FeatureInputs, FeatureSpecs, list[date], pl.DataFrame]:
    inputs, specs = market(11, SYMBOLS, holes=True), shipped_specs()
    days = days_between(FIRST + timedelta(days=9), FIRST + timedelta(days=10))
    return inputs, specs, days, build_features(inputs, specs, days, SYMBOLS)


def test_every_shipped_feature_passes_under_several_seeds(shipped) -> None:
    inputs, specs, days, stored = shipped
    for seed in (1, 2):
        report = judge_pit1(inputs, specs, stored, days, SYMBOLS, LIMITS, seed)
        assert [v.item for v in report.verdicts] == specs.names
        assert _outcomes(report.verdicts) == {Outcome.PASS}
        assert all(v.measured["compared_values"][0] > 0 for v in report.verdicts)


def _outcomes(verdicts: Iterable[ItemVerdict]) -> set[Outcome]:
    return {v.outcome for v in verdicts}


def test_one_changed_bit_in_the_stored_table_fails_its_feature(shipped) -> None:
    inputs, specs, days, stored = shipped
    wrong = stored.with_columns(pl.col("rv_1h_bps") * (1.0 + 2.0**-52))
    report = judge_pit1(inputs, specs, wrong, days, SYMBOLS, LIMITS, 1)
    failed = [v for v in report.verdicts if v.outcome is Outcome.FAIL]
    assert [(v.item, v.reasons) for v in failed] == [("rv_1h_bps", ("NOT_REPRODUCED",))]


def test_a_missing_column_and_a_column_without_a_spec(shipped) -> None:
    inputs, specs, days, stored = shipped
    report = judge_pit1(inputs, specs, stored.drop("wick_bps"), days, SYMBOLS, LIMITS, 1)
    assert _of(report, "wick_bps").reasons == ("NOT_BUILT",)
    with pytest.raises(SpecError, match="stray"):
        judge_pit1(
            inputs, specs, stored.with_columns(stray=0.0), days, SYMBOLS, LIMITS, 1
        )  # fmt: skip


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
    assert {v.reasons for v in report.verdicts} == {("UPSTREAM_EMPTY",)}


def test_instants_are_seeded_and_hit_a_settlement_a_bucket_and_a_hole() -> None:
    whole = market(3, ["AAA"])
    inputs = whole.with_tables({BARS: whole.bars_perp.filter(pl.col("ts").dt.minute() != 18)})
    days = [FIRST, FIRST + timedelta(days=2)]
    drawn = instants(inputs, days, 3, seed=4)
    assert drawn == instants(inputs, days, 3, seed=4)
    assert drawn == sorted(drawn)
    assert any(t.minute == 0 and t.hour % 8 == 0 for t in drawn)
    assert any(t.minute % 5 == 2 for t in drawn)
    assert any(t.minute == 18 for t in drawn)
    owned = [any(day_start(d) < t <= day_end(d) for d in days) for t in drawn]
    assert all(owned)


def test_attacks_leave_what_was_known_alone() -> None:
    inputs = market(2, ["AAA"])
    tau = day_start(FIRST) + timedelta(hours=30)
    cut = attacked(inputs, "prefix", tau, LIMITS, 1)
    poisoned = attacked(inputs, "poison", tau, LIMITS, 1)
    for table, frame in inputs.tables().items():
        known = frame.filter(pl.col("available_at") <= tau)
        assert cut.tables()[table].equals(known)
        after = poisoned.tables()[table]
        assert after.filter(pl.col("available_at") <= tau).equals(known)
        later = after.filter(pl.col("available_at") > tau)
        assert later.filter(pl.col("ts") <= tau).height > 0
        assert attacked(inputs, "poison", tau, LIMITS, 1).tables()[table].equals(after)


def test_a_build_that_joins_on_event_time_is_caught(shipped, monkeypatch) -> None:
    inputs, specs, days, _ = shipped
    honest = build_module.asof_join

    def on_event_time(decisions, facts, columns, max_age=None):
        return honest(decisions, facts.with_columns(available_at="ts"), columns, max_age)

    monkeypatch.setattr(build_module, "asof_join", on_event_time)
    stored = build_module.build_features(inputs, specs, days, SYMBOLS)
    report = judge_pit1(inputs, specs, stored, days, SYMBOLS, LIMITS, 1)
    failed = {v.item for v in report.verdicts if v.outcome is Outcome.FAIL}
    assert {"oi_change_5m_bps", "oi_change_1h_bps", "oi_z_1d", "funding_last_bps"} <= failed
    named = {leak.table for leak in report.leaks if leak.feature.startswith("oi_")}
    assert named == {"open_interest"}
