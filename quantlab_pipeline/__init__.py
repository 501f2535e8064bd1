"""quantlab: crypto-perpetual market data in, a few robust strategies out, the rest refused.

From a notebook: `import quantlab_pipeline as ql; lake = ql.open_lake()`, and to trade on what it
holds, `ql.open_simulator()`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantlab_pipeline.simulation.simulator import Simulator
    from quantlab_pipeline.storage.open_lake import ReadOnlyLake

__version__ = "0.1.0"


def open_lake(
    market: str | None = None, project: Path | None = None, data: Path | None = None
) -> ReadOnlyLake:
    """A market's lake to look at, read-only, with every gate in force.

    `market` may be left out if only one has data. `project` is the folder with `specs/` (default:
    the working directory), `data` the folder with the lakes (default: $QUANTLAB_DATA, or
    `<project>/data`). The lake has `.tables()`, `.table(name, start, end)`, `.study(name, table)`,
    `.sql(query)` and `.verdicts(gate)`; a refused load raises GateNotPassedError with the remedy.
    """
    from quantlab_pipeline.storage.open_lake import open_lake as opened

    return opened(market, project, data)


def open_simulator(project: Path | None = None, threads: int | None = None) -> Simulator:
    """A simulator under a project's cost model and instruments; no orchestrator is needed.

    It has `.sweep(bars, targets, tier)` and `.trace` on bars (T0 free, T1 with costs), `.execute`
    for intents on quotes, `.engine_version` and `.warm()`. `project` is the folder with `specs/`
    (default: the working directory), `threads` default to all processors.
    """
    from quantlab_pipeline.storage.open_simulator import open_simulator as opened

    return opened(project, threads)


def __getattr__(name: str) -> Any:
    """`Simulator`, loaded when it is asked for: importing the package stays cheap."""
    if name == "Simulator":
        from quantlab_pipeline.simulation.simulator import Simulator

        return Simulator
    raise AttributeError(name)
