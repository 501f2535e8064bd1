"""An archive in memory, and a fetch from a server into a folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from quantlab_pipeline.sources.archive.layout import archive_name
from quantlab_pipeline.sources.remote.fetch import FetchRequest, Summary, run_fetch
from quantlab_pipeline.sources.remote.http import HttpClient, HttpSettings
from quantlab_pipeline.sources.remote.mirror import Mirror
from quantlab_pipeline.sources.remote.plan import plan_fetch, series_of
from quantlab_pipeline.storage.objects import write_atomic

SYMBOL = "BTCUSDT"
TODAY = date(2024, 7, 15)
NOW = datetime(2024, 7, 15, 12, tzinfo=UTC)


def content(name: str, version: int = 0, size: int = 2000) -> bytes:
    """Bytes that tell file and version, and where they are in it."""
    head = f"{name} v{version}\n".encode()
    return head + b"".join(f"{i:08d}".encode() for i in range(size // 8))


def files_of(
    dataset: str,
    days: Sequence[date],
    symbol: str = SYMBOL,
    *,
    daily: bool = True,
    size: int = 2000,
) -> dict[str, bytes]:
    """A daily (or monthly) file for each of `days`, of every series behind `dataset`."""
    names = {
        archive_name(market, kind, symbol, day, daily=daily)
        for market, kind in series_of(dataset)
        for day in days
    }
    return {name: content(name, size=size) for name in names}


def mirror_at(root: Path, write=write_atomic) -> Mirror:
    return Mirror(root, write=write, clock=lambda: NOW)


def fetching(
    url: str,
    root: Path,
    days: Sequence[date],
    datasets: Sequence[str] = ("bars_1m_perp",),
    symbols: Sequence[str] = (SYMBOL,),
    *,
    write=write_atomic,
    progress=lambda _: None,
    settings: HttpSettings | None = None,
    **request,
) -> Summary:
    """Plan and fetch; waits between attempts are not waited out."""
    mirror, stop = mirror_at(root, write), threading.Event()
    plan = plan_fetch(datasets, symbols, days, TODAY, mirror.has)
    patient = settings or HttpSettings(read_timeout_s=5.0, max_attempts=4, requests_per_s=1e6)
    client = HttpClient(
        patient,
        sleep=lambda _: stop.wait(0.001),
        clock=time.monotonic,
        jitter=lambda: 0.5,
        environment={},
    )
    with client:
        asked = FetchRequest(url, **request)
        return run_fetch(plan, mirror, client, asked, time.monotonic, stop=stop, progress=progress)
