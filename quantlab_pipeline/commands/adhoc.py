"""A market, and a study of it, made on the fly from what a person's folder holds.

Belongs here: choosing symbols and days, naming by content, and writing the two documents below the
data folder, where Dagster, the UI and later commands find them. The folder is only read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import yaml

from quantlab_pipeline.commands.session import UsageError
from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.fingerprints import digest, digest_bytes, short
from quantlab_pipeline.core.ports import RawFile
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.sources.base import DATASETS, Source
from quantlab_pipeline.sources.folders import open_folder
from quantlab_pipeline.storage.objects import write_atomic
from quantlab_pipeline.storage.spec_errors import suggestion
from quantlab_pipeline.storage.spec_files import Project

BARS = "bars_1m_perp"
LEAN_GRID_S = 60
"""LEAN keeps one quote a minute."""

WORLD_CARD = "WORLD.json"
"""Lies in a folder that `quantlab world make` wrote: what is made from it is synthetic."""

MIN_DAYS = 4
"""Fewer leave nothing before or nothing inside the holdout, the last quarter of the days."""

_BINANCE = ("binance", "binanceusdm")


@dataclass(frozen=True, slots=True)
class Folder:
    """What the command line says of a person's own folder; None is for the folder to decide."""

    kind: str | None = None
    path: Path | None = None
    symbols: tuple[str, ...] | None = None
    first_day: date | None = None
    last_day: date | None = None

    @property
    def given(self) -> bool:
        """Whether anything was said at all."""
        return self != Folder()


@dataclass(slots=True)
class _Digests:
    """A `RawSink` that keeps nothing but what each file is."""

    files: list[tuple[str, str, str, str]] = field(default_factory=list)

    def put(
        self, source: str, dataset: str, symbol: str, name: str, data: bytes, url: str
    ) -> RawFile:
        sha = digest_bytes(data)
        self.files.append((dataset, symbol, name, sha))
        return RawFile(source, dataset, symbol, name, name, sha, url)

    def read(self, file: RawFile) -> bytes:
        raise SourceError(f"{file.name} was not kept.", "Land it in a lake.", file=file.name)

    def versions(self, source: str, dataset: str, symbol: str, name: str) -> list[RawFile]:
        del source, dataset, symbol, name
        return []


def make_adhoc(project: Project, folder: Folder) -> tuple[MarketSpec, StudySpec]:
    """The market and the study of `folder`, written below the project's `adhoc` folder.

    See `make_market`. UsageError for fewer days than a study needs.
    """
    market = make_market(project, folder, least_days=MIN_DAYS)
    body = market.model_dump(include={"name", "symbols", "first_day", "last_day"})
    seed = int(market.name.rpartition("_")[2], 16)
    study = StudySpec.model_validate({**body, "market": market.name, "seed": seed})
    _write(project, "studies", study)
    return market, study


def make_market(project: Project, folder: Folder, least_days: int = 1) -> MarketSpec:
    """The market of `folder`, written below the project's `adhoc` folder.

    The same files, symbols and days give the same name wherever the folder lies. SourceError for a
    folder, symbol or range of days that is not there, and for a file without its checksum's bytes.
    """
    kind, path = _required(folder)
    grid_s = LEAN_GRID_S if kind == "lean" else 1
    source = open_folder(kind, path, grid_s=grid_s)
    symbols, days = choose(source, folder, least_days)
    sink = _Digests()
    for dataset in DATASETS:
        for symbol in symbols:
            source.land(dataset, symbol, days, sink)
    identity = digest([kind, symbols, days[0], days[-1], sorted(sink.files)])
    name = f"adhoc_{kind}_{short(identity, 8)}"
    body = {
        "name": name,
        "venue": _venue(kind, path, [f[2] for f in sink.files]),
        "synthetic": (path / WORLD_CARD).is_file(),
        "enabled": True,
        "source": {"kind": kind, "path": str(path)},
        "symbols": symbols,
        "first_day": days[0],
        "last_day": days[-1],
        "datasets": {d: "required" if d == BARS else "optional" for d in DATASETS},
        "tob_grid_s": grid_s,
    }
    market = MarketSpec.model_validate(body)
    _write(project, "markets", market)
    return market


