"""The official Binance archive as a source: a folder of its layout, whole or in part.

Belongs here: which files a dataset needs, and how their columns become a verb's raw rows. The
format of the bytes is `codec`'s, the names `layout`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import cached_property
from pathlib import PurePosixPath
from typing import Protocol

import polars as pl

from quantlab_pipeline.core.clocks import MINUTE, day_end
from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.findings import finding_at
from quantlab_pipeline.core.ports import RawFile, RawSink
from quantlab_pipeline.research.market_data import (
    bars,
    book,
    funding,
    mark_index,
    open_interest,
    totals,
)
from quantlab_pipeline.research.market_data.checks import UNCOVERED
from quantlab_pipeline.research.market_data.parsed import Origin, ParsedTable
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.sources.archive.layout import (
    BOOK,
    FUNDING,
    HOURLY,
    INDEX,
    KLINES,
    MARK,
    METRICS,
    PREMIUM,
    SPOT,
    UM,
    ArchiveFile,
    archive_file,
    choose,
)
from quantlab_pipeline.sources.archive.rows import DAY, LandedArchive, reached
from quantlab_pipeline.sources.base import FileTree, known_dataset

SERIES: dict[str, tuple[tuple[str, str], ...]] = {
    "bars_1m_perp": ((UM, KLINES), (UM, HOURLY)),
    "bars_1m_spot": ((SPOT, KLINES), (SPOT, HOURLY)),
    "funding": ((UM, FUNDING), (UM, MARK)),
    "mark_index": ((UM, MARK), (UM, INDEX), (UM, PREMIUM)),
    "open_interest": ((UM, METRICS),),
    "tob_snapshots": ((UM, BOOK), (SPOT, BOOK)),
}
"""The series of files behind each dataset. The first makes the dataset, the others add to it; of a
book either leg makes it."""


class LandedSeries(Protocol):
    """Series of rows with the archive's columns, of one dataset and symbol, whoever sent them."""

    origin: Origin

    def rows(self, market: str, kind: str, stamp: str) -> pl.DataFrame:
        """All rows of a series; `stamp` is the column that dates them."""
        ...

    def chosen(self, market: str, kind: str) -> Mapping[date, ArchiveFile]:
        """The archive's file that holds each calendar day around the days that are asked for."""
        ...

    def with_findings(self, parsed: ParsedTable) -> ParsedTable:
        """`parsed` with what was set aside on the way to it."""
        ...


class BinanceArchive:
    """A file tree of the archive's layout, starting at or above its `data` folder.

    `require_checksum`: a zip without its CHECKSUM file is refused; one that differs always is.
    `grid_s` is the sampling grid of the book, `oi_delay_s` the delay of open interest, in seconds.
    """

    def __init__(
        self,
        tree: FileTree,
        *,
        kind: str = "binance_archive",
        require_checksum: bool = True,
        grid_s: int = 1,
        oi_delay_s: int = 60,
    ) -> None:
        self.kind = kind
        self._tree = tree
        self._require_checksum = require_checksum
        self._grid_s, self._oi_delay_s = grid_s, oi_delay_s

    @cached_property
    def _index(self) -> dict[tuple[str, str, str], list[ArchiveFile]]:
        index: dict[tuple[str, str, str], list[ArchiveFile]] = {}
        for name in self._tree.names():
            file = archive_file(name)
            if file is not None:
                index.setdefault((file.market, file.kind, file.symbol), []).append(file)
        if not index:
            raise SourceError(
                "The folder holds no file of the official archive's layout.",
                "Point to the folder that holds `data/futures/um/...`.",
            )
        return index

    def symbols(self) -> list[str]:
        """Every symbol that has perpetual minute bars here, sorted."""
        return sorted({s for market, kind, s in self._index if (market, kind) == (UM, KLINES)})

    def offers(self, dataset: str, symbol: str) -> bool:
        """True if there is any file of the dataset's own series."""
        return bool(self._own_files(dataset, symbol))

    def days(self, dataset: str, symbol: str) -> tuple[date, date] | None:
        """First and last calendar day that the dataset's own files cover, or None."""
        files = self._own_files(dataset, symbol)
        return (min(f.first for f in files), max(f.last for f in files)) if files else None

    def _own_files(self, dataset: str, symbol: str) -> list[ArchiveFile]:
        known_dataset(dataset)
        series = SERIES[dataset] if dataset == "tob_snapshots" else SERIES[dataset][:1]
        return [f for market, kind in series for f in self._index.get((market, kind, symbol), [])]

    def holds(self, dataset: str, symbol: str, days: Sequence[date]) -> set[date]:
        """Those of `days` whose rows are here: the day's own file, and the next where it reaches
        past midnight. Not for the book, of which either leg may be missing.
        """
        market, kind = SERIES[dataset][0]
        files = self._index.get((market, kind, symbol), [])
        there = choose(files, reached(kind, days)).keys()
        return {d for d in days if all(r in there for r in reached(kind, [d]) if r >= d)}

    def land(self, dataset: str, symbol: str, days: Sequence[date], sink: RawSink) -> list[RawFile]:
        """Keep, checked, every file that holds rows of `days`; landing again changes nothing."""
        if not self.offers(dataset, symbol):
            return []
        names: set[str] = set()
        for market, kind in SERIES[dataset]:
            files = self._index.get((market, kind, symbol), [])
            names |= {f.name for f in choose(files, reached(kind, days)).values()}
        return [self._land_file(name, dataset, symbol, sink) for name in sorted(names)]

    def _land_file(self, name: str, dataset: str, symbol: str, sink: RawSink) -> RawFile:
        data = self._tree.read(name)
        if f"{name}.CHECKSUM" in self._names:
            codec.verify_checksum(name, data, self._tree.read(f"{name}.CHECKSUM"))
        elif self._require_checksum:
            raise SourceError(
                f"{name} has no CHECKSUM file beside it.",
                f"Fetch {PurePosixPath(name).name}.CHECKSUM, or allow files without one.",
                file=name,
            )
        return sink.put(self.kind, dataset, symbol, name, data, f"{self.kind}:{name}")

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self._tree.names())

    def parse(
        self,
        dataset: str,
        symbol: str,
        files: Sequence[RawFile],
        sink: RawSink,
        days: Sequence[date],
    ) -> ParsedTable:
        """Rows of `days` from landed `files`, read from the sink alone, and what was set aside."""
        known_dataset(dataset)
        landed = LandedArchive(files, sink, Origin(dataset, symbol, tuple(days)))
        if dataset == "tob_snapshots":
            pieces = (piece for market in (UM, SPOT) for piece in landed.quotes(market))
            return landed.with_findings(book.snapshot_book(pieces, days, self._grid_s))
        return build_table(landed, self._oi_delay_s)


