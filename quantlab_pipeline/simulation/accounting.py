"""Integer money: a strategy's trades as records, and the books that records must keep.

Belongs here: decisions, orders, fills, funding payments and cash movements in their one order
(funding, decision, order, fill at equal instants), exact to the cash unit. Not here: prices and
costs (`engine`). Buying pays the full value in cash, so that cash + position value is equity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import polars as pl

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.core.records import (
    CASH_UNIT,
    CashMovement,
    Decision,
    Fill,
    FundingPayment,
    Liquidity,
    Order,
    OrderKind,
    Record,
)
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.simulation.engine import Simulation
from quantlab_pipeline.simulation.fees import FeeRates, fee_of
from quantlab_pipeline.simulation.trades import CLOSED, ORDERED

_UNIT = Decimal(str(CASH_UNIT))
_FUNDING, _CANCEL, _DECIDE, _SEND, _FILL = range(5)


class AccountingError(QuantlabError):
    """Records that do not add up: a gap in `seq`, a wrong balance, a fill worth something else."""

    exit_code = 1


def value_units(instrument: Instrument, lots: int, price_ticks: int) -> int:
    """Value of signed `lots` at `price_ticks` in cash units, exact or rounded half to even."""
    size = instrument.tick_size * instrument.lot_size * instrument.multiplier
    return _whole_units(lots * price_ticks * size)


def funding_units(instrument: Instrument, lots: int, mark_price: float, rate: float) -> int:
    """Cash units that signed `lots` receive (+) or pay (-) at one settlement."""
    base = lots * instrument.lot_size * instrument.multiplier
    return _whole_units(-base * Decimal(repr(mark_price)) * Decimal(repr(rate)))


def fee_units(instrument: Instrument, lots: int, price_ticks: int, fee_bps: float) -> int:
    """Fee on the traded value in cash units; below 0 for a maker's rebate alone."""
    return fee_of(abs(value_units(instrument, lots, price_ticks)), fee_bps)


def _whole_units(cash: Decimal) -> int:
    return int((cash / _UNIT).to_integral_value(rounding=ROUND_HALF_EVEN))


def records_of(
    simulation: Simulation,
    strategy_id: str,
    instruments: Mapping[str, Instrument],
    costs: CostModel,
) -> tuple[Record, ...]:
    """All records of one strategy, `seq` gap-free from 0; the same trades give the same records."""
    mine = pl.col("strategy_id") == strategy_id
    trades = simulation.trades.filter(mine, pl.col("status").is_in(ORDERED))
    payments = simulation.payments.filter(mine)
    settings, fill = simulation.settings, costs.execution.fill
    rates = {
        s: costs.fee_rates(settings.profile, s).scaled(settings.scale.fee) for s in instruments
    }
    journal = Journal(strategy_id, instruments)
    writer = _Writer(journal, rates, passive=settings.entry != "taker")
    wait_s = fill.passive.max_wait_s if writer.passive else 0.0
    if not writer.passive or fill.passive.then == "cross":
        wait_s += fill.max_wait_s
    wait_us = int(wait_s * 1e6)
    steps: list[tuple[int, int, int, int, Callable[[], None]]] = []
    for i, row in enumerate(trades.iter_rows(named=True)):
        steps += _steps(writer, i, row, wait_us)
    settled = payments.unique(["symbol", "stamp_us"], keep="first", maintain_order=True)
    for i, row in enumerate(settled.sort("stamp_us", "symbol").iter_rows(named=True)):
        steps.append((row["stamp_us"], _FUNDING, i, 0, _bind(writer.fund, row)))
    for step in sorted(steps, key=lambda s: s[:4]):
        step[4]()
    return tuple(journal.records)


def _bind(act: Callable[..., None], *args: Any) -> Callable[[], None]:
    return lambda: act(*args)


