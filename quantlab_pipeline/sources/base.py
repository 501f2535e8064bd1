"""What a source is: it says what it has, lands bytes in `raw/`, and parses what was landed.

Belongs here: the protocol and what every source shares. A format's details live in the source that
reads it; what a row must be to enter a table is `research.market_data`'s matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

from quantlab_pipeline.core.columns import TableSchema
from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.ports import RawFile, RawSink
from quantlab_pipeline.research.market_data import schema
from quantlab_pipeline.research.market_data.parsed import ParsedTable

DATASETS: dict[str, TableSchema] = {s.name: s for s in schema.LANDED}
"""The tables that a source may fill, by name."""


class Source(Protocol):
    """One place that raw market data comes from. Datasets are named by the tables they fill."""

    kind: str

    def symbols(self) -> list[str]:
        """Every symbol that has perpetual bars here, sorted."""
        ...

    def offers(self, dataset: str, symbol: str) -> bool:
        """True if there is any file for it."""
        ...

    def days(self, dataset: str, symbol: str) -> tuple[date, date] | None:
        """First and last day for which there is a file, or None. A day need not be whole."""
        ...

    def land(self, dataset: str, symbol: str, days: Sequence[date], sink: RawSink) -> list[RawFile]:
        """Keep every file that holds rows of `days`, checked; landing again changes nothing.

        Empty if the source has none. SourceError, naming the file, if one is damaged.
        """
        ...

    def parse(
        self,
        dataset: str,
        symbol: str,
        files: Sequence[RawFile],
        sink: RawSink,
        days: Sequence[date],
    ) -> ParsedTable:
        """Rows of `days` from landed `files`, read from the sink alone, and what was set aside.

        SourceError, naming file and, where it can, line, for bytes that are not of their format.
        """
        ...


class FileTree(Protocol):
    """A folder of files, on disk or in memory. Names are relative, with forward slashes."""

    def names(self) -> list[str]:
        """Every file's name, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """One file's bytes. SourceError if it is not there."""
        ...


class DiskTree:
    """A folder on disk."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise SourceError(
                f"There is no folder {root}.",
                "Give the path of a folder that exists.",
                path=str(root),
            )
        self._root = root

    def names(self) -> list[str]:
        """Every file's name below the root, sorted."""
        paths = (p for p in self._root.rglob("*") if p.is_file())
        return sorted(p.relative_to(self._root).as_posix() for p in paths)

    def read(self, name: str) -> bytes:
        """One file's bytes."""
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise SourceError(
                f"{name} cannot be read: {error.strerror}.",
                "Check that the file is there and readable.",
                file=name,
            ) from error


class MemoryTree:
    """Files held in memory, by name."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def names(self) -> list[str]:
        """Every file's name, sorted."""
        return sorted(self._files)

    def read(self, name: str) -> bytes:
        """One file's bytes."""
        if name not in self._files:
            raise SourceError(f"There is no file {name}.", "Ask for one it has.", file=name)
        return self._files[name]


def known_dataset(dataset: str) -> TableSchema:
    """The schema of `dataset`; SourceError for a name that is no dataset."""
    if dataset not in DATASETS:
        raise SourceError(
            f"{dataset} is no dataset that a source fills.",
            f"Use one of {', '.join(DATASETS)}.",
            dataset=dataset,
        )
    return DATASETS[dataset]
