"""Dagster's resources: the lakes of all markets, and the simulator of every stage that trades.

Each is a thin wrapper; what it wraps knows nothing of Dagster.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import PrivateAttr

from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.simulation.simulator import Simulator
from quantlab_pipeline.storage.catalog import Catalog
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.project_lake import open_market_lake, project_of
from quantlab_pipeline.storage.spec_files import Project


def utc_now() -> datetime:
    """The wall clock; everything below takes it as an argument."""
    return datetime.now(tz=UTC)


class LakesResource(dg.ConfigurableResource[Any]):
    """Opens the lake of any market of the project."""

    project_root: str
    data_root: str
    _lakes: dict[str, Lake] = PrivateAttr(default_factory=dict)

    def project(self) -> Project:
        """The specs, read anew: an edited document shows at once."""
        return project_of(Path(self.project_root), self.data())

    def data(self) -> Path:
        """Folder of everything that is not code or spec."""
        return Path(self.data_root)

    def lake(self, market: MarketSpec) -> Lake:
        """The market's lake, gates in force. Its caches hold while the files stay the same."""
        project = self.project()
        state = f"{market.name} {market.spec_hash()} {project.features().spec_hash()}"
        if state not in self._lakes:
            self._lakes[state] = open_market_lake(project, market, self.data(), utc_now)
        return self._lakes[state]


class CatalogResource(dg.ConfigurableResource[Any]):
    """SQL over a market's lake, on connections of the DuckDB resource; no data lives in it."""

    lakes: dg.ResourceDependency[LakesResource]
    duckdb: dg.ResourceDependency[DuckDBResource]

    def catalog(self, market: MarketSpec) -> Catalog:
        """The market's tables as views, gates in force."""
        return Catalog(self.lakes.lake(market), self.duckdb.get_connection)


class EngineResource(dg.ConfigurableResource[Any]):
    """Hands a stage its `simulation.simulator.Simulator`, and does no more.

    The same class works in a notebook. Kernels are loaded when one is first needed. Bridge and
    backtest run the same engine through the result cache (`simulation.serving`).
    """

    threads: int = 1

    def simulator(self, costs: CostModel, instruments: Mapping[str, Instrument]) -> Simulator:
        """A simulator with this resource's threads. Results do not depend on their number."""
        return Simulator(costs, instruments, self.threads)