def _steps(
    writer: _Writer, i: int, row: dict[str, Any], wait_us: int
) -> list[tuple[int, int, int, int, Callable[[], None]]]:
    """The steps of one trade as (instant, rank, trade, leg, act)."""
    ordered, lots = row["side"] * row["ordered_lots"], row["side"] * row["lots"]
    given_up = row["arrive_us"] + wait_us
    steps = _leg_steps(writer, i, 0, row, (ordered, lots), row["decide_us"])
    if row["status"] not in CLOSED:
        return [*steps, (given_up, _CANCEL, i, 0, _bind(writer.cancel, row["symbol"], ordered))]
    if ordered != lots:
        at = max(row["entry_us"], min(given_up, row["leave_us"]))
        steps.append((at, _CANCEL, i, 0, _bind(writer.cancel, row["symbol"], ordered - lots)))
    leave = max(row["leave_us"], row["entry_us"])
    return steps + _leg_steps(writer, i, 1, row, (-lots, -lots), leave)


def _leg_steps(
    writer: _Writer, i: int, leg: int, row: dict[str, Any], lots: tuple[int, int], decided: int
) -> list[tuple[int, int, int, int, Callable[[], None]]]:
    """Steps of one leg; `lots` are those ordered and those filled, signed."""
    name = ("entry", "exit")[leg]
    ordered, got = lots
    steps = [
        (decided, _DECIDE, i, leg, _bind(writer.decide, i, leg, row, ordered, decided)),
        (decided, _SEND, i, leg, _bind(writer.send, i, leg, row, ordered, decided)),
    ]
    filled = row[f"{name}_us"]
    if filled is not None:
        steps.append((filled, _FILL, i, leg, _bind(writer.fill, i, leg, row, got)))
    return steps


@dataclass
class Journal:
    """One strategy's records, written in the order in which it is told of them.

    Each method returns the `seq` of the record that says what happened; fees and values move cash
    in records of their own. The balance begins at `balance` cash units.
    """

    strategy_id: str
    instruments: Mapping[str, Instrument]
    balance: int = 0
    records: list[Record] = field(default_factory=list)
    position: dict[str, int] = field(default_factory=dict)

    def _head(self, at_us: int, symbol: str) -> dict[str, Any]:
        return {
            "seq": len(self.records),
            "at_us": at_us,
            "strategy_id": self.strategy_id,
            "symbol": symbol,
        }

    def _write(self, record: Record) -> int:
        self.records.append(record)
        return record.seq

    def decide(self, at_us: int, symbol: str, target: int, event_id: str, reason: str) -> int:
        """The strategy wants `target` lots."""
        head = self._head(at_us, symbol)
        return self._write(Decision(**head, target_lots=target, event_id=event_id, reason=reason))

    def send(self, at_us: int, symbol: str, lots: int, kind: OrderKind, decision: int) -> int:
        """An order for signed `lots` goes to the venue."""
        head = self._head(at_us, symbol)
        return self._write(Order(**head, lots=lots, kind=kind, decision_seq=decision))

    def fill(
        self,
        at_us: int,
        symbol: str,
        lots: int,
        ticks: int,
        fee: int,
        order: int,
        liquidity: Liquidity,
    ) -> int:
        """Signed `lots` trade at `ticks`: the value and `fee` units leave the cash balance."""
        head = self._head(at_us, symbol)
        source = self._write(
            Fill(
                **head,
                lots=lots,
                price_ticks=ticks,
                fee_units=fee,
                order_seq=order,
                liquidity=liquidity,
            )
        )
        self.position[symbol] = self.position.get(symbol, 0) + lots
        paid = -value_units(self.instruments[symbol], lots, ticks)
        self._cash(at_us, symbol, "fill", paid, source)
        self._cash(at_us, symbol, "fee", -fee, source)
        return source

    def fund(self, at_us: int, symbol: str, rate: float, mark: float, units: int) -> int:
        """The position receives `units` at a settlement."""
        head = self._head(at_us, symbol)
        lots = self.position.get(symbol, 0)
        source = self._write(
            FundingPayment(**head, lots=lots, rate=rate, mark_price=mark, cash_units=units)
        )
        self._cash(at_us, symbol, "funding", units, source)
        return source

    def _cash(self, at_us: int, symbol: str, cause: str, units: int, source: int) -> None:
        self.balance += units
        self._write(
            CashMovement(
                **self._head(at_us, symbol),
                cause=cause,
                cash_units=units,
                balance_units=self.balance,
                source_seq=source,
            )
        )


