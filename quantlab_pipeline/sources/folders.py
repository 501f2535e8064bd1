"""A person's folder as a source, by the name of its layout.

Belongs here: the list of layouts that are folders. A generated world is none, and what else a
source may ask for (the venue's own interface) is not on disk.
"""

from __future__ import annotations

from pathlib import Path

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources.base import DiskTree, Source

LAYOUTS = ("freqtrade", "binance_archive", "lean", "capture")


def open_folder(
    kind: str, folder: Path, *, grid_s: int = 1, oi_delay_s: int = 60, venue: str | None = None
) -> Source:
    """The source of a folder of the layout `kind`, one of LAYOUTS.

    `grid_s` is the sampling grid of the book, `oi_delay_s` the delay of open interest, in seconds;
    `venue` chooses in a LEAN folder of several. SourceError if there is no such folder.
    """
    tree = DiskTree(folder)
    if kind == "freqtrade":
        from quantlab_pipeline.sources.freqtrade import Freqtrade

        return Freqtrade(tree)
    if kind == "lean":
        from quantlab_pipeline.sources.lean.source import Lean

        return Lean(tree, venue=venue, grid_s=grid_s)
    if kind == "capture":
        from quantlab_pipeline.sources.capture.source import Capture

        return Capture(tree, grid_s=grid_s)
    if kind == "binance_archive":
        from quantlab_pipeline.sources.archive.source import BinanceArchive

        return BinanceArchive(tree, grid_s=grid_s, oi_delay_s=oi_delay_s)
    raise SourceError(
        f"{kind} is no layout of a folder.", f"Use one of {', '.join(LAYOUTS)}.", kind=kind
    )
