"""From a frame to a partition's files and manifest: split, encode, put, and the manifest last.

Belongs here: what makes the bytes of a partition. Which lineage and hashes go into its manifest is
the lake's to say.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.tables import TableSpec
from quantlab_pipeline.storage.manifests import (
    FileEntry,
    Manifest,
    ManifestStore,
    data_key,
    partition_key,
)
from quantlab_pipeline.storage.objects import Objects

_ROW_GROUP = 1 << 17
_ZSTD_LEVEL = 3

Frames = pl.DataFrame | Mapping[str, pl.DataFrame] | Mapping[date, pl.DataFrame] | None


class PartitionRowsError(QuantlabError):
    """A frame has rows outside the partitions it is written to, or none where some are due."""


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What a write did: files written anew, files whose bytes were there already, rows in all.

    `fingerprints` are the manifests' now, by partition; `replaced` lists the partitions whose
    manifest changed.
    """

    written: int
    unchanged: int
    rows: int
    fingerprints: Mapping[str, str]
    replaced: tuple[str, ...]

    def and_one(self, manifest: Manifest, written: int, replaced: bool) -> WriteReport:
        """The report with one more partition in it."""
        return WriteReport(
            self.written + written,
            self.unchanged + len(manifest.files) - written,
            self.rows + manifest.rows,
            {**self.fingerprints, manifest.partition: manifest.fingerprint},
            (*self.replaced, manifest.partition) if replaced else self.replaced,
        )


def encode_parquet(frame: pl.DataFrame) -> bytes:
    """Parquet under zstd; the same rows give the same bytes with any number of threads."""
    buffer = io.BytesIO()
    frame.rechunk().write_parquet(
        buffer,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        row_group_size=_ROW_GROUP,
        statistics=True,
    )
    return buffer.getvalue()


def split(spec: TableSpec, frames: Frames, partitions: Sequence[str]) -> dict[str, pl.DataFrame]:
    """One validated frame per partition key, sorted by the table's key.

    Raises SchemaError for a frame that is not of the schema and PartitionRowsError for rows outside
    `partitions`. A partition without rows gets an empty frame.
    """
    if spec.partition == "study":
        whole, name = _study(spec, frames, partitions)
        valid = spec.schema.validate(spec.schema.in_order(whole))
        parts = {name: valid} if valid.height else {}
    else:
        parts = {}
        for frame in _given(spec, frames):
            valid = spec.schema.validate(spec.schema.in_order(frame))
            _add(parts, spec, _by_day(valid))
    stray = sorted(set(parts) - set(partitions))
    if stray:
        raise PartitionRowsError(
            f"{spec.name} has rows of {', '.join(stray[:3])}, which are not being written.",
            "Cut the frame to the run's partitions: day D owns ts in (D 00:00, D+1 00:00].",
            table=spec.name,
            partitions=stray,
        )
    return {p: parts.get(p, spec.schema.empty()) for p in partitions}


def _given(spec: TableSpec, frames: Frames) -> list[pl.DataFrame]:
    """The frames as they came: days in frames of their own are never in memory twice at once."""
    if frames is None:
        return [spec.schema.empty()]
    return [frames] if isinstance(frames, pl.DataFrame) else list(frames.values())


def _by_day(valid: pl.DataFrame) -> dict[str, pl.DataFrame]:
    days = valid.select(day_of().alias("_day")).to_series()
    if valid.height and days.n_unique() == 1:
        return {f"day={days[0]}": valid}
    dated = valid.with_columns(days)
    grouped = dated.partition_by("_day", maintain_order=True, include_key=False, as_dict=True)
    return {f"day={key[0]}": frame for key, frame in grouped.items()}


def _add(parts: dict[str, pl.DataFrame], spec: TableSpec, more: Mapping[str, pl.DataFrame]) -> None:
    """Put `more` beside `parts`; a day that comes in two frames is one, validated as a whole."""
    for day, frame in more.items():
        if day in parts:
            both = spec.schema.in_order(pl.concat([parts[day], frame]))
            parts[day] = spec.schema.validate(both)
        else:
            parts[day] = frame


