"""A freqtrade data folder as a source: one Arrow (feather) file per pair, kind and market.

Belongs here: that layout's names and the meaning of its columns. `date` is a bar's OPEN; a funding
file has the rate in `open` and zeros elsewhere; the mark is known in 8 h candles alone, whose open
is the mark at settlement, so there is no minute mark here. Volumes are in base units.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date
from functools import cached_property

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.ports import RawFile, RawSink
from quantlab_pipeline.research.market_data import bars, funding
from quantlab_pipeline.research.market_data.parsed import Origin, ParsedTable
from quantlab_pipeline.sources.base import FileTree, known_dataset

_SUFFIXES = {
    "bars_1m_perp": ("-1m-futures.feather",),
    "bars_1m_spot": ("-1m.feather",),
    "funding": ("-8h-funding_rate.feather", "-8h-mark.feather"),
}
"""Files behind each dataset; the first makes it."""

_COLUMNS = ("date", "open", "high", "low", "close", "volume")


class Freqtrade:
    """A file tree of freqtrade's layout: `[exchange/]PAIR-1m.feather`, `futures/PAIR-*.feather`."""

    def __init__(self, tree: FileTree, *, kind: str = "freqtrade") -> None:
        self.kind = kind
        self._tree = tree

    @cached_property
    def _index(self) -> dict[tuple[str, str], str]:
        """(suffix, symbol) -> name of the file."""
        index: dict[tuple[str, str], str] = {}
        for name in self._tree.names():
            folder, _, base = name.rpartition("/")
            futures = folder.rpartition("/")[2] == "futures"
            for dataset, suffixes in _SUFFIXES.items():
                for suffix in suffixes:
                    pair = base.removesuffix(suffix)
                    if pair == base or futures == (dataset == "bars_1m_spot"):
                        continue
                    index[suffix, _symbol(pair)] = name
        if not index:
            raise SourceError(
                "The folder holds no file of freqtrade's data layout.",
                "Point to the folder of one exchange, such as user_data/data/binance.",
            )
        return index

    def symbols(self) -> list[str]:
        """Every symbol that has perpetual minute bars here, sorted."""
        return sorted({s for suffix, s in self._index if suffix == _SUFFIXES["bars_1m_perp"][0]})

    def offers(self, dataset: str, symbol: str) -> bool:
        """True if there is a file for it."""
        known_dataset(dataset)
        suffixes = _SUFFIXES.get(dataset, ())
        return bool(suffixes) and (suffixes[0], symbol) in self._index

    def days(self, dataset: str, symbol: str) -> tuple[date, date] | None:
        """First and last calendar day with a row, or None; either may be there in part."""
        if not self.offers(dataset, symbol):
            return None
        name = self._index[_SUFFIXES[dataset][0], symbol]
        stamps = _read(self._tree.read(name), name)["date"]
        first, last = stamps.min(), stamps.max()
        return (first.date(), last.date()) if first is not None else None  # type: ignore[union-attr]

    def land(self, dataset: str, symbol: str, days: Sequence[date], sink: RawSink) -> list[RawFile]:
        """Keep the dataset's files, which hold all days; landing again changes nothing."""
        if not days or not self.offers(dataset, symbol):
            return []
        names = [self._index.get((suffix, symbol)) for suffix in _SUFFIXES[dataset]]
        return [
            sink.put(self.kind, dataset, symbol, n, self._tree.read(n), f"{self.kind}:{n}")
            for n in names
            if n is not None
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
        origin = Origin(dataset, symbol, tuple(days))
        by_suffix = {s: f for f in files for s in _SUFFIXES[dataset] if f.name.endswith(s)}
        frames = {s: _read(sink.read(f), f.name) for s, f in by_suffix.items()}
        own, *others = _SUFFIXES[dataset]
        if own not in frames:
            return ParsedTable(table.empty())
        if dataset == "funding":
            return funding.build_funding(_raw_funding(frames[own], frames.get(others[0])), origin)
        return bars.build_bars(_raw_bars(frames[own]), origin, table)


def _symbol(pair: str) -> str:
    """`BTC_USDT_USDT` and `BTC_USDT` -> `BTCUSDT`: base and quote, without the settlement coin."""
    return "".join(pair.split("_")[:2])


def _read(data: bytes, name: str) -> pl.DataFrame:
    """A feather file's rows; SourceError, naming it, if it is damaged or lacks a column."""
    try:
        rows = pl.read_ipc(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise SourceError(
            f"{name} is not a whole feather file: {error}.",
            "Download the pair again with freqtrade download-data.",
            file=name,
        ) from error
    for column in _COLUMNS:
        kind = rows.schema.get(column)
        wanted = kind.is_temporal() if column == "date" and kind else kind and kind.is_numeric()
        if not wanted:
            problem = "lacks the column" if kind is None else f"has {kind} in the column"
            raise SourceError(
                f"{name} {problem} {column}.",
                "Download the pair again with freqtrade download-data.",
                file=name,
                column=column,
            )
    numbers = [pl.col(c).cast(pl.Float64) for c in _COLUMNS[1:]]
    return rows.select(_stamp(rows), *numbers)


def _stamp(rows: pl.DataFrame) -> pl.Expr:
    """`date` in UTC microseconds; a file without a zone is in UTC by freqtrade's convention."""
    stamp = pl.col("date")
    if getattr(rows.schema["date"], "time_zone", None) is None:
        stamp = stamp.dt.replace_time_zone("UTC")
    return stamp.dt.convert_time_zone("UTC").cast(TS)


def _raw_bars(rows: pl.DataFrame) -> pl.DataFrame:
    unknown = {"volume_quote": pl.Float64, "n_trades": pl.Int64, "taker_buy_base": pl.Float64}
    return rows.select(
        pl.col("date").alias("open_ts"),
        *bars.PRICES,
        pl.col("volume").alias("volume_base"),
        *(pl.lit(None, kind).alias(name) for name, kind in unknown.items()),
    )


def _raw_funding(rows: pl.DataFrame, mark: pl.DataFrame | None) -> pl.DataFrame:
    settled = rows.select(
        pl.col("date").alias("raw_ts"),
        pl.col("open").alias("settled_rate"),
        pl.lit(None, pl.Int64).alias("interval_h"),
        funding.snapped("date").alias("_settled"),
    )
    if mark is None:
        return settled.drop("_settled").with_columns(pl.lit(None, pl.Float64).alias("mark_price"))
    marks = mark.select(
        funding.snapped("date").alias("_settled"), pl.col("open").alias("mark_price")
    ).unique("_settled", keep="first", maintain_order=True)
    return settled.join(marks, on="_settled", how="left", maintain_order="left").drop("_settled")
