"""PT-19: on markets where half of the symbols die, the universe that was known each day loses what
was planted, today's survivors lose nothing, and the check tells the two apart.

The worlds are undamaged, so that gate D0's part is taken as done: it admits every (symbol, day)
with bars, the last one included. The truth is reckoned from the scenario and the sealed drift
alone, without the universe's code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import DAY_MINUTES, TS
from quantlab_pipeline.core.seeds import child_seed
from quantlab_pipeline.research.market_data.listing import listing
from quantlab_pipeline.research.market_data.survivorship import (
    SURVIVORSHIP,
    Survivorship,
    look_for_survivorship,
)
from quantlab_pipeline.research.market_data.tally import dated
from quantlab_pipeline.research.market_data.universe import build_universe, top_liquid
from quantlab_pipeline.worlds.market import World, generate
from quantlab_pipeline_tests.worlds.builders import shipped

SCENARIO = shipped("survivors")
TOP_N = 6
"""Half of the symbols: as many as die."""

DAYS = SCENARIO.days[1:]
"""Days that have a day before: a rank, and a close to reckon a return from."""

N_QUICK, N_FULL = 10, 100


@dataclass(frozen=True)
class Market:
    """One world's bars, each symbol's day in figures, and the universe of every day."""

    bars: pl.DataFrame
    daily: pl.DataFrame
    universe: pl.DataFrame


def market_of(world: World) -> Market:
    bars = world.frames["bars_1m_perp"]
    admitted = dated(bars).select("symbol", pl.col("day").cast(TS).dt.offset_by("1d").alias("ts"))
    daily = (
        dated(bars)
        .group_by("symbol", "day")
        .agg(pl.col("close").last(), pl.col("volume_quote").sum())
        .sort("symbol", "day")
        .with_columns((pl.col("close") / pl.col("close").shift(1) - 1).over("symbol").alias("r"))
    )
    return Market(bars, daily, build_universe(admitted, bars, SCENARIO.days))


# --- universes: (symbol, day) that are held ------------------------------------------------------


def point_in_time(market: Market) -> pl.DataFrame:
    return dated(top_liquid(market.universe, TOP_N)).select("symbol", "day")


def todays_top(market: Market) -> pl.DataFrame:
    """The most liquid symbols of the last day, held from the first on."""
    names = point_in_time(market).filter(pl.col("day") == DAYS[-1]).select("symbol")
    return names.join(pl.DataFrame({"day": DAYS}), how="cross")


def ranked_by_the_days_own_volume(market: Market) -> pl.DataFrame:
    """Mutant: a symbol that stops at 08:00 traded little that day, and is not held."""
    place = pl.col("volume_quote").rank("ordinal", descending=True).over("day")
    return market.daily.filter(place <= TOP_N).select("symbol", "day")


def without_the_last_day(market: Market) -> pl.DataFrame:
    """Mutant: the delisted leave a day too early, before their fall."""
    last = listing(market.bars).select("symbol", pl.col("last_day").alias("day"))
    ended = last.filter(pl.col("day") < DAYS[-1])
    return point_in_time(market).join(ended, on=["symbol", "day"], how="anti")


UNIVERSES: tuple[Callable[[Market], pl.DataFrame], ...] = (
    point_in_time,
    todays_top,
    ranked_by_the_days_own_volume,
    without_the_last_day,
)
WRONG = [u.__name__ for u in UNIVERSES[1:]]


def mean_daily_return(market: Market, held: pl.DataFrame) -> float:
    """Each day's members weigh the same, and so do the days."""
    of_day = held.join(market.daily, on=["symbol", "day"]).filter(pl.col("day").is_in(DAYS))
    return float(of_day.group_by("day").agg(pl.col("r").mean())["r"].mean())


# --- the truth -----------------------------------------------------------------------------------


def lasts(symbol) -> date:
    return SCENARIO.last_day if symbol.ends is None else symbol.ends.day


def true_mean(world: World) -> float:
    """Expected daily return of the day's TOP_N by planted volume, from the sealed drift."""
    truth, means = world.truth, []
    by_volume = sorted(SCENARIO.symbols, key=lambda s: -s.volume_usd_per_min)
    for day in DAYS:
        minute = (day - SCENARIO.first_day).days * DAY_MINUTES
        members = [s.symbol for s in by_volume if day <= lasts(s)][:TOP_N]
        rows = [truth.symbols.index(name) for name in members]
        drift = truth.drift_log[rows, minute : minute + DAY_MINUTES].sum(axis=1)
        means.append(np.expm1(drift).mean())
    return float(np.mean(means))


