"""The lake's doctor: finds what is damaged, and sweeps what no manifest lists.

A sweep spares what is younger than `min_age`, so that a write in progress loses nothing. Verdicts
and raw bytes are never swept; results that can be computed again are, beyond a bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from quantlab_pipeline.core.clocks import to_us
from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.storage.manifests import data_key
from quantlab_pipeline.storage.objects import TEMP_PREFIX
from quantlab_pipeline.storage.reader import LakeReader
from quantlab_pipeline.storage.result_cache import FOLDER, MOST_BYTES, beyond_bound

_SWEPT_FOLDERS = ("tables", "manifests", "verdicts", "waivers", "raw", FOLDER)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """Keys of leftovers, of unlisted files, of results beyond the bound; the bytes that they hold.

    `spared` counts those that were too young to be taken.
    """

    leftovers: tuple[str, ...]
    unlisted: tuple[str, ...]
    results: tuple[str, ...]
    bytes: int
    spared: int


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What was looked at, and everything that is not whole, a sentence each."""

    manifests: int
    files: int
    verdicts: int
    damage: tuple[str, ...]


def sweep(
    lake: LakeReader,
    now: datetime,
    min_age: timedelta = timedelta(hours=1),
    dry_run: bool = False,
    most_result_bytes: int = MOST_BYTES,
) -> SweepReport:
    """Delete leftovers of killed writes, data files that no manifest lists, and old results."""
    found = [key for folder in _SWEPT_FOLDERS for key in lake.objects.keys(folder)]
    # Files are listed before manifests: what a newer manifest lists is then never taken.
    listed = set(_listed(lake))
    leftovers = [k for k in found if k.rsplit("/", 1)[-1].startswith(TEMP_PREFIX)]
    unlisted = [k for k in found if k.startswith("tables/") and k not in listed]
    unlisted = sorted(set(unlisted) - set(leftovers))
    results = beyond_bound(lake.objects, most_result_bytes)
    oldest_kept_ns = to_us(now - min_age) * 1000
    swept: dict[str, int] = {}
    spared = 0
    for key in (*leftovers, *unlisted, *results):
        stat = lake.objects.stat(key)
        if stat is None:
            continue
        if stat.mtime_ns > oldest_kept_ns:
            spared += 1
            continue
        swept[key] = stat.size
        if not dry_run:
            lake.objects.delete(key)
    return SweepReport(
        tuple(k for k in leftovers if k in swept),
        tuple(k for k in unlisted if k in swept),
        tuple(k for k in results if k in swept),
        sum(swept.values()),
        spared,
    )


def examine(lake: LakeReader) -> HealthReport:
    """Hash every listed file and parse every manifest and verdict; nothing is changed."""
    damage: list[str] = []
    manifests = files = verdicts = 0
    for table in lake.graph.tables:
        for partition in lake.partitions(table):
            manifests += 1
            try:
                manifest = lake.manifests.current(table, partition)
                files += len(manifest.files) if manifest is not None else 0
                lake.verify_files(table, partition)
            except QuantlabError as error:
                damage.append(str(error))
    for gate in lake.graph.gates:
        for partition in lake.verdicts.partitions(gate):
            verdicts += 1
            try:
                lake.verdicts.history(gate, partition)
                lake.verdicts.current(gate, partition)
            except QuantlabError as error:
                damage.append(str(error))
    return HealthReport(manifests, files, verdicts, tuple(damage))


def _listed(lake: LakeReader) -> Iterator[str]:
    for table in lake.manifests.tables():
        for partition in lake.manifests.partitions(table):
            manifest = lake.manifests.current(table, partition)
            for entry in manifest.files if manifest is not None else ():
                yield data_key(table, partition, entry)
