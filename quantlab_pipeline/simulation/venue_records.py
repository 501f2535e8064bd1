"""A venue's run as records: what was decided, sent, filled, paid, in their one order.

Belongs here: telling a journal what a `VenueRun` holds. Not here: the records' arithmetic
(`accounting`). At one instant funding comes first, then decisions, orders and fills.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from quantlab_pipeline.core.records import Record
from quantlab_pipeline.simulation.accounting import Journal
from quantlab_pipeline.simulation.venue import KINDS, VenueOrder, VenueRun

_FUNDING, _DECIDE, _SEND, _FILL = range(4)


def records_of_run(run: VenueRun, strategy_id: str) -> tuple[Record, ...]:
    """All records of a run, `seq` gap-free from 0; cash begins at `run.opening_units`.

    Each order that arrives on its own has a decision, whose target is the position then held and
    the order; its children share it. A child's order is dated when it reached the venue; one that
    never did has none. A liquidation is a decision and an order of the venue.
    `accounting.keep_books(records, {symbol: instrument}, run.opening_units)` reads them back.
    """
    symbol = run.market.instrument.symbol
    journal = Journal(strategy_id, {symbol: run.market.instrument}, run.opening_units)
    writer = _Writer(run, journal, symbol)
    acts = (writer.fund, writer.decide, writer.send, writer.fill)
    for at_us, rank, row in sorted(_steps(run)):
        acts[rank](at_us, row)
    return tuple(journal.records)


def _steps(run: VenueRun) -> Iterator[tuple[int, int, int]]:
    """(instant, rank, row): of a payment, an order (past the last: the liquidation), a fill."""
    for n, stamp in enumerate(run.payments["stamp_us"]):
        yield stamp, _FUNDING, n
    reached = run.orders["reached_us"].to_list()
    for j, order in enumerate(run.sent):
        at = reached[j] if order.parent is not None else _decided(order)
        if at is not None:
            yield at, _SEND, j
            if order.parent is None:
                yield at, _DECIDE, j
    if run.liquidated_us is not None:
        yield run.liquidated_us, _DECIDE, len(run.sent)
        yield run.liquidated_us, _SEND, len(run.sent)
    for n, at in enumerate(run.fills["at_us"]):
        yield at, _FILL, n


def _decided(order: VenueOrder) -> int:
    return order.arrive_us if order.decide_us is None else order.decide_us


@dataclass
class _Writer:
    run: VenueRun
    journal: Journal
    symbol: str
    decisions: dict[int, int] = field(default_factory=dict)
    orders: dict[int, int] = field(default_factory=dict)

    @property
    def _held(self) -> int:
        return self.journal.position.get(self.symbol, 0)

    def fund(self, at_us: int, n: int) -> None:
        row = self.run.payments.row(n, named=True)
        self.journal.fund(at_us, self.symbol, row["rate"], row["mark_price"], row["cash_units"])

    def decide(self, at_us: int, j: int) -> None:
        if j == len(self.run.sent):
            self.decisions[j] = self.journal.decide(at_us, self.symbol, 0, "", "liquidation")
            return
        order = self.run.sent[j]
        target = self._held + order.lots
        self.decisions[j] = self.journal.decide(at_us, self.symbol, target, order.event_id, "order")

    def send(self, at_us: int, j: int) -> None:
        lots, kind = -self._held, KINDS[-1]
        if j < len(self.run.sent):
            lots, kind = self.run.sent[j].lots, self.run.sent[j].kind
        decision = self.decisions[self._root(j)]
        self.orders[j] = self.journal.send(at_us, self.symbol, lots, kind, decision)

    def _root(self, j: int) -> int:
        while j < len(self.run.sent) and (parent := self.run.sent[j].parent) is not None:
            j = parent
        return j

    def fill(self, at_us: int, n: int) -> None:
        row = self.run.fills.row(n, named=True)
        order = len(self.run.sent) if row["order"] is None else row["order"]
        self.journal.fill(
            at_us,
            self.symbol,
            row["lots"],
            row["price_ticks"],
            row["fee_units"],
            self.orders[order],
            row["liquidity"],
        )