def choose(source: Source, folder: Folder, least_days: int) -> tuple[list[str], list[date]]:
    """Symbols and days: those asked for, else all that have perpetual bars and the days they share.

    SourceError, with what the folder has, for what it has not; UsageError for too few days.
    """
    spans = {s: span for s in source.symbols() if (span := source.days(BARS, s)) is not None}
    if not spans:
        raise SourceError(
            "The folder holds no perpetual minute bars, which every study needs.",
            "Add them, or point to another folder.",
        )
    asked = None if folder.symbols is None else list(dict.fromkeys(folder.symbols))
    for symbol in asked or ():
        if symbol not in spans:
            raise SourceError(
                f"The folder has no perpetual minute bars of {symbol}.",
                suggestion(symbol, spans, "symbols"),
                symbol=symbol,
            )
    symbols = sorted(asked or _covering(spans, folder))
    return symbols, _days({s: spans[s] for s in symbols}, folder, least_days)


def _covering(spans: Mapping[str, tuple[date, date]], folder: Folder) -> list[str]:
    """Symbols with bars on the days that were asked for; all if none of them has."""
    first, last = folder.first_day, folder.last_day
    found = [s for s, (a, b) in spans.items() if (first or a) >= a and (last or b) <= b]
    return found or list(spans)


def _days(spans: Mapping[str, tuple[date, date]], folder: Folder, least_days: int) -> list[date]:
    lo, hi = max(a for a, _ in spans.values()), min(b for _, b in spans.values())
    names = ", ".join(spans)
    if lo > hi:
        each = "; ".join(f"{s} {a} .. {b}" for s, (a, b) in spans.items())
        raise SourceError(
            f"{names} share no day: {each}.", "Choose fewer with --symbols.", symbols=list(spans)
        )
    first, last = folder.first_day or lo, folder.last_day or hi
    if last < first:
        raise UsageError(f"--to {last} is before --from {first}.", "Swap them.")
    if first < lo or last > hi:
        raise SourceError(
            f"{names}: no data on all of {first} .. {last}; the folder has {lo} .. {hi}.",
            "Choose --from and --to inside it.",
            first=str(lo),
            last=str(hi),
        )
    days = days_between(first, last)
    if len(days) < least_days:
        raise UsageError(
            f"{first} .. {last} is {len(days)} days; a study needs {least_days} to hold some out.",
            f"The folder has {lo} .. {hi}: choose more with --from and --to.",
        )
    return days


def _required(folder: Folder) -> tuple[str, Path]:
    if folder.kind is None or folder.path is None:
        raise UsageError(
            "One's own folder needs both --source and --path.",
            "Example: quantlab run --source freqtrade --path user_data/data/binance.",
        )
    return folder.kind, folder.path.absolute()


def _venue(kind: str, path: Path, names: Sequence[str]) -> str:
    """Whose trades these are: studies of one venue spend one budget of trials."""
    if kind in {"binance_archive", "capture"}:
        return "binance_usdm"
    if kind == "lean" and names and names[0].startswith("crypto"):
        return names[0].split("/")[1].lower()
    exchange = names[0].split("/")[0] if names and names[0].count("/") > 1 else path.name
    return "binance_usdm" if exchange.lower() in _BINANCE else exchange.lower()


def _write(project: Project, kind: str, spec: MarketSpec | StudySpec) -> None:
    if project.adhoc is None:
        raise UsageError("This project keeps no markets of its own.", "Name a folder with --data.")
    text = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False)
    note = "# Made by `quantlab ... --source`; it goes when you delete it.\n"
    path = project.adhoc / kind / f"{spec.name}.yaml"
    data = (note + text).encode()
    if not path.is_file() or path.read_bytes() != data:
        write_atomic(path, data)
