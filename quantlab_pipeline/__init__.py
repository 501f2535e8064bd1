"""quantlab: crypto-perpetual market data in, a few robust strategies out, the rest refused.

From a notebook: `import quantlab_pipeline as ql; lake = ql.open_lake()`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
