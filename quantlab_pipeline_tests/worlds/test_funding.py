"""Every settled rate of a world is the venue's formula on the premium that the world publishes."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.research.market_data.funding_state import (
    DIVISOR_FROM,
    formula_rate,
    mean_premium,
)
from quantlab_pipeline.sources.world import world_source
from quantlab_pipeline.worlds.funding import premium_for, rate
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.spec import FundingSpec
from quantlab_pipeline_tests.sources.builders import ingest
from quantlab_pipeline_tests.worlds.builders import scenario

EXTREME = {"kind": "funding_extreme", "per_symbol_day": 1, "size": 30, "duration_min": 1}
WILD = {"sigma_bps": 20, "slow_sigma_bps": 20}
SWITCHES = [
    {"day": date(2025, 1, 7), "interval_h": 4},
    {"day": date(2025, 1, 8), "interval_h": 1, "symbol": "BBBUSDT"},
]


def by_hand(world, symbol, settled, hours):
    """The rate of the interval that ends at `settled`, minute by minute."""
    spec = world.scenario.funding
    inside = world.frames["mark_index"].filter(
        pl.col("symbol") == symbol,
        pl.col("ts") > settled - timedelta(hours=hours),
        pl.col("ts") <= settled,
    )
    total = weights = 0.0
    for k, premium in enumerate(inside["premium_index"].to_list(), 1):
        total, weights = total + k * premium, weights + k
    mean, clamp = total / weights, spec.clamp_bps / 1e4
    pulled = mean + max(-clamp, min(clamp, spec.interest_bps / 1e4 - mean))
    return pulled * hours / 8 if settled >= DIVISOR_FROM else pulled


@pytest.mark.parametrize("first_day", [date(2025, 1, 6), date(2025, 9, 17), date(2025, 12, 1)])
@pytest.mark.parametrize("interval_h", [1, 4, 8])
def test_a_settled_rate_is_the_formula_on_the_published_premium(first_day, interval_h):
    world = generate(
        scenario(
            2, 2, first_day=first_day, basis=WILD, funding={"interval_h": interval_h},
            episodes=[EXTREME],
        )
    )  # fmt: skip
    rows = world.frames["funding"]
    for symbol, ts, settled in rows.select("symbol", "ts", "settled_rate").iter_rows():
        assert settled == pytest.approx(by_hand(world, symbol, ts, interval_h), abs=2e-8)


def test_the_examination_computes_the_same_rate_where_the_clamp_is_the_venues():
    world = generate(scenario(2, 2, basis=WILD, funding={"clamp_bps": 5, "interval_h": 4}))
    hours = pl.lit(4)
    premium = world.frames["mark_index"].with_columns(
        pl.col("ts").dt.offset_by("-1us").dt.truncate("4h").alias("since")
    )
    last = mean_premium(premium, "since", ["symbol", "since"]).filter(
        pl.col("ts") == pl.col("since").dt.offset_by("4h")
    )
    rates = last.select(
        "symbol", "ts", formula_rate(pl.col("mean_premium"), hours, pl.col("ts")).alias("rate")
    )
    both = world.frames["funding"].join(rates, on=["symbol", "ts"], validate="1:1")
    assert both.height == 24
    assert both["settled_rate"].n_unique() > 12
    np.testing.assert_allclose(both["settled_rate"], both["rate"], atol=1e-8)


def test_an_extreme_moves_its_own_rate_by_its_size_and_the_premium_of_its_interval_alone():
    made = generate(scenario(1, 4, episodes=[EXTREME]))
    calm = generate(scenario(1, 4))
    both = made.frames["funding"].join(calm.frames["funding"], on="ts", suffix="_calm")
    moved = both.with_columns(d=1e4 * (pl.col("settled_rate") - pl.col("settled_rate_calm")))
    sizes = {datetime.fromtimestamp(e.onset_us / 1e6, tz=DIVISOR_FROM.tzinfo): e.size
             for e in made.truth.episodes}  # fmt: skip
    assert len(sizes) == 4
    for ts, difference in moved.select("ts", "d").iter_rows():
        assert difference == pytest.approx(sizes.get(ts, 0.0), abs=2e-4)
    premiums = made.frames["mark_index"].join(calm.frames["mark_index"], on="ts", suffix="_calm")
    lifted = premiums.filter(pl.col("premium_index") != pl.col("premium_index_calm"))
    held = lifted["ts"].dt.offset_by("-1us").dt.truncate("8h").dt.offset_by("8h")
    assert set(held) == set(sizes)
    assert lifted.height == 4 * 480


@given(
    wanted=st.floats(-0.01, 0.01), share=st.sampled_from([0.125, 0.5, 1.0]),
    interest=st.floats(-10, 10), clamp=st.floats(0, 10),
)  # fmt: skip
def test_a_premium_is_found_for_every_rate_within_the_cap(wanted, share, interest, clamp):
    spec = FundingSpec(interest_bps=interest, clamp_bps=clamp, cap_bps=2000)
    assert rate(premium_for(wanted, share, spec), share, spec) == pytest.approx(wanted, abs=1e-12)


def test_rates_stop_at_the_cap():
    made = generate(scenario(1, 4, funding={"cap_bps": 10}, episodes=[EXTREME]))
    assert made.frames["funding"]["settled_rate"].abs().max() == pytest.approx(0.001)


def test_an_interval_changes_at_midnight_for_all_or_for_one_symbol():
    made = generate(scenario(2, 3, funding={"interval_changes": SWITCHES}))
    hours = {
        (symbol, day): part["ts"].dt.offset_by("-1us").dt.hour().to_list()
        for (symbol, day), part in made.frames["funding"]
        .with_columns(day=pl.col("ts").dt.offset_by("-1us").dt.date())
        .partition_by("symbol", "day", as_dict=True)
        .items()
    }
    eight, four, one = [7, 15, 23], [3, 7, 11, 15, 19, 23], list(range(24))
    assert list(hours.values()) == [eight, four, four, eight, four, one]
    spacing = made.frames["funding"].with_columns(
        d=pl.col("ts").diff().over("symbol").dt.total_hours()
    )
    known = spacing.drop_nulls("d")
    assert known["d"].to_list() == known["interval_h"].to_list()
    promised = made.frames["funding"]["next_funding_ts"] - made.frames["funding"]["ts"]
    assert promised.dt.total_hours().to_list() == made.frames["funding"]["interval_h"].to_list()


def test_a_symbols_own_change_counts_before_that_of_all():
    both = [
        {"day": date(2025, 1, 6), "interval_h": 1, "symbol": "AAAUSDT"},
        {"day": date(2025, 1, 6), "interval_h": 2},
    ]
    for changes in (both, both[::-1]):
        made = scenario(2, 1, funding={"interval_changes": changes})
        assert made.funding_interval_h("AAAUSDT", made.first_day) == 1
        assert made.funding_interval_h("BBBUSDT", made.first_day) == 2


def test_intervals_and_rates_come_back_through_the_archive():
    spec = scenario(2, 3, funding={"interval_changes": SWITCHES})
    world, source = generate(spec), world_source(spec, seal=lambda _: None)
    days = days_between(spec.first_day, spec.last_day)
    for symbol in ("AAAUSDT", "BBBUSDT"):
        parsed = ingest(source, "funding", days, symbol)
        assert parsed.findings == ()
        wanted = world.frames["funding"].filter(pl.col("symbol") == symbol)
        assert parsed.frame.equals(wanted.select(parsed.frame.columns))


@pytest.mark.parametrize(
    "changes",
    [
        [{"day": date(2025, 1, 9), "interval_h": 4}],
        [{"day": date(2025, 1, 6), "interval_h": 3}],
        [{"day": date(2025, 1, 6), "interval_h": 4, "symbol": "ZZZUSDT"}],
        [{"day": date(2025, 1, 6), "interval_h": h} for h in (4, 1)],
    ],
)
def test_a_change_that_cannot_be_made_is_refused(changes):
    with pytest.raises(ValidationError):
        scenario(2, 2, funding={"interval_changes": changes})
