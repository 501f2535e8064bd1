"""Landed captures of one symbol as rows: the walk over the files, and what each dataset takes.

Belongs here: the order of files, what lies outside a file, and which messages make a quote, a mark
or a bar. Each leg is walked twice: a survey finds how far its clock is off and what is wrong, then
rows are made, a piece at a time. The bytes' format is `lines`', a row's stamp `known`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache

import polars as pl

from quantlab_pipeline.core.clocks import MINUTE, TS, to_us
from quantlab_pipeline.core.findings import Finding, finding_at
from quantlab_pipeline.core.ports import RawFile, RawSink
from quantlab_pipeline.research.market_data.book import QUOTE_COLUMNS
from quantlab_pipeline.research.market_data.parsed import Origin
from quantlab_pipeline.sources.capture.known import Knowledge, delays
from quantlab_pipeline.sources.capture.layout import (
    LEGS,
    MARKETS,
    CaptureFile,
    bearing_on,
    capture_file,
)
from quantlab_pipeline.sources.capture.lines import (
    AGG_TRADE,
    BOOK,
    MARK,
    MARK_COLUMNS,
    TRADE,
    Piece,
    read_pieces,
)
from quantlab_pipeline.sources.capture.survey import NON_MARKET_TRADES, SEQUENCE_GAPS, Survey
from quantlab_pipeline.sources.capture.trades import Heard, MinuteTrades, around
from quantlab_pipeline.sources.capture.unzip import WholeLines

_LATE = timedelta(seconds=5)
"""How far past its hour or day a file's lines may be stamped: some recorders rotate late."""


class LandedCapture:
    """Landed files of one symbol, both legs."""

    def __init__(self, files: Sequence[RawFile], sink: RawSink, origin: Origin) -> None:
        self.origin = origin
        self._sink = sink
        self._raw = {f.name: f for f in files}
        named = [c for c in map(capture_file, self._raw) if c is not None]
        self._files = bearing_on(named, origin.days)
        self.survey = cache(self._survey)

    def _of(self, market: str) -> list[CaptureFile]:
        return [file for file in self._files if file.market == market]

    def _text(self, file: CaptureFile) -> WholeLines:
        return WholeLines(self._sink.read(self._raw[file.name]), file.name)

    def _survey(self, market: str) -> Survey:
        survey = Survey()
        for file in self._of(market):
            text = self._text(file)
            for piece in read_pieces(text, self.origin.symbol):
                survey.outside(file, piece.heard.filter(~_own(piece.heard, file)))
                survey.take(file, _inside(piece, file))
            if text.damage is not None:
                survey.damaged(file, text.damage)
        return survey

    def _pieces(self, market: str, *kinds: str) -> Iterator[Piece]:
        """A leg's messages of `kinds` in the order of arrival, what lies outside its file gone."""
        for file in self._of(market):
            for piece in read_pieces(self._text(file), self.origin.symbol, frozenset(kinds)):
                yield _inside(piece, file)

    def _knowledge(self, market: str) -> Knowledge:
        other = next(m for m in MARKETS if m != market)
        own = self.survey(market).offsets.medians()
        return Knowledge(delays(own, self.survey(other).offsets.medians()))

    def quotes(self, market: str) -> Iterator[pl.DataFrame]:
        """A leg's quotes in the order of arrival, in pieces; `ts` is when each could be known."""
        knowledge = self._knowledge(market)
        for piece in self._pieces(market, BOOK):
            yield knowledge.stamped(piece.messages[BOOK]).select(
                pl.lit(self.origin.symbol).alias("symbol"),
                pl.lit(LEGS[market]).alias("leg"),
                *QUOTE_COLUMNS[2:],
            )

    def marks(self, market: str) -> pl.DataFrame:
        """Per minute the newest mark that could be known by its close: a mark's columns, `open_ts`.

        A minute without one has no row.
        """
        knowledge = self._knowledge(market)
        minute = pl.col("ts").dt.offset_by("-1us").dt.truncate("1m").alias("open_ts")
        newest = pl.DataFrame(schema={"open_ts": TS, **MARK_COLUMNS})
        for piece in self._pieces(market, MARK):
            rows = knowledge.stamped(piece.messages[MARK]).with_columns(minute)
            newest = (
                pl.concat([newest, rows.select(newest.columns)])
                .sort("open_ts", "event", maintain_order=True)
                .unique("open_ts", keep="last", maintain_order=True)
            )
        return newest

    def bars(self, market: str) -> tuple[pl.DataFrame, list[Finding]]:
        """RAW_BARS rows of the minutes heard whole, and what was wrong with their trades.

        Of a day that has both kinds of trade messages, the single trades make the bars.
        """
        heard = Heard()
        streams = {kind: MinuteTrades() for kind in (TRADE, AGG_TRADE)}
        others = self._hear(market, heard, streams)
        for stream in streams.values():
            stream.finish()
        for since, until in self.survey(market).breaks:
            heard.break_between(to_us(since), to_us(until))
        days = around(self.origin.days)
        single, summed = (s.bars(heard.minutes(days, s.lost)) for s in streams.values())
        of_single = streams[TRADE].days()
        chosen = pl.col("open_ts").dt.date().is_in(sorted(of_single))
        rows = pl.concat([single.filter(chosen), summed.filter(~chosen)]).sort("open_ts")
        lost = {
            minute: n
            for kind in streams
            for minute, n in streams[kind].faults.items()
            if (minute.date() in of_single) == (kind == TRADE)
        }
        return rows, [
            *_by_minute(self.origin, SEQUENCE_GAPS, lost, "trades that repeat or are missing"),
            *_by_minute(self.origin, NON_MARKET_TRADES, others, "trades outside the market's book"),
        ]

    def _hear(
        self, market: str, heard: Heard, streams: Mapping[str, MinuteTrades]
    ) -> Counter[datetime]:
        """Walk a leg's trades; the minutes of those that are no market trades, and how many."""
        knowledge = self._knowledge(market)
        others: Counter[datetime] = Counter()
        for piece in self._pieces(market, *streams):
            heard.hear(knowledge.known(piece.heard))
            for kind, stream in streams.items():
                trades = piece.messages[kind]
                if trades.height:
                    heard.heard_since(trades["traded"][0])
                stream.take(trades)
                apart = trades.filter(~pl.col("market"))["traded"].dt.truncate("1m")
                others.update(dict(apart.value_counts().iter_rows()))
        return others

    def findings(self, market: str, dataset: str, checks: Sequence[str]) -> list[Finding]:
        """Those of `checks` that the survey of a leg found, under `dataset`."""
        return self.survey(market).findings(self.origin, dataset, checks)


def _by_minute(
    origin: Origin, check: str, faults: Mapping[datetime, int], detail: str
) -> list[Finding]:
    """One finding a day from counts by minutes' opens."""
    found = []
    for day in origin.days:
        at = {minute + MINUTE: n for minute, n in faults.items() if minute.date() == day}
        if at:
            where = (origin.dataset, check, origin.symbol, day)
            found.append(finding_at(*where, at, detail, sum(at.values())))
    return found


def _own(local: pl.Series, file: CaptureFile) -> pl.Series:
    return local.is_between(file.start, file.end + _LATE, closed="left")


def _inside(piece: Piece, file: CaptureFile) -> Piece:
    """`piece` without the messages that are stamped outside their file's hour or day."""
    own = _own(piece.heard, file)
    if own.all():
        return piece
    messages = {k: rows.filter(_own(rows["local"], file)) for k, rows in piece.messages.items()}
    return replace(piece, messages=messages, heard=piece.heard.filter(own))