def build_table(landed: LandedSeries, oi_delay_s: int) -> ParsedTable:
    """The table of `landed`, any dataset but the book, and what was set aside on the way."""
    if landed.origin.dataset == "open_interest":
        return landed.with_findings(_open_interest(landed, oi_delay_s))
    return landed.with_findings(_PARSERS[landed.origin.dataset](landed))


_KLINE_VALUES = (
    *(pl.col(c) for c in bars.PRICES),
    pl.col("volume").alias("volume_base"),
    pl.col("quote_volume").alias("volume_quote"),
    pl.col("count").alias("n_trades"),
    pl.col("taker_buy_volume").alias("taker_buy_base"),
)


def _bars(landed: LandedSeries) -> ParsedTable:
    dataset = landed.origin.dataset
    market = UM if dataset == "bars_1m_perp" else SPOT
    rows = landed.rows(market, KLINES, "open_time")
    whole = MINUTE - timedelta(milliseconds=1)
    width = pl.col("close_time") - pl.col("open_time")
    # A close stamp that is not the last instant of the minute makes the row no minute bar; an
    # opening stamp off the grid lets `build_bars` count it.
    odd = ~width.is_between(whole, MINUTE, closed="left")
    opened = pl.when(odd).then(pl.col("open_time").dt.offset_by("1us")).otherwise("open_time")
    raw = rows.select(opened.alias("open_ts"), *_KLINE_VALUES)
    parsed = bars.build_bars(raw, landed.origin, known_dataset(dataset))
    apart = totals.compare_totals(parsed.frame, _totals(landed, market), landed.origin)
    return ParsedTable(parsed.frame, (*parsed.findings, *apart))


def _totals(landed: LandedSeries, market: str) -> pl.DataFrame:
    """Hourly klines as TOTALS; their close is the millisecond or microsecond after `close_time`."""
    return landed.rows(market, HOURLY, "open_time").select(
        pl.col("close_time").dt.offset_by("1ms").dt.truncate("1m").alias("ts"),
        pl.col("open_time").alias("open_ts"),
        *_KLINE_VALUES,
    )


def _prices(landed: LandedSeries, kind: str) -> pl.DataFrame:
    rows = landed.rows(UM, kind, "open_time")
    return rows.select(pl.col("open_time").alias("open_ts"), "close")


def _mark_index(landed: LandedSeries) -> ParsedTable:
    return mark_index.build_mark_index(
        _prices(landed, MARK), _prices(landed, INDEX), landed.origin, _prices(landed, PREMIUM)
    )


def _funding(landed: LandedSeries) -> ParsedTable:
    rows = landed.rows(UM, FUNDING, "calc_time")
    marks = _prices(landed, MARK).select(
        (pl.col("open_ts") + MINUTE).alias("_settled"), pl.col("close").alias("mark_price")
    )
    raw = (
        rows.with_columns(funding.snapped("calc_time").alias("_settled"))
        .join(
            marks.unique("_settled", keep="first", maintain_order=True),
            on="_settled",
            how="left",
            maintain_order="left",
        )
        .select(
            pl.col("calc_time").alias("raw_ts"),
            pl.col("last_funding_rate").alias("settled_rate"),
            pl.col("funding_interval_hours").alias("interval_h"),
            "mark_price",
        )
    )
    parsed = funding.build_funding(raw, landed.origin)
    covered = landed.chosen(UM, FUNDING)
    detail = "its midnight settlement would be in the next file, which is not there"
    uncovered = tuple(
        finding_at("funding", UNCOVERED, landed.origin.symbol, day, [day_end(day)], detail)
        for day in landed.origin.days
        if day in covered and day + DAY not in covered
    )
    return ParsedTable(parsed.frame, (*parsed.findings, *uncovered))


def _open_interest(landed: LandedSeries, delay_s: int) -> ParsedTable:
    raw = landed.rows(UM, METRICS, "create_time").select(
        pl.col("create_time").alias("bucket_start"),
        pl.col("sum_open_interest").alias("oi_base"),
        pl.col("sum_open_interest_value").alias("oi_usd"),
    )
    return open_interest.build_open_interest(raw, landed.origin, delay_s)


_PARSERS: dict[str, Callable[[LandedSeries], ParsedTable]] = {
    "bars_1m_perp": _bars,
    "bars_1m_spot": _bars,
    "funding": _funding,
    "mark_index": _mark_index,
}
