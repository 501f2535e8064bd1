"""The format of a capture: one raw message a line, `LOCAL_STAMP {json}`, as typed frames in bulk.

Belongs here: which lines are messages, of which kind, and the columns of each. Local stamps are
nanoseconds or microseconds, told apart by their length. Streams that are not read (depth, snapshots
of it) are passed over; a line that is no message at all is garbage, kept with its number. What a
message means for a table is `landed`'s matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.sources.capture.control import (
    BINARY,
    CLOCK,
    STREAM,
    TEXT,
    ControlLine,
    control_line,
)
from quantlab_pipeline.sources.capture.unzip import PIECE_BYTES, WholeLines

BOOK, MARK, TRADE, AGG_TRADE = "bookTicker", "markPrice", "trade", "aggTrade"

_TEXT, _WHOLE, _YES = pl.String(), pl.Int64(), pl.Boolean()
_FIELDS: dict[str, dict[str, pl.DataType]] = {
    BOOK: {"E": _WHOLE, "T": _WHOLE, "u": _WHOLE, **dict.fromkeys("sbBaA", _TEXT)},
    MARK: {"E": _WHOLE, "T": _WHOLE, **dict.fromkeys("spir", _TEXT)},
    TRADE: {"E": _WHOLE, "T": _WHOLE, "t": _WHOLE, **dict.fromkeys("spqX", _TEXT), "m": _YES},
    AGG_TRADE: {**dict.fromkeys("ETafl", _WHOLE), **dict.fromkeys("spq", _TEXT), "m": _YES},
}
KINDS = frozenset(_FIELDS)
"""The streams that are read, by what stands after the `@` of their name."""

MARK_COLUMNS: dict[str, Any] = {
    "event": TS,
    "mark_price": pl.Float64,
    "index_price": pl.Float64,
    "predicted_rate": pl.Float64,
    "next_funding_ts": TS,
}

_FIRST_MS, _LAST_MS = 10**12, 5 * 10**12
_FARTHEST_MS = 3_600_000
"""A venue's time further than this from the message's arrival is no time of it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some consecutive lines of one file.

    `messages` has a frame a kind, in the order of arrival: `line`, `local`, `event` (the venue's
    own time; null in a book that has none) and the columns of `_columns`. `heard` is the local
    stamp of every line that is a message, read or not, or tells that the connection stands.
    `garbage` has `line` and `local`, the last stamp up to it, in an earlier piece perhaps (null if
    none); `last` is the last stamp of all lines up to the end. `lines` counts all.
    """

    messages: Mapping[str, pl.DataFrame]
    heard: pl.Series
    garbage: pl.DataFrame
    control: tuple[ControlLine, ...]
    lines: int
    last: datetime | None


def read_pieces(text: WholeLines, symbol: str, kinds: frozenset[str] = KINDS) -> Iterator[Piece]:
    """A file's messages of `symbol` in pieces; of kinds not among `kinds` only that they came.

    Garbage is a line without a stamp and an object, one that is no JSON where its stream is read,
    one without the fields of its kind, one whose venue time is an hour or more from its arrival,
    and a message of another symbol.
    """
    first, last = 1, None
    for block in text:
        piece = _piece(block, first, symbol, kinds, last)
        yield piece
        first, last = first + piece.lines, piece.last


def pieces_of(data: bytes, name: str, symbol: str, piece_bytes: int = PIECE_BYTES) -> list[Piece]:
    """Every piece of a file at once, for those that are small."""
    return list(read_pieces(WholeLines(data, name, piece_bytes), symbol))


def _piece(
    block: bytes, first: int, symbol: str, kinds: frozenset[str], before: datetime | None
) -> Piece:
    lines = _split(block, first)
    near = pl.col("local").forward_fill().fill_null(pl.lit(before, dtype=TS))
    placed = lines.select("line", near)
    known = lines.filter("whole")
    bad = [lines.filter(~pl.col("whole"))["line"]]
    messages = {}
    for kind in sorted(kinds):
        messages[kind], odd = _messages(known.filter(pl.col("kind") == kind), kind, symbol)
        bad.append(odd)
    bad.append(_not_json(known.filter(pl.col("kind").is_null())))
    own = known.filter(pl.col("kind") == STREAM)
    control, odd = _control(own)
    bad.append(odd)
    told = own.filter(~pl.col("payload").str.contains(f'"e":"{CLOCK}"', literal=True))["line"]
    garbage = pl.concat(bad)
    heard = known.filter(~pl.col("line").is_in(pl.concat([garbage, told]).implode()))["local"]
    unread = placed.filter(pl.col("line").is_in(garbage.implode()))
    last = placed["local"][-1] if placed.height else before
    return Piece(messages, heard, unread, control, lines.height, last)


def _split(block: bytes, first: int) -> pl.DataFrame:
    """Every line with its number, `local`, `kind`, `payload` and whether it looks whole."""
    rows = pl.read_csv(
        block,
        separator="\x01",
        has_header=False,
        quote_char=None,
        schema={"raw": pl.String},
        truncate_ragged_lines=True,
        encoding="utf8-lossy",
    ).with_row_index("line", first)
    raw = pl.col("raw").fill_null("")
    halves = rows.select(
        pl.col("line").cast(pl.Int64),
        raw.str.extract(r'"stream"\s*:\s*"(?:[^"@]*@)?([\w!]+)').alias("kind"),
        raw.str.strip_chars_end().str.splitn(" ", 2).struct.rename_fields(["stamp", "payload"]),
    ).unnest("raw")
    number, digits = pl.col("stamp").cast(pl.Int64, strict=False), pl.col("stamp").str.len_bytes()
    # Rounded up: a message is not known before its stamp.
    local_us = pl.when(digits == 16).then(number).when(digits == 19).then((number + 999) // 1000)
    sane = local_us.is_between(_FIRST_MS * 1000, _LAST_MS * 1000)
    payload = pl.col("payload")
    shaped = payload.str.starts_with("{") & payload.str.ends_with("}")
    return halves.select(
        "line",
        pl.when(sane).then(local_us).cast(TS).alias("local"),
        "kind",
        "payload",
        (sane & shaped).fill_null(value=False).alias("whole"),
    )


def _messages(lines: pl.DataFrame, kind: str, symbol: str) -> tuple[pl.DataFrame, pl.Series]:
    """The lines of one kind as a frame, and the numbers of those that are garbage."""
    shape = pl.Struct({"data": pl.Struct(_FIELDS[kind])})
    data = _decoded(lines["payload"], shape).struct.field("data").struct.unnest()
    rows = pl.concat([lines.select("line", "local"), data], how="horizontal")
    sound = (pl.col("s") == symbol) & _sound(kind)
    marked = rows.with_columns(sound.fill_null(value=False).alias("_sound"))
    kept = marked.filter("_sound").select("line", "local", *_columns(kind))
    return kept, marked.filter(~pl.col("_sound"))["line"]


def _decoded(payload: pl.Series, shape: pl.Struct) -> pl.Series:
    """Each message's fields; null where a line is not of its format. One bad line fails all."""
    try:
        return payload.str.json_decode(shape)
    except pl.exceptions.PolarsError:
        no_json = pl.Series([_is_no_object(text) for text in payload], dtype=pl.Boolean)
        return _by_halves(payload.set(no_json, None), shape)


