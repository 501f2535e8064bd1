"""S3-60: a blueprint that is compiled, written, read and run makes the candidate's own trades."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import MINUTE, TS
from quantlab_pipeline.core.records import chain_head
from quantlab_pipeline.research.backtest.backtest import run_backtest
from quantlab_pipeline.research.backtest.blueprint import (
    make_blueprints,
    read_blueprints,
    to_jsonl,
)
from quantlab_pipeline.research.bridge.entries import signed_entries
from quantlab_pipeline.research.validation.spec import CandidateFamily
from quantlab_pipeline.simulation.accounting import records_of
from quantlab_pipeline.simulation.engine import RunSettings, simulate
from quantlab_pipeline.simulation.tape import tapes
from quantlab_pipeline.simulation.trades import INTENTS
from quantlab_pipeline_tests.research.backtest.builders import COSTS, planted_market
from quantlab_pipeline_tests.research.events.builders import document

FAMILY = CandidateFamily.model_validate(document("candidate_family"))
RULES = [(b.name, t.name, s) for b in FAMILY.buckets for t in FAMILY.templates for s in (1, -1)]
HOLD_MIN = 240


def candidates():
    """Every bucket, template and side of the family, held longer than events are apart."""
    return pl.DataFrame(
        [
            {
                "candidate_id": f"{bucket}-{template}-{side:+d}",
                "event_type": "shock",
                "bucket": bucket,
                "template": template,
                "side": side,
                "horizon": "4h",
                "admissible": True,
            }
            for bucket, template, side in RULES
        ]
    )


def occurrences(entries):
    """Events at the planted instants in every regime, and the features that templates read."""
    rng = np.random.default_rng(8)
    n = entries.height
    at = entries.select("symbol", "ts").with_columns(available_at="ts")
    events = at.with_columns(
        pl.Series("event_id", [f"e{i}" for i in range(n)]),
        pl.lit("shock").alias("event_type"),
        pl.lit(1, pl.Int64).alias("version"),
        pl.lit(1.0).alias("severity"),
        pl.Series("vol_regime", rng.choice(["low", "mid", "high"], n)),
        pl.Series("liq_regime", rng.choice(["low", "mid", "high"], n)),
    )
    columns = {t.feature: rng.uniform(-1, 1, n) for t in FAMILY.templates if t.feature}
    return events, at.with_columns(pl.Series(name, v) for name, v in columns.items())


@pytest.fixture(scope="module")
def parity():
    study, planted = planted_market()
    events, features = occurrences(planted)
    entries = signed_entries(candidates(), events, features, FAMILY, COSTS)
    chosen = candidates().select("candidate_id", "admissible", entry=pl.lit("taker"))
    table = make_blueprints(chosen, candidates(), ["BTC"], "skip", COSTS)
    plans = read_blueprints(to_jsonl(table).splitlines())
    return study, entries, plans, run_backtest(plans, entries, study)


def own_records(study, entries, candidate_id):
    """The candidate's signed events, one position at a time, by a loop; no blueprint in it."""
    rows, until = [], None
    for row in entries.filter(pl.col("candidate_id") == candidate_id).sort("ts").to_dicts():
        if until is None or row["ts"] >= until:
            until = row["ts"] + HOLD_MIN * MINUTE
            rows.append(
                (candidate_id, "BTC", row["ts"], until, row["side"], row["event_id"], row["stress"])
            )
    intents = pl.DataFrame(rows, schema=INTENTS, orient="row")
    way = RunSettings(COSTS.execution.latency.slowest_s, COSTS.execution.profile)
    (run,) = simulate(intents, tapes(study.window(), ["BTC"]), study.instruments, COSTS, [way])
    return records_of(run, candidate_id, study.instruments, COSTS)


@pytest.mark.parametrize(("bucket", "template", "side"), RULES)
def test_a_blueprint_read_from_its_line_makes_the_candidates_own_trades(
    parity, bucket, template, side
):
    study, entries, _, run = parity
    name = f"{bucket}-{template}-{side:+d}"
    own = own_records(study, entries, name)
    assert len(own) > 0
    assert chain_head(run.records[name]) == chain_head(own)


def test_rules_that_differ_trade_differently(parity):
    heads = [chain_head(records) for records in parity[3].records.values()]
    assert len(set(heads)) == len(heads) == len(RULES)


@pytest.mark.parametrize("name", ["all-directional-+1", "vol_low-carry--1", "liq_high-breakout-+1"])
def test_a_candidate_alone_makes_the_trades_that_it_makes_among_all(parity, name):
    study, entries, plans, run = parity
    (plan,) = (p for p in plans if p.strategy_id == name)
    alone = run_backtest([plan], entries, study)
    assert alone.trades.equals(run.trades.filter(pl.col("strategy_id") == name))
    assert alone.returns.equals(run.returns.filter(pl.col("strategy_id") == name))
    assert chain_head(alone.records[name]) == chain_head(run.records[name])


def test_signals_inside_a_position_were_there_to_be_skipped(parity):
    _, entries, _, run = parity
    mine = entries.filter(pl.col("candidate_id") == "all-directional-+1")
    assert run.trades.filter(pl.col("strategy_id") == "all-directional-+1").height < mine.height
    assert mine["ts"].dtype == TS
    assert mine["ts"].diff().min() < timedelta(minutes=HOLD_MIN)
