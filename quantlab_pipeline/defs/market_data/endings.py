"""Symbols that stopped for good: told from damage by the others' next day, and from hindsight.

Belongs here: asking the source what lies beyond the days of a run. What an end means is
`research.market_data`'s matter. A day's manifest keeps what was known of it, so that an end which
only a later day tells makes the day anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

import polars as pl

from quantlab_pipeline.core.clocks import TS, days_between
from quantlab_pipeline.core.findings import Finding
from quantlab_pipeline.core.ports import RawSink
from quantlab_pipeline.defs.stage_run import StageRun
from quantlab_pipeline.research.market_data.listing import ENDS, ended_at, listing_of
from quantlab_pipeline.research.market_data.survivorship import look_for_survivorship
from quantlab_pipeline.research.market_data.tally import GROUP, dated
from quantlab_pipeline.sources.base import Source

BARS = "bars_1m_perp"
NOTE = "stopped"
"""Of a day's perpetual bars: symbols without its last minute, and where they ended if they did."""

Stopped = dict[str, str | None]


def stopped_symbols(
    run: StageRun, source: Source, sink: RawSink, bars: pl.DataFrame
) -> dict[date, Stopped]:
    """By day of `bars`: the symbols that stop before its end, with their last bar if it was final.

    It was if the symbol has no bar on the next day, on which another of the market's has one.
    """
    daily = dated(bars).group_by(GROUP).agg(pl.col("ts").max().alias("last")).sort(GROUP)
    end = pl.col("day").cast(TS).dt.offset_by("1d")
    stopped: dict[date, Stopped] = {}
    for symbol, day, last in daily.filter(pl.col("last") < end).iter_rows():
        stopped.setdefault(day, {})[symbol] = last.isoformat()
    held = set(daily["day"])
    for day, symbols in stopped.items():
        after = day + timedelta(days=1)
        near = [bars.select("symbol", "ts")]
        near += [] if after in held else _bars_on(after, run, source, sink)
        final = ended_at(pl.concat(near)).filter(pl.col("day") == day)["symbol"].to_list()
        stopped[day] = {s: last if s in final else None for s, last in symbols.items()}
    return stopped


def _bars_on(day: date, run: StageRun, source: Source, sink: RawSink) -> Iterable[pl.DataFrame]:
    """The bars that the source has of a day which may lie outside the run."""
    for symbol in run.symbols:
        files = source.land(BARS, symbol, [day], sink)
        yield source.parse(BARS, symbol, files, sink, [day]).frame.select("symbol", "ts")


def has_new_ends(run: StageRun, source: Source, sink: RawSink) -> set[date]:
    """Days of the run on which a symbol stopped, it was not known why, and now it is."""
    renewed = set()
    for day, partition in zip(run.days, run.partitions, strict=True):
        noted: Stopped = dict(run.note(BARS, partition).get(NOTE, {}))
        if None in noted.values():
            bars = run.lake.read(BARS, [day], gated=False, columns=["symbol", "ts"])
            now = stopped_symbols(run, source, sink, bars).get(day, {})
            renewed |= set() if now == noted else {day}
    return renewed


def ends_of(run: StageRun, days: Sequence[date]) -> pl.DataFrame:
    """The ends (columns ENDS) that the manifests of `days` tell, as far as they are there."""
    rows = [
        (symbol, day, datetime.fromisoformat(last))
        for day in days
        for symbol, last in run.note(BARS, str(day)).get(NOTE, {}).items()
        if last is not None
    ]
    return pl.DataFrame(rows, schema=dict(ENDS), orient="row")


def omitted_ends(run: StageRun, source: Source) -> list[Finding]:
    """Symbols that the source had, that ended on a day of the run, and that the market leaves out.

    A source whose files hold months tells an end by its month alone.
    """
    offered = source.symbols()
    if set(offered) <= set(run.market.symbols):
        return []
    spans: Mapping[str, tuple[date, date] | None] = {s: source.days(BARS, s) for s in offered}
    final = run.market.last_day or max(span[1] for span in spans.values() if span is not None)
    days = days_between(run.market.first_day, final)
    seen = look_for_survivorship(run.market.symbols, listing_of(spans), days)
    return [f for f in seen.findings() if f.day in run.days]
