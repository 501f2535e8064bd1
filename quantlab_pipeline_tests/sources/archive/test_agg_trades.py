"""Trades in aggregate: both markets' dialects, damaged bytes, and the real files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.research.market_data.trades import TRADE_COLUMNS, minute_bars
from quantlab_pipeline.sources.archive.agg_trades import read_trades
from quantlab_pipeline.sources.archive.codec import AGG_TRADE_COLUMNS, make_zip

NAME = "data/x/BTCUSDT-aggTrades-2024-03-05.zip"
START = datetime(2024, 3, 5, tzinfo=UTC)
MS = int(START.timestamp() * 1000)
HEADER = ",".join(AGG_TRADE_COLUMNS)
UM = [f"7,10.5,2.0,100,102,{MS + 500},true", f"8,10.0,1.0,103,103,{MS + 61_000},false"]
SPOT = [
    f"7,10.5,2.0,100,102,{MS + 500}000,True,True",
    f"8,10.0,1.0,103,103,{MS + 61_000}000,False,False",
]


def trades(lines: list[str], **options) -> pl.DataFrame:
    data = make_zip("a.csv", "\n".join([*lines, ""]).encode())
    return pl.concat(read_trades(data, NAME, **options))


@pytest.mark.parametrize("lines", [[HEADER, *UM], UM, SPOT])
def test_both_markets_dialects_give_the_same_trades(lines):
    rows = trades(lines)
    assert dict(rows.schema) == TRADE_COLUMNS
    assert rows["ts"].to_list() == [
        START + timedelta(milliseconds=500),
        START + timedelta(seconds=61),
    ]
    assert rows["n_trades"].to_list() == [3, 1]
    assert rows["is_buyer_maker"].to_list() == [True, False]


def test_pieces_give_the_bars_of_the_whole():
    data = make_zip("a.csv", "\n".join([HEADER, *UM * 20, ""]).encode())
    pieces = list(read_trades(data, NAME, piece_bytes=100))
    assert len(pieces) > 10
    assert minute_bars(pieces).equals(minute_bars(read_trades(data, NAME)))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("true", "maker", r"line 2: is_buyer_maker is 'maker', not true or false"),
        ("true", "", "line 2: is_buyer_maker is empty"),
        ("10.5", "", "line 2: price is empty"),
        ("10.5", "x", "line 2: price is 'x'"),
        ("102", "10 2", "line 2: last_trade_id is '10 2'"),
        (",true", "", "line 2: 6 fields, 7 columns"),
        (str(MS + 500), "1709", "line 2: transact_time is 1709, no instant"),
    ],
)
def test_a_damaged_line_is_named(old, new, problem):
    with pytest.raises(SourceError, match=problem) as caught:
        trades([HEADER, UM[0].replace(old, new), UM[1]])
    assert (caught.value.fields["file"], caught.value.fields["line"]) == (NAME, 2)


def test_the_archives_own_files_add_up(real_data: Path):
    """Minutes, trades and volumes as counted in the text of the files themselves."""
    expected = {
        "futures-APEUSDT-aggTrades-2024-10-18": (180_907, 41_674_860, 19_501_808),
        "spot-PEPEUSDT-aggTrades-2024-10-27": (392_176, 11_316_407_147_221, 5_685_318_573_656),
    }
    for name, (count, base, taker) in expected.items():
        data = (real_data / "official_samples" / f"{name}.zip").read_bytes()
        bars = minute_bars(read_trades(data, name))
        assert minute_bars(read_trades(data, name, piece_bytes=100_000)).equals(bars)
        assert (bars.height, bars["n_trades"].sum()) == (1440, count)
        assert bars["volume_base"].sum() == pytest.approx(base, rel=1e-12)
        assert bars["taker_buy_base"].sum() == pytest.approx(taker, rel=1e-12)
        assert bars.select(pl.col("high") >= pl.max_horizontal("open", "close")).to_series().all()
