"""The account-and-orders machine against its slow twin, and by hand where a rule matters."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.kernels import venue_money
from quantlab_pipeline.kernels import venue_words as w
from quantlab_pipeline.kernels.venue import run
from quantlab_pipeline_tests.kernels.venue_worlds import (
    REASONS,
    STATUSES,
    WATCHES,
    order_table,
    random_world,
    tape_of,
)
from quantlab_pipeline_tests.oracles.venue import Order, Venue, World


def compiled(world):
    return run(tape_of(world), order_table(world.orders), world.account, WATCHES[world.watch])


def assert_equal(ran, twin):
    """Every fill, payment, balance, order and noted equity, to the unit."""
    assert ran.state[w.BROKEN] == 0
    assert [tuple(row) for row in ran.fills.tolist()] == twin.fills
    assert [tuple(row) for row in ran.payments.tolist()] == twin.payments
    assert (ran.state[w.CASH], ran.state[w.LOTS]) == (twin.cash, twin.lots)
    assert ran.path.tolist() == twin.path
    got = [(STATUSES[b[w.O_STATUS]], REASONS[b[w.O_REASON]], b[w.O_DONE]) for b in ran.book[:-1]]
    assert got == [(o.status, o.reason, o.done) for o in twin.orders]


def what_happened(world, tier, twin):
    """The kinds of event that this world has seen."""
    seen, before = set(), 0
    for row, _, lots, _, fee, maker in twin.fills:
        kind = twin.orders[row].kind if row < len(twin.orders) else "liquidation"
        seen.add(f"{tier} {kind}")
        seen |= {"maker"} if maker else {"taker"}
        seen |= {"rebate"} if fee < 0 else set()
        seen |= {"reversal"} if before * (before + lots) < 0 else set()
        before += lots
    fills = Counter(row for row, *_ in twin.fills)
    seen |= {"part filled"} if any(o.left and o.done for o in twin.orders) else set()
    seen |= {"filled in parts"} if max(fills.values(), default=0) > 2 else set()
    seen |= {f"{o.status} {o.reason}".strip() for o in twin.orders}
    seen |= {"child filled" for o in twin.orders if o.parent is not None and o.done}
    seen |= {"margin" if world.account.margin else "spot"} if twin.fills else set()
    seen |= {"paid" if units < 0 else "received" for _, _, units in twin.payments}
    return seen


MUST_HAPPEN = {
    *(f"{tier} {kind}" for tier in ("T0", "T1", "BRIDGE") for kind in ("market", "limit", "stop")),
    *(f"{tier} liquidation" for tier in ("T0", "T1", "BRIDGE")),
    *("maker", "taker", "rebate", "reversal", "part filled", "filled in parts", "child filled"),
    *("margin", "spot", "paid", "received", "live", "filled", "expired", "waiting"),
    *(f"rejected {why}" for why in ("no_margin", "no_cash", "no_position", "no_mark", "too_large")),
    *("rejected nothing_to_reduce", "rejected liquidated"),
    *(f"cancelled {why}" for why in ("no_cash", "no_position", "nothing_to_reduce")),
    *(f"cancelled {why}" for why in ("other_filled", "parent_ended", "liquidated")),
}


def test_the_kernel_equals_its_slow_twin_to_the_unit_on_two_hundred_worlds():
    happened = Counter()
    for seed in range(200):
        world, tier = random_world(seed)
        ran = compiled(world)
        twin = Venue(world).run()
        assert_equal(ran, twin)
        happened.update(what_happened(world, tier, twin))
    assert not MUST_HAPPEN - set(happened), MUST_HAPPEN - set(happened)
    assert min(happened[name] for name in MUST_HAPPEN) >= 2, happened


def test_three_runs_give_the_same_bytes():
    for seed in range(6):
        world, _ = random_world(seed)
        runs = [[part.tobytes() for part in compiled(world)] for _ in range(3)]
        assert runs[0] == runs[1] == runs[2]


def test_no_orders_no_trades_and_a_flat_equity():
    world, _ = random_world(5)
    world.orders, world.watch = [], "marks"
    ran = compiled(world)
    assert (ran.fills.size, ran.payments.size, ran.state[w.LOTS]) == (0, 0, 0)
    assert set(ran.path.tolist()) <= {world.account.cash}


def test_a_debt_on_a_spot_account_is_seen_by_the_laws_of_conservation():
    account = w.Account(False, 10, 1, 0, 0, 0, 0, 0, 0, 10, -1, 100)
    bars = [(0, 20, 1, 1, 1, 1, 0), (20, 40, 1, 1, 1, 1, 0)]
    # Spot pays no funding, and the front refuses it: here it makes a debt of 90 units.
    world = World(account, [Order(0, 0, "market", 10)], bars=bars, settlements=[(5, Fraction(9))])
    assert compiled(world).state[w.BROKEN] == 2
    world.settlements = []
    assert compiled(world).state[w.BROKEN] == 0


whole = st.integers(-(2**61), 2**61)


@settings(max_examples=200, deadline=None)
@given(whole | whole.map(lambda n: n // 10**8 * 10**8), st.integers(-(10**8), 10**8))
def test_a_portion_is_the_exact_product_half_to_even(value, rate):
    assert venue_money.portion(value, rate) == round(Fraction(value * rate, 10**8))


nano = st.integers(0, 10**9 - 1) | st.sampled_from([0, 5 * 10**8, 10**9 - 1])


@settings(max_examples=200, deadline=None)
@given(st.integers(-9 * 10**9, 9 * 10**9), st.integers(-(10**8), 10**8), nano, nano)
def test_lots_times_a_fixed_point_number_is_exact_half_to_even(lots, units, e9, e18):
    exact = lots * (units + Fraction(e9, 10**9) + Fraction(e18, 10**18))
    assert venue_money.times_fixed(lots, units, e9, e18) == round(exact)
