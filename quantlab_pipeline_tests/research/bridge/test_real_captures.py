"""Real books through the engine: every rule of entry, at three latencies, on recorded quotes.

Minutes of Binance at one quote a second (perpetual and spot), hours of Bybit at one a minute. Both
sides are sent at every instant, so that the market's own way cancels; no strategy is tried. The
captures are too short to know liquidity, which is stated (`LIQUID`) and without impact. Run with
`-s` to see the tables.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.simulation.accounting import keep_books, records_of
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.simulation.engine import RunSettings, Simulation, simulate
from quantlab_pipeline.simulation.fills import FillRule, bracket
from quantlab_pipeline.simulation.tape import MarketTables, Tape, tapes
from quantlab_pipeline.simulation.trades import MARKOUTS_S
from quantlab_pipeline.sources.base import DiskTree, Source
from quantlab_pipeline.sources.capture.source import Capture
from quantlab_pipeline.sources.lean.source import GRID_S, Lean
from quantlab_pipeline_tests.simulation.builders import START, cost_model, intents_of
from quantlab_pipeline_tests.sources.builders import SYMBOL, ingest

RULES: tuple[FillRule, ...] = ("taker", "touch", "queue", "penetration")
LATENCIES_S = (1.0, 2.0, 5.0)
LIQUID = {"sigma_d_bps": 300.0, "volume_usd": 1e10}


@dataclass(frozen=True)
class Recording:
    """Where a recording is, what it trades in, and when orders are sent to it."""

    folder: str
    leg: str
    days: tuple[date, ...]
    first: datetime
    last: datetime
    tick: str
    every_s: int
    hold_s: int
    wait_s: float

    def source(self, data: Path) -> Source:
        if self.folder == "lean_bybit":
            return Lean(DiskTree(data / self.folder), grid_s=GRID_S)
        return Capture(DiskTree(data / self.folder))


def binance(leg: str, days: list[date], first: datetime, seconds: int, tick: str) -> Recording:
    last = first + timedelta(seconds=seconds)
    return Recording("ws_capture", leg, tuple(days), first, last, tick, 1, 60, 30.0)


def bybit(leg: str, tick: str) -> Recording:
    hours = [datetime(2022, 12, 13, h, tzinfo=UTC) for h in (7, 11)]
    return Recording("lean_bybit", leg, (date(2022, 12, 13),), *hours, tick, 60, 600, 300.0)


SPRING = ([date(2023, 4, 4), date(2023, 4, 5)], datetime(2023, 4, 5, 0, 1, tzinfo=UTC), 240)
AUGUST = ([date(2024, 8, 8)], datetime(2024, 8, 8, 23, 56, tzinfo=UTC), 150)
RECORDINGS = {
    "binance perp 2024": binance("perp", *AUGUST, "0.1"),
    "binance spot 2024": binance("spot", *AUGUST, "0.01"),
    "bybit perp 2022": bybit("perp", "0.5"),
    "bybit spot 2022": bybit("spot", "0.01"),
    "binance perp 2023": binance("perp", *SPRING, "0.1"),
    "binance spot 2023": binance("spot", *SPRING, "0.01"),
}
LONGER = [n for n in RECORDINGS if n.endswith("2023")]


@functools.cache
def quotes_of(recording: Recording, data: Path) -> pl.DataFrame:
    return ingest(recording.source(data), "tob_snapshots", recording.days).frame


def tape_of(recording: Recording, data: Path) -> Tape:
    """The recording as a tape; a spot leg stands in the perpetual's place."""
    both = quotes_of(replace(recording, leg="", first=START, last=START, tick=""), data)
    mine = both.filter(leg=recording.leg).with_columns(leg=pl.lit("perp"))
    bars = ingest(recording.source(data), f"bars_1m_{recording.leg}", recording.days).frame
    tape = next(tapes(MarketTables(bars, mine), [SYMBOL]))
    known = {name: np.array([value]) for name, value in LIQUID.items()}
    return replace(tape, known_us=np.zeros(1, dtype=np.int64), **known)


