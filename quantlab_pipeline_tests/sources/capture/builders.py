"""Lines and files of small captures, as a recorder would have written them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from quantlab_pipeline.sources.base import MemoryTree
from quantlab_pipeline.sources.capture.control import control_text
from quantlab_pipeline.sources.capture.source import Capture

SYMBOL = "BTCUSDT"
DAY = date(2024, 8, 8)
START = datetime(2024, 8, 8, tzinfo=UTC)
PERP, SPOT = "usdm/btcusdt_20240808.gz", "spot/btcusdt_20240808.gz"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(seconds: float, day: int = 0) -> datetime:
    """So many seconds into the day."""
    return START + timedelta(days=day, seconds=seconds)


def ns(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1) * 1000


def ms(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(milliseconds=1)


def line(local: datetime, stream: str, data: dict) -> str:
    return f"{ns(local)} " + json.dumps({"stream": stream, "data": data}, separators=(",", ":"))


def book(local, u, event=None, bid=99.0, ask=101.0, symbol=SYMBOL):
    data = {"u": u, "s": symbol, "b": str(bid), "B": "2", "a": str(ask), "A": "3"}
    if event is not None:
        data |= {"e": "bookTicker", "T": ms(event), "E": ms(event)}
    return line(local, f"{symbol.lower()}@bookTicker", data)


def trade(local, number, traded=None, price=100.0, base=1.0, sells=False, kind="MARKET"):
    traded = traded or local
    data = {
        "e": "trade",
        "E": ms(traded),
        "T": ms(traded),
        "s": SYMBOL,
        "t": number,
        "p": str(price),
        "q": str(base),
        "m": sells,
        "X": kind,
    }
    return line(local, "btcusdt@trade", data)


def agg_trade(local, number, n=1, price=100.0, base=1.0):
    data = {
        "e": "aggTrade",
        "E": ms(local),
        "T": ms(local),
        "s": SYMBOL,
        "a": number,
        "p": str(price),
        "q": str(base),
        "f": 10 * number,
        "l": 10 * number + n - 1,
        "m": False,
    }
    return line(local, "btcusdt@aggTrade", data)


def mark(local, event=None, price=100.0, index=99.5, rate=0.0001, settles=None):
    event = event or local
    data = {
        "e": "markPriceUpdate",
        "E": ms(event),
        "s": SYMBOL,
        "p": str(price),
        "P": "1.0",
        "i": str(index),
        "r": str(rate),
        "T": ms(settles or at(8 * 3600)),
    }
    return line(local, "btcusdt@markPrice@1s", data)


def own(local, event: str, **fields) -> str:
    """One of the recorder's own lines."""
    return f"{ns(local)} {control_text(event, **fields)}"


def text(lines: Iterable[str]) -> bytes:
    return "".join(f"{each}\n" for each in lines).encode()


def capture(files: dict[str, Iterable[str] | bytes], **options) -> Capture:
    """A source over files in memory: name -> lines, or bytes as they are."""
    kept = {
        name: lines if isinstance(lines, bytes) else gzip.compress(text(lines))
        for name, lines in files.items()
    }
    return Capture(MemoryTree(kept), **options)
