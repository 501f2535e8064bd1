"""A generated world as a source: its frames, written as the official archive would publish them.

Belongs here: the encoding of a world's frames into archive files, and the sealing of its truth.
What comes out is a `BinanceArchive` over bytes, parsed like any other; no one who holds it can
reach the truth, which goes to the given seal alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl

from quantlab_pipeline.core.errors import SourceError
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
    archive_name,
)
from quantlab_pipeline.sources.archive.source import BinanceArchive
from quantlab_pipeline.sources.zipped_csv import Format
from quantlab_pipeline.worlds.damage.pick import FILED_ON
from quantlab_pipeline.worlds.market import World, generate
from quantlab_pipeline.worlds.spec import Scenario

Seal = Callable[[bytes], None]
"""Takes the truth's canonical bytes and keeps them where no stage looks."""

SPOT_MICROSECONDS_FROM = date(2025, 1, 1)
"""The archive's spot files are stamped in microseconds from this day on."""


def world_source(
    scenario: Scenario,
    seed: int | None = None,
    *,
    seal: Seal,
    grid_s: int = 1,
    oi_delay_s: int = 60,
) -> BinanceArchive:
    """Generate the world of `scenario` and `seed`, seal its truth, and be the source of its files.

    The same arguments give the same bytes. `grid_s` and `oi_delay_s` are the market's.
    """
    world = generate(scenario, seed)
    seal(world.truth.to_json())
    return BinanceArchive(WorldFiles(world), kind="world", grid_s=grid_s, oi_delay_s=oi_delay_s)


def world_files(
    load: Callable[[type[Scenario]], Scenario], seed: int | None = None, *, seal: Seal
) -> WorldFiles:
    """The files of the world of the scenario that `load` reads; its truth goes to the seal."""
    world = generate(load(Scenario), seed)
    seal(world.truth.to_json())
    return WorldFiles(world)


def check_scenario(load: Callable[[type[Scenario]], Scenario]) -> None:
    """Read a scenario through `load`, whose error it is where the document is wrong."""
    load(Scenario)


def world_of(
    load: Callable[[type[Scenario]], Scenario],
    seed: int | None = None,
    *,
    seal: Seal,
    grid_s: int = 1,
    oi_delay_s: int = 60,
) -> BinanceArchive:
    """`world_source` of the scenario that `load` reads, for callers that know no scenarios."""
    return world_source(load(Scenario), seed, seal=seal, grid_s=grid_s, oi_delay_s=oi_delay_s)


@dataclass(frozen=True, slots=True)
class _Csv:
    """The rows of one file, in the order of the frame, and how they are written."""

    rows: pl.DataFrame
    form: Format
    header: bool


class WorldFiles:
    """A world's frames as a tree of archive files; each is encoded when it is read."""

    def __init__(self, world: World) -> None:
        self._csvs = dict(_files(world.frames))
        self._encoded: tuple[str, bytes] = ("", b"")

    def names(self) -> list[str]:
        """Every zip and its CHECKSUM file, sorted."""
        return sorted([*self._csvs, *(f"{name}.CHECKSUM" for name in self._csvs)])

    def read(self, name: str) -> bytes:
        """One file's bytes; equal worlds give equal bytes."""
        if name.endswith(".CHECKSUM"):
            name = name.removesuffix(".CHECKSUM")
            return codec.make_checksum(name.rpartition("/")[2], self._zip(name))
        return self._zip(name)

    def _zip(self, name: str) -> bytes:
        if self._encoded[0] != name:
            csv = self._csvs.get(name)
            if csv is None:
                raise SourceError(
                    f"The world has no file {name}.", "Ask for one it has.", file=name
                )
            member = name.rpartition("/")[2].removesuffix(".zip") + ".csv"
            text = codec.encode_csv(csv.rows, csv.form, header=csv.header)
            self._encoded = (name, codec.make_zip(member, text))
        return self._encoded[1]


def _files(frames: dict[str, pl.DataFrame]) -> Iterator[tuple[str, _Csv]]:
    for market, table in ((UM, "bars_1m_perp"), (SPOT, "bars_1m_spot")):
        yield from _daily(frames[table], market, KLINES, "open_ts", _klines)
        yield from _monthly_totals(frames[table.replace("1m", "1h")], market)
    mark_index = frames["mark_index"].with_columns(
        pl.col("ts").dt.offset_by("-1m").alias("open_ts")
    )
    for kind, column in (
        (MARK, "mark_price"),
        (INDEX, "index_price"),
        (PREMIUM, "premium_index"),
    ):
        prices = mark_index.with_columns(pl.col(column).alias("price")).drop_nulls("price")
        yield from _daily(prices, UM, kind, "open_ts", _price_klines)
    yield from _daily(frames["open_interest"], UM, METRICS, "bucket_start", _metrics)
    for market, leg in ((UM, "perp"), (SPOT, "spot")):
        quotes = frames["book"].filter(pl.col("leg") == leg)
        yield from _daily(quotes, market, BOOK, "ts", _book_ticker)
    yield from _monthly_funding(frames["funding"], frames["bars_1m_perp"])


