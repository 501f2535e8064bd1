"""A venue's run as records: read back, they give its cash and position, for every kind of world."""

from __future__ import annotations

import dataclasses
from collections import Counter
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.records import CashMovement, Fill, FundingPayment, Order, chain_head
from quantlab_pipeline.simulation.account import AccountSpec
from quantlab_pipeline.simulation.accounting import AccountingError, funding_units, keep_books
from quantlab_pipeline.simulation.venue import Terms, VenueOrder, run_orders
from quantlab_pipeline.simulation.venue_records import records_of_run
from quantlab_pipeline.simulation.venue_tape import bar_market, quote_market
from quantlab_pipeline_tests.simulation.venue_builders import (
    COIN,
    MINUTE,
    PERP,
    SPOT,
    T0,
    bars_in_ticks,
    marks_in_ticks,
    quotes_in_ticks,
)

HELD = AccountSpec(
    kind="perp_margin",
    cash_usd=Decimal(2),
    leverage=Decimal(10),
    maintenance_bps=Decimal(500),
    liquidation_fee_bps=Decimal(100),
)
TERMS = Terms(maker_bps=-0.5, taker_bps=4.5, latency_s=0.2, walk_ticks=1)


def a_run(kind, account, seed=4):
    """Forty random orders with brackets on ten minutes of a random walk.

    The mark of the account HELD halves and triples again and again: no position survives it.
    """
    rng = np.random.default_rng(seed)
    path = 1_000 + np.cumsum(rng.integers(-6, 7, 600))
    spot = account.kind == "spot_cash"
    mark = path[::10].astype(np.float64)
    if account is HELD:
        mark[30::5] *= 0.5
        mark[31::5] *= 3.0
    marks = marks_in_ticks([(i * MINUTE // 6, p) for i, p in enumerate(mark.tolist())])
    stamps = [T0 + i * MINUTE for i in (2, 5, 8)]
    paid = pl.DataFrame(
        {"stamp_us": stamps, "rate": [1e-4, -3.7e-5, 2e-4], "mark_price": [100.1, 99.87, 101.3]}
    )
    known = {} if spot else {"marks": marks, "settlements": paid}
    if kind == "bars":
        legs = path.reshape(10, 60)
        rows = [(int(g[0]), int(g.max()), int(g.min()), int(g[-1])) for g in legs]
        market = bar_market(COIN, bars_in_ticks(rows), **known)
    else:
        sizes = rng.integers(1, 60, (600, 2))
        rows = [
            (i, int(p), int(a), int(p) + 1, int(b))
            for i, (p, (a, b)) in enumerate(zip(path, sizes, strict=True))
        ]
        market = quote_market(COIN, quotes_in_ticks(rows), **known)
    return run_orders(market, random_orders(rng, path), account, TERMS, "none")


def random_orders(rng, path):
    out = []
    for at in np.sort(rng.integers(0, 560, 40)):
        kind = str(rng.choice(["market", "limit", "stop"]))
        price = int(path[at] + rng.integers(-15, 16))
        child = bool(out) and rng.random() < 0.4
        out.append(
            VenueOrder(
                arrive_us=int(T0 + at * 1_000_000),
                lots=int(rng.choice([-80, -30, 30, 80])),
                kind=kind,
                price_ticks=None if kind == "market" else price,
                parent=int(rng.integers(0, len(out))) if child else None,
                oco=str(rng.integers(0, 3)) if rng.random() < 0.2 else None,
                decide_us=int(T0 + at * 1_000_000 - 300_000),
                event_id=f"e{at}",
            )
        )
    return out


@pytest.mark.parametrize("kind", ["bars", "quotes"])
@pytest.mark.parametrize("account", [PERP, HELD, SPOT], ids=["perp", "liquidated", "spot"])
def test_records_read_back_give_the_cash_and_the_position_to_the_unit(kind, account):
    run = a_run(kind, account)
    records = records_of_run(run, "s")
    books = keep_books(records, {"COIN": COIN}, run.opening_units)
    assert books.cash_units == run.cash_units
    assert books.lots.get("COIN", 0) == run.lots == run.fills["lots"].sum()
    count = Counter(type(r).__name__ for r in records)
    assert count["Fill"] == run.fills.height > 8
    assert count["FundingPayment"] == run.payments.height
    kinds = {r.kind for r in records if isinstance(r, Order)}
    assert ("liquidation" in kinds) == (account is HELD) == (run.liquidated_us is not None)
    assert {r.liquidity for r in records if isinstance(r, Fill)} == {"maker", "taker"}


def test_every_fill_names_its_order_and_every_payment_is_what_funding_says():
    run = a_run("quotes", PERP)
    records = records_of_run(run, "s")
    for r in records:
        if isinstance(r, Fill):
            sent = records[r.order_seq]
            assert isinstance(sent, Order)
            assert sent.lots * r.lots > 0
            assert sent.at_us <= r.at_us
        elif isinstance(r, FundingPayment):
            assert r.cash_units == funding_units(COIN, r.lots, r.mark_price, r.rate)
    assert run.payments.height == 3


def test_three_runs_write_the_same_chain_and_one_changed_order_another():
    heads = {chain_head(records_of_run(a_run("quotes", HELD), "s")) for _ in range(3)}
    assert len(heads) == 1
    assert chain_head(records_of_run(a_run("quotes", HELD, 5), "s")) not in heads


def test_a_tampered_balance_breaks_the_books():
    run = a_run("bars", SPOT)
    records = list(records_of_run(run, "s"))
    at = next(i for i, r in enumerate(records) if isinstance(r, CashMovement))
    records[at] = dataclasses.replace(records[at], balance_units=records[at].balance_units + 1)
    with pytest.raises(AccountingError):
        keep_books(records, {"COIN": COIN}, run.opening_units)