# --- what came out -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcomes:
    """Over the seeds: the truth, each universe's mean daily return, and what the check said."""

    truth: np.ndarray
    means: dict[str, np.ndarray]
    checks: list[dict[str, Survivorship]]

    def error(self, universe: str) -> tuple[float, float]:
        """Mean difference from the truth, and its standard error over the seeds."""
        off = self.means[universe] - self.truth
        return float(off.mean()), float(off.std(ddof=1) / np.sqrt(off.size))


def checks_of(market: Market) -> dict[str, Survivorship]:
    listed, every = listing(market.bars), [s.symbol for s in SCENARIO.symbols]
    naive = todays_top(market)["symbol"].unique().to_list()
    first = point_in_time(market).filter(pl.col("day") == DAYS[0])["symbol"].to_list()
    held = point_in_time(market)["symbol"].unique().to_list()
    return {
        "today's top": look_for_survivorship(naive, listed, DAYS, market.universe),
        "today's top, ranks unknown": look_for_survivorship(naive, listed, DAYS),
        "all that were listed": look_for_survivorship(every, listed, DAYS),
        "the first day's top": look_for_survivorship(first, listed, DAYS, market.universe),
        "all that were ever held": look_for_survivorship(
            held, listed, DAYS, market.universe, TOP_N
        ),
    }


def play(n_seeds: int) -> Outcomes:
    truth, means, checks = [], {u.__name__: [] for u in UNIVERSES}, []
    for k in range(n_seeds):
        world = generate(SCENARIO, child_seed(SCENARIO.seed, "PT-19", k))
        market = market_of(world)
        truth.append(true_mean(world))
        checks.append(checks_of(market))
        for universe in UNIVERSES:
            means[universe.__name__].append(mean_daily_return(market, universe(market)))
    return Outcomes(np.array(truth), {n: np.array(v) for n, v in means.items()}, checks)


@pytest.fixture(scope="module")
def outcomes():
    return play(N_QUICK)


def test_the_planted_loss_is_what_six_deaths_cost(outcomes):
    """A sixth of the universe falls by 60 % on six of its days, and nothing else drifts."""
    planted = 6 * (-0.6 / TOP_N) / len(DAYS)
    np.testing.assert_allclose(outcomes.truth, planted, rtol=1e-9)


def test_the_universe_known_each_day_is_unbiased(outcomes):
    error, se = outcomes.error("point_in_time")
    assert abs(error) <= 2 * se
    assert se < 0.1 * abs(outcomes.truth[0]), "the worlds can tell"


def test_todays_top_is_inflated_by_what_the_deaths_cost(outcomes):
    planted = -outcomes.truth[0]
    inflated = outcomes.means["todays_top"] - outcomes.means["point_in_time"]
    se = inflated.std(ddof=1) / np.sqrt(inflated.size)
    assert abs(inflated.mean() - planted) <= 3 * se
    assert (inflated > planted / 2).all(), "in every single world"


@pytest.mark.parametrize("mutant", WRONG)
def test_the_mean_kills_a_universe_that_knows_who_dies(outcomes, mutant):
    error, se = outcomes.error(mutant)
    assert error > 5 * se


def test_the_check_flags_todays_top_and_says_who_is_missing(outcomes):
    dead = {s.symbol: s.ends.day for s in SCENARIO.symbols if s.ends is not None}
    for checks in outcomes.checks:
        found = checks["today's top"]
        assert found.reasons == (SURVIVORSHIP,)
        assert {o.symbol: o.last_day for o in found.ended} == dead
        member_days = sum((end - SCENARIO.first_day).days for end in dead.values())
        assert found.omitted_share == member_days / (TOP_N * len(DAYS))
        assert found.blind_odds == pytest.approx(1 / 924), "one draw of six from twelve"
        blind = checks["today's top, ranks unknown"]
        assert {o.symbol: o.last_day for o in blind.ended} == dead


@pytest.mark.parametrize(
    "honest", ["all that were listed", "the first day's top", "all that were ever held"]
)
def test_the_check_is_silent_on_an_honest_universe(outcomes, honest):
    assert {checks[honest].reasons for checks in outcomes.checks} == {()}


@pytest.mark.calibrate
def test_full_means_and_checks():
    """K = 100 worlds, other seeds than the quick form's first."""
    full = play(N_FULL)
    error, se = full.error("point_in_time")
    assert abs(error) <= 2 * se
    for mutant in WRONG:
        assert full.error(mutant)[0] > 20 * full.error(mutant)[1]
    assert all(c["today's top"].reasons == (SURVIVORSHIP,) for c in full.checks)
    assert not any(c["the first day's top"].reasons for c in full.checks)
