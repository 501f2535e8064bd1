"""The official Binance archive's files, both ways: CSV in a zip, with a CHECKSUM file beside it.

Belongs here: the columns and stamps of each kind of file, its zip and its checksum; the bytes are
read by `zipped_csv`. Spot `bookTicker` is this project's own extension with the columns of the
futures' (the archive has none); generated worlds write their spot book with it. What a row means is
`research`'s matter.
"""

from __future__ import annotations

import hashlib
import io
import zipfile

import polars as pl

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources.zipped_csv import Format

KLINE_COLUMNS = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
FUNDING_COLUMNS = ("calc_time", "funding_interval_hours", "last_funding_rate")
METRICS_COLUMNS = (
    "create_time",
    "symbol",
    "sum_open_interest",
    "sum_open_interest_value",
    "count_toptrader_long_short_ratio",
    "sum_toptrader_long_short_ratio",
    "count_long_short_ratio",
    "sum_taker_long_short_vol_ratio",
)
BOOK_COLUMNS = (
    "update_id",
    "best_bid_price",
    "best_bid_qty",
    "best_ask_price",
    "best_ask_qty",
    "transaction_time",
    "event_time",
)
AGG_TRADE_COLUMNS = (
    "agg_trade_id",
    "price",
    "quantity",
    "first_trade_id",
    "last_trade_id",
    "transact_time",
    "is_buyer_maker",
)

KLINES = Format(
    KLINE_COLUMNS,
    {
        "open_time": pl.Int64,
        "open": pl.Float64,
        "high": pl.Float64,
        "low": pl.Float64,
        "close": pl.Float64,
        "volume": pl.Float64,
        "close_time": pl.Int64,
        "quote_volume": pl.Float64,
        "count": pl.Int64,
        "taker_buy_volume": pl.Float64,
    },
    ("open_time", "close_time"),
)
FUNDING_RATE = Format(
    FUNDING_COLUMNS,
    {
        "calc_time": pl.Int64,
        "funding_interval_hours": pl.Int64,
        "last_funding_rate": pl.Float64,
    },
    ("calc_time",),
)
METRICS = Format(
    METRICS_COLUMNS,
    {
        "create_time": pl.String,
        "sum_open_interest": pl.Float64,
        "sum_open_interest_value": pl.Float64,
    },
    ("create_time",),
)
BOOK_TICKER = Format(
    BOOK_COLUMNS,
    {
        "best_bid_price": pl.Float64,
        "best_bid_qty": pl.Float64,
        "best_ask_price": pl.Float64,
        "best_ask_qty": pl.Float64,
        "transaction_time": pl.Int64,
        "event_time": pl.Int64,
    },
    ("transaction_time", "event_time"),
)
_AGG_TRADE: dict[str, pl.DataType | type[pl.DataType]] = {
    "price": pl.Float64,
    "quantity": pl.Float64,
    "first_trade_id": pl.Int64,
    "last_trade_id": pl.Int64,
    "transact_time": pl.Int64,
    "is_buyer_maker": pl.Boolean,
}
AGG_TRADES = Format(
    AGG_TRADE_COLUMNS,
    _AGG_TRADE,
    ("transact_time",),
    filled=tuple(_AGG_TRADE),
    trailing=("is_best_match",),
)
"""Trades of one taker order at one price, as one; spot has a column more, and no header."""

_FIXED_DATE = (1980, 1, 1, 0, 0, 0)


def make_zip(csv_name: str, text: bytes) -> bytes:
    """A zip with one member; equal text gives equal bytes on every machine and day.

    The member is stored, not deflated: deflate's bytes differ between zlib's implementations.
    """
    buffer = io.BytesIO()
    member = zipfile.ZipInfo(csv_name, _FIXED_DATE)
    member.compress_type = zipfile.ZIP_STORED
    member.create_system = 3
    member.external_attr = 0o644 << 16
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, text)
    return buffer.getvalue()


def make_checksum(name: str, data: bytes) -> bytes:
    """The CHECKSUM file of `data` under its file name."""
    return f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode()


def verify_checksum(name: str, data: bytes, checksum: bytes) -> None:
    """SourceError, naming the file, if `checksum` (a CHECKSUM file) is not of `data`."""
    stated = checksum.decode("ascii", errors="replace").split()
    actual = hashlib.sha256(data).hexdigest()
    if not stated or stated[0].lower() != actual:
        raise SourceError(
            f"{name} does not match its CHECKSUM file: its bytes are damaged or were replaced.",
            "Fetch the file and its CHECKSUM again.",
            file=name,
            stated=stated[0] if stated else "",
            actual=actual,
        )


def encode_csv(rows: pl.DataFrame, form: Format, *, header: bool) -> bytes:
    """`rows` (the format's columns, already in its units) as CSV text; null is an empty field."""
    return rows.select(form.columns).write_csv(include_header=header).encode()


def to_stamp(column: str, *, microseconds: bool) -> pl.Expr:
    """A TS column as the archive's integer, ms or µs."""
    return pl.col(column).dt.epoch("us" if microseconds else "ms")
