"""What an asset's or a gate's body is given: the lake, the specs, the days, and nothing of Dagster.

Belongs here: `StageRun` and what bodies return. The bodies themselves stand in `<stage>/assets.py`;
Dagster's contexts stop at `factory.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import Clock, days_between
from quantlab_pipeline.core.tables import Read, TableSpec
from quantlab_pipeline.core.verdicts import ItemVerdict
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.spec_files import Project


@dataclass(frozen=True)
class Made:
    """What a body made: the table's rows, facts for its manifest, and numbers for the UI."""

    frame: pl.DataFrame
    notes: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


Judged = Mapping[str, Sequence[ItemVerdict]]
"""Verdicts by partition, as a gate's body returns them."""

Body = Callable[["StageRun"], Made]
GateBody = Callable[["StageRun"], Judged]


@dataclass(frozen=True)
class StageRun:
    """One table's (or gate's) work on some partitions: ISO days, or one study's name."""

    project: Project
    market: MarketSpec
    lake: Lake
    table: TableSpec
    partitions: tuple[str, ...]
    clock: Clock
    engine: Any = None

    @cached_property
    def days(self) -> list[date]:
        """The days to make; for a study table, the study's days."""
        if self.table.partition == "study":
            return self.study_days
        return [date.fromisoformat(p) for p in self.partitions]

    @cached_property
    def study(self) -> StudySpec:
        """The study of a study table's partition."""
        (name,) = self.partitions
        return self.project.study(name)

    @cached_property
    def study_days(self) -> list[date]:
        """Every day of the study, first and last included."""
        return days_between(self.study.first_day, self.study.last_day)

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """The study's symbols, or all of the market's."""
        if self.table.partition == "study":
            return tuple(self.study.symbols)
        return tuple(self.market.symbols)

    def days_of(self, read: Read) -> list[date]:
        """The days of an upstream day table that this run reads, clipped at the market's first."""
        first = self.days[0] - timedelta(days=read.lookback_days)
        last = self.days[-1] + timedelta(days=read.lookahead_days)
        return [d for d in days_between(first, last) if d >= self.market.first_day]

    def load(
        self, name: str, *, gated: bool = True, columns: list[str] | None = None
    ) -> pl.DataFrame:
        """An upstream table as the registry declares this run may read it; study rows alone."""
        read = next(r for r in self.table.reads if r.table == name)
        upstream = self.lake.tables[name]
        if upstream.partition == "study":
            return self.lake.read(name, self.partitions, gated=gated, columns=columns)
        days = self.days_of(read)
        ahead = [str(d) for d in days if d > self.days[-1]]
        frame = self.lake.read(
            name, [str(d) for d in days], gated=gated, columns=columns, optional=ahead
        )
        return frame.filter(pl.col("symbol").is_in(self.symbols)) if "symbol" in frame else frame
