"""What a tear sheet computes, held against slow and obvious ways to the same number."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.reports.strategy_figures import (
    Drawdown,
    closed_trades,
    daily,
    mean_parts,
    months,
    most_traded,
    running,
    thinned,
    under_water,
    waterfall,
    weeks,
    worst_drawdowns,
)
from quantlab_pipeline.simulation.metrics import max_drawdown

FIRST = date(2025, 1, 30)
# Sixteenths: sums are exact, so that a recovery to the very peak is one.
STEPS = st.integers(-400, 400).map(lambda n: n / 16)
PARTS = ("gross", "latency", "spread", "slippage", "fee", "funding")


def days_of(n: int) -> list[date]:
    return [FIRST + timedelta(days=k) for k in range(n)]


def slow_drawdowns(days: list[date], net: list[float]) -> list[Drawdown]:
    """Every day that stands at the peak so far and is followed by a lower one begins a fall."""
    equity = [math.fsum(net[:k]) for k in range(len(net) + 1)]
    found = []
    for k, at in enumerate(equity):
        falls = k + 1 < len(equity) and equity[k + 1] < at
        if at != max(equity[: k + 1]) or not falls:
            continue
        back = next((j for j in range(k + 1, len(equity)) if equity[j] >= at), None)
        inside = range(k, len(equity) if back is None else back)
        low = min(inside, key=lambda j: (equity[j], j))
        end = len(equity) - 1 if back is None else back
        found.append(
            Drawdown(
                days[k - 1] if k else None,
                days[low - 1],
                None if back is None else days[back - 1],
                at - equity[low],
                end - k,
            )
        )
    return sorted(found, key=lambda d: (-d.depth_bps, d.trough))


@given(st.lists(STEPS, max_size=60))
def test_falls_are_those_of_a_naive_loop(net: list[float]) -> None:
    days = days_of(len(net))
    slow = slow_drawdowns(days, net)
    assert worst_drawdowns(days, net, 100) == slow
    assert worst_drawdowns(days, net) == slow[:5]
    if net:
        deepest = max((d.depth_bps for d in slow), default=0.0)
        assert deepest == pytest.approx(max_drawdown(np.array(net)).value, abs=1e-9)
        assert -min(under_water(net)) == pytest.approx(deepest, abs=1e-9)


def test_a_fall_from_the_start_that_is_not_over_says_so() -> None:
    days = days_of(4)
    (only,) = worst_drawdowns(days, [-3.0, -2.0, 1.0, 1.5])
    assert only == Drawdown(None, days[1], None, 5.0, 4)
    assert worst_drawdowns(days, [1.0, 0.0, 2.0, 0.0]) == []


@given(st.lists(STEPS, min_size=1, max_size=500))
def test_cells_of_the_calendars_are_sums_of_their_groups(net: list[float]) -> None:
    days = days_of(len(net))
    frame = pl.DataFrame({"day": days, "net": net})
    for rows, keys, first_cell in (
        (months(days, net), (pl.col("day").dt.year(), pl.col("day").dt.month()), 1),
        (weeks(days, net), (pl.col("day").dt.truncate("1w"), pl.col("day").dt.weekday()), 1),
    ):
        grouped = frame.group_by(keys[0].alias("row"), keys[1].alias("cell")).agg(
            pl.col("net").sum()
        )
        told = {
            (row.first.year if len(row.cells) == 12 else row.first, k + first_cell): cell
            for row in rows
            for k, cell in enumerate(row.cells)
            if cell is not None
        }
        wanted = {(r, c): v for r, c, v in grouped.iter_rows()}
        assert told == pytest.approx(wanted, abs=1e-9)
        assert math.fsum(row.total for row in rows) == pytest.approx(math.fsum(net), abs=1e-9)


@given(st.tuples(*[STEPS] * 6))
def test_a_waterfall_ends_at_net_and_every_bar_begins_where_the_last_ended(parts: tuple) -> None:
    named = dict(zip(PARTS, parts, strict=True))
    net = named["gross"] - named["spread"] - named["slippage"] - named["fee"] + named["funding"]
    steps = waterfall({**named, "net": net})
    assert [s.part for s in steps] == [
        "paper", "latency", "spread", "slippage", "fee", "funding", "net",
    ]  # fmt: skip
    assert steps[0].value == named["gross"] + named["latency"]
    assert steps[1].end == named["gross"]
    for one, other in pairwise(steps[:-1]):
        assert other.start == one.end
        assert other.end - other.start == other.value
    assert steps[-1] == ("net", net, 0.0, net)
    assert steps[-2].end == net


def test_what_the_parts_leave_unexplained_is_a_step_of_its_own() -> None:
    parts = dict(zip(PARTS, (10.0, 1.0, 2.0, 0.5, 4.0, -0.5), strict=True))
    steps = waterfall({**parts, "net": 4.0})
    assert steps[-2] == ("rest", 1.0, 3.0, 4.0)
    assert waterfall({**parts, "net": None}) == []
    unknown = waterfall({**parts, "latency": None, "net": 3.0})
    assert (unknown[0].value, unknown[1].value) == (10.0, 0.0)


def at(minute: int) -> datetime:
    return datetime(2025, 1, 30, tzinfo=UTC) + timedelta(minutes=minute)


def trades() -> pl.DataFrame:
    """Two closed trades, the first over midnight, and one that was never filled."""
    rows = [
        ("AAA", 1, at(1430), at(1440), 1_000.0, 5.0, 0.5, 1.0, 0.25, 0.75, -0.5, 2.5),
        ("BBB", 2, at(2000), at(2100), 500.0, -2.0, None, 0.5, 0.0, 0.25, 0.0, -2.75),
        ("BBB", 3, None, None, None, None, None, None, None, None, None, None),
    ]
    names = ["symbol", "trade", "entry_at", "exit_at", "notional_usd"]
    names += [f"{p}_usd" for p in (*PARTS, "net")]
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.with_columns(net_bps=1e4 * pl.col("net_usd") / pl.col("notional_usd"))


def test_a_trade_in_bps_is_of_its_own_notional_and_its_exit_names_its_day() -> None:
    closed = closed_trades(trades())
    assert closed["trade"].to_list() == [1, 2]
    # An exit at midnight sharp belongs to the day that it closes.
    assert closed["exit_day"].to_list() == [date(2025, 1, 30), date(2025, 1, 31)]
    assert closed["held_min"].to_list() == [10.0, 100.0]
    assert closed["paper_bps"].to_list() == [55.0, -40.0]
    assert closed["taken_usd"].to_list() == [3.0, 0.75]
    means = mean_parts(closed)
    assert (means["gross"], means["fee"], means["net"]) == (5.0, 6.25, -15.0)
    assert means["latency"] == 5.0
    assert set(mean_parts(closed.clear()).values()) == {None}
    assert most_traded(closed) == "AAA"
    assert most_traded(closed.clear()) is None
    assert most_traded(pl.concat([closed, closed.tail(1)])) == "BBB"


def test_paper_gives_back_what_was_taken_on_the_day_of_the_exit() -> None:
    returns = pl.DataFrame(
        {
            "day": [date(2025, 1, 31), date(2025, 1, 30)],
            "segment": ["holdout", "in_sample"],
            "net_bps": [-1.5, 2.0],
            "capital_usd": [10_000.0, 10_000.0],
        }
    )
    found = daily(returns, closed_trades(trades()))
    assert found is not None
    assert found.net_bps == (2.0, -1.5)
    assert found.paper_bps == (2.0 + 3.0, -1.5 + 0.75)
    assert found.holdout == 1
    assert daily(returns.clear(), None) is None
    alone = daily(returns, None)
    assert alone is not None
    assert alone.paper_bps is None
    assert running(found.net_bps) == [0.0, 2.0, 0.5]


@given(st.lists(st.floats(-1e6, 1e6), max_size=400), st.integers(1, 40))
def test_thinning_keeps_every_columns_lowest_and_highest(values: list[float], n: int) -> None:
    kept = thinned(values, n)
    assert kept == sorted(set(kept), key=lambda pair: pair[0])
    assert all(values[k] == v for k, v in kept)
    assert len(kept) <= 2 * n
    if len(values) <= 2 * n:
        assert [v for _, v in kept] == values
        return
    for b in range(n):
        start, end = len(values) * b // n, len(values) * (b + 1) // n
        mine = [v for k, v in kept if start <= k < end]
        assert {min(mine), max(mine)} == {min(values[start:end]), max(values[start:end])}
