"""The simulator: one cost model, one listing of instruments, three tiers, in a notebook or a stage.

Belongs here: choosing a tier, and laying tables out for its kernel. T0 is bars without costs; T1
bars with fees, half-spread, slippage and funding; BRIDGE trades intents on quotes (`engine`). An
account's own orders run on either (`venue`). Not here: the models themselves (`costs` names them),
and Dagster, whose resource only hands one out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_US
from quantlab_pipeline.core.code_hash import code_hash
from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.fingerprints import short
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.simulation.account import AccountSpec
from quantlab_pipeline.simulation.costs import (
    CostModel,
    CostProfile,
    ProfileName,
    assumed_half_spread_bps,
)
from quantlab_pipeline.simulation.engine import RunSettings, Simulation, simulate
from quantlab_pipeline.simulation.slippage import SlippageModel, one_minute_bps, slippage_bps
from quantlab_pipeline.simulation.tape import MarketTables, Tape, tapes
from quantlab_pipeline.simulation.venue import Terms, VenueOrder, VenueRun, Watch, run_orders
from quantlab_pipeline.simulation.venue_tape import Market

if TYPE_CHECKING:
    from quantlab_pipeline.kernels.bar_backtest import BarCosts, BarTape, SweepStats, Trace

Tier = Literal["T0", "T1"]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]

_BARS_READ = (
    *("symbol", "ts", "available_at", "open_ts"),
    *("open", "high", "low", "close", "volume_base", "volume_quote"),
)

CODE = ("quantlab_pipeline.simulation", "quantlab_pipeline.kernels")


class TargetsError(QuantlabError):
    """Targets that do not fit the bars: another length or type, or bars of several symbols."""


@dataclass(frozen=True, slots=True)
class Simulator:
    """Runs strategies under one cost model. Results do not depend on `threads`.

    `instruments` are needed by `execute` alone, one for each symbol that is traded.
    """

    costs: CostModel
    instruments: Mapping[str, Instrument]
    threads: int = 1

    @property
    def engine_version(self) -> str:
        """Digest of the source of every model and kernel that a result can depend on."""
        return short(code_hash(*CODE))

    def warm(self) -> None:
        """Compile or load the kernels of all tiers now: seconds once a machine, then instants."""
        from quantlab_pipeline.simulation.warming import warm

        warm()

    def sweep(
        self,
        tables: MarketTables | pl.DataFrame,
        targets: I8,
        tier: Tier = "T1",
        profile: ProfileName = "conservative",
        slippage: SlippageModel | None = None,
    ) -> SweepStats:
        """Backtest every row of `targets` int8 [v, n] on one symbol's n bars, in order of `ts`.

        `targets[k, i]` (-1, 0, +1) is what variant k wants, known at the close of bar i; it trades
        at the next open that has a trade and a known cost. `tables` are bars alone (then there is
        no funding), or bars with `funding` and `mark_index`. Money is in multiples of the notional,
        which is that of each entry. T0 is free; T1 pays the taker's fee and the half-spread that
        `profile` assumes at the volume traded then, slippage (the profile's own where `slippage` is
        None), and funding; where slippage reads volatility an order waits until it is known. See
        `kernels.bar_backtest.SweepStats` for what comes back. TargetsError if shapes do not fit.
        """
        from quantlab_pipeline.kernels.bar_backtest import sweep

        bars, costs = self._laid_out(tables, tier, profile, slippage)
        _check(targets, 2, bars.close.size)
        return sweep(bars, np.ascontiguousarray(targets), costs, self.threads)

    def trace(
        self,
        tables: MarketTables | pl.DataFrame,
        target: I8,
        tier: Tier = "T1",
        profile: ProfileName = "conservative",
        slippage: SlippageModel | None = None,
    ) -> Trace:
        """One variant's equity at each close and its orders: `sweep`, looked at bar by bar."""
        from quantlab_pipeline.kernels.bar_backtest import trace

        bars, costs = self._laid_out(tables, tier, profile, slippage)
        _check(target, 1, bars.close.size)
        traced: Trace = trace(bars, np.ascontiguousarray(target), costs)
        return traced

    def execute(
        self,
        intents: pl.DataFrame,
        tables: MarketTables,
        ways: Sequence[RunSettings] | None = None,
    ) -> list[Simulation]:
        """BRIDGE: trade `intents` (`trades.INTENTS`) on quotes, on bars where there are none.

        `ways` (default: every latency of the cost model under its profile) give one result each;
        see `engine.simulate`.
        """
        if ways is None:
            execution = self.costs.execution
            ways = [RunSettings(s, execution.profile) for s in execution.latency.latency_s]
        symbols = intents["symbol"].unique().sort().to_list()
        return simulate(intents, tapes(tables, symbols), self.instruments, self.costs, ways)

    def orders(
        self,
        market: Market,
        sent: Sequence[VenueOrder] | pl.DataFrame,
        account: AccountSpec,
        terms: Terms | None = None,
        watch: Watch = "none",
    ) -> VenueRun:
        """One account's market, limit and stop orders on one symbol, event by event.

        `terms` are by default the conservative fees at the slowest latency; see `venue.run_orders`,
        and `venue_tape` for how bars or quotes become a market.
        """
        if terms is None:
            execution = self.costs.execution
            rates = self.costs.fee_rates(execution.profile, market.instrument.symbol)
            terms = Terms(
                rates.maker_bps,
                rates.taker_bps,
                execution.latency.slowest_s,
                execution.fill.max_quote_age_s,
            )
        return run_orders(market, sent, account, terms, watch)

    def _laid_out(
        self,
        tables: MarketTables | pl.DataFrame,
        tier: Tier,
        profile: ProfileName,
        slippage: SlippageModel | None,
    ) -> tuple[BarTape, BarCosts]:
        from quantlab_pipeline.kernels.bar_backtest import BarCosts

        tape = _one_tape(tables)
        free = np.zeros(1)
        if tier == "T0":
            return bar_tape(tape, funded=False), BarCosts(0.0, free, free, 0.0)
        terms: CostProfile = self.costs.profiles[profile]
        sigma, volume = tape.liquidity_at(tape.open_us)
        half = assumed_half_spread_bps(terms, volume)
        model = slippage or terms.slippage
        slips = slippage_bps(model, one_minute_bps(sigma) if model.vol_multiple else free)
        fee = self.costs.fee_rates(profile, tape.symbol).taker_bps
        return bar_tape(tape), BarCosts(fee, half, slips, 0.0)


