"""A folder of captures as a source: quotes, marks and trades as they came over a websocket.

Belongs here: which files a dataset needs and which verb makes its rows. `usdm` is the perpetual's
market, `spot` the spot's. What a file is called is `layout`'s, what its lines say `landed`'s.

Funding is not here: a mark message tells the rate that is expected, never the one that was paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import cached_property

import polars as pl

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.ports import RawFile, RawSink
from quantlab_pipeline.research.market_data import bars, book, mark_index
from quantlab_pipeline.research.market_data.book import DATASET_OF_LEG
from quantlab_pipeline.research.market_data.parsed import Origin, ParsedTable
from quantlab_pipeline.sources.base import FileTree, known_dataset
from quantlab_pipeline.sources.capture.landed import LandedCapture
from quantlab_pipeline.sources.capture.layout import (
    LEGS,
    MARKETS,
    SPOT,
    USDM,
    CaptureFile,
    capture_file,
)
from quantlab_pipeline.sources.capture.survey import (
    CLOCK_OFFSET,
    GARBAGE_LINES,
    NO_EVENT_TIME,
    OUTSIDE_FILE,
    SEQUENCE_GAPS,
    TRUNCATED_FILE,
)

_DATASETS = {
    "bars_1m_perp": (USDM,),
    "bars_1m_spot": (SPOT,),
    "mark_index": (USDM,),
    "tob_snapshots": MARKETS,
}
_MESSAGES = "messages"
"""Where raw files are kept: one file fills several datasets, and is kept once."""

_OF_A_FILE = (GARBAGE_LINES, TRUNCATED_FILE, OUTSIDE_FILE)
_OF_A_BOOK = (CLOCK_OFFSET, NO_EVENT_TIME, SEQUENCE_GAPS, *_OF_A_FILE)


class Capture:
    """A file tree of captures, at or above its folders `usdm` and `spot`.

    `grid_s` is the sampling grid of the book in seconds.
    """

    def __init__(self, tree: FileTree, *, kind: str = "capture", grid_s: int = 1) -> None:
        self.kind = kind
        self._tree = tree
        self._grid_s = grid_s

    @cached_property
    def _files(self) -> list[CaptureFile]:
        files = sorted(f for f in map(capture_file, self._tree.names()) if f is not None)
        if not files:
            raise SourceError(
                "The folder holds no capture.",
                "Point to the folder that holds `usdm/SYMBOL_YYYYMMDD.gz`, or record one with "
                "quantlab record.",
            )
        return files

    def symbols(self) -> list[str]:
        """Every symbol with a capture of its perpetual, sorted."""
        return sorted({f.symbol for f in self._files if f.market == USDM})

    def offers(self, dataset: str, symbol: str) -> bool:
        """True if there is a file of its market; only reading tells what messages it has."""
        return bool(self._own(dataset, symbol))

    def days(self, dataset: str, symbol: str) -> tuple[date, date] | None:
        """First and last calendar day with a file, or None; a day may be there in part."""
        days = [f.day for f in self._own(dataset, symbol)]
        return (min(days), max(days)) if days else None

    def _own(self, dataset: str, symbol: str) -> list[CaptureFile]:
        known_dataset(dataset)
        markets = _DATASETS.get(dataset, ())
        return [f for f in self._files if f.market in markets and f.symbol == symbol]

    def land(self, dataset: str, symbol: str, days: Sequence[date], sink: RawSink) -> list[RawFile]:
        """Keep every file on which rows of `days` depend, once for all datasets.

        A file that is still being written is kept as far as it goes; landed again, it is a
        correction.
        """
        after = 1 if dataset.startswith("bars") else 0
        due = {day + timedelta(days=n) for day in days for n in range(-1, after + 1)}
        names = [f.name for f in self._own(dataset, symbol) if f.day in due]
        return [
            sink.put(self.kind, _MESSAGES, symbol, n, self._tree.read(n), f"{self.kind}:{n}")
            for n in names
        ]

    def parse(
        self,
        dataset: str,
        symbol: str,
        files: Sequence[RawFile],
        sink: RawSink,
        days: Sequence[date],
    ) -> ParsedTable:
        """Rows of `days` from landed `files`, read from the sink alone, and what was set aside."""
        schema = known_dataset(dataset)
        if dataset not in _DATASETS or not files or not days:
            return ParsedTable(schema.empty())
        origin = Origin(dataset, symbol, tuple(days))
        landed = LandedCapture(files, sink, origin)
        if dataset == "tob_snapshots":
            return self._book(landed)
        if dataset == "mark_index":
            return _with_faults(_mark_index(landed), landed, USDM)
        market = USDM if dataset == "bars_1m_perp" else SPOT
        rows, found = landed.bars(market)
        parsed = bars.build_bars(rows, origin, schema)
        return _with_faults(ParsedTable(parsed.frame, (*parsed.findings, *found)), landed, market)

    def _book(self, landed: LandedCapture) -> ParsedTable:
        pieces = (piece for market in MARKETS for piece in landed.quotes(market))
        parsed = book.snapshot_book(pieces, landed.origin.days, self._grid_s)
        found = [
            finding
            for market in MARKETS
            for finding in landed.findings(market, DATASET_OF_LEG[LEGS[market]], _OF_A_BOOK)
        ]
        return ParsedTable(parsed.frame, (*parsed.findings, *found))


def _with_faults(parsed: ParsedTable, landed: LandedCapture, market: str) -> ParsedTable:
    found = landed.findings(market, landed.origin.dataset, _OF_A_FILE)
    return ParsedTable(parsed.frame, (*parsed.findings, *found))


def _mark_index(landed: LandedCapture) -> ParsedTable:
    rows = landed.marks(USDM)

    def price(name: str) -> pl.DataFrame:
        return rows.select("open_ts", pl.col(name).alias("close")).drop_nulls("close")

    stream = rows.select("open_ts", "predicted_rate", "next_funding_ts")
    return mark_index.build_mark_index(
        price("mark_price"), price("index_price"), landed.origin, stream=stream
    )
