"""The chain in memory is the lake's: same tables, same days, nothing of the holdout."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quantlab_pipeline.calibration import in_memory
from quantlab_pipeline.calibration.in_memory import STAGES, market_tables, run_in_memory
from quantlab_pipeline.core.clocks import day_of, days_between
from quantlab_pipeline.core.errors import GateNotPassedError
from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.events.schema import EVENTS
from quantlab_pipeline.research.features.leaks import Coverage, Pit1Report
from quantlab_pipeline.research.market_data.book import aggregate_book
from quantlab_pipeline.research.validation.schema import PHASE2_CANDIDATES
from quantlab_pipeline.sources.world import world_source
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline_tests.calibration import builders
from quantlab_pipeline_tests.sources.builders import MemorySink


def test_every_stage_ran_and_told_so():
    told = []
    study = builders.small_study()
    result = run_in_memory(
        builders.small_world(),
        builders.documents(),
        study,
        builders.market(),
        progress=lambda *step: told.append(step),
    )
    assert told == [(name, k + 1, 5) for k, name in enumerate(STAGES)]
    assert result.candidates.equals(builders.small_run().candidates)
    PHASE2_CANDIDATES.validate(result.candidates)
    EVENTS.validate(result.inputs.events)
    assert set(result.inputs.definitions) >= {"vol_regime", "liq_regime", "ret_1h_bps"}
    assert result.candidates.height == builders.documents().family.size(6) == len(result.v1)
    assert {v.item for v in result.e1} == set(builders.FEW_TYPES)
    assert set(result.inputs.admitted) >= {"spread_blowout", "oi_surge"}
    assert result.inputs.features.select(day_of().unique().sort()).to_series().to_list() == (
        study.evaluation_days
    )


def test_nothing_of_the_holdout_is_read():
    world, study = builders.small_world(), builders.small_study()
    prices = ("open", "high", "low", "close", "mark_price", "bid_px", "bid_qty", "settled_rate")

    def poisoned(frame):
        later = pl.col("ts") > pl.lit(study.evaluation_days[-1] + timedelta(days=1)).cast(
            frame.schema["ts"]
        )
        known = [c for c in prices if c in frame.columns]
        factor = pl.when(later).then(1.1).otherwise(1.0)
        return frame.with_columns((factor * pl.col(c)).alias(c) for c in known)

    harmed = replace(world, frames={name: poisoned(f) for name, f in world.frames.items()})
    assert not harmed.frames["book"].equals(world.frames["book"])
    again = run_in_memory(harmed, builders.documents(), study, builders.market())
    assert again.candidates.equals(builders.small_run().candidates)
    received = again.inputs
    for table in (received.bars_perp, received.tob_1m_agg, received.funding, received.mark_index):
        assert table.select(day_of().max()).item() == study.evaluation_days[-1]


def test_a_study_that_starts_later_has_the_same_events():
    first = builders.study().first_day + timedelta(days=2)
    later = builders.small_study(first_day=first, holdout_from=first + timedelta(days=2))
    result = run_in_memory(builders.small_world(), builders.documents(), later, builders.market())
    whole = builders.small_run().inputs.events.filter(day_of() >= first)
    assert_frame_equal(result.inputs.events, whole)
    assert whole.height > 50


def test_the_tables_are_those_that_the_archive_would_give_back():
    """What a world encodes as archive files and a source parses again is what is read here."""
    scenario = builders.small_scenario(2)
    symbols, days = ["AAAUSDT", "BBBUSDT"], days_between(scenario.first_day, scenario.last_day)
    source = world_source(scenario, 4, seal=lambda _: None, grid_s=10)
    ours = market_tables(generate(scenario, 4).frames, builders.market(), symbols, days[-1])

    def parsed(dataset):
        sink = MemorySink()
        parts = [
            source.parse(dataset, s, source.land(dataset, s, days, sink), sink, days).frame
            for s in symbols
        ]
        return pl.concat(parts)

    tables = ours.tables()
    assert_frame_equal(aggregate_book(parsed("tob_snapshots"), grid_s=10), tables["tob_1m_agg"])
    for name in ("bars_1m_perp", "bars_1m_spot", "mark_index", "open_interest", "funding"):
        # The archive's funding files have no mark.
        unsaid = ["mark_price"] if name == "funding" else []
        theirs = parsed(name)
        assert_frame_equal(theirs.drop(unsaid), tables[name].select(theirs.columns).drop(unsaid))


def test_a_dataset_that_the_market_lacks_is_named():
    datasets = {k: v for k, v in builders.market().datasets.items() if k != "tob_snapshots"}
    result = run_in_memory(
        builders.small_world(),
        builders.documents(),
        builders.small_study(event_types=("spread_blowout", "oi_surge")),
        builders.market(datasets=datasets),
    )
    assert result.inputs.missing == {"spread_blowout": "tob_snapshots"}
    assert result.inputs.admitted == ("oi_surge",)
    why = result.candidates.filter(pl.col("event_type") == "spread_blowout")["not_evaluable"]
    assert why.unique().to_list() == ["DATASET_ABSENT:tob_snapshots"]


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.FAIL])
def test_a_leak_stops_the_chain(monkeypatch, outcome):
    day = builders.small_study().first_day
    coverage = Coverage({}, {}, n_features=1, n_days=1, n_symbols=1, n_values=0)
    report = Pit1Report({day: (ItemVerdict("spread_bps", outcome),)}, (), coverage)
    features = builders.small_run().inputs.features
    monkeypatch.setattr(in_memory, "judge_pit1", lambda *_: report)
    monkeypatch.setattr(in_memory, "build_features", lambda *_: features)
    arguments = builders.small_world(), builders.documents(), builders.small_study()
    if outcome is Outcome.PASS:
        assert run_in_memory(*arguments, builders.market(), attack=True).pit1 is report
    else:
        with pytest.raises(GateNotPassedError, match="spread_bps"):
            run_in_memory(*arguments, builders.market(), attack=True)