def _by_halves(payload: pl.Series, shape: pl.Struct) -> pl.Series:
    """As `_decoded`, where some lines are JSON of another shape: they are looked for by halves."""
    try:
        return payload.str.json_decode(shape)
    except pl.exceptions.PolarsError:
        middle = payload.len() // 2
        if middle == 0:
            return pl.Series(payload.name, [None], dtype=shape)
        return pl.concat([_by_halves(payload[:middle], shape), _by_halves(payload[middle:], shape)])


def _stamp(name: str) -> pl.Expr:
    value = pl.col(name)
    return pl.when(value.is_between(_FIRST_MS, _LAST_MS)).then(value * 1000).cast(TS)


def _number(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64, strict=False)


def _sound(kind: str) -> pl.Expr:
    """Whether a message has what its kind must have."""
    dated = _near_arrival("E")
    if kind == BOOK:
        return pl.col("u").is_not_null() & (pl.col("E").is_null() | dated)
    if kind == MARK:
        return dated & _number("p").is_finite()
    ids = ("t",) if kind == TRADE else ("a", "f", "l")
    amounts = pl.all_horizontal(_number(c).is_finite() & (_number(c) > 0) for c in "pq")
    if kind == TRADE:
        amounts |= ~_of_the_market()
    known = pl.all_horizontal(pl.col(c).is_not_null() for c in (*ids, "m"))
    ordered = pl.lit(value=True) if kind == TRADE else pl.col("l") >= pl.col("f")
    return dated & _near_arrival("T") & amounts & known & ordered


def _of_the_market() -> pl.Expr:
    """Insurance fund and deleveraging trade beside the book, some of them at no price at all."""
    return pl.col("X").is_null() | (pl.col("X") == "MARKET")


def _near_arrival(name: str) -> pl.Expr:
    return (pl.col(name) - pl.col("local").dt.epoch("ms")).abs() < _FARTHEST_MS


def _columns(kind: str) -> list[pl.Expr]:
    """The columns of a kind's frame beside `line` and `local`."""
    event = _stamp("E").alias("event")
    if kind == BOOK:
        prices = {"bid_px": "b", "bid_qty": "B", "ask_px": "a", "ask_qty": "A"}
        latest = pl.max_horizontal(_stamp("E"), _stamp("T")).alias("event")
        return [latest, pl.col("u"), *(_number(c).alias(name) for name, c in prices.items())]
    if kind == MARK:
        prices = {"mark_price": "p", "index_price": "i", "predicted_rate": "r"}
        next_funding = _stamp("T").alias("next_funding_ts")
        return [event, *(_number(c).alias(name) for name, c in prices.items()), next_funding]
    if kind == TRADE:
        ids = [pl.col("t").alias("id"), pl.lit(1, pl.Int64).alias("n")]
        market = _of_the_market()
    else:
        ids = [pl.col("a").alias("id"), (pl.col("l") - pl.col("f") + 1).alias("n")]
        market = pl.lit(value=True)
    return [
        event,
        _stamp("T").alias("traded"),
        *ids,
        _number("p").alias("price"),
        _number("q").alias("base"),
        (~pl.col("m")).alias("taker_buys"),
        market.alias("market"),
    ]


def _not_json(lines: pl.DataFrame) -> pl.Series:
    """Of lines without a stream, those that are no JSON object; a REST answer is one."""
    bad = [_is_no_object(text) for text in lines["payload"]]
    return lines.filter(pl.Series(bad, dtype=pl.Boolean))["line"]


def _is_no_object(text: str) -> bool:
    try:
        return not isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return True


def _control(own: pl.DataFrame) -> tuple[tuple[ControlLine, ...], pl.Series]:
    """The recorder's own lines, and those of them that keep a frame that is no message."""
    rows = own.select("local", "payload").iter_rows()
    found = [control_line(local, payload) for local, payload in rows]
    odd = [line is None or line.event in {BINARY, TEXT} for line in found]
    kept = tuple(line for line, bad in zip(found, odd, strict=True) if line and not bad)
    return kept, own.filter(pl.Series(odd, dtype=pl.Boolean))["line"]
