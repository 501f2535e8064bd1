"""From trades under every parameter to `walkforward`: figures by hand, no future in a fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import TS, day_end, day_start, to_us
from quantlab_pipeline.research.backtest.blueprint import Blueprint, compile_blueprint
from quantlab_pipeline.research.walk_forward import refit
from quantlab_pipeline.research.walk_forward.folds import holdout_segments
from quantlab_pipeline.research.walk_forward.refit import walk
from quantlab_pipeline.research.walk_forward.schema import WALKFORWARD
from quantlab_pipeline.research.walk_forward.spec import WalkForwardSpec
from quantlab_pipeline.research.walk_forward.walk import (
    VARIANT_COLUMNS,
    History,
    Trials,
    _by_day,
    _worst_stress,
    build_walkforward,
    trials_of,
    variant_trades,
)
from quantlab_pipeline.simulation.simulator import Simulator
from quantlab_pipeline.simulation.tape import MarketTables
from quantlab_pipeline_tests.research.bridge.test_execute import entries_of
from quantlab_pipeline_tests.simulation.builders import BTC, START, bars_of, cost_model

SPEC = WalkForwardSpec(
    n_folds=2,
    embargo_min=0,
    hold_scales=(0.5, 1.0, 2.0),
    severity_quantiles=(0.0, 0.5),
    min_train_trades=10,
    pbo_blocks=4,
)
N_DAYS = 12
DAYS = [START.date() + timedelta(days=i) for i in range(N_DAYS)]
HOLDOUT = DAYS[8]
EDGE = (HOLDOUT - START.date()).days * 1440
"""Minute of the test market at which its holdout begins."""

HOLD_MIN = 60
COSTS = cost_model(fee_bps=1.0, half_bps=0.5)
PLAN = compile_blueprint(
    {
        "candidate_id": "edge",
        "event_type": "shock",
        "bucket": "all",
        "template": "up",
        "side": 1,
        "horizon": "1h",
    },
    ["BTC"],
    "skip",
    COSTS,
)


@dataclass(frozen=True)
class Market:
    """Closes by minute, and events of a rising severity, one of them just before the holdout."""

    close: np.ndarray
    entries: pl.DataFrame

    def trades(self, plans: tuple[Blueprint, ...] = (PLAN,)) -> pl.DataFrame:
        tables = MarketTables(bars_of(self.close))
        return variant_trades(plans, self.entries, tables, Simulator(COSTS, {"BTC": BTC}), SPEC)


def market() -> Market:
    """For an hour after each event prices drift up by 30 bps; what follows is noise."""
    n = N_DAYS * 1440
    moves = np.random.default_rng(11).normal(0, 1e-4, n)
    at = [*range(720, EDGE - 240, 240), EDGE - 20, *range(EDGE + 200, n - 240, 240)]
    for t in at:
        moves[t + 2 : t + 2 + HOLD_MIN] += 30e-4 / HOLD_MIN
    entries = entries_of([START + timedelta(minutes=t) for t in at], horizon_min=HOLD_MIN)
    severity = np.linspace(1.0, 2.0, len(at))
    close = 50_000 * np.exp(np.cumsum(moves))
    return Market(close, entries.with_columns(severity=pl.Series(severity)))


@pytest.fixture(scope="module")
def made() -> Market:
    return market()


@pytest.fixture(scope="module")
def trades(made: Market) -> pl.DataFrame:
    return made.trades()


def history() -> History:
    returns = pl.DataFrame(
        {"strategy_id": ["edge"] * N_DAYS, "day": DAYS, "net_bps": [3.0, -1.0] * (N_DAYS // 2)}
    )
    return History(returns, stresses(), {"shock": "shocks"}, Trials(40, 0.001))


def stresses() -> pl.DataFrame:
    """Two judged stresses over two segments; one that no gate judges; one without a trade."""
    rows = [
        ("edge", "costs_x2", True, 4.0, 30),
        ("edge", "costs_x2", True, -4.0, 10),
        ("edge", "drop_5pct", True, 6.0, 40),
        ("edge", "overlay_100bps", False, -99.0, 40),
        ("edge", "spread_x3", True, None, 0),
        ("other", "costs_x2", True, -50.0, 10),
    ]
    schema = ("strategy_id", "scenario", "judged", "net_bps", "n_trades")
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        segment=pl.lit("in_sample"),
        model=pl.lit("executed"),
        parameter=pl.lit(None, pl.String),
        note=pl.lit(None, pl.String),
    )


# --- trades under every parameter -------------------------------------------------------------


def test_every_event_trades_once_a_scale_and_is_held_as_long_as_it_says(
    made: Market, trades: pl.DataFrame
) -> None:
    assert trades.columns == list(VARIANT_COLUMNS)
    assert trades.group_by("hold_scale").len().sort("hold_scale").rows() == [
        (scale, made.entries.height) for scale in SPEC.hold_scales
    ]
    held = (trades["exit_us"] - trades["decide_us"]) / 60e6
    # Without a book an exit that is decided at one close fills at the next.
    assert (held == trades["hold_scale"] * HOLD_MIN + 1).all()
    named = trades.join(made.entries.select("event_id", wanted="severity"), on="event_id")
    assert (named["severity"] == named["wanted"]).all()


def test_the_drift_is_earned_while_it_lasts(trades: pl.DataFrame) -> None:
    mean = dict(trades.group_by("hold_scale").agg(pl.col("net_bps").mean()).iter_rows())
    costs = 2 * (1.0 + 0.5)
    assert mean[0.5] == pytest.approx(15.0 - costs, abs=2.5)
    assert mean[1.0] == pytest.approx(30.0 - costs, abs=2.5)
    assert mean[2.0] == pytest.approx(30.0 - costs, abs=3.5)


def test_plans_do_not_share_their_trades(made: Market) -> None:
    silent = PLAN.model_copy(update={"strategy_id": "silent", "candidate_id": "silent"})
    both = made.trades((PLAN, silent))
    assert both["strategy_id"].unique().to_list() == ["edge"]
    assert both.equals(made.trades())


# --- the future does not reach a fit ----------------------------------------------------------


def first_fold(trades: pl.DataFrame) -> refit.Fold:
    return walk(trades, holdout_segments(DAYS[8:], SPEC.n_folds), SPEC)[0]


@pytest.fixture(scope="module")
def poisoned(made: Market) -> pl.DataFrame:
    """Trades on a market that is the same up to the holdout and triples from there on."""
    close = made.close.copy()
    close[EDGE:] *= np.linspace(1.0, 3.0, close.size - EDGE)
    close[EDGE + 1 :] *= 1.5
    return Market(close, made.entries).trades()


def test_a_poisoned_future_changes_no_parameter_that_was_chosen_before_it(
    trades: pl.DataFrame, poisoned: pl.DataFrame
) -> None:
    honest, attacked = first_fold(trades), first_fold(poisoned)
    assert honest.hold_scale == attacked.hold_scale
    assert honest.severity_quantile == attacked.severity_quantile
    assert honest.train_net_bps == attacked.train_net_bps
    assert honest.trades["net_bps"].to_list() != attacked.trades["net_bps"].to_list()
    rows = [build(t).row(0, named=True) for t in (trades, poisoned)]
    inside = ("pbo", "pbo_upper", "neighbour_ratio")
    assert [rows[0][name] for name in inside] == [rows[1][name] for name in inside]


def test_without_the_purge_the_poison_would_have_come_in(
    trades: pl.DataFrame, poisoned: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above is not idle: a trade straddles the edge, and the purge alone keeps it out."""
    monkeypatch.setattr(refit, "trainable", lambda spans, *_: np.ones(len(spans), dtype=bool))
    honest, attacked = first_fold(trades), first_fold(poisoned)
    assert honest.train_net_bps != attacked.train_net_bps


