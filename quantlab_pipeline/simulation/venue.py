"""The venue in Python: orders in, fills, statuses, payments and equity out, exact to the cash unit.

Belongs here: the words of an order, and the call of the kernel with what it needs in whole numbers.
Not here: the rules (`kernels.venue`), turning tables into a tape (`venue_tape`), the account's
terms (`account`), records (`venue_records`). Paper trading and a broker use the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.records import OrderKind
from quantlab_pipeline.simulation.account import AccountSpec, rate_e8
from quantlab_pipeline.simulation.accounting import AccountingError
from quantlab_pipeline.simulation.venue_tape import NEVER, Market

if TYPE_CHECKING:
    from quantlab_pipeline.kernels.venue_words import Account, Ran

I64 = npt.NDArray[np.int64]
Watch = Literal["none", "closes", "marks"]

KINDS: tuple[OrderKind, ...] = ("market", "limit", "stop", "liquidation")
STATUSES = ("waiting", "live", "filled", "cancelled", "expired", "rejected")
"""What became of an order.

`waiting`: its parent has not ended, or it arrives after everything else; `live`: it still rests.
"""

REASONS = (
    None,
    "no_margin",
    "no_cash",
    "no_position",
    "no_mark",
    "nothing_to_reduce",
    "other_filled",
    "parent_ended",
    "liquidated",
    "too_large",
)
_MOST_UNITS, _MOST_LOTS = 1 << 61, 9 * 10**9


class OrderError(QuantlabError):
    """Orders that no venue would take: no size, no price, out of order, too large to reckon."""


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order at the venue's door at `arrive_us`; `lots` > 0 buys, < 0 sells.

    `price_ticks` is the limit, or a stop's trigger; a market order has none. Good up to and
    including `expire_us` (None: to the end). `parent` is the place of an earlier order: this one is
    sent when that is filled, or ends with a part filled, for no more than the part. Of the orders
    with the same `oco` a fill of one cancels the others. `reduce_only` never enlarges a position.
    `decide_us` (None: `arrive_us`) and `event_id` say when and why it was sent.
    """

    arrive_us: int
    lots: int
    kind: Literal["market", "limit", "stop"] = "market"
    price_ticks: int | None = None
    expire_us: int | None = None
    parent: int | None = None
    oco: str | None = None
    reduce_only: bool = False
    decide_us: int | None = None
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What trading costs and how the venue answers.

    Fees in bps of traded value (a negative maker fee is a rebate); `latency_s` from a parent's end
    to its children's arrival. `walk_ticks`: each further size as large as the one shown lies that
    much further away, and the excess pays the last level; None: it waits for the next quote.
    """

    maker_bps: float
    taker_bps: float
    latency_s: float = 0.0
    max_quote_age_s: float = 15.0
    walk_ticks: int | None = None


@dataclass(frozen=True, slots=True)
class VenueRun:
    """What came of the orders; money in cash units, prices in ticks.

    `fills`: order (null: a liquidation), at_us, lots (signed), price_ticks, fee_units, liquidity.
    `orders`: one row per order: status, reason, filled_lots, reached_us (null: it never arrived).
    `payments`: stamp_us, lots, rate, mark_price, cash_units. `equity`: at_us, equity_units.
    """

    market: Market
    sent: tuple[VenueOrder, ...]
    fills: pl.DataFrame
    orders: pl.DataFrame
    payments: pl.DataFrame
    equity: pl.DataFrame
    opening_units: int
    cash_units: int
    lots: int
    liquidated_us: int | None


def run_orders(
    market: Market,
    orders: Sequence[VenueOrder] | pl.DataFrame,
    account: AccountSpec,
    terms: Terms,
    watch: Watch = "none",
) -> VenueRun:
    """Run `orders`, in order of arrival, on one symbol's market; the same inputs, the same bytes.

    A frame has the fields of VenueOrder as columns. `watch` notes equity at each bar's close or at
    each mark. Raises OrderError, RateError, and AccountingError should a law of conservation break.
    """
    from quantlab_pipeline.kernels.venue import run

    if isinstance(orders, pl.DataFrame):
        orders = [VenueOrder(**row) for row in orders.iter_rows(named=True)]
    sent = tuple(orders)
    _check_account(market, account)
    table = _table(sent)
    most = _most_lots(market, table, account)
    noted = ("none", "closes", "marks").index(watch)
    ran = run(market.tape, table, _kernel_account(market, account, terms, most), noted)
    return _result(market, sent, ran, account, watch)


def _check_account(market: Market, account: AccountSpec) -> None:
    if account.kind == "spot_cash" and market.settlements.height:
        raise OrderError(
            "A spot_cash account pays no funding, but its market has settlements.",
            "Leave out the settlements, or use perp_margin.",
        )
    if account.kind == "perp_margin" and not market.tape.marks.shape[0]:
        raise OrderError(
            "A perp_margin account has no mark to be held against.",
            "Give the market its mark prices; closes may stand for them if you say so.",
        )


def _table(orders: Sequence[VenueOrder]) -> I64:
    groups: dict[str, int] = {}
    rows = [_row(i, order, orders, groups) for i, order in enumerate(orders)]
    return np.array(rows, dtype=np.int64).reshape(len(rows), 8)


def _row(
    i: int, order: VenueOrder, orders: Sequence[VenueOrder], groups: dict[str, int]
) -> tuple[int, ...]:
    wrong = None
    priced = order.price_ticks is not None and order.price_ticks > 0
    if order.lots == 0:
        wrong = "has no size"
    elif order.kind == "market" and order.price_ticks is not None:
        wrong = "is a market order with a price"
    elif order.kind != "market" and not priced:
        wrong = f"is a {order.kind} order without a price"
    elif i > 0 and order.arrive_us < orders[i - 1].arrive_us:
        wrong = "arrives before its predecessor"
    elif order.parent is not None and not 0 <= order.parent < i:
        wrong = "comes before its parent"
    elif order.decide_us is not None and order.decide_us > order.arrive_us:
        wrong = "arrives before it was decided"
    if wrong:
        raise OrderError(f"Order {i} {wrong}.", "Give orders as VenueOrder describes.", order=i)
    group = -1 if order.oco is None else groups.setdefault(order.oco, len(groups))
    return (
        order.arrive_us,
        KINDS.index(order.kind),
        order.lots,
        order.price_ticks or 0,
        NEVER if order.expire_us is None else order.expire_us,
        -1 if order.parent is None else order.parent,
        group,
        int(order.reduce_only),
    )


def _most_lots(market: Market, table: I64, account: AccountSpec) -> int:
    """The largest position whose value stays within 64 bits at any price that may be paid."""
    # A walk goes to twice the touch.
    price = max(1, 2 * market.highest_ticks, int(table[:, 3].max(initial=0)))
    most = min(_MOST_LOTS, _MOST_UNITS // max(price * market.unit, market.highest_mark_units))
    largest = int(np.abs(table[:, 2]).max(initial=0))
    if largest > most or account.cash_units > _MOST_UNITS:
        raise OrderError(
            f"An order of {largest} lots at up to {price} ticks is too large to be reckoned.",
            "Send smaller orders, or use an instrument of larger lots.",
            lots=largest,
        )
    return most


def _kernel_account(market: Market, account: AccountSpec, terms: Terms, most_lots: int) -> Account:
    from quantlab_pipeline.kernels.venue_words import Account

    margin = account.kind == "perp_margin"
    return Account(
        margin=margin,
        cash=account.cash_units,
        unit=market.unit,
        initial_e8=account.initial_e8 if margin else 0,
        maintenance_e8=rate_e8(account.maintenance_bps, "maintenance_bps"),
        maker_e8=rate_e8(terms.maker_bps, "maker_bps"),
        taker_e8=rate_e8(terms.taker_bps, "taker_bps"),
        liquidation_e8=rate_e8(account.liquidation_fee_bps, "liquidation_fee_bps"),
        latency_us=int(Decimal(str(terms.latency_s)) * 1_000_000),
        max_age_us=int(Decimal(str(terms.max_quote_age_s)) * 1_000_000),
        walk_ticks=-1 if terms.walk_ticks is None else terms.walk_ticks,
        most_lots=most_lots,
    )


def _result(
    market: Market, sent: tuple[VenueOrder, ...], ran: Ran, account: AccountSpec, watch: Watch
) -> VenueRun:
    from quantlab_pipeline.kernels import venue_words as w

    if ran.state[w.BROKEN] != 0:
        raise AccountingError(
            f"Cash, position and equity do not add up from fill {ran.state[w.BROKEN]} on.",
            "The venue alone moves them; report this as a bug.",
            fill=int(ran.state[w.BROKEN]),
        )
    book, doomed = ran.book[:-1], int(ran.state[w.DOOMED])
    marks, bars = market.tape.marks, market.tape.bars
    noted = {"none": marks[:0, 0], "closes": bars[:, w.B_CLOSES], "marks": marks[:, w.M_AT]}
    return VenueRun(
        market=market,
        sent=sent,
        fills=_fills(ran.fills, len(sent)),
        orders=pl.DataFrame(
            {
                "status": pl.Series([STATUSES[s] for s in book[:, w.O_STATUS]], dtype=pl.String),
                "reason": pl.Series([REASONS[r] for r in book[:, w.O_REASON]], dtype=pl.String),
                "filled_lots": book[:, w.O_DONE],
                "reached_us": pl.Series(
                    [at if came else None for at, came in book[:, [w.O_DUE, w.O_REACHED]].tolist()],
                    dtype=pl.Int64,
                ),
            }
        ),
        payments=_payments(market, ran.payments),
        equity=pl.DataFrame({"at_us": noted[watch], "equity_units": ran.path}),
        opening_units=account.cash_units,
        cash_units=int(ran.state[w.CASH]),
        lots=int(ran.state[w.LOTS]),
        liquidated_us=None if doomed == NEVER else doomed,
    )


def _fills(fills: I64, n_orders: int) -> pl.DataFrame:
    from quantlab_pipeline.kernels import venue_words as w

    own = pl.Series(fills[:, w.F_ORDER] == n_orders)
    order = pl.Series("order", fills[:, w.F_ORDER])
    return pl.DataFrame(
        {
            "order": order.set(own, None),
            "at_us": fills[:, w.F_AT],
            "lots": fills[:, w.F_LOTS],
            "price_ticks": fills[:, w.F_TICKS],
            "fee_units": fills[:, w.F_FEE],
            "liquidity": np.where(fills[:, w.F_MAKER] == 1, "maker", "taker").tolist(),
        }
    )


def _payments(market: Market, payments: I64) -> pl.DataFrame:
    from quantlab_pipeline.kernels import venue_words as w

    met = market.settlements[payments[:, w.P_SETTLEMENT]]
    return met.select(
        "stamp_us",
        pl.Series("lots", payments[:, w.P_LOTS]),
        "rate",
        "mark_price",
        pl.Series("cash_units", payments[:, w.P_UNITS]),
    )
