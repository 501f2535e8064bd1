"""Where a source's bytes go, from when each row is known, whether a day is still what was sent.

The composition of sources with storage: neither knows the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from quantlab_pipeline.core.findings import Finding
from quantlab_pipeline.core.ports import RawFile
from quantlab_pipeline.defs.market_data.endings import BARS, has_new_ends
from quantlab_pipeline.defs.market_data.opening import source_of
from quantlab_pipeline.defs.stage_run import StageRun
from quantlab_pipeline.research.market_data.corrections import known_since
from quantlab_pipeline.research.market_data.parsed import ParsedTable
from quantlab_pipeline.sources.archive.layout import archive_file
from quantlab_pipeline.sources.base import Source
from quantlab_pipeline.sources.capture.layout import capture_file
from quantlab_pipeline.sources.remote.pages import file_days
from quantlab_pipeline.storage.raw_store import FileRawSink


def raw_sink(run: StageRun) -> FileRawSink:
    """The market's raw store."""
    return FileRawSink(run.lake.objects, run.clock)


def parse_as_known(
    source: Source,
    dataset: str,
    symbol: str,
    files: Sequence[RawFile],
    sink: FileRawSink,
    days: Sequence[date],
) -> ParsedTable:
    """What the newest versions of `files` hold; a row that one of them changed is known from then.

    Findings are those of the newest versions.
    """
    kept = [v for f in files for v in sink.versions(f.source, dataset, symbol, f.name)]
    arrivals = sorted({v.arrived_at for v in kept if v.arrived_at is not None})
    newest = source.parse(dataset, symbol, files, sink, days)
    if not arrivals:
        return newest
    versions: list[tuple[datetime | None, pl.DataFrame]] = []
    for arrived_at in (None, *arrivals[:-1]):
        then = [_version_at(f, kept, arrived_at) for f in files]
        versions.append((arrived_at, source.parse(dataset, symbol, then, sink, days).frame))
    return ParsedTable(known_since([*versions, (arrivals[-1], newest.frame)]), newest.findings)


def _version_at(file: RawFile, kept: Sequence[RawFile], at: datetime | None) -> RawFile:
    """The version of `file` that was there at an instant, its first one at None."""
    own = [v for v in kept if v.name == file.name]
    late = [v for v in own if v.arrived_at is not None and at is not None and v.arrived_at <= at]
    return late[-1] if late else own[0]


def provenance(files: Iterable[RawFile]) -> dict[str, list[list[str]]]:
    """What a manifest remembers of the raw files that it was parsed from."""
    return {"raw": sorted([f.symbol, f.name, f.sha256] for f in files)}


def changed_days(run: StageRun) -> set[date]:
    """Days of the run for which the source now has a file that their manifests do not know.

    A file that vanished changes nothing: its bytes are in `raw/`.
    """
    dataset = run.table.name
    if dataset not in run.market.datasets:
        return set()
    source, sink = source_of(run), raw_sink(run)
    landed = [f for s in run.symbols for f in source.land(dataset, s, run.days, sink)]
    changed = set()
    for day, partition in zip(run.days, run.partitions, strict=True):
        known = {tuple(row) for row in run.observed(partition).get("raw", ())}
        due = {(f.symbol, f.name, f.sha256) for f in landed if _covers(f.name, day)}
        changed |= set() if due <= known else {day}
    return changed | (has_new_ends(run, source, sink) if dataset == BARS else set())


def _covers(name: str, day: date) -> bool:
    """Whether a file is one of `day`; of a layout without dates every file is."""
    if (span := file_days(name)) is not None:
        return span[0] <= day <= span[1]
    if (capture := capture_file(name)) is not None:
        return capture.bears_on(day)
    file = archive_file(name)
    return file is None or file.first <= day <= file.last


def findings_from(noted: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Findings as a manifest keeps them, as values again."""
    return [
        Finding(
            f["dataset"],
            f["check"],
            f["symbol"],
            date.fromisoformat(f["day"]),
            f["count"],
            None if f["first_ts"] is None else datetime.fromisoformat(f["first_ts"]),
            f["detail"],
            tuple(datetime.fromisoformat(at) for at in f["places"]),
        )
        for f in noted
    ]