def bar_tape(tape: Tape, funded: bool = True) -> BarTape:
    """A tape's bars for the bar kernel, row by row; without a trade in it, a bar's open is NaN.

    A settlement is charged at the last close at or before its stamp, on the mark published with it.
    One that was due and has no rate makes the result of whoever holds across it NaN.
    """
    from quantlab_pipeline.kernels.bar_backtest import BarTape

    n = tape.close.size
    rate, mark = np.zeros(n), np.full(n, np.nan)
    if funded:
        at = np.searchsorted(tape.close_us, tape.stamp_us, side="right") - 1
        met = (at >= 0) & (tape.stamp_us <= tape.end_us)
        np.add.at(rate, at[met], tape.rate[met])
        mark[at[met]] = tape.mark[met]
        missing = np.searchsorted(tape.close_us, tape.unsettled_us, side="right") - 1
        rate[missing[missing >= 0]] = np.nan
    day = (tape.close_us - 1) // DAY_US
    return BarTape(
        np.where(tape.traded, tape.open, np.nan), tape.close.copy(), mark, rate, day - day[0]
    )


def _one_tape(tables: MarketTables | pl.DataFrame) -> Tape:
    whole = MarketTables(tables) if isinstance(tables, pl.DataFrame) else tables
    symbols = whole.bars["symbol"].unique().to_list()
    if len(symbols) != 1:
        raise TargetsError(
            f"A sweep runs on the bars of one symbol, not of {len(symbols)}.",
            "Filter the bars by symbol, and sweep symbol by symbol.",
            symbols=sorted(symbols),
        )
    # A column that is known to be sorted is not sorted again, which would copy every bar.
    bars = whole.bars.select(_BARS_READ)
    if bars["ts"].is_sorted():
        bars = bars.with_columns(pl.col("ts").set_sorted())
    (tape,) = tapes(MarketTables(bars, None, whole.funding, whole.mark_index), symbols)
    return tape


def _check(targets: npt.NDArray[Any], dimensions: int, n: int) -> None:
    if targets.ndim != dimensions or targets.shape[-1] != n or targets.dtype != np.int8:
        raise TargetsError(
            f"Targets of shape {targets.shape} and type {targets.dtype} do not fit {n} bars.",
            f"Give int8 of {dimensions} dimension(s), the last of them {n}, one for each bar.",
            shape=targets.shape,
            n_bars=n,
        )
