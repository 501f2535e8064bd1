"""LEAN's minute files as a source: QuantConnect's own data folder, or one symbol recorded apart.

Belongs here: which files a dataset needs. LEAN leaves out what did not happen: a minute without a
trade has no trade bar and is a gap here, for nothing tells the two apart; a minute in which the
book stood still has no quote bar, so that the quote before it stands, and says its age.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import cached_property

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.ports import RawFile, RawSink
from quantlab_pipeline.research.market_data import bars, book, funding
from quantlab_pipeline.research.market_data.parsed import Origin, ParsedTable
from quantlab_pipeline.sources.base import FileTree, known_dataset
from quantlab_pipeline.sources.lean.layout import (
    FUNDING,
    QUOTE,
    TRADE,
    LeanFile,
    lean_file,
    symbol_inside,
)
from quantlab_pipeline.sources.lean.rows import MARGIN_INTEREST, LandedLean
from quantlab_pipeline.sources.zipped_csv import read_text

GRID_S = 60
"""Quote bars tell the book once a minute: the only grid on which it can be sampled."""

_SERIES = {
    "bars_1m_perp": (("perp", TRADE),),
    "bars_1m_spot": (("spot", TRADE),),
    "funding": (("perp", FUNDING),),
    "tob_snapshots": (("perp", QUOTE), ("spot", QUOTE)),
}
"""The files behind each dataset; of a book either leg makes it."""


class Lean:
    """A file tree of LEAN's layout (`cryptofuture/`, `crypto/`), or of `perp/` and `spot/` alone.

    `venue` is one of LEAN's markets and must be named where the tree holds several. `grid_s` is the
    grid of the book that the market declares: another than 60 s is refused once a book is parsed.
    """

    def __init__(
        self, tree: FileTree, *, kind: str = "lean", venue: str | None = None, grid_s: int = GRID_S
    ) -> None:
        self.kind = kind
        self._tree = tree
        self._venue = venue
        self._grid_s = grid_s

    @cached_property
    def _index(self) -> dict[tuple[str, str, str], list[LeanFile]]:
        """(leg, tick, symbol) -> files, by day."""
        index: dict[tuple[str, str, str], list[LeanFile]] = {}
        for file in sorted(self._own_files()):
            symbol = file.symbol or symbol_inside(self._tree.read(file.name), file)
            index.setdefault((file.leg, file.tick, symbol), []).append(file)
        return index

    def _own_files(self) -> list[LeanFile]:
        files = [f for f in map(lean_file, self._tree.names()) if f is not None]
        if not files:
            raise SourceError(
                "The folder holds no minute file of LEAN's layout.",
                "Point to the folder that holds `cryptofuture/`, or `perp/`.",
            )
        venues = sorted({f.venue for f in files if f.venue})
        if len(venues) <= 1:
            return files
        if self._venue not in venues:
            raise SourceError(
                f"The folder holds files of several venues: {', '.join(venues)}.",
                "Say which one as the market's `venue`.",
                venues=venues,
            )
        return [f for f in files if f.venue in (self._venue, "")]

    def symbols(self) -> list[str]:
        """Every symbol that has perpetual minute bars here, sorted."""
        return sorted({s for leg, tick, s in self._index if (leg, tick) == ("perp", TRADE)})

    def offers(self, dataset: str, symbol: str) -> bool:
        """True if there is any file for it."""
        return bool(self._files(dataset, symbol))

    def days(self, dataset: str, symbol: str) -> tuple[date, date] | None:
        """First and last calendar day of a file, of rates of a row, or None; in part or whole."""
        files = self._files(dataset, symbol)
        days = [f.day for f in files if f.day is not None]
        for file in files:
            if file.tick == FUNDING:
                rates = read_text(self._tree.read(file.name), file.name, MARGIN_INTEREST)
                days += rates["stamp"].dt.date().to_list()
        return (min(days), max(days)) if days else None

    def _files(self, dataset: str, symbol: str) -> list[LeanFile]:
        known_dataset(dataset)
        return [f for s in _SERIES.get(dataset, ()) for f in self._index.get((*s, symbol), [])]

    def land(self, dataset: str, symbol: str, days: Sequence[date], sink: RawSink) -> list[RawFile]:
        """Keep every file that holds rows of `days`; landing again changes nothing.

        Of a book also the day before, whose last quote stands overnight.
        """
        wanted = {*days}
        if dataset == "tob_snapshots":
            wanted |= {d - timedelta(days=1) for d in days}
        files = self._files(dataset, symbol) if wanted else []
        names = sorted(f.name for f in files if f.day is None or f.day in wanted)
        return [
            sink.put(self.kind, dataset, symbol, n, self._tree.read(n), f"{self.kind}:{n}")
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
        table = known_dataset(dataset)
        landed = LandedLean(files, sink, Origin(dataset, symbol, tuple(days)))
        if dataset == "tob_snapshots":
            self._check_grid()
            parsed = book.snapshot_book(landed.quotes(), days, self._grid_s)
        elif dataset == "funding":
            parsed = funding.build_funding(landed.rates(), landed.origin)
        elif dataset in _SERIES:
            parsed = bars.build_bars(landed.trade_bars(), landed.origin, table)
        else:
            parsed = ParsedTable(table.empty())
        return landed.with_findings(parsed)

    def _check_grid(self) -> None:
        if self._grid_s != GRID_S:
            raise SourceError(
                f"Minute quotes cannot be sampled every {self._grid_s} s.",
                f"Declare `tob_grid_s: {GRID_S}` for the market.",
                grid_s=self._grid_s,
            )