# --- the table --------------------------------------------------------------------------------


def build(trades: pl.DataFrame, found: History | None = None) -> pl.DataFrame:
    past = found or history()
    return WALKFORWARD.validate(build_walkforward([PLAN], trades, past, DAYS, HOLDOUT, SPEC))


def with_neighbours(*beside: tuple[str, float, str]) -> History:
    """History whose rule earns 10 bps on bars, with (parameter, its neighbour's bps, note)."""
    past = history()
    rows = pl.DataFrame(
        [("hold_x1", 10.0, None, None), *((n, bps, n, note) for n, bps, note in beside)],
        schema=["scenario", "net_bps", "parameter", "note"],
        orient="row",
    ).with_columns(
        pl.lit("edge").alias("strategy_id"),
        pl.lit(False).alias("judged"),
        pl.lit(40, pl.Int64).alias("n_trades"),
        pl.lit("in_sample").alias("segment"),
        pl.lit("bars").alias("model"),
    )
    whole = pl.concat([past.stresses, rows.select(past.stresses.columns)])
    return History(past.returns, whole, past.families, past.trials)


def test_the_ratio_is_that_of_the_sharpest_parameter(trades: pl.DataFrame) -> None:
    of_hold = build(trades).row(0, named=True)["neighbour_ratio"]
    assert of_hold > 0.2
    flat = build(trades, with_neighbours(("cooldown", 9.9, "as moved"))).row(0, named=True)
    sharp = build(trades, with_neighbours(("x", 1.0, ""), ("hold", -50.0, ""))).row(0, named=True)
    assert (flat["neighbour_ratio"], flat["plateau"]) == (of_hold, 1.0)
    # Holding times are judged by the engine's trades; on bars they count for the plateau alone.
    assert (sharp["neighbour_ratio"], sharp["plateau"]) == (pytest.approx(0.1), 0.0)


def test_a_neighbour_that_could_not_be_evaluated_leaves_no_ratio(trades: pl.DataFrame) -> None:
    lacking = with_neighbours(("x", 9.0, "NOT_EVALUABLE: no x in features_pt"))
    assert build(trades, lacking).row(0, named=True)["neighbour_ratio"] is None


