"""Landed archive files as series of rows: which day of which file, in order, and what lies outside.

Belongs here: the walk over files and the rule that a row belongs to the calendar day its file
covers. What the columns mean for a table is `source`'s matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import polars as pl

from quantlab_pipeline.core.clocks import TS, day_end
from quantlab_pipeline.core.findings import Finding, finding_at
from quantlab_pipeline.core.ports import RawFile, RawSink
from quantlab_pipeline.research.market_data.book import DATASET_OF_LEG, QUOTE_COLUMNS
from quantlab_pipeline.research.market_data.parsed import Origin, ParsedTable
from quantlab_pipeline.sources import zipped_csv
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.sources.archive.layout import (
    BOOK,
    FUNDING,
    INDEX,
    METRICS,
    SPOT,
    UM,
    ArchiveFile,
    archive_file,
    choose,
)

DAY = timedelta(days=1)

_LEGS = {UM: "perp", SPOT: "spot"}
_FORMATS = {FUNDING: codec.FUNDING_RATE, METRICS: codec.METRICS, BOOK: codec.BOOK_TICKER}
_REACH = {FUNDING: (0, 1), METRICS: (-1, 0), BOOK: (-1, 0)}
_EDGE = {METRICS: timedelta(minutes=5), BOOK: timedelta(seconds=5)}
"""How far past the end of its days a file's rows may be stamped: the last bucket of some metrics
files is stamped at midnight, and a quote's event time follows its transaction."""


def reached(kind: str, days: Sequence[date]) -> list[date]:
    """Calendar days whose files may hold rows of `days`, sorted.

    A settlement at midnight is stamped after it, a bucket that starts at midnight may lie in the
    file before, and a book stands overnight.
    """
    before, after = _REACH.get(kind, (0, 0))
    return sorted({d + n * DAY for d in days for n in range(before, after + 1)})


class LandedArchive:
    """Landed files of one dataset and symbol. What lies outside is counted."""

    def __init__(self, files: Sequence[RawFile], sink: RawSink, origin: Origin) -> None:
        self.origin = origin
        self._sink = sink
        self._findings: list[Finding] = []
        self._raw = {f.name: f for f in files}
        self._files = [a for a in map(archive_file, sorted(self._raw)) if a is not None]

    def with_findings(self, parsed: ParsedTable) -> ParsedTable:
        """`parsed` with what was set aside on the way to it."""
        return ParsedTable(parsed.frame, (*parsed.findings, *self._findings))

    def chosen(self, market: str, kind: str) -> dict[date, ArchiveFile]:
        """The file that holds each calendar day around the days that are asked for."""
        series = [f for f in self._files if (f.market, f.kind) == (market, kind)]
        return choose(series, reached(kind, self.origin.days))

    def _held(self, market: str, kind: str) -> list[tuple[ArchiveFile, list[date]]]:
        held: dict[ArchiveFile, list[date]] = {}
        for day, file in self.chosen(market, kind).items():
            held.setdefault(file, []).append(day)
        return sorted(held.items())

    def rows(self, market: str, kind: str, stamp: str) -> pl.DataFrame:
        """All rows of a series in the order of days, each file giving only the days it holds.

        A row stamped outside the days of its own file is set aside and counted as `outside_file`.
        """
        form = _FORMATS.get(kind, codec.KLINES)
        parts = [_no_rows(form)]
        for file, held in self._held(market, kind):
            rows = zipped_csv.read_rows(self._bytes(file), file.name, form)
            own = self._own_rows(rows, file, stamp)
            parts.append(own.filter(pl.col("_day").is_in(held)).drop("_day"))
        return pl.concat(parts)

    def quotes(self, market: str) -> Iterator[pl.DataFrame]:
        """A leg's quotes in pieces, in the order of days, stamped with their event time.

        Of the day before an asked one that is not asked itself, only what stands at its end.
        """
        for file, held in self._held(market, BOOK):
            overnight: pl.DataFrame | None = None
            for piece in zipped_csv.read_pieces(self._bytes(file), file.name, codec.BOOK_TICKER):
                quotes = self._as_quotes(self._own_rows(piece, file, "event_time"), market)
                parts = quotes.partition_by("_day", as_dict=True, maintain_order=True)
                for (day,), dated in parts.items():
                    part = dated.drop("_day")
                    if day not in held:
                        continue
                    if day not in self.origin.days:
                        both = part if overnight is None else pl.concat([overnight, part])
                        overnight = _standing_at_end(both, day)
                        continue
                    if overnight is not None:
                        yield overnight
                        overnight = None
                    yield part
            if overnight is not None:
                yield overnight

    def _bytes(self, file: ArchiveFile) -> bytes:
        return self._sink.read(self._raw[file.name])

    def _as_quotes(self, rows: pl.DataFrame, market: str) -> pl.DataFrame:
        return rows.select(
            pl.lit(self.origin.symbol).alias("symbol"),
            pl.lit(_LEGS[market]).alias("leg"),
            pl.max_horizontal("transaction_time", "event_time").alias("ts"),
            pl.col("best_bid_price").alias("bid_px"),
            pl.col("best_bid_qty").alias("bid_qty"),
            pl.col("best_ask_price").alias("ask_px"),
            pl.col("best_ask_qty").alias("ask_qty"),
            "_day",
        ).select(*QUOTE_COLUMNS, "_day")

    def _own_rows(self, rows: pl.DataFrame, file: ArchiveFile, stamp: str) -> pl.DataFrame:
        """Rows of the file's own days, with the `_day` each counts for; others are findings."""
        end = day_end(file.last)
        edge = _EDGE.get(file.kind, timedelta())
        just_after = (pl.col(stamp) >= end) & (pl.col(stamp) < end + edge)
        own_day = pl.when(just_after).then(pl.lit(file.last)).otherwise(pl.col(stamp).dt.date())
        dated = rows.with_columns(own_day.alias("_day"))
        inside = pl.col("_day").is_between(file.first, file.last)
        self._count_outside(dated.filter(~inside), file, stamp)
        return dated.filter(inside)

    def _count_outside(self, rows: pl.DataFrame, file: ArchiveFile, stamp: str) -> None:
        """Rows before the file's days count on its first day, rows after on its last."""
        dataset = self.origin.dataset
        if file.kind == BOOK:
            dataset = DATASET_OF_LEG[_LEGS[file.market]]
        check = "index_outside_file" if file.kind == INDEX else "outside_file"
        early = pl.col("_day") < file.first
        for day, part in ((file.first, rows.filter(early)), (file.last, rows.filter(~early))):
            if part.height and day in self.origin.days:
                found = finding_at(dataset, check, self.origin.symbol, day, part[stamp], file.name)
                self._findings.append(found)


def _standing_at_end(quotes: pl.DataFrame, day: date) -> pl.DataFrame:
    """The newest quote before the end of `day`, and those of its file stamped after the end."""
    end = day_end(day)
    before = quotes.filter(pl.col("ts") < end)
    newest = before.filter(pl.col("ts") == pl.col("ts").cum_max()).tail(1)
    return pl.concat([newest, quotes.filter(pl.col("ts") >= end)])


def _no_rows(form: zipped_csv.Format) -> pl.DataFrame:
    return pl.DataFrame(schema={c: TS if c in form.stamps else t for c, t in form.read.items()})
