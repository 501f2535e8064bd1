"""Binance as one source: the archive's files where they are, REST for the days that it still lacks.

Belongs here: which of the two gives a day. Fetching the archive's files into the mirror is another
matter (`quantlab fetch`): here the mirror is a folder, and may be empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from quantlab_pipeline.core.ports import RawFile, RawSink
from quantlab_pipeline.research.market_data.parsed import ParsedTable
from quantlab_pipeline.sources.archive.layout import archive_file
from quantlab_pipeline.sources.archive.source import BinanceArchive
from quantlab_pipeline.sources.base import DiskTree, FileTree, MemoryTree, known_dataset
from quantlab_pipeline.sources.remote.binance_rest import (
    BinanceRest,
    UnknownSymbolError,
    offers,
    parse_pages,
)
from quantlab_pipeline.sources.remote.pages import page_of

PERP_BARS = "bars_1m_perp"


def mirror_tree(folder: Path) -> FileTree:
    """The files of a mirror of the archive; none, if the folder is not there yet."""
    return DiskTree(folder) if folder.is_dir() else MemoryTree({})


class Binance:
    """The archive mirrored in `tree`, and `rest` for recent whole days that it does not hold.

    Each day of a dataset comes from one of them, never from both. A funding day whose midnight
    settlement would be in an archive file that is not there yet is not held. Without `rest` it is
    the archive alone. `grid_s` and `oi_delay_s` are those of `BinanceArchive`.
    """

    def __init__(
        self, tree: FileTree, rest: BinanceRest | None, *, grid_s: int = 1, oi_delay_s: int = 60
    ) -> None:
        self.kind = "binance"
        self._rest, self._oi_delay_s = rest, oi_delay_s
        self._archive = BinanceArchive(tree, kind=self.kind, grid_s=grid_s, oi_delay_s=oi_delay_s)
        self._filled = any(archive_file(name) is not None for name in tree.names())

    def symbols(self) -> list[str]:
        """Every symbol that has perpetual minute bars in the mirror, sorted."""
        return self._archive.symbols() if self._filled else []

    def offers(self, dataset: str, symbol: str) -> bool:
        """True if the mirror has a file of it, or REST has the dataset for any symbol."""
        if self._rest is not None and offers(dataset):
            return True
        known_dataset(dataset)
        return self._filled and self._archive.offers(dataset, symbol)

    def days(self, dataset: str, symbol: str) -> tuple[date, date] | None:
        """First and last day of the mirror's files and of what REST may be asked for now."""
        known_dataset(dataset)
        mirror = self._archive.days(dataset, symbol) if self._filled else None
        rest = None if self._rest is None else self._rest.span(dataset)
        spans = [span for span in (mirror, rest) if span is not None]
        return (min(s[0] for s in spans), max(s[1] for s in spans)) if spans else None

    def land(self, dataset: str, symbol: str, days: Sequence[date], sink: RawSink) -> list[RawFile]:
        """Keep what holds rows of `days`: the mirror's files, and pages of the days it lacks.

        UnknownSymbolError if neither the mirror nor the venue ever heard of a perpetual.
        """
        known_dataset(dataset)
        lacking = self._lacking(dataset, symbol, days)
        pages = {day: self._pages(dataset, symbol, day, sink) for day in lacking}
        mirrored = [day for day in days if not pages.get(day)]
        files = self._archive.land(dataset, symbol, mirrored, sink) if self._filled else []
        return [*files, *(file for kept in pages.values() for file in kept)]

    def _lacking(self, dataset: str, symbol: str, days: Sequence[date]) -> list[date]:
        if self._rest is None or not offers(dataset):
            return []
        held = self._archive.holds(dataset, symbol, days) if self._filled else set()
        return sorted(set(days) - held)

    def _pages(self, dataset: str, symbol: str, day: date, sink: RawSink) -> list[RawFile]:
        assert self._rest is not None
        try:
            return self._rest.land(self.kind, dataset, symbol, day, sink)
        except UnknownSymbolError:
            # A delisted perpetual or a coin without a spot market is absent; a misspelling is not.
            if dataset != PERP_BARS or symbol in self.symbols():
                return []
            raise

    def parse(
        self,
        dataset: str,
        symbol: str,
        files: Sequence[RawFile],
        sink: RawSink,
        days: Sequence[date],
    ) -> ParsedTable:
        """Rows of `days` from landed `files`, by `ts`: a day that has pages from them, others from
        the archive's files. What was set aside comes with it.
        """
        paged = {page.day for f in files if (page := page_of(f.name)) is not None}
        rest_days = [d for d in days if d in paged]
        mirrored = [d for d in days if d not in paged]
        parts = []
        if mirrored or not rest_days:
            parts.append(self._archive.parse(dataset, symbol, files, sink, mirrored))
        if rest_days:
            delay_s = self._oi_delay_s
            parts.append(parse_pages(dataset, symbol, files, sink, rest_days, delay_s))
        if len(parts) == 1:
            return parts[0]
        return ParsedTable(
            pl.concat(part.frame for part in parts).sort("ts", maintain_order=True),
            tuple(finding for part in parts for finding in part.findings),
        )