def test_a_row_counts_its_out_of_sample_trades_and_names_its_choices(trades: pl.DataFrame) -> None:
    row = build(trades).row(0, named=True)
    segments = holdout_segments(DAYS[8:], SPEC.n_folds)
    folds = walk(trades, segments, SPEC)
    net = np.concatenate([f.trades["net_bps"].to_numpy() for f in folds])
    assert (row["strategy_id"], row["event_family"], row["horizon"]) == ("edge", "shocks", "1h")
    assert row["n_folds"] == 2
    assert row["oos_trades"] == net.size
    assert row["oos_net_bps"] == pytest.approx(net.mean())
    assert row["chosen"] == ";".join(
        f"hold x{f.hold_scale:g}, severity above q{f.severity_quantile:g}" for f in folds
    )
    assert row["is_net_bps"] == pytest.approx(np.mean([f.train_net_bps for f in folds]))
    means = [f.trades["net_bps"].mean() for f in folds]
    assert row["fold_deviation_bps"] == pytest.approx(abs(means[0] - means[1]) / math.sqrt(2))
    assert row["oos_p"] < 1e-3, "the planted drift holds outside the fit"
    assert row["n_trials"] == 40
    assert row["stress_net_bps"] == pytest.approx(2.0)


def test_a_strategy_without_trades_has_nulls_and_no_zeros(trades: pl.DataFrame) -> None:
    row = build(trades.clear()).row(0, named=True)
    assert (row["n_folds"], row["oos_trades"], row["chosen"]) == (0, 0, "none;none")
    for name in ("oos_net_bps", "oos_se_bps", "oos_p", "is_net_bps", "fold_deviation_bps"):
        assert row[name] is None


def test_the_order_of_the_trades_does_not_matter(trades: pl.DataFrame) -> None:
    shuffled = trades.sample(fraction=1.0, shuffle=True, seed=2)
    assert build(shuffled).equals(build(trades))


# --- figures by hand --------------------------------------------------------------------------


def trades_at(rows: list[tuple[datetime, float]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"ts": TS, "net_bps": pl.Float64}, orient="row")


def test_the_error_is_clustered_by_the_day_that_owns_each_trade() -> None:
    """Nets 1 and 3 on one day (one at its closing midnight), 5 on the next: mean 3, day sums of the
    deviations -2 and 2, so the error is sqrt((4 + 4) 2 / 1) / 3; t = 9/4 on one degree is Cauchy.
    """
    day, after = DAYS[0], DAYS[1]
    error, p = _by_day(
        trades_at(
            [
                (day_start(day) + timedelta(hours=5), 1.0),
                (day_end(day), 3.0),
                (day_end(after), 5.0),
            ]
        )
    )
    assert error == pytest.approx(4 / 3)
    assert p == pytest.approx(0.5 - math.atan(9 / 4) / math.pi)


def test_one_day_has_no_error_and_equal_trades_no_p() -> None:
    at = datetime(2025, 1, 1, 12, tzinfo=UTC)
    assert _by_day(trades_at([(at, 1.0), (at, 2.0)])) == (None, None)
    later = at + timedelta(days=1)
    assert _by_day(trades_at([(at, 2.0), (later, 2.0)])) == (0.0, None)


def candidates(z: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame({"gross_bps": pl.Series(z, dtype=pl.Float64), "se_bps": [1.0] * len(z)})


def test_trials_disperse_by_their_median_deviation() -> None:
    """z = 1 2 3 4 100: median 3, deviations 2 1 0 1 97, their median 1: 1.4826^2 over the days."""
    found = trials_of(candidates([1.0, 2.0, 3.0, 4.0, 100.0, None, math.nan]), 12, 50)
    assert found.n == 12
    assert found.daily_sharpe_variance == pytest.approx(1.4826**2 / 50)


def test_a_true_effect_does_not_raise_the_bar_against_itself() -> None:
    rng = np.random.default_rng(4)
    noise = rng.normal(size=400).tolist()
    alone = trials_of(candidates(noise), 400, 100).daily_sharpe_variance
    beside = trials_of(candidates([*noise, *[40.0] * 8]), 408, 100).daily_sharpe_variance
    assert alone == pytest.approx(0.01, rel=0.2)
    assert beside == pytest.approx(alone, rel=0.1)


def test_no_tested_trial_is_one_trial_without_dispersion() -> None:
    assert trials_of(candidates([None, None]), 0, 30) == Trials(1, 0.0)


def test_the_worst_stress_is_a_mean_over_trades_of_the_judged_ones() -> None:
    """costs_x2: (30 x 4 - 10 x 4) / 40 = 2, below drop_5pct's 6."""
    assert _worst_stress("edge", stresses()) == pytest.approx(2.0)
    assert _worst_stress("nobody", stresses()) is None


def test_the_edge_of_the_test_market_is_its_holdout() -> None:
    assert to_us(START + timedelta(minutes=EDGE)) == to_us(day_start(HOLDOUT))
