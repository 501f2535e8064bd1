"""Damage done to finished frames, exact in count and place. `damage_spec` says what may be asked.

Stamps are never changed, so that the truth can name every touched row by its original `ts`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.worlds.damage_spec import DamageSpec
from quantlab_pipeline.worlds.truth import Damage

Rows = NDArray[np.int64]
Spans = tuple[tuple[int, int], ...]
Outcome = tuple[pl.DataFrame, Rows, Spans]
"""The damaged frame, the touched rows (positions in the frame before), and silent stretches."""

KEYS = ("symbol", "leg", "ts", "available_at", "open_ts")
PRICES = ("open", "high", "low", "close", "mark_price", "index_price")
DECIMALS = 8
EDGE_ROWS = 10


def apply_damage(
    frames: dict[str, pl.DataFrame], items: Sequence[DamageSpec], seed: int
) -> tuple[dict[str, pl.DataFrame], tuple[Damage, ...]]:
    """`frames` with every item done, and what was done. The given frames stay as they are."""
    damaged, done = dict(frames), []
    for item in items:
        frame = damaged[item.dataset]
        leg = getattr(item, "leg", "")
        rows = _rows(frame, item, leg)
        draw = generator(seed, "damage", item.kind, item.dataset, leg, item.symbol, str(item.day))
        verb: Callable[..., Outcome] = VERBS[item.kind]
        damaged[item.dataset], touched, spans = verb(frame, rows, item, draw)
        stamps = frame["ts"].dt.epoch("us").gather(np.sort(touched)).to_list()
        done.append(
            Damage(
                kind=item.kind,
                dataset=item.dataset,
                symbol=item.symbol,
                day=item.day.isoformat(),
                leg=leg,
                count=len(stamps),
                places_us=tuple(stamps),
                spans_us=spans,
            )
        )
    return damaged, tuple(done)


def _rows(frame: pl.DataFrame, item: DamageSpec, leg: str) -> Rows:
    wanted = (pl.col("symbol") == item.symbol) & (day_of() == item.day)
    if leg:
        wanted &= pl.col("leg") == leg
    rows: Rows = frame.select(wanted.arg_true()).to_series().to_numpy().astype(np.int64)
    if rows.size == 0:
        raise SpecError(
            f"Damage {item.kind} finds no {item.dataset} rows of {item.symbol} on {item.day}.",
            "Name a day that the dataset covers.",
            kind=item.kind,
        )
    return rows


def _run(rows: Rows, length: int, draw: np.random.Generator, item: Any) -> Rows:
    """`length` consecutive rows, away from the day's edges."""
    room = rows.size - length - 2 * EDGE_ROWS
    if room < 1:
        raise SpecError(
            f"Damage {item.kind} of {length} rows does not fit into {rows.size}.",
            "Ask for a shorter run.",
            kind=item.kind,
        )
    first = EDGE_ROWS + int(draw.integers(room))
    return rows[first : first + length]


def _some(rows: Rows, n: int, draw: np.random.Generator, item: Any) -> Rows:
    """`n` different ones of `rows`, ascending."""
    if n > rows.size:
        raise SpecError(
            f"Damage {item.kind} wants {n} of {rows.size} rows.", "Ask for fewer.", kind=item.kind
        )
    return np.sort(draw.choice(rows, size=n, replace=False))


def _without(frame: pl.DataFrame, gone: Rows) -> pl.DataFrame:
    keep = np.ones(frame.height, bool)
    keep[gone] = False
    return frame.filter(pl.Series(keep))


def _replace(frame: pl.DataFrame, rows: Rows, columns: dict[str, Any]) -> pl.DataFrame:
    """`frame` with new values in `rows` of some columns."""
    changed = []
    for name, values in columns.items():
        whole = frame[name].to_numpy().copy()
        whole[rows] = values
        changed.append(pl.Series(name, whole, dtype=frame.schema[name]))
    return frame.with_columns(changed)


