"""Which lines are messages, what their columns are, and where the garbage lies."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantlab_pipeline.sources.capture.lines import (
    AGG_TRADE,
    BOOK,
    MARK,
    TRADE,
    pieces_of,
    read_pieces,
)
from quantlab_pipeline.sources.capture.unzip import WholeLines
from quantlab_pipeline_tests.sources.capture import builders as b

GOOD = b.book(b.at(1), 7, b.at(1))


def parsed(lines, piece_bytes=1 << 20):
    return pieces_of(gzip.compress(b.text(lines)), "x.gz", b.SYMBOL, piece_bytes)


def one(lines):
    (piece,) = parsed(lines)
    return piece


def test_each_kind_has_its_columns():
    piece = one(
        [
            b.book(b.at(1), 7, b.at(0.5), bid=99.5),
            b.mark(b.at(2), b.at(1.9), price=100.5, settles=b.at(28800)),
            b.trade(b.at(3), 41, b.at(2.9), price=100.25, base=0.5, sells=True),
            b.agg_trade(b.at(4), 8, n=3),
        ]
    )
    rows = {kind: frame.to_dicts()[0] for kind, frame in piece.messages.items()}
    assert rows[BOOK] == {
        "line": 1,
        "local": b.at(1),
        "event": b.at(0.5),
        "u": 7,
        "bid_px": 99.5,
        "bid_qty": 2.0,
        "ask_px": 101.0,
        "ask_qty": 3.0,
    }
    assert rows[MARK]["mark_price"] == 100.5
    assert rows[MARK]["next_funding_ts"] == b.at(28800)
    assert (rows[TRADE]["id"], rows[TRADE]["n"], rows[TRADE]["price"]) == (41, 1, 100.25)
    assert (rows[TRADE]["taker_buys"], rows[TRADE]["market"]) == (False, True)
    assert (rows[AGG_TRADE]["id"], rows[AGG_TRADE]["n"]) == (8, 3)
    assert piece.heard.to_list() == [b.at(1), b.at(2), b.at(3), b.at(4)]


def test_micro_and_nanoseconds_are_told_apart_and_a_stamp_is_never_early():
    nanos = b.ns(b.at(1)) + 1
    payload = GOOD.split(" ", 1)[1]
    piece = one([f"{nanos} {payload}", f"{nanos // 1000} {payload}"])
    assert piece.heard.to_list() == [b.at(1) + timedelta(microseconds=1), b.at(1)]


def test_streams_that_are_not_read_are_passed_over_but_heard():
    lines = [
        b.line(b.at(1), "btcusdt@depth@100ms", {"b": [["1", "2"]]}),
        f'{b.ns(b.at(2))} {{"lastUpdateId": 1, "bids": []}}',
        f'{b.ns(b.at(3))} {{"result":null,"id":1}}',
    ]
    piece = one(lines)
    assert all(frame.is_empty() for frame in piece.messages.values())
    assert (piece.heard.len(), piece.garbage.height) == (3, 0)


STAMP = b.ns(b.at(1))
GARBAGE = [
    "",
    "hello",
    "\x00\x01\x02",
    GOOD[: len(GOOD) // 2],
    GOOD.split(" ", 1)[1],
    f"12345 {GOOD.split(' ', 1)[1]}",
    f"{'9' * 19} {GOOD.split(' ', 1)[1]}",
    f"{STAMP} []",
    f'{STAMP} {{"a": nonsense}}',
    f'{STAMP} {{"stream":"btcusdt@bookTicker","data":null}}',
    f'{STAMP} {{"stream":"btcusdt@bookTicker","data":{{"u":"x","s":"BTCUSDT"}}}}',
    f'{STAMP} {{"stream":"btcusdt@bookTicker","data":{"[" * 50_000}}}',
    f'{STAMP} {{"stream":"btcusdt@bookTi',
    b.book(b.at(1), 7, symbol="ETHUSDT").replace("ethusdt", "btcusdt"),
    b.book(b.at(1), 7, b.at(3700)),
    b.trade(b.at(1), 3, price="NaN"),
    b.trade(b.at(1), 3, base=-1.0),
    b.trade(b.at(1), 3, price=0.0),
    b.trade(b.at(1), 3, b.at(-3700)),
    b.mark(b.at(1), price="x"),
    b.own(b.at(1), "binary", base64="AAA="),
    b.own(b.at(1), "text", text="two\nlines"),
]


@pytest.mark.parametrize("bad", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_counted_with_its_line_and_costs_no_good_line(bad):
    piece = one([GOOD, bad, GOOD])
    assert piece.garbage["line"].to_list() == [2]
    assert piece.garbage["local"].to_list() == [b.at(1)]
    assert piece.messages[BOOK]["line"].to_list() == [1, 3]
    assert piece.heard.len() == 2
    assert piece.lines == 3


def test_bytes_that_are_no_text_are_garbage_too():
    data = b.text([GOOD]) + b"\xff\xfe\n" + GOOD.encode().replace(b"BTC", b"\xff\xfeC") + b"\n"
    (piece,) = pieces_of(gzip.compress(data), "x.gz", b.SYMBOL)
    assert piece.garbage["line"].to_list() == [2, 3]


def test_a_quote_with_a_price_that_is_no_number_is_a_quote_that_is_not_valid():
    piece = one([b.book(b.at(1), 7, b.at(1), bid="x"), b.book(b.at(1), 8, b.at(1), bid="")])
    assert piece.garbage.is_empty()
    assert piece.messages[BOOK]["bid_px"].to_list() == [None, None]


def test_the_recorders_own_lines_are_read_and_only_its_clock_line_is_heard():
    piece = one(
        [
            b.own(b.at(1), "started", url="ws://x"),
            b.own(b.at(2), "clock", offset_ms=3, n=5),
            b.own(b.at(3), "reconnected", gap_ms=12.5),
        ]
    )
    assert [c.event for c in piece.control] == ["started", "clock", "reconnected"]
    assert piece.control[2].fields == {"gap_ms": 12.5}
    assert piece.heard.to_list() == [b.at(2)]


def test_a_trade_beside_the_book_may_have_no_price():
    piece = one([b.trade(b.at(1), 3, price=0.0, kind="NA")])
    assert piece.messages[TRADE]["market"].to_list() == [False]
    assert piece.garbage.is_empty()


def test_only_the_kinds_asked_for_are_decoded_and_all_are_heard():
    data = gzip.compress(b.text([GOOD, b.trade(b.at(2), 1)]))
    text = WholeLines(data, "x.gz")
    (piece,) = read_pieces(text, b.SYMBOL, frozenset({TRADE}))
    assert set(piece.messages) == {TRADE}
    assert piece.heard.len() == 2


@example([GOOD] * 7 + ["junk"] * 6 + [b.trade(b.at(2), 5)] * 4 + ["junk"], 480)
@given(
    st.lists(st.sampled_from([GOOD, "junk", b.trade(b.at(2), 5)]), min_size=1), st.integers(1, 900)
)
def test_pieces_of_any_size_hold_the_same_rows(lines, piece_bytes):
    def rows(size: int) -> tuple[list[pl.DataFrame], list[datetime]]:
        pieces = parsed(lines, size)
        frames = [pl.concat([p.messages[k] for p in pieces]) for k in sorted(pieces[0].messages)]
        return [*frames, pl.concat([p.garbage for p in pieces])], [
            t for p in pieces for t in p.heard
        ]

    # A line longer than a piece would be cut.
    size = max(piece_bytes, 400)
    small, whole = rows(size), rows(1 << 20)
    assert all(a.equals(b_) for a, b_ in zip(small[0], whole[0], strict=True))
    assert small[1] == whole[1]
