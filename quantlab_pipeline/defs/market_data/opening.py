"""Which source a market has. The composition of sources with specs and storage.

Belongs here: opening them. A generated world and a client of a venue's interface are made once a
process: the one is dear, the other counts what it asks for.
"""

from __future__ import annotations

import os
import time
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.defs.resources import utc_now
from quantlab_pipeline.defs.stage_run import StageRun
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.sources.base import Source
from quantlab_pipeline.sources.folders import open_folder
from quantlab_pipeline.storage.spec_files import Project

if TYPE_CHECKING:
    from quantlab_pipeline.sources.remote.binance_rest import BinanceRest

UM_URL, SPOT_URL = "QUANTLAB_BINANCE_UM_URL", "QUANTLAB_BINANCE_SPOT_URL"
"""Environment variables that name other addresses of the venue's interface."""


def source_of(run: StageRun) -> Source:
    """The source of the run's market; see `open_source`."""
    return open_source(run.project, run.market, run.data_root)


def open_source(project: Project, market: MarketSpec, data_root: Path) -> Source:
    """The market's source. SourceError or SpecError if its folder or scenario does not exist."""
    spec = market.source
    if spec.kind == "world":
        return _world(project, market, data_root)
    folder = spec.folder(project.root, os.environ)
    if spec.kind == "binance":
        return _binance(market, folder)
    if spec.kind == "binance_archive" and not folder.is_dir():
        raise SourceError(
            f"There is no folder {folder} for market {market.name}.",
            "Fetch it: quantlab fetch --study STUDY, or set the variable that its path names.",
            path=str(folder),
            market=market.name,
        )
    return open_folder(
        spec.kind,
        folder,
        grid_s=market.tob_grid_s,
        oi_delay_s=market.oi_delay_s,
        venue=market.venue,
    )


def seal_of(market: MarketSpec, data_root: Path) -> Path:
    """Where a generated market's truth is sealed: no lake, no stage, no source reads there."""
    return data_root / "sealed" / f"{market.name}.json"


def usage_of(market: MarketSpec) -> dict[str, str]:
    """What this process has asked of the market's venue so far, by host, for a person."""
    from quantlab_pipeline.sources.remote.http import remote_disabled

    if market.source.kind != "binance" or remote_disabled(os.environ):
        return {}
    return {
        f"asked of {u.host}": f"{u.requests} requests, waited {u.waits} times ({u.waited_s:.1f} s)"
        for u in _shared_rest().usage()
        if u.requests
    }


def _shared_rest() -> BinanceRest:
    return rest_of(os.environ.get(UM_URL, ""), os.environ.get(SPOT_URL, ""))


def _binance(market: MarketSpec, folder: Path) -> Source:
    from quantlab_pipeline.sources.binance import Binance, mirror_tree
    from quantlab_pipeline.sources.remote.http import remote_disabled

    rest = None if remote_disabled(os.environ) else _shared_rest()
    return Binance(
        mirror_tree(folder), rest, grid_s=market.tob_grid_s, oi_delay_s=market.oi_delay_s
    )


@cache
def rest_of(um_url: str, spot_url: str) -> BinanceRest:
    """The process's client of the venue's interface; an empty address is the venue's own."""
    from quantlab_pipeline.sources.remote.binance_rest import BinanceRest, RestSettings
    from quantlab_pipeline.sources.remote.http import HttpClient, HttpSettings

    default = RestSettings()
    http = HttpClient(
        HttpSettings(),
        sleep=time.sleep,
        clock=time.monotonic,
        jitter=generator(os.getpid(), "rest", utc_now().isoformat()).random,
        environment=os.environ,
    )
    settings = RestSettings(um_url=um_url or default.um_url, spot_url=spot_url or default.spot_url)
    return BinanceRest(
        http, clock=utc_now, seconds=time.monotonic, sleep=time.sleep, settings=settings
    )


def _world(project: Project, market: MarketSpec, data_root: Path) -> Source:
    # The scenario's content is part of the key: an edited scenario is another world.
    document = project.read(f"scenarios/{market.source.scenario}").content
    return _generated(
        project.root, digest(document), market.spec_hash(), market.name, seal_of(market, data_root)
    )


@lru_cache(maxsize=1)
def _generated(root: Path, _scenario: str, _market: str, name: str, seal: Path) -> Source:
    """Generated once a process: every dataset of a market comes from the same world."""
    from quantlab_pipeline.sources.world import world_of
    from quantlab_pipeline.storage.objects import write_atomic

    project = Project(root)
    market = project.market(name)
    return world_of(
        partial(project.scenario, str(market.source.scenario)),
        market.source.seed,
        seal=lambda truth: write_atomic(seal, truth),
        grid_s=market.tob_grid_s,
        oi_delay_s=market.oi_delay_s,
    )
