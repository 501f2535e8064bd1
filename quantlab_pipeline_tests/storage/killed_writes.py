"""A writer that dies by SIGKILL before its n-th system call, once for every n; run as a process.

`python -m quantlab_pipeline_tests.storage.killed_writes FOLDER` expects `FOLDER/old`, a lake, and
leaves `FOLDER/killed-<n>`, a copy in which the second write was killed, and `FOLDER/whole`.
Children are forked before polars has started a thread.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pandera.polars  # noqa: F401 (imported once, before the forks)

from quantlab_pipeline.storage.objects import LocalObjects
from quantlab_pipeline_tests.storage.builders import DAYS, rows, toy_lake


def write_until(root: Path, last_step: int) -> None:
    """Write new bars of the first day, and die before system call `last_step` (from 0)."""
    steps = iter(range(10**6))

    def step(_: str) -> None:
        if next(steps) == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    lake = toy_lake(LocalObjects(root, step))
    lake.write("bars", rows("bars", DAYS[:1], value=50.0), DAYS[:1])


def main(folder: Path) -> None:
    """Kill at step 0, 1, 2, ... until a write comes through."""
    for n in range(1000):
        root = folder / f"killed-{n:03d}"
        shutil.copytree(folder / "old", root)
        child = os.fork()
        if child == 0:
            write_until(root, n)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            root.rename(folder / "whole")
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
