"""Damage to quotes: crossed, locked, invalid, late, silent, at another level.

A quote stands until the next one: `spans_us` say from when to when the damaged ones stood.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE_US
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.worlds.damage.pick import (
    EDGE_ROWS,
    Outcome,
    Rows,
    Spans,
    replace,
    scaled,
    some,
    stamps_us,
    without,
)

FIELDS = ("bid_px", "bid_qty", "ask_px", "ask_qty")


def _share(rows: Rows, item: Any, draw: np.random.Generator) -> Rows:
    """A share of the day's quotes, away from its edges: none stands over midnight."""
    return some(rows[EDGE_ROWS:-EDGE_ROWS], round(item.share * rows.size), draw, item)


def _standing(frame: pl.DataFrame, chosen: Rows) -> Spans:
    """From each run of chosen quotes' first stamp to the stamp of the first quote after it."""
    first = chosen[np.diff(chosen, prepend=-2) > 1]
    last = chosen[np.diff(chosen, append=frame.height + 1) > 1]
    starts, ends = stamps_us(frame, first), stamps_us(frame, last + 1)
    return tuple(zip(starts.tolist(), ends.tolist(), strict=True))


def crossed(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """Bid and ask prices exchanged."""
    chosen = _share(rows, item, draw)
    swapped = {
        "bid_px": frame["ask_px"].gather(chosen),
        "ask_px": frame["bid_px"].gather(chosen),
    }
    damaged = replace(frame, chosen, swapped)
    return Outcome(damaged, stamps_us(frame, chosen), _standing(frame, chosen))


def locked(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """The ask at the bid."""
    chosen = _share(rows, item, draw)
    damaged = replace(frame, chosen, {"ask_px": frame["bid_px"].gather(chosen)})
    return Outcome(damaged, stamps_us(frame, chosen), _standing(frame, chosen))


def invalid(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """One of four fields is zero or NaN, all eight ways as often as another."""
    chosen = _share(rows, item, draw)
    way = draw.permutation(np.arange(chosen.size) % (2 * len(FIELDS)))
    damaged = frame
    for i, field in enumerate(FIELDS):
        for nothing, value in enumerate((0.0, np.nan)):
            damaged = replace(damaged, chosen[way == 2 * i + nothing], {field: value})
    return Outcome(damaged, stamps_us(frame, chosen), _standing(frame, chosen))


def late(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """The places are the earlier quotes of each pair: they come after the later ones.

    The spans reach from the quote before a pair to its later one: a late quote never stands.
    """
    stamps = stamps_us(frame, rows)
    pairs = rows[EDGE_ROWS:-EDGE_ROWS:2]
    differ = stamps[EDGE_ROWS:-EDGE_ROWS:2] < stamps[EDGE_ROWS + 1 : -EDGE_ROWS + 1 : 2]
    early = some(pairs[differ], item.n_pairs, draw, item)
    order = np.arange(frame.height)
    order[early], order[early + 1] = early + 1, early
    before, after = stamps_us(frame, early - 1), stamps_us(frame, early + 1)
    spans = tuple(zip(before.tolist(), after.tolist(), strict=True))
    return Outcome(frame[order], stamps_us(frame, early), spans)


def silence(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """One burst in each of `n_bursts` equal parts of the day's quotes.

    The places are the quotes that are gone, and the spans reach from the last quote before to the
    first one after.
    """
    stamps = frame["ts"].dt.epoch("us").to_numpy()
    length = item.length_s * 1_000_000
    gone, spans = [], []
    for part in np.array_split(rows, item.n_bursts):
        inner = part[(stamps[part] > stamps[part[0]]) & (stamps[part] < stamps[part[-1]] - length)]
        last_before = int(some(inner, 1, draw, item)[0])
        first_after = int(np.searchsorted(stamps[part], stamps[last_before] + length, "right"))
        gone.append(np.arange(last_before + 1, part[first_after]))
        spans.append((int(stamps[last_before]), int(stamps[part[first_after]])))
    silent = np.concatenate(gone)
    return Outcome(without(frame, silent), stamps_us(frame, silent), tuple(spans))


def apart(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """Both prices off in all quotes of consecutive minutes, each of which holds its close."""
    minutes = -(-stamps_us(frame, rows) // MINUTE_US)
    known = np.unique(minutes)[1:-1]
    if item.length_min > known.size:
        raise SpecError(
            f"Damage {item.kind} of {item.length_min} minutes does not fit into {known.size}.",
            "Ask for fewer.",
            kind=item.kind,
        )
    first = int(known[draw.integers(known.size - item.length_min + 1)])
    chosen = rows[(minutes >= first) & (minutes < first + item.length_min)]
    damaged = scaled(frame, chosen, ["bid_px", "ask_px"], item.factor)
    return Outcome(damaged, stamps_us(frame, chosen), _standing(frame, chosen))
