"""The book's own impact against a plain loop, and how orders net and aggregate."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.research.portfolio.joint_impact import joint_impact

NOON = datetime(2025, 3, 4, 12, tzinfo=UTC)
DAYS = [date(2025, 3, 4) + timedelta(days=i) for i in range(5)]


def trade(strategy: str, side: int, minute: int = 0, hold: int = 60, **other: object) -> dict:
    return {
        "strategy_id": strategy,
        "symbol": "BTC",
        "side": side,
        "decided_at": NOON + timedelta(minutes=minute),
        "left_at": NOON + timedelta(minutes=minute + hold),
        "notional_usd": 1e5,
        "sigma_d_bps": 400.0,
        "volume_usd": 1e9,
        **other,
    }


def scales(**by_strategy: float) -> pl.DataFrame:
    rows = [
        {"strategy_id": s, "day": day, "scale": k} for s, k in by_strategy.items() for day in DAYS
    ]
    return pl.DataFrame(rows)


ALONE_USD = 2 * 1e5 * 400e-4 * (1e5 / 1e9) ** 0.5
"""What one of these trades paid alone, on both sides, at Y = 1: 80 USD."""


def test_a_strategy_at_its_own_size_pays_nothing_more() -> None:
    extra = joint_impact(pl.DataFrame([trade("a", 1)]), scales(a=1.0), DAYS, 1.0)
    assert extra == pytest.approx(np.zeros(5), abs=1e-9)


def test_four_times_the_size_pays_eight_times_the_impact_where_four_was_charged() -> None:
    extra = joint_impact(pl.DataFrame([trade("a", 1)]), scales(a=4.0), DAYS, 1.0)
    assert extra[0] == pytest.approx((8 - 4) * ALONE_USD)
    assert not extra[1:].any()


@pytest.mark.parametrize(
    ("sides", "minutes", "multiple"),
    [((1, 1), (0, 0), 2**1.5 - 2), ((1, -1), (0, 0), -2.0), ((1, 1), (0, 5), 0.0)],
    ids=["one parent order", "netted to nothing", "five minutes apart"],
)
def test_two_strategies_on_one_symbol(sides, minutes, multiple) -> None:
    rows = [trade(s, q, m) for s, q, m in zip("ab", sides, minutes, strict=True)]
    extra = joint_impact(pl.DataFrame(rows), scales(a=1.0, b=1.0), DAYS, 1.0)
    assert extra[0] == pytest.approx(multiple * ALONE_USD, abs=1e-9)


def test_other_symbols_do_not_meet() -> None:
    rows = [trade("a", 1), trade("b", 1, symbol="ETH")]
    assert joint_impact(pl.DataFrame(rows), scales(a=1.0, b=1.0), DAYS, 1.0)[0] == pytest.approx(0)


def test_unknown_liquidity_is_refused() -> None:
    rows = pl.DataFrame([trade("a", 1), trade("b", 1, sigma_d_bps=None)])
    with pytest.raises(ValueError, match="liquidity"):
        joint_impact(rows, scales(a=1.0, b=1.0), DAYS, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_random_books_equal_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        trade(
            str(rng.choice(list("abc"))),
            int(rng.choice([-1, 1])),
            int(rng.integers(0, 4)) * 700,
            int(rng.choice([5, 700, 1_400])),
            symbol=str(rng.choice(["BTC", "ETH"])),
            notional_usd=float(rng.uniform(1e3, 1e6)),
        )
        for _ in range(60)
    ]
    by = {s: float(k) for s, k in zip("abc", rng.uniform(0, 5, 3), strict=True)}
    wanted = np.zeros(5)
    signed: defaultdict = defaultdict(float)
    for row in rows:
        for at, sign in ((row["decided_at"], 1), (row["left_at"], -1)):
            size = by[row["strategy_id"]] * row["notional_usd"]
            signed[row["symbol"], at] += sign * row["side"] * size
            alone = 0.7 * 400e-4 * size * (row["notional_usd"] / 1e9) ** 0.5
            if (at - timedelta(microseconds=1)).date() in DAYS:
                wanted[DAYS.index((at - timedelta(microseconds=1)).date())] -= alone
    for (_, at), q in signed.items():
        day = (at - timedelta(microseconds=1)).date()
        if day in DAYS:
            wanted[DAYS.index(day)] += 0.7 * 400e-4 * abs(q) ** 1.5 / 1e9**0.5
    got = joint_impact(pl.DataFrame(rows), scales(**by), DAYS, 0.7)
    assert got == pytest.approx(wanted, rel=1e-9)
    shuffled = pl.DataFrame([rows[i] for i in rng.permutation(len(rows))])
    assert joint_impact(shuffled, scales(**by), DAYS, 0.7) == pytest.approx(got, rel=1e-12)
