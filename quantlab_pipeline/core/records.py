"""What a strategy did, as facts: decision, order, fill, funding payment, cash movement.

Records are immutable, ordered by `seq` within a run, and named by their content; money is an
integer of `CASH_UNIT`, prices and quantities are integer ticks and lots. Bridge and backtest emit
them; a ledger, paper trading and the parity diff read the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from quantlab_pipeline.core.fingerprints import chain, digest, short

CASH_UNIT = 1e-8
"""One unit of cash in quote currency (USD)."""

GENESIS = "blake3:" + "0" * 64


OrderKind = Literal["market", "limit", "stop", "liquidation"]
"""Kinds of orders, in simulation, on paper and at a broker; the venue alone sends a liquidation."""

Liquidity = Literal["maker", "taker"]
"""Which side of a trade a fill was: it rested and was met, or it met what rested."""


@dataclass(frozen=True, slots=True)
class Record:
    """Common head: `seq` is gap-free within a run, `at_us` microseconds since 1970 UTC."""

    seq: int
    at_us: int
    strategy_id: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Decision(Record):
    """The strategy wants `target_lots` (signed) because of `event_id`."""

    target_lots: int
    event_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Order(Record):
    """An instruction sent to the venue; `lots` signed; `decision_seq` names its decision."""

    lots: int
    kind: OrderKind
    decision_seq: int


@dataclass(frozen=True, slots=True)
class Fill(Record):
    """What the venue did; `price_ticks` whole ticks, `fee_units` cash units, negative: a rebate."""

    lots: int
    price_ticks: int
    fee_units: int
    order_seq: int
    liquidity: Liquidity = "taker"


@dataclass(frozen=True, slots=True)
class FundingPayment(Record):
    """Cash from one settlement: -lots x mark x rate; positive is received."""

    lots: int
    rate: float
    mark_price: float
    cash_units: int


@dataclass(frozen=True, slots=True)
class CashMovement(Record):
    """Change of cash with its cause (`fill`, `fee`, `funding`), and the balance after it."""

    cause: str
    cash_units: int
    balance_units: int
    source_seq: int


def record_id(record: Record) -> str:
    """Deterministic id: the record's kind and the digest of its content."""
    body = {"kind": type(record).__name__, **_content(record)}
    return f"{type(record).__name__.lower()}-{short(digest(body), 16)}"


def encode(record: Record) -> dict[str, Any]:
    """The record as a plain mapping with `kind` and `id`, ready for `canonical_bytes`."""
    return {"kind": type(record).__name__, "id": record_id(record), **_content(record)}


def _content(record: Record) -> dict[str, Any]:
    """Fields by name. They are flat: nothing is to be copied as `dataclasses.asdict` would."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def chain_head(records: Iterable[Record], head: str = GENESIS) -> str:
    """Fold records into one tagged digest that any change, drop or reorder would alter."""
    for record in records:
        head = chain(head, encode(record))
    return head
