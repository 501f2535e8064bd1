"""Random worlds for the venue: hostile tapes, every kind of order, both kinds of account."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.kernels import venue_words as w
from quantlab_pipeline_tests.oracles.venue import NEVER, Order, World

KINDS = ("market", "limit", "stop", "liquidation")
STATUSES = ("waiting", "live", "filled", "cancelled", "expired", "rejected")
REASONS = (
    "",
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
WATCHES = {"": w.NO_WATCH, "closes": w.AT_CLOSES, "marks": w.AT_MARKS}
BAR, STEPS, MID = 20, 60, 1_000


def random_world(seed):
    """One world; its tier (T0, T1 or BRIDGE) and its account's kind follow from the seed."""
    rng = generator(seed, "venue")
    tier, margin = ("T0", "T1", "BRIDGE")[seed % 3], seed % 2 == 0
    path = np.maximum(40, MID + np.cumsum(rng.integers(-9, 10, STEPS * 4)))
    world = World(account_of(rng, margin), [], watch=("", "closes", "marks")[seed % 5 % 3])
    if tier == "BRIDGE":
        world.quotes = quotes_of(rng, path)
    else:
        world.bars = bars_of(rng, path, tier)
    if margin or seed % 4 == 1:
        world.marks = marks_of(rng, path, world.account.unit)
    if margin:
        world.settlements = settlements_of(rng)
    world.orders = orders_of(rng, path)
    return world, tier


def account_of(rng, margin):
    unit = int(rng.choice([1, 10_000]))
    equity = int(rng.integers(30, 200)) * MID * unit
    return w.Account(
        margin=margin,
        cash=equity if margin else 2 * equity,
        unit=unit,
        initial_e8=int(rng.choice([5_000_000, 20_000_000])) if margin else 0,
        maintenance_e8=4_000_000 if margin else 0,
        maker_e8=int(rng.choice([-10_000, 0, 20_001])),
        taker_e8=int(rng.choice([0, 50_000, 55_555])),
        liquidation_e8=1_250_000 if margin else 0,
        latency_us=int(rng.choice([0, 3, 25])),
        max_age_us=int(rng.choice([10, 60])),
        walk_ticks=int(rng.choice([-1, 0, 3, 90])),
        most_lots=int(rng.choice([2_030, 9_000, 9_000])),
    )


def bars_of(rng, path, tier):
    out = []
    for n in range(STEPS):
        leg = [int(p) for p in path[4 * n : 4 * n + 4]]
        jump = int(rng.integers(-15, 16)) if rng.random() < 0.2 else 0
        leg = [p + jump for p in leg]
        prices = [leg[0], max(leg), min(leg), leg[-1]]
        for field in range(4):
            if rng.random() < 0.06:
                prices[field] = 0
        if rng.random() < 0.03:
            prices[1], prices[2] = prices[2], prices[1]
        away = int(rng.integers(0, 5)) if tier == "T1" else 0
        gap = int(rng.choice([0, 0, 0, 5]))
        out.append((n * BAR + gap, (n + 1) * BAR, *prices, away))
    return out


def quotes_of(rng, path):
    out, at = [], 0
    for price in path:
        at += int(rng.choice([0, 3, 5, 5, 40], p=[0.1, 0.3, 0.3, 0.29, 0.01]))
        bid, ask = int(price), int(price + rng.choice([1, 1, 2, 6, 0, -2]))
        sizes = [int(rng.choice([0, 1, 5, 40], p=[0.04, 0.3, 0.36, 0.3])) for _ in range(2)]
        hole = rng.random()
        row = [at, bid if hole > 0.03 else 0, sizes[0], ask if hole < 0.97 else 0, sizes[1]]
        out.append((*row, int(rng.choice([0, 0, 0, 4, 99]))))
    return out


def marks_of(rng, path, unit):
    out = []
    for at in range(int(rng.choice([0, 0, 150])), STEPS * BAR, 10):
        price = int(path[min(at // 5, path.size - 1)])
        shock = 0.93 if rng.random() < 0.01 else 1.0
        units = round(price * unit * shock) + int(rng.integers(-3, 4))
        out.append((at, units if rng.random() > 0.05 else 0))
    return out


def settlements_of(rng):
    """What a lot pays has up to 18 decimals, and often ends in a half."""
    stamps = np.sort(rng.integers(0, STEPS * BAR, 8)) // 5 * 5
    pays = [
        Fraction(int(rng.integers(-(10**14), 10**14)), 10 ** int(rng.integers(8, 19)))
        if rng.random() < 0.7
        else Fraction(int(rng.integers(-9, 9)), 2)
        for _ in stamps
    ]
    return list(zip(stamps.tolist(), pays, strict=True))


def orders_of(rng, path):
    n = int(rng.integers(0, 30))
    out = []
    for row, at in enumerate(np.sort(rng.integers(0, STEPS * BAR, n)) // 5 * 5):
        kind = KINDS[int(rng.choice(3, p=[0.4, 0.35, 0.25]))]
        near = int(path[at // 5])
        child = row > 0 and rng.random() < 0.3
        out.append(
            Order(
                row=row,
                arrives=int(at),
                kind=kind,
                lots=int(rng.choice([-1, 1])) * int(rng.choice([1, 3, 10, 60, 2_000])),
                price=max(1, near + int(rng.integers(-25, 26))) if kind != "market" else 0,
                expires=NEVER if rng.random() < 0.5 else int(at + rng.integers(-5, 300)),
                parent=int(rng.integers(0, row)) if child else None,
                group=int(rng.integers(0, 4)) if rng.random() < 0.25 else None,
                reduces=bool(rng.random() < 0.2),
            )
        )
    return out


# --- as the kernel reads it ----------------------------------------------------------------------


def table(rows, width):
    return np.array(rows, dtype=np.int64).reshape(len(rows), width)


def tape_of(world):
    paid = []
    for at, per_lot in world.settlements:
        whole, part = divmod(per_lot * 10**18, 10**18)
        paid.append((at, int(whole), *divmod(int(part), 10**9)))
    return w.Tape(
        table(world.quotes, 6), table(world.bars, 7), table(world.marks, 2), table(paid, 4)
    )


def order_table(orders):
    return table(
        [
            (
                o.arrives,
                KINDS.index(o.kind),
                o.lots,
                o.price,
                o.expires,
                -1 if o.parent is None else o.parent,
                -1 if o.group is None else o.group,
                int(o.reduces),
            )
            for o in orders
        ],
        w.N_ORDER,
    )