def intents_for(recording: Recording) -> pl.DataFrame:
    step, hold = timedelta(seconds=recording.every_s), timedelta(seconds=recording.hold_s)
    at = [recording.first + k * step for k in range((recording.last - recording.first) // step)]
    return intents_of([(t, t + hold, side) for t in at for side in (1, -1)], symbol=SYMBOL)


def figures(trades: pl.DataFrame, tick: float) -> dict[str, float]:
    """Fill rates, mean half-spread paid (+) or earned (-) at entry, mean mark-outs in bps."""
    filled = trades.drop_nulls("notional_usd")
    spread = 1e4 * filled["side"] * (filled["entry_ticks"] * tick / filled["entry_mid"] - 1)
    return {
        "orders": trades.height,
        "filled": filled.height / trades.height,
        "of size": filled["lots"].sum() / trades["ordered_lots"].sum(),
        "spread": float(spread.to_numpy().mean()),
        **{f"{s} s": filled[f"markout_{s}s_bps"].mean() for s in MARKOUTS_S},
    }


def told(name: str, found: Mapping[tuple[FillRule, float], dict[str, float]]) -> None:
    print(f"\n{name}")
    for (rule, latency), row in found.items():
        print(f"  {rule:12s}{latency:g} s: " + ", ".join(f"{k} {v:.3f}" for k, v in row.items()))
    for latency in LATENCIES_S:
        width = {
            f"{s} s": bracket({r: found[r, latency][f"{s} s"] for r in RULES[1:]}).width
            for s in MARKOUTS_S
        }
        print(
            f"  bracket     {latency:g} s: " + ", ".join(f"{k} {v:.3f}" for k, v in width.items())
        )


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.calibrate) if n in LONGER else n for n in RECORDINGS],
)
def test_real_quotes_keep_the_laws_of_every_rule(name, real_data):
    recording = RECORDINGS[name]
    tape, intents = tape_of(recording, real_data), intents_for(recording)
    tick = float(recording.tick)
    instruments = {
        SYMBOL: Instrument(
            symbol=SYMBOL, tick_size=Decimal(recording.tick), lot_size=Decimal("0.00001")
        )
    }
    # What lies behind the touch is not looked at here: a taker pays the touch itself.
    costs = cost_model(fee_bps=5.0, beyond_depth_bps=0.0, passive={"max_wait_s": recording.wait_s})
    ways = [RunSettings(s, "base", entry=rule) for rule in RULES for s in LATENCIES_S]
    runs = simulate(intents, [tape], instruments, costs, ways)
    found = {(r.settings.entry, r.settings.latency_s): figures(r.trades, tick) for r in runs}
    told(name, found)
    slowest = [run for run in runs if run.settings.latency_s == LATENCIES_S[-1]]
    again = simulate(intents, [tape], instruments, costs, [run.settings for run in slowest])
    for run, other in zip(slowest, again, strict=True):
        parts_add_up_and_books_are_kept(run, instruments, costs)
        assert run.trades.equals(other.trades)
    for latency in LATENCIES_S:
        taker, touch, queue, through = (found[rule, latency] for rule in RULES)
        assert taker["spread"] * 1e-4 * tape.close[0] > 0.499 * tick
        for strict, loose in ((through, queue), (queue, touch)):
            for column in ("filled", "of size", "1 s", "60 s"):
                assert strict[column] <= loose[column] + 1e-12
            assert strict["spread"] < 0.0 < taker["spread"]
        # Nobody here knows the price's way: who rests is run over, and the worst rule says so.
        assert bracket({r: found[r, latency]["60 s"] for r in RULES[1:]}).figure < 0.0


def parts_add_up_and_books_are_kept(
    run: Simulation, instruments: Mapping[str, Instrument], costs: CostModel
) -> None:
    trades = run.trades.drop_nulls("net_usd")
    gain = trades["gross_usd"] - trades["spread_usd"] - trades["slippage_usd"]
    net = gain - trades["fee_usd"] + trades["funding_usd"]
    np.testing.assert_allclose(net, trades["net_usd"], atol=1e-9)
    books = keep_books(records_of(run, "s", instruments, costs), instruments)
    assert books.lots == {SYMBOL: 0}
    assert books.cash_units / 1e8 == pytest.approx(trades["net_usd"].sum(), abs=1e-4)
