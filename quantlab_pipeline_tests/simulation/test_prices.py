"""The reference price and its matrix."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import MINUTE, TS
from quantlab_pipeline.core.errors import SchemaError
from quantlab_pipeline.simulation.prices import (
    minute_matrix,
    price_matrix,
    reference_minutes,
    reference_price,
)

START = datetime(2025, 3, 1, tzinfo=UTC)


def _at(*minutes: int) -> pl.Series:
    return pl.Series("ts", [START + m * MINUTE for m in minutes], dtype=TS)


def _prices(symbol: str, by_minute: dict[int, float]) -> pl.DataFrame:
    return pl.DataFrame(
        {"symbol": [symbol] * len(by_minute), "price": list(by_minute.values())}
    ).with_columns(_at(*by_minute))


def test_mid_where_there_is_one_else_the_close() -> None:
    bars = pl.DataFrame({"symbol": ["A"] * 3, "close": [10.0, 11.0, 12.0]}).with_columns(
        _at(1, 2, 3)
    )
    book = pl.DataFrame(
        {
            "symbol": ["A"] * 4,
            "leg": ["perp", "spot", "perp", "perp"],
            "mid_last": [10.5, 99.0, None, 13.5],
        }
    ).with_columns(_at(1, 2, 2, 4))
    made = reference_price(bars, book)
    assert made["price"].to_list() == [10.5, 11.0, 12.0, 13.5]
    assert made["price_source"].to_list() == ["mid", "close", "close", "mid"]
    assert reference_price(bars, book.clear())["price_source"].to_list() == ["close"] * 3


def test_unusable_prices_give_no_row() -> None:
    bars = pl.DataFrame(
        {"symbol": ["A"] * 4, "close": [float("nan"), 0.0, None, 5.0]}
    ).with_columns(_at(1, 2, 3, 4))
    assert reference_price(bars, pl.DataFrame())["price"].to_list() == [5.0]


def test_carried_inside_its_life_only() -> None:
    frame = pl.concat([_prices("A", {2: 5.0, 4: 6.0, 9: 7.0}), _prices("C", {1: 1.0})])
    grid = price_matrix(frame, ["A", "B"], _at(1, 2, 3, 4, 5))
    np.testing.assert_array_equal(grid.prices[0], [np.nan, 5.0, 5.0, 6.0, np.nan])
    assert grid.fresh[0].tolist() == [False, True, False, True, False]
    assert np.isnan(grid.prices[1]).all()
    assert not grid.fresh[1].any()


def test_doubled_keys_and_unsorted_grids_are_refused() -> None:
    doubled = pl.concat([_prices("A", {1: 5.0}), _prices("A", {1: 5.0})])
    with pytest.raises(SchemaError, match="one \\(symbol, ts\\)"):
        price_matrix(doubled, ["A"], _at(1, 2))
    with pytest.raises(SchemaError, match="increasing"):
        price_matrix(_prices("A", {1: 5.0}), ["A"], _at(2, 1))


@given(st.dictionaries(st.integers(0, 30), st.floats(0.1, 100), max_size=12))
@settings(max_examples=60, deadline=None)
def test_equals_a_loop(by_minute: dict[int, float]) -> None:
    frame = _prices("A", by_minute) if by_minute else _prices("A", {99: 1.0})
    made = price_matrix(frame, ["A"], _at(*range(5, 25)))
    inside = {m: p for m, p in by_minute.items() if 5 <= m < 25}
    newest = np.nan
    for i, minute in enumerate(range(5, 25)):
        newest = inside.get(minute, newest)
        alive = bool(inside) and minute <= max(inside)
        np.testing.assert_equal(made.prices[0, i], newest if alive else np.nan)
        assert made.fresh[0, i] == (minute in inside)


_USUAL = st.one_of(st.none(), st.sampled_from([0.0, -1.0, math.nan, math.inf]), st.floats(0.1, 9))
_SEEN = st.dictionaries(
    st.tuples(st.sampled_from(["A", "B", "C"]), st.integers(0, 30)), _USUAL, max_size=30
)


@given(closes=_SEEN, mids=_SEEN)
@settings(max_examples=60, deadline=None)
def test_reference_minutes_are_the_reference_price_laid_on_minutes(
    closes: dict[tuple[str, int], float | None], mids: dict[tuple[str, int], float | None]
) -> None:
    bars = _by_key(closes, "close")
    book = _by_key(mids, "mid_last").with_columns(pl.lit("perp").alias("leg"))
    spot = book.with_columns(pl.lit("spot").alias("leg"), pl.lit(99.0).alias("mid_last"))
    made = reference_minutes(bars, pl.concat([book, spot]), ["B", "A"], _at(5)[0], 20)
    rows = reference_price(bars, book)
    source = {(s, ts): (p, k) for s, ts, p, k in rows.iter_rows()}
    for i, symbol in enumerate(["B", "A"]):
        for j in range(20):
            price, kind = source.get((symbol, START + (5 + j) * MINUTE), (np.nan, ""))
            np.testing.assert_equal(made.prices[i, j], price)
            assert made.is_mid[i, j] == (kind == "mid")


def _by_key(values: dict[tuple[str, int], float | None], column: str) -> pl.DataFrame:
    symbols = [symbol for symbol, _ in values]
    return pl.DataFrame(
        {"symbol": symbols, column: list(values.values())},
        schema={"symbol": pl.String, column: pl.Float64},
    ).with_columns(_at(*(minute for _, minute in values)))


def test_a_minute_matrix_leaves_out_what_lies_between_and_refuses_doubles() -> None:
    frame = _prices("A", {1: 5.0, 3: 6.0})
    beside = frame.with_columns(pl.col("ts") + timedelta(seconds=1))
    made = minute_matrix(pl.concat([frame, beside]), "price", ["A", "Z"], _at(1)[0], 3)
    np.testing.assert_array_equal(made, [[5.0, np.nan, 6.0], [np.nan] * 3])
    in_ms = frame.with_columns(pl.col("ts").dt.cast_time_unit("ms"))
    np.testing.assert_array_equal(minute_matrix(in_ms, "price", ["A"], _at(1)[0], 3), made[:1])
    with pytest.raises(SchemaError, match="one \\(symbol, ts\\)"):
        minute_matrix(pl.concat([frame, frame]), "price", ["A"], _at(1)[0], 3)