def _gap(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    gone = _run(rows, item.length_min, draw, item)
    return _without(frame, gone), gone, ()


def _missing(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    gone = _some(rows, item.n_rows, draw, item)
    return _without(frame, gone), gone, ()


def _duplicate(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    twice = _some(rows, item.n_rows, draw, item)
    order = np.sort(np.concatenate((np.arange(frame.height), twice)))
    return frame[order], twice, ()


def _disorder(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """The touched rows are the earlier ones of each pair: they stand one place too late."""
    early = _some(rows[:-1:2], item.n_pairs, draw, item)
    order = np.arange(frame.height)
    order[early], order[early + 1] = early + 1, early
    return frame[order], early, ()


def _cross(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    chosen = _some(rows, round(item.share * rows.size), draw, item)
    swapped = {
        "bid_px": frame["ask_px"].to_numpy()[chosen],
        "ask_px": frame["bid_px"].to_numpy()[chosen],
    }
    return _replace(frame, chosen, swapped), chosen, ()


def _silence(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """One burst in each of `n_bursts` equal parts of the day's quotes."""
    stamps = frame["ts"].dt.epoch("us").to_numpy()
    length = item.length_s * 1_000_000
    gone, spans = [], []
    for part in np.array_split(rows, item.n_bursts):
        inner = part[(stamps[part] > stamps[part[0]]) & (stamps[part] < stamps[part[-1]] - length)]
        last_before = int(_some(inner, 1, draw, item)[0])
        first_after = int(np.searchsorted(stamps[part], stamps[last_before] + length, "right"))
        gone.append(np.arange(last_before + 1, part[first_after]))
        spans.append((int(stamps[last_before]), int(stamps[part[first_after]])))
    silent = np.concatenate(gone)
    return _without(frame, silent), silent, tuple(spans)


def _wrong_unit(frame: pl.DataFrame, rows: Rows, item: Any, _draw: np.random.Generator) -> Outcome:
    prices = [c for c in PRICES if c in frame.columns]
    scaled = {c: np.round(frame[c].to_numpy()[rows] * item.factor, DECIMALS) for c in prices}
    return _replace(frame, rows, scaled), rows, ()


def _shift(frame: pl.DataFrame, rows: Rows, item: Any, _draw: np.random.Generator) -> Outcome:
    source = rows - item.shift_min
    if source[0] < 0 or frame["symbol"][int(source[0])] != item.symbol:
        raise SpecError(
            f"Damage time_shift on {item.day} needs rows before that day.",
            "Name a later day.",
            kind=item.kind,
        )
    values = [c for c in frame.columns if c not in KEYS]
    moved = {c: frame[c].to_numpy()[source] for c in values}
    return _replace(frame, rows, moved), rows, ()


def _outlier(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    lone = _some(rows[EDGE_ROWS::EDGE_ROWS], item.n_rows, draw, item)
    close = np.round(frame["close"].to_numpy()[lone] * item.factor, DECIMALS)
    high = np.round(frame["high"].to_numpy()[lone] * item.factor, DECIMALS)
    return _replace(frame, lone, {"high": high, "close": close}), lone, ()


def _no_trades(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    still = _run(rows, item.length_min, draw, item)
    carried = frame["close"][int(still[0]) - 1]
    flat: dict[str, Any] = dict.fromkeys(("open", "high", "low", "close"), carried)
    none: dict[str, Any] = dict.fromkeys(("volume_base", "volume_quote", "n_trades"), 0)
    return _replace(frame, still, {**flat, **none, "taker_buy_base": 0}), still, ()


VERBS: dict[str, Callable[..., Outcome]] = {
    "gap": _gap,
    "duplicate_rows": _duplicate,
    "non_monotone": _disorder,
    "crossed_quotes": _cross,
    "stale_burst": _silence,
    "unit_error": _wrong_unit,
    "time_shift": _shift,
    "price_outlier": _outlier,
    "zero_volume_run": _no_trades,
    "missing_funding": _missing,
}
