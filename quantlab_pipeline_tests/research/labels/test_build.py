"""Labels as a table: planted paths, gaps, ends, marks, and the way a range was cut."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import MINUTE, days_between
from quantlab_pipeline.core.errors import SchemaError
from quantlab_pipeline.research.labels.build import build_labels
from quantlab_pipeline.research.labels.paths import gaps_of, path_labels
from quantlab_pipeline.research.labels.schema import HORIZONS_MIN, LABELS_FWD
from quantlab_pipeline_tests.oracles.label_paths import Minutes
from quantlab_pipeline_tests.research.labels.builders import (
    FIRST,
    START,
    bars,
    book,
    ends,
    label_specs,
    labels_of,
    no_book,
    walk,
)

DAYS = days_between(FIRST, FIRST + timedelta(days=5))
SPECS = label_specs()


def at(minute: int) -> datetime:
    """The close of the minute with this index."""
    return START + (minute + 1) * MINUTE


def _ln(a: float, b: float) -> object:
    return pytest.approx(math.log(a / b), abs=1e-12)


def _closes_alone(closes: list[float | None]) -> pl.DataFrame:
    none: list[float | None] = [None] * len(closes)
    return labels_of(Minutes(closes, none, none), SPECS)


# --- planted paths -----------------------------------------------------------------------------


def test_planted_path_has_exact_values() -> None:
    closes: list[float | None] = [100.0, 200.0, 240.0, 150.0, 210.0, 100.0, 220.0, 400.0]
    table = _closes_alone(closes)
    row = table.row(0, named=True)
    assert row["fwd_ret_5m"] == row["fwd_ret_5m_exec"] == _ln(220, 200)
    assert row["mfe_5m"] == _ln(240, 200)
    assert row["mae_5m"] == _ln(100, 200)
    assert row["mae_5m_mark"] is None
    assert row["price_source"] == "close"
    assert row["available_at"] - row["ts"] == timedelta(hours=24, minutes=1)
    assert table["fwd_ret_15m"].count() == 0
    assert table["fwd_ret_5m"].count() == 2


def test_a_path_run_backwards_does_not_swap_the_extremes() -> None:
    there = _closes_alone([1.0, 100.0, 120.0, 115.0, 90.0, 105.0, 110.0]).row(0, named=True)
    back = _closes_alone([1.0, 110.0, 105.0, 90.0, 115.0, 120.0, 100.0]).row(0, named=True)
    assert back["fwd_ret_5m"] == pytest.approx(-there["fwd_ret_5m"], abs=1e-12)
    assert there["mae_5m"] == _ln(90, 100)
    assert back["mfe_5m"] == _ln(120, 110)
    assert back["mfe_5m"] != pytest.approx(-there["mae_5m"], abs=1e-3)


def test_the_price_is_the_books_mid_and_the_source_is_the_entrys() -> None:
    frame = bars("A", START, [100.0] * 10)
    mids = pl.concat([book("A", START, [None] * 3 + [100.5]), book("A", START, [7.0] * 9, "spot")])
    table = build_labels(frame, mids, SPECS, DAYS[:1], ["A"])
    assert (
        table["price_source"].to_list() == ["close"] * 2 + ["mid"] + ["close"] * 7 + [None] * 1430
    )
    assert table["fwd_ret_5m"][2] == _ln(100, 100.5)


def test_extremes_on_the_mark_are_of_the_marks_own_path() -> None:
    marks: list[float | None] = [50.0, 60.0, 30.0, 66.0, 60.0, 60.0, 45.0, 99.0]
    table = labels_of(Minutes([100.0] * 8, [None] * 8, marks), SPECS)
    row = table.row(0, named=True)
    assert row["mae_5m_mark"] == _ln(30, 60)
    assert row["mfe_5m_mark"] == _ln(66, 60)
    assert row["mae_5m"] == row["mfe_5m"] == 0
    without_the_entrys = labels_of(
        Minutes([100.0] * 8, [None] * 8, [50.0, None, *marks[2:]]), SPECS
    ).row(0, named=True)
    assert without_the_entrys["mae_5m_mark"] is None
    assert without_the_entrys["mae_5m"] == 0


# --- gaps --------------------------------------------------------------------------------------


def test_missing_entry_exit_and_path() -> None:
    closes = walk(400, 5)
    closes[101] = None
    closes[200:203] = [None] * 3
    closes[300:304] = [None] * 4
    prices = np.array([np.nan if p is None else p for p in closes])
    labels = path_labels(prices, SPECS, len(prices))
    assert np.isnan(labels[0, 0, 100])
    assert np.isnan(labels[0, 0, 96]), "5 m tolerates no missing minute in its path"
    assert not np.isnan(labels[3, 0, 96])
    hour_exit_in_short_gap, hour_exit_in_long_gap = 201 - 61, 301 - 61
    assert not np.isnan(labels[2, 0, hour_exit_in_short_gap])
    assert np.isnan(labels[2, 0, hour_exit_in_long_gap])
    assert np.isnan(labels[2, 0, 290]), "4 of 60 minutes is over 5 %"


def test_a_share_that_is_a_whole_number_of_minutes_may_be_missing() -> None:
    specs = label_specs(max_missing_frac=0.35)
    for gone, known in ((504, True), (505, False)):
        prices = np.full(1442, 100.0)
        prices[10 : 10 + gone] = np.nan
        label = path_labels(prices, specs, 1)[4, 0, 0]
        assert np.isfinite(label) == known, "0.35 of 1,440 is 504, though not in binary"


def test_open_gaps_are_without_limit() -> None:
    newest, length_min = gaps_of(np.array([False, True, False, False, True, False]))
    assert newest.tolist() == [-1, 1, 1, 1, 4, 4]
    assert length_min[1:5].tolist() == [0, 2, 2, 0]
    assert length_min[0] > 10**9
    assert length_min[5] > 10**9


def test_rows_between_two_minutes_and_unusable_prices_are_no_price() -> None:
    frame = bars("A", START, [100.0] * 10)
    beside = frame.head(1).with_columns(pl.col("ts") + timedelta(seconds=30))
    unusable = frame.with_columns(pl.Series("close", [100.0] * 7 + [0.0, math.nan, math.inf]))
    table = build_labels(pl.concat([unusable, beside]), no_book(), SPECS, DAYS[:1], ["A"])
    assert table["price_source"].to_list() == ["close"] * 7 + [None] * 1433
    assert table["fwd_ret_5m"].to_list() == [0.0] + [None] * 1439


def test_a_minute_in_a_gap_has_its_row_and_a_day_without_a_price_has_none() -> None:
    closes: list[float | None] = [*walk(1440, 4), *[None] * 1440, *walk(1440, 5)]
    closes[700] = None
    table = labels_of(Minutes(closes, [None] * 4320, [None] * 4320), SPECS)
    assert table["ts"].to_list() == [at(i) for i in (*range(1440), *range(2880, 4320))]
    assert table["fwd_ret_5m"][700] == _ln(closes[706] or 0, closes[701] or 0)
    assert table["fwd_ret_5m"][699] is None, "no price at the entry"


def test_two_prices_at_one_minute_are_refused() -> None:
    frame = bars("A", START, [100.0] * 10)
    with pytest.raises(SchemaError, match="one \\(symbol, ts\\)"):
        build_labels(pl.concat([frame, frame.head(1)]), no_book(), SPECS, DAYS[:1], ["A"])


def test_unknown_symbols_and_days_give_no_rows() -> None:
    frame = bars("A", START, [100.0] * 10)
    for days, symbols in (([date(2024, 1, 1)], ["A"]), (DAYS[:1], ["B"]), (DAYS[:1], []), ([], [])):
        assert build_labels(frame, no_book(), SPECS, days, symbols).equals(LABELS_FWD.empty())


# --- ends --------------------------------------------------------------------------------------


def test_the_samples_end_is_not_an_end() -> None:
    table = _closes_alone(walk(300, 3))
    for column in ("fwd_ret_1h", "fwd_ret_1h_exec"):
        assert table[column].count() == 300 - 61
    assert table["fwd_ret_24h_exec"].count() == 0


def test_a_symbol_that_ended_is_settled_at_its_last_price() -> None:
    closes = walk(300, 3)
    table = labels_of(Minutes(closes, [None] * 300, [None] * 300, (299,)), SPECS)
    last = closes[299]
    for name, length in HORIZONS_MIN.items():
        returns, settled = table[f"fwd_ret_{name}"], table[f"fwd_ret_{name}_exec"]
        assert returns.count() == max(0, 300 - (length + 1))
        assert settled.count() == 299, "the last decision has no entry"
        known = returns.is_not_null()
        assert settled.filter(known).equals(returns.filter(known), null_equal=True)
        assert settled[297] == _ln(last or 0, closes[298] or 0)
        assert settled[298] == 0.0, "entered at the final price"
        assert table[f"mae_{name}"].null_count() == returns.null_count()


def test_a_path_with_too_much_missing_before_its_end_is_not_settled() -> None:
    closes = walk(300, 3)
    closes[290:293] = [None] * 3
    table = labels_of(Minutes(closes, [None] * 300, [None] * 300, (299,)), SPECS)
    settled = dict(zip(table["ts"], table["fwd_ret_1h_exec"], strict=True))
    assert settled[at(260)] is None, "3 of 38 minutes"
    assert settled[at(239)] is None, "3 of 59 minutes"
    assert settled[at(238)] is not None, "3 of 60 minutes: it resolved before the end"
    assert settled[at(293)] is not None


def test_an_end_whose_price_is_not_there_settles_nothing() -> None:
    closes = walk(300, 3)
    closes[299] = None
    table = labels_of(Minutes(closes, [None] * 300, [None] * 300, (299,)), SPECS)
    assert table["fwd_ret_1h_exec"].equals(table["fwd_ret_1h"], null_equal=True)


# --- how a range was cut -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def market() -> dict[str, pl.DataFrame]:
    """Six days of two symbols with holes, a book and marks; B ends on the fourth day."""
    n, last = 6 * 1440, 3 * 1440 + 600
    of_a, of_b = walk(n, 7, 0.01), walk(n, 8, 0.002)
    of_a[2800:2830] = [None] * 30
    # The longest horizon of the first day's last decision ends in a short gap.
    of_a[1439:1441] = [100.0, 101.0]
    of_a[2880:2883] = [None] * 3
    of_b[last + 1 :] = [None] * (n - last - 1)
    frame = pl.concat([bars("A", START, of_a), bars("B", START, of_b)])
    every_third = pl.int_range(pl.len()) % 3 == 0
    mids = frame.filter(every_third).select(
        "symbol", "ts", pl.lit("perp").alias("leg"), (pl.col("close") * 1.0001).alias("mid_last")
    )
    marks = frame.select("symbol", "ts", (pl.col("close") * 0.999).alias("mark_price"))
    return {"bars": frame, "book": mids, "marks": marks, "ends": ends(("B", at(last)))}


def _made(market: dict[str, pl.DataFrame], days: list[date], now: datetime) -> pl.DataFrame:
    """Labels of `days` from what had happened by `now`; an end is told a day after its day."""
    seen = {name: f.filter(pl.col("ts") <= now) for name, f in market.items() if "ts" in f.columns}
    told = market["ends"].filter(pl.col("ended_at").dt.offset_by("2d") <= now)
    return build_labels(
        seen["bars"], seen["book"], SPECS, days, ["B", "A"], mark_index=seen["marks"], ends=told
    )


@pytest.mark.parametrize("i", range(6))
def test_a_day_alone_equals_the_range_bit_for_bit(market: dict[str, pl.DataFrame], i: int) -> None:
    whole = _made(market, DAYS, at(10**5))
    begin = START + timedelta(days=i)
    window = pl.col("ts").is_between(begin, begin + timedelta(days=3), closed="right")
    visible = {name: f.filter(window) if "ts" in f.columns else f for name, f in market.items()}
    alone = _made(visible, [DAYS[i]], at(10**5))
    of_day = whole.filter(pl.col("ts").is_between(begin, begin + timedelta(days=1), closed="right"))
    assert alone.equals(of_day, null_equal=True)
    assert alone.height > 0
    last_of_the_first = alone.filter(pl.col("ts") == at(1439))["fwd_ret_24h"]
    assert i > 0 or last_of_the_first[0] is not None
    LABELS_FWD.validate(alone)


def test_days_with_holes_between_them_equal_the_range(market: dict[str, pl.DataFrame]) -> None:
    whole = _made(market, DAYS, at(10**5))
    some = [DAYS[4], DAYS[0], DAYS[3]]
    wanted = whole.filter((pl.col("ts") - timedelta(microseconds=1)).dt.date().is_in(some))
    assert _made(market, some, at(10**5)).equals(wanted, null_equal=True)


def test_a_label_is_null_until_it_resolves_and_then_never_changes(
    market: dict[str, pl.DataFrame],
) -> None:
    final = _made(market, DAYS, at(10**5))
    for now_min in (1440, 2000, 2871, 2880, 4321, 4920, 4921, 5760, 5800):
        early = _made(market, DAYS, at(now_min - 1)).join(
            final, on=["symbol", "ts"], how="left", suffix="_final", maintain_order="left"
        )
        for name, length in HORIZONS_MIN.items():
            exit_at = pl.col("ts") + timedelta(minutes=1 + length)
            resolved = early.filter(exit_at <= at(now_min - 4))
            pending = early.filter(exit_at > at(now_min - 1))
            for column in (c for c in LABELS_FWD.names if f"_{name}" in c):
                known = early.filter(pl.col(column).is_not_null())
                assert known[column].equals(known[f"{column}_final"])
                if not column.endswith("_exec"):
                    assert resolved[column].equals(resolved[f"{column}_final"], null_equal=True)
                    assert pending[column].null_count() == pending.height, column


def test_an_end_that_is_told_later_resolves_what_was_open(market: dict[str, pl.DataFrame]) -> None:
    day = [DAYS[3]]
    of_b = pl.col("symbol") == "B"
    before, after = (_made(market, day, at(days * 1440 - 1)).filter(of_b) for days in (4, 6))
    assert before["fwd_ret_24h_exec"].null_count() == before.height
    assert after["fwd_ret_24h"].null_count() == after.height
    priced = after.filter(pl.col("price_source").is_not_null())
    without_entry = priced.height - priced["fwd_ret_24h_exec"].count()
    assert 0 < without_entry < 20