def _study(spec: TableSpec, frames: Frames, partitions: Sequence[str]) -> tuple[pl.DataFrame, str]:
    """The rows and the key of the one study that is written."""
    if frames is None or isinstance(frames, pl.DataFrame):
        given: Sequence[str] = partitions
        whole = spec.schema.empty() if frames is None else frames
    else:
        keyed = {partition_key(spec.partition, k): v for k, v in frames.items()}
        given = list(keyed)
        whole = pl.concat(list(keyed.values())) if keyed else spec.schema.empty()
    if len(given) != 1:
        raise PartitionRowsError(
            f"{spec.name} was given rows of {len(given)} studies at once.",
            "Write one study at a time.",
            table=spec.name,
        )
    return whole, given[0]


def require_rows(
    spec: TableSpec, parts: Mapping[str, pl.DataFrame], absent_reason: str | None
) -> None:
    """Refuse a silent hole: PartitionRowsError for partitions without rows and without a reason."""
    empty = [p for p, frame in parts.items() if not frame.height]
    if empty and not spec.may_be_empty and absent_reason is None:
        raise PartitionRowsError(
            f"{spec.name} has no rows for {', '.join(empty[:3])} ({len(empty)} in all).",
            "Give an absent_reason if that is right, or mend what should have made them.",
            table=spec.name,
            partitions=empty,
        )


class PartitionWriter:
    """Puts partitions into the store so that a kill at any instant leaves the old one whole."""

    def __init__(self, objects: Objects, manifests: ManifestStore) -> None:
        self._objects = objects
        self._manifests = manifests

    def put_files(
        self, spec: TableSpec, partition: str, frame: pl.DataFrame
    ) -> tuple[tuple[FileEntry, ...], int]:
        """Entries of the partition's files, and how many had to be written."""
        entries, written = [], 0
        before = self._manifests.current(spec.name, partition)
        listed = set(before.files) if before is not None else set()
        for symbol, part in _by_symbol(spec, frame):
            data = encode_parquet(part)
            sha = hashlib.sha256(data).hexdigest()
            entry = FileEntry(
                symbol, f"{sha[:32]}.parquet", f"sha256:{sha}", part.height, len(data)
            )
            written += self._put(spec.name, partition, entry, data, entry in listed)
            entries.append(entry)
        return tuple(entries), written

    def put_manifest(self, manifest: Manifest) -> bool:
        """Make `manifest` the one in force; False if one with its fingerprint already was.

        Of two with one fingerprint the newer is kept only if it came from other raw files.
        """
        before = self._manifests.current(manifest.table, manifest.partition)
        same = before is not None and before.fingerprint == manifest.fingerprint
        if before is None or not same or before.observed.get("raw") != manifest.observed.get("raw"):
            self._manifests.put(manifest)
        return not same

    def _put(self, table: str, partition: str, entry: FileEntry, data: bytes, listed: bool) -> bool:
        key = data_key(table, partition, entry)
        stat = self._objects.stat(key)
        if stat is not None and stat.size == entry.bytes and self._same(key, data):
            if not listed:
                # An unlisted file is garbage to a sweep; young files are spared by it.
                self._objects.touch(key)
            return False
        self._objects.put(key, data)
        return True

    def _same(self, key: str, data: bytes) -> bool:
        return self._objects.get(key) == data


def _by_symbol(spec: TableSpec, frame: pl.DataFrame) -> list[tuple[str | None, pl.DataFrame]]:
    if not frame.height:
        return []
    if spec.partition == "study" or "symbol" not in frame.columns:
        return [(None, frame)]
    parts = frame.partition_by("symbol", maintain_order=True, as_dict=True)
    named = {str(key[0]): part for key, part in parts.items()}
    return [(symbol, named[symbol]) for symbol in sorted(named)]
