"""Landed LEAN files as raw rows: bars by their open, closing quotes, rates, and what lies outside.

Belongs here: the columns of the files and the instants of their rows. No file has a header; the
first column is milliseconds since midnight of a bar's OPEN, and volumes are in base units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import polars as pl

from quantlab_pipeline.core.clocks import DAY_US, MINUTE, MINUTE_US, TS, day_end, day_start
from quantlab_pipeline.core.findings import Finding, finding_at
from quantlab_pipeline.core.ports import RawFile, RawSink
from quantlab_pipeline.research.market_data import bars
from quantlab_pipeline.research.market_data.book import DATASET_OF_LEG
from quantlab_pipeline.research.market_data.checks import UNCOVERED
from quantlab_pipeline.research.market_data.funding import snapped
from quantlab_pipeline.research.market_data.parsed import Origin, ParsedTable
from quantlab_pipeline.sources.lean.layout import LeanFile, lean_file
from quantlab_pipeline.sources.zipped_csv import Format, read_rows, read_text

_SIDE = ("open", "high", "low", "close")
_TRADE_COLUMNS = ("ms", *_SIDE, "volume")
_QUOTE_COLUMNS = (
    "ms",
    *(f"bid_{c}" for c in _SIDE),
    "bid_size",
    *(f"ask_{c}" for c in _SIDE),
    "ask_size",
)
TRADE_BARS = Format(
    _TRADE_COLUMNS,
    {"ms": pl.Int64, **dict.fromkeys(_TRADE_COLUMNS[1:], pl.Float64)},
    filled=("ms",),
)
QUOTE_BARS = Format(
    _QUOTE_COLUMNS,
    {"ms": pl.Int64, **dict.fromkeys(_QUOTE_COLUMNS[1:], pl.Float64)},
    filled=("ms",),
)
MARGIN_INTEREST = Format(
    ("stamp", "rate"),
    {"stamp": pl.String, "rate": pl.Float64},
    ("stamp",),
    text_stamp="%Y%m%d %H:%M:%S",
)
_NO_RATES = pl.DataFrame(schema={"stamp": TS, "rate": pl.Float64})
_DAY_MS = DAY_US // 1000


class LandedLean:
    """Landed files of one dataset and symbol. What lies outside its file's day is counted."""

    def __init__(self, files: Sequence[RawFile], sink: RawSink, origin: Origin) -> None:
        self.origin = origin
        self._sink = sink
        self._raw = {f.name: f for f in files}
        self._files = sorted(f for f in map(lean_file, self._raw) if f is not None)
        self._findings: list[Finding] = []

    def with_findings(self, parsed: ParsedTable) -> ParsedTable:
        """`parsed` with what was set aside on the way to it."""
        return ParsedTable(parsed.frame, (*parsed.findings, *self._findings))

    def trade_bars(self) -> pl.DataFrame:
        """RAW_BARS of all files, in the order of days; LEAN knows neither value nor trades."""
        parts = [
            self._rows(f, TRADE_BARS, self.origin.dataset).select(
                "open_ts", *bars.PRICES, pl.col("volume").alias("volume_base")
            )
            for f in self._files
        ]
        return pl.concat([pl.DataFrame(schema=bars.RAW_BARS), *parts], how="diagonal")

    def quotes(self) -> Iterator[pl.DataFrame]:
        """Each minute's closing quote (QUOTE_COLUMNS), one book after the other, by day.

        It is stamped with the last instant of its minute, a microsecond before the close, so that
        the sample at midnight is of the minute that ends there and comes from its own day's file.
        """
        for file in self._files:
            dataset = DATASET_OF_LEG[file.leg]
            rows = self._rows(file, QUOTE_BARS, dataset)
            aligned = pl.col("open_ts").dt.epoch("us") % MINUTE_US == 0
            self._count(rows.filter(~aligned), file, dataset, "misaligned")
            yield rows.filter(aligned).select(
                pl.lit(self.origin.symbol).alias("symbol"),
                pl.lit(file.leg).alias("leg"),
                (pl.col("open_ts") + MINUTE).dt.offset_by("-1us").alias("ts"),
                pl.col("bid_close").alias("bid_px"),
                pl.col("bid_size").alias("bid_qty"),
                pl.col("ask_close").alias("ask_px"),
                pl.col("ask_size").alias("ask_qty"),
            )

    def rates(self) -> pl.DataFrame:
        """RAW_FUNDING of all files; where they end within an asked day, its midnight is a finding.

        The file grows: a settlement after its last row may come in a later one.
        """
        parts = [read_text(self._bytes(f), f.name, MARGIN_INTEREST) for f in self._files]
        rows = pl.concat([_NO_RATES, *parts]).select(
            pl.col("stamp").alias("raw_ts"),
            pl.col("rate").alias("settled_rate"),
            pl.lit(None, pl.Int64).alias("interval_h"),
            pl.lit(None, pl.Float64).alias("mark_price"),
        )
        last = rows.select(snapped().max()).item()
        if isinstance(last, datetime) and last > day_start(last.date()):
            self._uncovered(last)
        return rows

    def _rows(self, file: LeanFile, form: Format, dataset: str) -> pl.DataFrame:
        """A file's rows with their `open_ts`; those outside its day are set aside and counted."""
        assert file.day is not None
        # A number that no calendar holds is shown as a day away.
        since_midnight = pl.col("ms").clip(-_DAY_MS, 2 * _DAY_MS)
        rows = read_rows(self._bytes(file), file.name, form).select(
            (pl.lit(day_start(file.day)).cast(TS) + pl.duration(milliseconds=since_midnight)).alias(
                "open_ts"
            ),
            *form.read,
        )
        inside = pl.col("ms").is_between(0, _DAY_MS, closed="left")
        self._count(rows.filter(~inside), file, dataset, "outside_file")
        return rows.filter(inside)

    def _bytes(self, file: LeanFile) -> bytes:
        return self._sink.read(self._raw[file.name])

    def _count(self, rows: pl.DataFrame, file: LeanFile, dataset: str, check: str) -> None:
        """A file's faults count on its own day, where that is asked for."""
        if rows.is_empty() or file.day is None or file.day not in self.origin.days:
            return
        where = (dataset, check, self.origin.symbol, file.day)
        self._findings.append(finding_at(*where, rows["open_ts"], file.name))

    def _uncovered(self, last: datetime) -> None:
        day, end = last.date(), day_end(last.date())
        detail = "its midnight settlement is after the last row of the file"
        if day in self.origin.days:
            where = ("funding", UNCOVERED, self.origin.symbol, day)
            self._findings.append(finding_at(*where, [end], detail))