def _daily(
    frame: pl.DataFrame,
    market: str,
    kind: str,
    stamp: str,
    columns: Callable[[pl.DataFrame, bool], pl.DataFrame],
) -> Iterator[tuple[str, _Csv]]:
    """One file a symbol and calendar day of `stamp`, rows in the order of the frame.

    A row that is filed on another day stands in that day's file.
    """
    misfiled = pl.col(FILED_ON) if FILED_ON in frame.columns else pl.lit(None, pl.Date)
    parts = frame.with_columns(
        pl.coalesce(misfiled, pl.col(stamp).dt.date()).alias("_date")
    ).partition_by("symbol", "_date", as_dict=True, maintain_order=True)
    form = {METRICS: codec.METRICS, BOOK: codec.BOOK_TICKER}.get(kind, codec.KLINES)
    for (symbol, day), rows in parts.items():
        micro = market == SPOT and day >= SPOT_MICROSECONDS_FROM
        if kind == BOOK:
            micro = bool((rows["ts"].dt.epoch("us") % 1000 != 0).any())
        name = archive_name(market, kind, symbol, day, daily=True)
        yield name, _Csv(columns(rows, micro), form, header=market == UM)


def _monthly_totals(bars: pl.DataFrame, market: str) -> Iterator[tuple[str, _Csv]]:
    """One file of hourly klines a symbol and calendar month."""
    dated = bars.with_columns(pl.col("open_ts").dt.truncate("1mo").dt.date().alias("_month"))
    parts = dated.partition_by("symbol", "_month", as_dict=True, maintain_order=True)
    for (symbol, first), rows in parts.items():
        micro = market == SPOT and first >= SPOT_MICROSECONDS_FROM
        name = archive_name(market, HOURLY, symbol, first, daily=False)
        klines = _klines(rows, micro, span="1h")
        yield name, _Csv(klines, codec.KLINES, header=market == UM)


def _monthly_funding(funding: pl.DataFrame, bars: pl.DataFrame) -> Iterator[tuple[str, _Csv]]:
    """One file a symbol and month that the bars touch, also one without a row."""
    dated = funding.with_columns(pl.col("raw_ts").dt.truncate("1mo").dt.date().alias("_month"))
    spans = bars.group_by("symbol", maintain_order=True).agg(
        pl.col("open_ts").min().alias("first"), pl.col("ts").max().alias("last")
    )
    for symbol, first, last in spans.sort("symbol").iter_rows():
        months = pl.date_range(first.date().replace(day=1), last.date(), "1mo", eager=True)
        for month in months:
            rows = dated.filter((pl.col("symbol") == symbol) & (pl.col("_month") == month))
            name = archive_name(UM, FUNDING, symbol, month, daily=False)
            yield name, _Csv(_funding_rate(rows), codec.FUNDING_RATE, header=True)


def _klines(rows: pl.DataFrame, micro: bool, span: str = "1m") -> pl.DataFrame:
    last_instant = "-1us" if micro else "-1ms"
    return rows.select(
        codec.to_stamp("open_ts", microseconds=micro).alias("open_time"),
        "open",
        "high",
        "low",
        "close",
        pl.col("volume_base").alias("volume"),
        pl.col("open_ts")
        .dt.offset_by(span)
        .dt.offset_by(last_instant)
        .dt.epoch("us" if micro else "ms")
        .alias("close_time"),
        pl.col("volume_quote").alias("quote_volume"),
        pl.col("n_trades").alias("count"),
        pl.col("taker_buy_base").alias("taker_buy_volume"),
        pl.lit(0).alias("taker_buy_quote_volume"),
        pl.lit(0).alias("ignore"),
    )


def _price_klines(rows: pl.DataFrame, micro: bool) -> pl.DataFrame:
    """A price series as klines: the price is the close, and a flat candle, for lack of a path."""
    price = pl.col("price")
    nothing = pl.lit(0.0)
    return _klines(
        rows.with_columns(
            *(price.alias(c) for c in ("open", "high", "low", "close")),
            *(nothing.alias(c) for c in ("volume_base", "volume_quote", "taker_buy_base")),
            pl.lit(0).alias("n_trades"),
        ),
        micro,
    )


def _metrics(rows: pl.DataFrame, _micro: bool) -> pl.DataFrame:
    ratios = [c for c in codec.METRICS_COLUMNS if "ratio" in c or c.startswith("sum_taker")]
    return rows.select(
        pl.col("bucket_start").dt.strftime("%Y-%m-%d %H:%M:%S").alias("create_time"),
        "symbol",
        pl.col("oi_base").alias("sum_open_interest"),
        pl.col("oi_usd").alias("sum_open_interest_value"),
        *(pl.lit(None, pl.Float64).alias(c) for c in ratios),
    )


def _book_ticker(rows: pl.DataFrame, micro: bool) -> pl.DataFrame:
    return rows.select(
        pl.int_range(1, pl.len() + 1).alias("update_id"),
        pl.col("bid_px").alias("best_bid_price"),
        pl.col("bid_qty").alias("best_bid_qty"),
        pl.col("ask_px").alias("best_ask_price"),
        pl.col("ask_qty").alias("best_ask_qty"),
        codec.to_stamp("ts", microseconds=micro).alias("transaction_time"),
        codec.to_stamp("ts", microseconds=micro).alias("event_time"),
    )


def _funding_rate(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        codec.to_stamp("raw_ts", microseconds=False).alias("calc_time"),
        pl.col("interval_h").alias("funding_interval_hours"),
        pl.col("settled_rate").alias("last_funding_rate"),
    )
