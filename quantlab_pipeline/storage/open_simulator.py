"""The notebook's simulator: a project's own cost model and instruments, in few words."""

from __future__ import annotations

import os
from pathlib import Path

from quantlab_pipeline.simulation.simulator import Simulator
from quantlab_pipeline.storage.spec_files import Project


def open_simulator(project: Path | None = None, threads: int | None = None) -> Simulator:
    """A simulator with the costs and the listed instruments of `project`'s specs.

    `project` is the folder with `specs/` (default: the working directory), `threads` the number to
    use (default: all processors).
    """
    specs = Project(project)
    instruments = {i.symbol: i for i in specs.instruments().instruments}
    return Simulator(specs.costs(), instruments, threads or os.cpu_count() or 1)
