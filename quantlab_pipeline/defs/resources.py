"""Dagster's resources: the lakes of all markets, the backtest engine, DuckDB.

Each is a thin wrapper; what it wraps knows nothing of Dagster.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.project_lake import open_market_lake
from quantlab_pipeline.storage.spec_files import Project


def utc_now() -> datetime:
    """The wall clock; everything below takes it as an argument."""
    return datetime.now(tz=UTC)


class LakesResource(dg.ConfigurableResource[Any]):
    """Opens the lake of any market of the project; one instance a process."""

    project_root: str
    data_root: str
    _lakes: dict[str, Lake] = PrivateAttr(default_factory=dict)

    def project(self) -> Project:
        """The specs, read anew: an edited document shows at once."""
        return Project(Path(self.project_root))

    def lake(self, market: MarketSpec) -> Lake:
        """The market's lake."""
        return open_market_lake(self.project(), market, Path(self.data_root), utc_now)


class EngineResource(dg.ConfigurableResource[Any]):
    """The numba execution and backtest kernels behind `simulation.engine`, compiled once."""

    threads: int = 1

    def engine(self) -> Any:
        """The engine, imported on first use: numba is slow to load."""
        from quantlab_pipeline.simulation.engine import Engine

        return Engine(threads=self.threads)
