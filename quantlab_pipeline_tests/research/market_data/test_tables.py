"""Bars, funding, open interest, mark and index: the two clocks, and every fault counted."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import TS, day_start, from_us, to_us
from quantlab_pipeline.research.market_data import bars, funding, mark_index, open_interest, schema
from quantlab_pipeline.research.market_data.parsed import Origin, findings_frame
from quantlab_pipeline_tests.research.market_data import builders as b

START = day_start(b.DAY)


def raw_bars(minutes: list[int], **columns) -> pl.DataFrame:
    frame = pl.DataFrame({"open_ts": [START + timedelta(minutes=m) for m in minutes]})
    defaults = dict.fromkeys(bars.PRICES, 100.0) | {"volume_base": 1.0}
    return frame.select(
        pl.col("open_ts").cast(TS),
        *(
            pl.Series(c, columns.get(c, [defaults.get(c)] * len(minutes)), dtype=kind)
            for c, kind in bars.RAW_BARS.items()
            if c != "open_ts"
        ),
    )


def counts(parsed) -> dict[str, int]:
    return {f.check: f.count for f in parsed.findings}


def test_a_bar_without_trades_is_a_bar():
    raw = raw_bars([0, 1], volume_base=[1.0, 0.0])
    parsed = bars.build_bars(raw, b.origin(), schema.BARS_1M_PERP)
    assert schema.BARS_1M_PERP.validate(parsed.frame)["volume_base"].to_list() == [1.0, 0.0]
    assert parsed.findings == ()


@pytest.mark.parametrize(
    ("columns", "check"),
    [
        ({"close": [100.0, None]}, "non_positive_price"),
        ({"low": [100.0, 0.0]}, "non_positive_price"),
        ({"open": [100.0, float("nan")]}, "non_positive_price"),
        ({"high": [100.0, 99.0]}, "ohlc_inconsistent"),
        ({"low": [100.0, 101.0]}, "ohlc_inconsistent"),
        ({"volume_base": [1.0, -1.0]}, "negative_volume"),
        ({"volume_base": [1.0, None]}, "negative_volume"),
        ({"n_trades": [1, -1]}, "negative_volume"),
    ],
)
def test_a_row_that_is_no_bar_is_set_aside_and_counted(columns, check):
    parsed = bars.build_bars(raw_bars([0, 1], **columns), b.origin(), schema.BARS_1M_PERP)
    assert parsed.frame.height == 1
    assert counts(parsed) == {check: 1}
    assert parsed.findings[0].first_ts == START + timedelta(minutes=2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=25))
def test_no_row_is_lost_without_a_count(minutes):
    parsed = bars.build_bars(raw_bars(minutes), b.origin(), schema.BARS_1M_PERP)
    assert parsed.frame.height + counts(parsed).get("duplicates", 0) == len(minutes)
    late = sum(m < max(minutes[:i], default=-1) for i, m in enumerate(minutes))
    assert counts(parsed).get("non_monotone", 0) == late
    schema.BARS_1M_PERP.validate(parsed.frame)


def test_repeated_minutes_that_differ_say_so():
    parsed = bars.build_bars(
        raw_bars([0, 0, 1, 1], close=[100.0, 100.0, 100.0, 100.0], volume_base=[1, 1, 1, 2.0]),
        b.origin(),
        schema.BARS_1M_PERP,
    )
    assert parsed.findings[0].detail == "1 of 2 repeated rows differ from the first"
    assert parsed.frame["volume_base"].to_list() == [1.0, 1.0]


def raw_funding(stamps, hours=None, rates=None) -> pl.DataFrame:
    n = len(stamps)
    return pl.DataFrame(
        {
            "raw_ts": pl.Series(stamps, dtype=TS),
            "settled_rate": rates or [1e-4] * n,
            "interval_h": pl.Series(hours or [None] * n, dtype=pl.Int64),
            "mark_price": pl.Series([60_000.0] * n),
        }
    )


def test_a_rate_is_known_from_its_raw_stamp_and_never_from_the_snapped_one():
    jitter = timedelta(milliseconds=37)
    parsed = funding.build_funding(
        raw_funding([START + timedelta(hours=8) + jitter]), b.origin("funding")
    )
    row = schema.FUNDING.validate(parsed.frame).row(0, named=True)
    assert row["ts"] == START + timedelta(hours=8)
    assert row["raw_ts"] == row["available_at"] == row["ts"] + jitter
    assert row["next_funding_ts"] == START + timedelta(hours=16)


def test_an_interval_switch_is_data():
    hours = [-8, 0, 8, 12, 16, 17]
    raw = raw_funding([START + timedelta(hours=h) for h in hours])
    parsed = funding.build_funding(raw, b.origin("funding"))
    assert parsed.frame["interval_h"].to_list() == [8, 4, 4, 1]
    gone = funding.build_funding(raw.filter(pl.int_range(pl.len()) != 2), b.origin("funding"))
    assert gone.frame["interval_h"].to_list() == [8, 4, 1], "a hole of 12 h is no interval"


def test_a_week_long_position_pays_what_its_rates_say():
    """+1 BTC, mark 60 000, 1 bp every 8 h for 7 days: -126.00; flat a second before: 0."""
    days = tuple(b.DAY + timedelta(days=i) for i in range(7))
    stamps = [START + timedelta(hours=8 * i, milliseconds=i % 40) for i in range(30)]
    table = funding.build_funding(raw_funding(stamps), b.origin("funding", days)).frame
    assert table.height == 21
    paid = -sum(1.0 * m * r for m, r in table.select("mark_price", "settled_rate").iter_rows())
    assert round(paid, 9) == -126.0
    held = table.filter(pl.col("ts") <= table["ts"][0] - timedelta(seconds=1))
    assert held.is_empty()


def test_a_stamp_far_from_the_hour_is_no_settlement():
    raw = raw_funding([START + timedelta(hours=8, minutes=3)])
    parsed = funding.build_funding(raw, b.origin("funding"))
    assert parsed.frame.is_empty()
    assert counts(parsed) == {"misaligned": 1}


def raw_oi(buckets: list[int], values=None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "bucket_start": pl.Series(
                [START + timedelta(minutes=5 * k) for k in buckets], dtype=TS
            ),
            "oi_base": pl.Series(values or [1000.0] * len(buckets), dtype=pl.Float64),
            "oi_usd": pl.Series([None] * len(buckets), dtype=pl.Float64),
        }
    )


def test_open_interest_is_known_after_its_bucket_and_the_delay():
    parsed = open_interest.build_open_interest(raw_oi([0]), b.origin("open_interest"), 90)
    row = schema.OPEN_INTEREST.validate(parsed.frame).row(0, named=True)
    assert row["ts"] - row["bucket_start"] == timedelta(minutes=5)
    assert row["available_at"] - row["ts"] == timedelta(seconds=90)


def test_unsorted_doubled_and_empty_buckets_are_counted():
    parsed = open_interest.build_open_interest(
        raw_oi([2, 0, 0, 1, 3], [3.0, 1.0, 1.0, 2.0, 0.0]), b.origin("open_interest")
    )
    assert parsed.frame["oi_base"].to_list() == [1.0, 2.0, 3.0]
    assert counts(parsed) == {"non_monotone": 3, "duplicates": 1, "non_positive_oi": 1}


def test_the_last_bucket_of_a_day_ends_at_its_midnight():
    parsed = open_interest.build_open_interest(raw_oi([-1, 287, 288]), b.origin("open_interest"))
    assert parsed.frame["bucket_start"].to_list() == [START + timedelta(minutes=5 * 287)]


def test_a_minute_without_index_is_null_and_one_without_mark_is_absent():
    def series(minutes):
        stamps = [START + timedelta(minutes=m) for m in minutes]
        return pl.DataFrame(
            {"open_ts": pl.Series(stamps, dtype=TS), "close": [1.0 + m for m in minutes]}
        )

    parsed = mark_index.build_mark_index(
        series([0, 1, 1]), series([0, 2, 2, 2]), b.origin("mark_index")
    )
    frame = schema.MARK_INDEX.validate(parsed.frame)
    assert frame["index_price"].to_list() == [1.0, None]
    assert counts(parsed) == {"duplicates": 1, "index_duplicates": 2}


def test_findings_of_one_key_add_up():
    parsed = bars.build_bars(raw_bars([0, 0]), b.origin(), schema.BARS_1M_PERP)
    frame = schema.RAW_FINDINGS.validate(findings_frame([*parsed.findings, *parsed.findings]))
    assert frame["count"].to_list() == [2]
    assert frame["ts"].to_list() == [START + timedelta(days=1)]
    assert schema.RAW_FINDINGS.validate(findings_frame([])).is_empty()


@settings(max_examples=50, deadline=None)
@given(st.integers(-29_000, 29_000))
def test_jitter_of_either_sign_snaps_to_the_settlement(milliseconds):
    at = START + timedelta(hours=8)
    raw = raw_funding([from_us(to_us(at) + 1000 * milliseconds)])
    parsed = funding.build_funding(raw, Origin("funding", b.SYMBOL, (b.DAY,)))
    assert parsed.frame["ts"].to_list() == [at]
