"""What is asked of a venue: markets, symbols, their streams, and the address that has them all.

Belongs here: the combined-stream addresses and what one message says of itself. How a connection is
kept alive is `listener`'s matter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.sources.capture.control import STREAM
from quantlab_pipeline.sources.capture.layout import MARKETS, SPOT, USDM
from quantlab_pipeline.sources.capture.lines import AGG_TRADE, BOOK, MARK

BASES = {USDM: "wss://fstream.binance.com", SPOT: "wss://stream.binance.com:9443"}
ROUTES: dict[str, dict[str, tuple[str, ...]]] = {
    USDM: {"/public": (BOOK,), "/market": (MARK, AGG_TRADE)},
    SPOT: {"": (BOOK, AGG_TRADE)},
}
"""Which streams a market has under which path. Since 2026-04-23 the USD-M venue serves quotes and
the rest apart: a stream that is asked for under the wrong path is accepted, and says nothing.

Quotes; marks, which also tell each second that the connection lives; trades, from which bars are
made and which carry the venue's time where quotes do not."""

_STREAM_OF = {MARK: f"{MARK}@1s"}

ID_OF = {BOOK: "u", AGG_TRADE: "a"}
"""The field that numbers each stream's messages; those of trades follow each other."""

SYMBOLS_A_FEED = 60
"""So that a connection has fewer streams than the venue allows (200)."""

_SYMBOL = re.compile(r"\w+", re.ASCII)
_NAMED = re.compile(r'"stream"\s*:\s*"(\w+)@')


class RecorderError(QuantlabError):
    """A recording was asked for that cannot be."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One connection: a market, some of its symbols, their streams' address and kinds."""

    market: str
    symbols: tuple[str, ...]
    url: str
    kinds: tuple[str, ...]

    @property
    def has_pulse(self) -> bool:
        """Whether a message must come every second."""
        return MARK in self.kinds


def feeds(
    markets: Sequence[str], symbols: Sequence[str], bases: Mapping[str, str] | None = None
) -> list[Feed]:
    """The connections that a recording needs. `bases` replaces a market's own address.

    RecorderError for a market that is not known, no symbol, or an address that is none.
    """
    names = list(dict.fromkeys(s.upper() for s in symbols))
    unknown = [m for m in (*markets, *(bases or ())) if m not in MARKETS]
    bad = [s for s in names if not _SYMBOL.fullmatch(s)]
    if unknown or not markets:
        raise RecorderError(
            f"There is no market {unknown[0] if unknown else ''}.", f"Use {', '.join(MARKETS)}."
        )
    if bad or not names:
        raise RecorderError(
            f"{bad[0] if bad else 'Nothing'} is no symbol.", "Name symbols such as BTCUSDT,ETHUSDT."
        )
    parts = [tuple(names[at : at + SYMBOLS_A_FEED]) for at in range(0, len(names), SYMBOLS_A_FEED)]
    return [
        Feed(
            market,
            part,
            _url(_address({**BASES, **(bases or {})}[market]), path, part, kinds),
            kinds,
        )
        for market in dict.fromkeys(markets)
        for path, kinds in ROUTES[market].items()
        for part in parts
    ]


def _url(base: str, path: str, symbols: Sequence[str], kinds: Sequence[str]) -> str:
    streams = (f"{s.lower()}@{_STREAM_OF.get(k, k)}" for s in symbols for k in kinds)
    return f"{base}{path}/stream?streams={'/'.join(streams)}"


def _address(base: str) -> str:
    try:
        parts = urlsplit(base)
        sound = parts.scheme in {"ws", "wss"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise RecorderError(
            f"{base} is no websocket address.", "Give one such as wss://fstream.binance.com."
        )
    return base.rstrip("/")


@dataclass(frozen=True, slots=True)
class Message:
    """What one frame says of itself; None for what it does not say."""

    symbol: str | None
    kind: str | None = None
    number: int | None = None
    event_ms: int | None = None


def read_message(text: str) -> Message:
    """What a text frame says of itself. A frame that is no JSON may still name its symbol."""
    try:
        body = json.loads(text)
        symbol, _, kind = body["stream"].partition("@")
        kind = kind.partition("@")[0]
        data = body["data"]
        number, event = data.get(ID_OF.get(kind, "")), data.get("E")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        named = _NAMED.search(text[:200])
        return Message(named[1].upper() if named else None)
    return Message(symbol.upper(), kind, _whole(number), _whole(event))


def _whole(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 1 << 53 else None


def is_one_line(text: str) -> bool:
    """Whether a text frame can stand as a line of its own and is not taken for one of ours."""
    return "\n" not in text and "\r" not in text and "\0" not in text and STREAM not in text
