"""PT-17: an optimum on a spike is refused, one on a broad plateau is not.

Each world is noise with a pulse every half an hour. On a plateau every pulse is followed by a
drift; a blueprint that trades a narrow band of pulses stands on wide ground. On a spike only the
pulses of that band are followed by one; on a moment all are, by a jump that comes just before the
holding time ends and is undone soon after. To a backtest of the blueprint itself all look alike.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import MINUTE_US, TS, to_us
from quantlab_pipeline.research.backtest.backtest import Study
from quantlab_pipeline.research.backtest.blueprint import compile_blueprint
from quantlab_pipeline.research.backtest.neighbourhood import (
    BASE_ON_BARS,
    MovedEntries,
    neighbour_rows,
)
from quantlab_pipeline.research.backtest.spec import NeighbourSpec
from quantlab_pipeline.research.backtest.thresholds import moved_definitions
from quantlab_pipeline.research.bridge.entries import signed_entries
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.validation.spec import CandidateFamily
from quantlab_pipeline.research.walk_forward.gate import judge_s
from quantlab_pipeline.research.walk_forward.plateau import ground_of
from quantlab_pipeline.research.walk_forward.spec import SThresholds
from quantlab_pipeline.research.walk_forward.walk import History, Trials, _around
from quantlab_pipeline.simulation.tape import MarketTables
from quantlab_pipeline_tests.research.events.builders import document, event_type, project_registry
from quantlab_pipeline_tests.research.walk_forward.test_gate import GOOD
from quantlab_pipeline_tests.simulation.builders import BTC, START, bars_of, cost_model

N_DAYS = 16
HOLD_MIN = 15
EVERY_MIN = 30
EDGE_BPS, NOISE_BPS = 15.0, 2.0
BAND = (3.0, 3.1)
DAYS = [START.date() + timedelta(days=i) for i in range(N_DAYS)]
COSTS = cost_model(fee_bps=0.5, half_bps=0.25)
NARROW = event_type("pulse", trigger="x >= 3 and x <= 3.1", cooldown_min=5)
WIDE = event_type("pulse", trigger="x >= 2", cooldown_min=5)
CANDIDATE = {
    "candidate_id": "pulse",
    "event_type": "pulse",
    "bucket": "all",
    "template": "directional",
    "side": 1,
    "horizon": "15m",
}
WORLDS = {"plateau": NARROW, "spike": NARROW, "moment": WIDE}


def world(kind, seed):
    """(bars, features): what follows each pulse is the world's kind."""
    rng = np.random.default_rng(seed)
    n = N_DAYS * 1440
    at = np.arange(720, n - 120, EVERY_MIN) + rng.integers(0, 10, (n - 840) // EVERY_MIN)
    in_band = rng.random(at.size) < 0.08
    x = np.where(in_band, rng.uniform(*BAND, at.size), rng.uniform(2.0, 4.2, at.size))
    moves = rng.normal(0, NOISE_BPS * 1e-4, n)
    moved = at[(x >= BAND[0]) & (x <= BAND[1])] if kind == "spike" else at
    for minute in range(2, 14):
        if kind != "moment":
            moves[moved + minute] += EDGE_BPS / 12 * 1e-4
    if kind == "moment":
        moves[moved + HOLD_MIN - 1] += EDGE_BPS * 1e-4
        moves[moved + HOLD_MIN + 3] -= EDGE_BPS * 1e-4
    bars = bars_of(50_000 * np.exp(np.cumsum(moves)))
    pulses = np.zeros(n)
    pulses[at] = x
    ts = pl.Series(to_us(START) + np.arange(n) * MINUTE_US).cast(TS)
    features = pl.DataFrame({"symbol": ["BTC"] * n, "ts": ts, "available_at": ts, "x": pulses})
    return bars, features


def entries_under(kind, features):
    registry = project_registry().model_copy(update={"event_types": (kind,)})
    family = CandidateFamily.model_validate(document("candidate_family"))
    events = detect_events(features, registry, DAYS)
    return signed_entries(pl.DataFrame([CANDIDATE]), events, features, family, COSTS)


def ground_in(kind, seed):
    """(the mean of the rule itself in sample, gate S's reasons)."""
    bars, features = world(kind, seed)
    study = Study(MarketTables(bars), {"BTC": BTC}, COSTS, DAYS, DAYS[-2])
    plan = compile_blueprint(CANDIDATE, ["BTC"], "skip", COSTS)
    rule, spec = WORLDS[kind], NeighbourSpec()
    moved = [
        MovedEntries(m, entries_under(m.event_type, features))
        for m in moved_definitions(rule, spec.threshold_multiples, ())
    ]
    rows = neighbour_rows([plan], entries_under(rule, features), study, spec, {"pulse": moved})
    stresses = pl.DataFrame(rows, infer_schema_length=None)
    own = stresses.filter(pl.col("scenario") == BASE_ON_BARS)["net_bps"][0]
    history = History(pl.DataFrame(), stresses, {}, Trials(1, 0.0))
    of_hold = ground_of("pulse", stresses).ratios["hold"]
    row = {**GOOD, **_around(of_hold, plan, history)}
    schema = {name: pl.Float64 for name, value in row.items() if value is None}
    thresholds = SThresholds.model_validate(document("gates")["s"])
    (verdict,) = judge_s(pl.DataFrame([row], schema_overrides=schema), thresholds)
    return own, verdict.reasons


def share_refused(kind, seeds):
    found = [ground_in(kind, seed) for seed in seeds]
    # A spike is not refused for being poor: the rule itself earns as well as on the plateau.
    assert np.median([own for own, _ in found]) > 0.6 * EDGE_BPS
    assert {reasons for _, reasons in found} <= {(), ("RAZOR_EDGE",)}
    return np.mean([reasons == ("RAZOR_EDGE",) for _, reasons in found])


@pytest.mark.parametrize(("kind", "refused"), [("plateau", 0), ("spike", 1), ("moment", 1)])
def test_a_spike_is_refused_and_a_plateau_is_not(kind, refused):
    assert share_refused(kind, range(2)) == refused


@pytest.mark.calibrate
@pytest.mark.parametrize(("kind", "least"), [("plateau", 0.0), ("spike", 0.95), ("moment", 0.95)])
def test_at_least_95_percent_of_many_worlds_are_told_apart(kind, least):
    refused = share_refused(kind, range(1_000, 1_200))
    assert refused >= least
    assert kind != "plateau" or refused <= 0.05
