"""The official Binance archive's files, both ways: CSV in a zip, with a CHECKSUM file beside it.

Belongs here: the columns, stamps and zips of the format, and the errors of bytes that are not of
it. Spot `bookTicker` is this project's own extension with the columns of the futures' (the archive
has none); generated worlds write their spot book with it. What a row means is `research`'s matter.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.errors import SourceError

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


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of CSV: all its columns in order, and those that are read, with their types.

    A `pl.Int64` among `stamps` is an instant in milliseconds or microseconds; a `pl.String` one is
    `YYYY-MM-DD HH:MM:SS`, UTC.
    """

    columns: tuple[str, ...]
    read: dict[str, pl.DataType | type[pl.DataType]]
    stamps: tuple[str, ...]


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

PIECE_BYTES = 32 * 1024 * 1024
_FIRST_MS, _FIRST_US = 10**12, 10**15
_LAST_MS, _LAST_US = 5 * 10**12, 5 * 10**15
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
_REFETCH = "Fetch the file again, or remove it."


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


def read_rows(data: bytes, name: str, form: Format) -> pl.DataFrame:
    """All rows of one zipped CSV, in file order: the format's read columns, stamps as TS."""
    pieces = list(read_pieces(data, name, form))
    return pl.concat(pieces)


def read_pieces(
    data: bytes, name: str, form: Format, piece_bytes: int = PIECE_BYTES
) -> Iterator[pl.DataFrame]:
    """Rows of one zipped CSV in pieces of about `piece_bytes` of text, at least one (maybe empty).

    The first line decides whether there is a header. Stamps are milliseconds or microseconds, told
    apart row by row by their size. SourceError, naming file and line, for a zip that is damaged, a
    column that is missing, a number that is text, a stamp that is neither.
    """
    line = 1
    columns: list[str] | None = None
    for text in _lines(data, name, piece_bytes):
        body = text
        if columns is None:
            columns, body = _header(text, name, form)
            line += int(body is not text)
        yield _rows(body, name, form, columns, line)
        line += body.count(b"\n")
    if columns is None:
        yield _rows(b"", name, form, list(form.columns), line)


def _lines(data: bytes, name: str, piece_bytes: int) -> Iterator[bytes]:
    """The one CSV in a zip, in pieces that end with a line."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [m for m in archive.namelist() if not m.endswith("/")]
            if len(members) != 1:
                raise SourceError(
                    f"{name} holds {len(members)} files, not one.", _REFETCH, file=name
                )
            with archive.open(members[0]) as member:
                rest = b""
                while block := member.read(piece_bytes):
                    whole, newline, tail = (rest + block).rpartition(b"\n")
                    rest = tail
                    if newline:
                        yield whole + newline
                if rest:
                    yield rest + b"\n"
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError) as error:
        raise SourceError(
            f"{name} is not a whole zip file: {error}.", _REFETCH, file=name
        ) from error
    except zlib.error as error:
        raise SourceError(f"{name} is damaged inside: {error}.", _REFETCH, file=name) from error


def _header(text: bytes, name: str, form: Format) -> tuple[list[str], bytes]:
    """Column names (from the first line, or the format's own) and the text after them."""
    first, _, after = text.partition(b"\n")
    fields = [f.strip() for f in first.decode("utf-8", errors="replace").strip().split(",")]
    if not (fields[0][:1].isalpha() or fields[0][:1] == '"'):
        if len(fields) != len(form.columns):
            raise SourceError(
                f"{name} has no header and {len(fields)} columns, not {len(form.columns)}.",
                _REFETCH,
                file=name,
                line=1,
            )
        return list(form.columns), text
    columns = [f.strip('"') for f in fields]
    missing = [c for c in form.read if c not in columns]
    if missing:
        raise SourceError(
            f"{name} lacks the column {missing[0]}.", _REFETCH, file=name, columns=missing
        )
    return columns, after


def _rows(body: bytes, name: str, form: Format, columns: list[str], line: int) -> pl.DataFrame:
    types = {c: form.read.get(c, pl.String) for c in columns}
    if not body.strip():
        rows = pl.DataFrame(schema={c: form.read[c] for c in form.read})
    else:
        try:
            rows = pl.read_csv(body, has_header=False, schema=types).select(list(form.read))
        except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
            raise _unreadable(body, name, form, columns, line, error) from error
    return rows.with_columns(_stamp(rows, c, name, line) for c in form.stamps)


def _unreadable(
    body: bytes, name: str, form: Format, columns: list[str], line: int, error: Exception
) -> SourceError:
    """The error that names the first line at fault, looked for only once something failed."""
    for offset, raw in enumerate(body.decode("utf-8", errors="replace").splitlines()):
        fields = raw.split(",")
        where = line + offset
        if len(fields) != len(columns):
            return SourceError(
                f"{name}, line {where}: {len(fields)} fields, {len(columns)} columns.",
                _REFETCH,
                file=name,
                line=where,
            )
        for column, value in zip(columns, fields, strict=True):
            kind = form.read.get(column)
            if kind in (pl.Int64, pl.Float64) and not _is_number(value, whole=kind == pl.Int64):
                return SourceError(
                    f"{name}, line {where}: {column} is {value!r}, not a number.",
                    _REFETCH,
                    file=name,
                    line=where,
                    column=column,
                )
    return SourceError(f"{name} cannot be read as CSV: {error}.", _REFETCH, file=name)


def _is_number(value: str, *, whole: bool) -> bool:
    if value == "":
        return True
    try:
        int(value) if whole else float(value)
    except ValueError:
        return False
    return True


def _stamp(rows: pl.DataFrame, column: str, name: str, line: int) -> pl.Expr:
    """Expression for a stamp column as TS; SourceError at the first that is no instant."""
    if rows.schema[column] == pl.String:
        stamp = pl.col(column).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
        stamp = stamp.dt.replace_time_zone("UTC")
    else:
        value = pl.col(column)
        stamp = (
            pl.when(value.is_between(_FIRST_US, _LAST_US))
            .then(value)
            .when(value.is_between(_FIRST_MS, _LAST_MS))
            .then(value * 1000)
            .cast(TS)
        )
    bad = rows.select(stamp.is_null().arg_true()).to_series()
    if bad.len():
        where = line + int(bad[0])
        raise SourceError(
            f"{name}, line {where}: {column} is {rows[column][int(bad[0])]!r}, no instant in the "
            "format's units.",
            _REFETCH,
            file=name,
            line=where,
            column=column,
        )
    return stamp.alias(column)
