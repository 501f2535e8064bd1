"""PT-10: on a driftless tick walk with noise flow a resting order must not look like an edge.

The truth is known: the mid is a martingale, so that an order filled by chance earns half a tick,
one that is filled because its level gave way loses half a tick, and nobody earns more. The flow
is that of METHOD section 0.6 (a step each way in 2 % of seconds, a lot hits each side in 25 %),
shown as the engine sees it: one L1 snapshot a second. All that shrinks here has traded, and 19 lots
stand ahead of each order, so that the twentieth is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import TS, to_us
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.simulation.engine import RunSettings, simulate
from quantlab_pipeline.simulation.fills import Bracket, FillRule, bracket
from quantlab_pipeline.simulation.tape import MarketTables, tapes
from quantlab_pipeline_tests.simulation.builders import START, bars_of, cost_model, intents_of

RULES: tuple[FillRule, ...] = ("touch", "queue", "penetration")
KNOWN = {"touch": 0.425, "queue": -0.476, "penetration": -0.498}
"""METHOD section 0.6: mean mark-out in ticks, measured by another program on another draw."""

KNOWN_SE = {"touch": 0.009, "queue": 0.012, "penetration": 0.012}
"""Its standard errors, as that program states them."""

SECONDS = 2 * 86_400
WARM_H = 12
AHEAD = 19
SPACING_S = 12
TICKED = Instrument(
    symbol="BTC", tick_size=Decimal(1), lot_size=Decimal("0.0001"), min_notional_usd=Decimal(0)
)


@dataclass(frozen=True)
class MarkOuts:
    """Mean mark-out in ticks and its standard error by seconds after the fill; the fill rate."""

    mean: Mapping[int, float]
    se: Mapping[int, float]
    fill_rate: float


def tick_walk(seed: int) -> tuple[pl.DataFrame, np.ndarray]:
    """(quotes, whether neither side is hit in a second): both sides then show `AHEAD` lots."""
    rng = np.random.default_rng(seed)
    bid = 50_000.0 + np.cumsum(rng.choice([-1, 0, 1], SECONDS, p=[0.02, 0.96, 0.02]))
    flow = rng.choice([-1, 0, 1], SECONDS, p=[0.25, 0.5, 0.25])
    place = np.arange(SECONDS)
    shown = []
    for hit in (flow < 0, flow > 0):
        # Each hit takes a lot; what a run of hits took has joined again, behind, when it ends.
        calm = np.maximum.accumulate(np.where(hit, 0, place))
        shown.append(np.maximum(AHEAD - (place - calm), 1.0))
    first = to_us(START + timedelta(hours=WARM_H))
    quotes = pl.DataFrame(
        {
            "symbol": ["BTC"] * SECONDS,
            "leg": ["perp"] * SECONDS,
            "ts": pl.Series(first + place * 1_000_000).cast(TS),
            "bid_px": bid,
            "bid_qty": shown[0],
            "ask_px": bid + 1.0,
            "ask_qty": shown[1],
            "quote_age_s": np.zeros(SECONDS),
        }
    )
    return quotes, flow == 0


@pytest.fixture(scope="module")
def measured() -> dict[FillRule, MarkOuts]:
    """Every rule on the same orders, bought and sold in turn, through the engine."""
    quotes, calm = tick_walk(10)
    minutes = quotes["bid_px"].to_numpy().reshape(-1, 60)[:, -1] + 0.5
    bars = bars_of(np.concatenate([np.full(WARM_H * 60, minutes[0]), minutes]))
    # The decision is a second before the order meets the book.
    slots = np.arange(60, SECONDS - 600, SPACING_S)
    at = slots[calm[slots + 1]]
    start, second = START + timedelta(hours=WARM_H), timedelta(seconds=1)
    intents = intents_of(
        [
            (start + int(t) * second, start + int(t + 180) * second, 1 if k % 2 else -1)
            for k, t in enumerate(at)
        ]
    )
    costs = cost_model(fee_bps=0.0, passive={"max_wait_s": 60.0, "traded_share": 1.0})
    ways = [RunSettings(1.0, "base", entry=rule) for rule in RULES]
    feed = tapes(MarketTables(bars, quotes), ["BTC"])
    small = costs.model_copy(update={"notional_usd": 10.0})
    runs = simulate(intents, feed, {"BTC": TICKED}, small, ways)
    return {rule: mark_outs(run.trades) for rule, run in zip(RULES, runs, strict=True)}


def mark_outs(trades: pl.DataFrame) -> MarkOuts:
    """Errors are clustered by blocks of ten minutes, for orders in one block share their path."""
    filled = trades.drop_nulls("entry_ticks")
    block = filled["entry_us"].to_numpy() // 600_000_000
    _, block = np.unique(block, return_inverse=True)
    mean, se = {}, {}
    for seconds in (1, 5, 60):
        ticks = (filled[f"markout_{seconds}s_bps"] * filled["entry_ticks"] / 1e4).to_numpy()
        mean[seconds] = float(ticks.mean())
        sums = np.bincount(block, ticks - ticks.mean())
        se[seconds] = float(np.sqrt(sums @ sums)) / ticks.size
    return MarkOuts(mean, se, filled.height / trades.height)


def worst_shows_no_edge(
    measured: Mapping[FillRule, MarkOuts],
    worst: Callable[[Mapping[FillRule, float]], Bracket] = bracket,
) -> bool:
    """The verdict of PT-10: whether what a strategy is judged by is a loss, at every horizon."""
    return all(
        worst({rule: m.mean[seconds] for rule, m in measured.items()}).figure <= 0.0
        for seconds in (1, 5, 60)
    )


@pytest.mark.parametrize("rule", RULES)
def test_each_rules_mark_out_is_the_known_one(measured, rule):
    found = measured[rule]
    print(f"\n{rule}: filled {found.fill_rate:.3f}", end="")
    for seconds, mean in found.mean.items():
        se = found.se[seconds]
        print(f", {seconds} s {mean:+.3f} +- {se:.3f}", end="")
        assert abs(mean - KNOWN[rule]) < 4 * np.hypot(se, KNOWN_SE[rule])


def test_the_worst_rule_shows_no_edge_and_touch_is_flagged(measured):
    at_1s = {rule: m.mean[1] for rule, m in measured.items()}
    found = bracket(at_1s)
    print(f"\nbracket {found.width:.3f} tick, worst {found.worst} {found.figure:+.3f}")
    assert (found.worst, found.optimistic) == ("penetration", ("touch",))
    assert found.figure + 4 * measured["penetration"].se[1] < 0.0
    assert found.width == pytest.approx(0.923, abs=0.03)
    assert at_1s["touch"] - 4 * measured["touch"].se[1] > 0.0
    assert worst_shows_no_edge(measured)


def test_a_bracket_that_takes_touch_for_its_worst_is_caught(measured):
    def broken(figures: Mapping[FillRule, float]) -> Bracket:
        return bracket({"touch": figures["touch"]})

    assert not worst_shows_no_edge(measured, broken)