@dataclass
class _Writer:
    """Turns rows of trades and payments into a journal's entries."""

    journal: Journal
    rates: Mapping[str, FeeRates]
    passive: bool
    target: dict[str, int] = field(default_factory=dict)
    sources: dict[tuple[str, int, int], int] = field(default_factory=dict)

    def decide(self, i: int, leg: int, row: dict[str, Any], lots: int, at_us: int) -> None:
        symbol = row["symbol"]
        self.target[symbol] = self.target.get(symbol, 0) + lots
        reason = ("entry", "forced_exit" if row["status"] == "forced" else "exit")[leg]
        self.sources["decision", i, leg] = self.journal.decide(
            at_us, symbol, self.target[symbol], row["event_id"], reason
        )

    def send(self, i: int, leg: int, row: dict[str, Any], lots: int, at_us: int) -> None:
        decision = self.sources["decision", i, leg]
        # An order that rested in vain and then took is a limit order whose fill is a taker's.
        kind: OrderKind = "limit" if self.passive and leg == 0 else "market"
        self.sources["order", i, leg] = self.journal.send(
            at_us, row["symbol"], lots, kind, decision
        )

    def cancel(self, symbol: str, lots: int) -> None:
        self.target[symbol] -= lots

    def fill(self, i: int, leg: int, row: dict[str, Any], lots: int) -> None:
        name, symbol = ("entry", "exit")[leg], row["symbol"]
        ticks, makes = row[f"{name}_ticks"], _makes(row, leg)
        instrument = self.journal.instruments[symbol]
        bps = self.rates[symbol].maker_bps if makes else self.rates[symbol].taker_bps
        fee = fee_units(instrument, lots, ticks, bps)
        liquidity: Liquidity = "maker" if makes else "taker"
        order = self.sources["order", i, leg]
        self.journal.fill(row[f"{name}_us"], symbol, lots, ticks, fee, order, liquidity)

    def fund(self, row: dict[str, Any]) -> None:
        symbol = row["symbol"]
        lots = self.journal.position.get(symbol, 0)
        if lots != 0:
            mark, rate = row["mark_price"], row["rate"]
            units = funding_units(self.journal.instruments[symbol], lots, mark, rate)
            self.journal.fund(row["stamp_us"], symbol, rate, mark, units)


def _makes(row: dict[str, Any], leg: int) -> bool:
    """Entries of a passive rule make; exits always take."""
    return leg == 0 and bool(row["entry_maker"])


@dataclass(frozen=True, slots=True)
class Books:
    """What records add up to: cash balance in units, position in lots by symbol."""

    cash_units: int
    lots: Mapping[str, int]


def keep_books(
    records: Iterable[Record], instruments: Mapping[str, Instrument], opening_units: int = 0
) -> Books:
    """Fold records into books, checking each: `seq`, time order, values, fees and balances.

    Cash begins at `opening_units`. Raises AccountingError at the first record that does not follow
    from those before it.
    """
    seen: list[Record] = []
    cash, lots = opening_units, dict[str, int]()
    for record in records:
        if record.seq != len(seen) or (seen and record.at_us < seen[-1].at_us):
            raise _broken(record, "is out of order")
        if isinstance(record, Fill):
            lots[record.symbol] = lots.get(record.symbol, 0) + record.lots
        elif isinstance(record, FundingPayment) and record.lots != lots.get(record.symbol, 0):
            raise _broken(record, "pays on a position that is not held")
        elif isinstance(record, CashMovement):
            cash += record.cash_units
            source = seen[record.source_seq]
            if record.cash_units != _owed(record.cause, source, instruments):
                raise _broken(record, "moves another sum than its cause")
            if record.balance_units != cash:
                raise _broken(record, "states another balance than the sum of movements")
        seen.append(record)
    return Books(cash, lots)


def _owed(cause: str, source: Record, instruments: Mapping[str, Instrument]) -> int | None:
    if isinstance(source, Fill) and cause == "fill":
        return -value_units(instruments[source.symbol], source.lots, source.price_ticks)
    if isinstance(source, Fill) and cause == "fee":
        return -source.fee_units
    if isinstance(source, FundingPayment) and cause == "funding":
        return source.cash_units
    return None


def _broken(record: Record, how: str) -> AccountingError:
    return AccountingError(
        f"Record {record.seq} of {record.strategy_id} {how}.",
        "Records are written by simulation.accounting alone; report this as a bug.",
        seq=record.seq,
    )
