"""The only as-of join: blind to the future, to poison in it, to corrections yet to come."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import MINUTE, MINUTE_US, TS, to_us
from quantlab_pipeline.core.point_in_time import asof_join, asof_rows, known_facts

ORIGIN = datetime(2025, 3, 1, tzinfo=UTC)
Fact = tuple[str, int, int, float]
"""(symbol, minute described, minutes until known, value)."""

_FACTS = st.lists(
    st.tuples(
        st.sampled_from(["AAA", "BBB"]),
        st.integers(0, 30),
        st.integers(0, 12),
        st.floats(-10, 10, allow_nan=False),
    ),
    max_size=25,
    unique_by=lambda fact: (fact[0], fact[1], fact[2]),
)


def _at(minute: int) -> datetime:
    return ORIGIN + minute * MINUTE


def _frame(facts: list[Fact]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "symbol": [f[0] for f in facts],
            "ts": [_at(f[1]) for f in facts],
            "available_at": [_at(f[1] + f[2]) for f in facts],
            "value": [f[3] for f in facts],
        },
        schema={"symbol": pl.String, "ts": TS, "available_at": TS, "value": pl.Float64},
    )


def _decisions() -> pl.DataFrame:
    rows = [(s, _at(m)) for m in (7, 40, 0, 13, 21, 22, 35, 3) for s in ("BBB", "AAA")]
    return pl.DataFrame(rows, schema={"symbol": pl.String, "ts": TS}, orient="row")


def _naive(facts: list[Fact], symbol: str, now: datetime, max_age: int | None) -> float | None:
    """The value of the newest `ts` that was known, the last to arrive of that `ts`."""
    known = [(f[1], f[1] + f[2], f[3]) for f in facts if f[0] == symbol and _at(f[1] + f[2]) <= now]
    if not known:
        return None
    minute, _, value = max(known)
    too_old = max_age is not None and _at(minute) < now - max_age * MINUTE
    return None if too_old else value


@settings(max_examples=150, deadline=None)
@given(facts=_FACTS, max_age=st.one_of(st.none(), st.integers(0, 20)))
def test_a_decision_sees_the_newest_known_fact(facts: list[Fact], max_age: int | None) -> None:
    decisions = _decisions()
    age = None if max_age is None else max_age * MINUTE
    joined = asof_join(decisions, _frame(facts), ["value"], age)
    assert joined.select("symbol", "ts").equals(decisions)
    for row in joined.iter_rows(named=True):
        assert row["value"] == _naive(facts, row["symbol"], row["ts"], max_age)


@settings(max_examples=80, deadline=None)
@given(facts=_FACTS, cut=st.integers(0, 42))
def test_cutting_the_future_changes_no_past_row(facts: list[Fact], cut: int) -> None:
    tau = _at(cut)
    decisions = _decisions().filter(pl.col("ts") <= tau)
    frame = _frame(facts)
    whole = asof_join(decisions, frame, ["value"])
    prefix = asof_join(decisions, frame.filter(pl.col("available_at") <= tau), ["value"])
    assert whole.equals(prefix)


@settings(max_examples=80, deadline=None)
@given(facts=_FACTS, poison=_FACTS, cut=st.integers(0, 42))
def test_poisoning_the_future_changes_no_past_row(
    facts: list[Fact], poison: list[Fact], cut: int
) -> None:
    tau = _at(cut)
    decisions = _decisions().filter(pl.col("ts") <= tau)
    known = _frame(facts).filter(pl.col("available_at") <= tau)
    later = _frame(poison).filter(pl.col("available_at") > tau)
    clean = asof_join(decisions, known, ["value"])
    assert clean.equals(asof_join(decisions, pl.concat([later, known]), ["value"]))


def test_a_correction_counts_from_its_arrival_on() -> None:
    facts = _frame([("AAA", 5, 0, 1.0), ("AAA", 5, 4, 2.0)])
    decisions = pl.DataFrame({"symbol": ["AAA"] * 3, "ts": [_at(8), _at(9), _at(10)]})
    seen = asof_join(decisions.cast({"ts": TS}), facts, ["value"])
    assert seen["value"].to_list() == [1.0, 2.0, 2.0]


def test_an_old_fact_that_comes_late_never_hides_a_newer_one() -> None:
    facts = _frame([("AAA", 6, 0, 6.0), ("AAA", 5, 10, 5.0)])
    decisions = pl.DataFrame({"symbol": ["AAA"], "ts": [_at(20)]}).cast({"ts": TS})
    assert asof_join(decisions, facts, ["value"])["value"].to_list() == [6.0]
    assert known_facts(facts)["value"].to_list() == [6.0]


def test_a_fact_known_a_microsecond_later_is_not_seen() -> None:
    facts = _frame([("AAA", 5, 0, 1.0)]).with_columns(
        pl.col("available_at") + timedelta(microseconds=1)
    )
    decisions = pl.DataFrame({"symbol": ["AAA", "AAA"], "ts": [_at(5), _at(6)]}).cast({"ts": TS})
    assert asof_join(decisions, facts, ["value"])["value"].to_list() == [None, 1.0]


def test_no_facts_give_nulls_and_other_symbols_stay_apart() -> None:
    decisions = _decisions()
    assert asof_join(decisions, _frame([]), ["value"])["value"].null_count() == decisions.height
    only_b = asof_join(decisions, _frame([("BBB", 0, 0, math.pi)]), ["value"])
    assert only_b.filter(pl.col("symbol") == "AAA")["value"].null_count() == decisions.height // 2


@settings(max_examples=150, deadline=None)
@given(facts=_FACTS, max_age=st.one_of(st.none(), st.integers(0, 20)), ordered=st.booleans())
def test_a_grid_sees_what_the_join_sees(
    facts: list[Fact], max_age: int | None, ordered: bool
) -> None:
    frame = _frame(sorted(facts) if ordered else facts)
    symbols, minutes = ["AAA", "BBB", "CCC"], range(45)
    age = None if max_age is None else max_age * MINUTE
    rows = asof_rows(symbols, to_us(ORIGIN) // MINUTE_US, len(minutes), frame, age)
    keys = [(s, _at(m)) for s in symbols for m in minutes]
    grid = pl.DataFrame(keys, schema={"symbol": pl.String, "ts": TS}, orient="row")
    wanted = asof_join(grid, frame, ["value"], age)["value"].to_list()
    values = [*frame["value"].to_list(), None]
    assert [values[row] for row in rows.ravel()] == wanted
