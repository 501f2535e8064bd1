"""Every shipped feature at one symbol and minute, from raw rows, by its definition and nothing
else.

Nothing is shared with the build: rows are looked up one minute at a time among what was known, and
each window is cut out and computed afresh.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline_tests.oracles import rolling

Floats = npt.NDArray[np.float64]
MINUTE_US = 60_000_000
HISTORY = 10_300


def _known_at(frame: pl.DataFrame, column: str, minute: int, max_age: int) -> list[float]:
    """The last HISTORY minutes' values of `column`, each as it was known at its minute."""
    epoch = [pl.col(c).dt.epoch("us") for c in ("available_at", "ts")]
    value = pl.col(column)
    value = value.dt.epoch("us") / MINUTE_US if frame.schema[column].is_temporal() else value
    recent = pl.col("ts").dt.epoch("us") > (minute - HISTORY - max_age - 1) * MINUTE_US
    frame = frame.filter(recent)
    rows = sorted(frame.select(*epoch, value.alias("value")).rows(), key=lambda row: row[:2])
    out, newest, k = [], (-1, math.nan), 0
    for u in range(minute - HISTORY + 1, minute + 1):
        now = u * MINUTE_US
        while k < len(rows) and rows[k][0] <= now:
            if rows[k][1] >= newest[0]:
                newest = (rows[k][1], math.nan if rows[k][2] is None else rows[k][2])
            k += 1
        out.append(newest[1] if now - newest[0] <= max_age * MINUTE_US else math.nan)
    return out


def _log_bps(now: float, then: float) -> float:
    return 1e4 * math.log(now / then) if now > 0 and then > 0 else math.nan


def _changes(x: Floats, lag: int) -> Floats:
    return np.array([math.nan] * lag + [_log_bps(x[i], x[i - lag]) for i in range(lag, x.size)])


def _z(x: Floats, window: int, least: int) -> float:
    rows = x[-window:]
    good = rows[~np.isnan(rows)]
    if good.size < least or np.ptp(good) == 0:
        return math.nan
    return float((x[-1] - good.mean()) / good.std(ddof=1))


def _over_mean(x: Floats, window: int, least: int) -> float:
    return float(x[-1] / rolling.mean(x[-window:], window, least)[-1])


def _last(values: Floats) -> float:
    return float(values[-1])


def _flag(x: float, hit: bool) -> float:
    return math.nan if math.isnan(x) else float(hit)


def _micro(get: Callable[[str], Floats]) -> dict[str, float]:
    spread, depth = get("tob_1m_agg.spread_bps_mean"), get("tob_1m_agg.depth_usd_mean")
    imbalance = get("tob_1m_agg.imbalance_mean")
    spread_rank = rolling.last_rank(spread[-1440:], 360)
    depth_rank = rolling.last_rank(depth[-1440:], 360)
    fullness = _over_mean(depth, 60, 45)
    lean = rolling.mean(imbalance[-15:], 15, 12)[-1]
    return {
        "spread_bps": spread[-1],
        "spread_rank_1d": spread_rank,
        "spread_q95_1d_bps": rolling.last_quantile(spread[-1440:], 0.95, 360),
        "spread_change_5m_bps": spread[-1] - spread[-6],
        "spread_ratio_1h": _over_mean(spread, 60, 45),
        "depth_usd": depth[-1],
        "depth_rank_1d": depth_rank,
        "depth_ratio_1h": fullness,
        "depth_collapse_flag": _flag(fullness, fullness <= 0.4),
        "imbalance": imbalance[-1],
        "imbalance_mean_15m": lean,
        "imbalance_z_1d": _z(imbalance, 1440, 360),
        "liquidity_stress": 0.5 * spread_rank + 0.4 * (1 - depth_rank) + 0.1 * abs(imbalance[-1]),
    }


def _funding(get: Callable[[str], Floats], minute: int) -> dict[str, float]:
    rate, at = get("funding.settled_rate"), get("funding.ts")
    due = get("funding.next_funding_ts")[-1] - minute
    expected = 1e4 * get("funding_state.predicted_rate")[-1]
    settled = 1e4 * get("funding_state.last_settled_rate")[-1]
    now = np.arange(minute - rate.size + 1, minute + 1, dtype=np.float64)
    facts = {a: r for a, r in zip(at, rate, strict=True) if a > now[-1] - 10080}
    run = 0.0
    for stamp in sorted(facts, reverse=True)[:21]:
        if facts[stamp] * facts[max(facts)] <= 0:
            break
        run += 1
    return {
        "funding_last_bps": 1e4 * rate[-1],
        "funding_z_7d": _z(1e4 * rate, 10080, 1440),
        "funding_persistence": math.nan if math.isnan(rate[-1]) else run * np.sign(rate[-1]),
        "funding_expected_bps": expected,
        "funding_surprise_bps": expected - settled,
        "funding_due_min": due if due >= 0 else math.nan,
    }


def _prices_apart(get: Callable[[str], Floats]) -> dict[str, float]:
    basis, oi = get("basis_state.basis_bps"), get("open_interest.oi_base")
    mark, index = get("mark_index.mark_price"), get("mark_index.index_price")
    gap = np.array([_log_bps(m, i) for m, i in zip(mark, index, strict=True)])
    slope = rolling.last_ar1(basis, 1440, 360)
    steps = np.diff(gap)
    usual = _day_deviation(steps[:-1])
    jump = abs(steps[-1]) >= max(8 * usual, 5.0)
    return {
        "basis_bps": basis[-1],
        "basis_z_1d": _z(basis, 1440, 360),
        "basis_change_15m_bps": basis[-1] - basis[-16],
        "basis_half_life_min": math.log(2) / -math.log(slope) if 0 < slope < 1 else math.nan,
        "mark_index_bps": gap[-1],
        "mark_index_z_1d": _z(gap, 1440, 360),
        "mark_index_jump_flag": _flag(steps[-1] + usual, bool(jump)),
        "oi_change_5m_bps": _log_bps(oi[-1], oi[-6]),
        "oi_change_1h_bps": _log_bps(oi[-1], oi[-61]),
        "oi_z_1d": _z(oi, 1440, 360),
    }


def _volatility(get: Callable[[str], Floats]) -> dict[str, float]:
    close = get("bars_1m_perp.close")
    moves = _changes(close, 1)
    quiet, day = rolling.deviation(moves[-15:], 15, 12)[-1], _day_deviation(moves)
    hours = rolling.deviation(moves[-10140:], 60, 45)[-10080:]
    out = {f"ret_{n}_bps": _log_bps(close[-1], close[-1 - k]) for n, k in _HORIZONS.items()}
    ratio = quiet / day if day > 0 else math.nan
    return out | {
        "rv_15m_bps": quiet,
        "rv_1h_bps": _last(hours),
        "rv_1d_bps": day,
        "rv_1h_rank_7d": rolling.last_rank(hours, 1440),
        "vol_ratio_15m_1d": ratio,
        "compression_flag": _flag(ratio, ratio <= 0.5),
        "expansion_flag": _flag(ratio, ratio >= 2.0),
    }


_HORIZONS = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "4h": 240}


def _day_deviation(moves: Floats) -> float:
    good = moves[-1440:][~np.isnan(moves[-1440:])]
    return float(good.std(ddof=1)) if good.size >= 360 else math.nan


def _true_ranges(high: Floats, low: Floats, close: Floats) -> Floats:
    out = [math.nan]
    for h, lo, before in zip(high[1:], low[1:], close[:-1], strict=True):
        out.append(1e4 * (max(h, before) - min(lo, before)) / before)
    return np.array([v if not math.isnan(v) else math.nan for v in out])


def _bars(get: Callable[[str], Floats], minute: int) -> dict[str, float]:
    names = ("open", "high", "low", "close", "volume_base", "volume_quote")
    open_, high, low, close, volume, value = (get(f"bars_1m_perp.{n}") for n in names)
    ranges = _true_ranges(high, low, close)
    ranges[np.isnan(high + low) | np.isnan(np.roll(close, 1))] = math.nan
    start = minute - 4400
    atr = rolling.ewm(ranges[-4400:], start, 1 / 60, 1440, 1440, 60, first=4400 - 1440)
    wicks = np.minimum(open_, close) - low - (high - np.maximum(open_, close))
    wicks = 1e4 * wicks / close
    moves = np.abs(_changes(close, 1))
    traded = np.where(np.isnan(value), volume * close, value)
    with np.errstate(divide="ignore"):
        impact = np.where(traded > 0, 1e6 * moves / traded, math.nan)
    amihud = rolling.mean(impact[-1500:], 60, 30)[-1440:]
    return {
        "atr_1h_bps": _last(atr),
        "atr_1h_rank_1d": rolling.last_rank(atr[-1440:], 360),
        "wick_bps": wicks[-1],
        "wick_rank_1d": rolling.last_rank(np.abs(wicks[-1440:]), 360),
        "volume_rank_1d": rolling.last_rank(volume[-1440:], 360),
        "volume_z_1d": _z(volume, 1440, 360),
        "amihud_1h_bps_per_musd": _last(amihud),
        "amihud_rank_1d": rolling.last_rank(amihud, 360),
        "range_pos_4h": _position(high[-240:], low[-240:], close[-1], 180),
        "range_pos_1d": _position(high[-1440:], low[-1440:], close[-1], 360),
    }


def _position(high: Floats, low: Floats, close: float, least: int) -> float:
    if (~np.isnan(high)).sum() < least:
        return math.nan
    top, bottom = np.nanmax(high), np.nanmin(low)
    return float((close - bottom) / (top - bottom))


def features_at(
    tables: dict[str, pl.DataFrame], ages: dict[str, int], symbol: str, minute: int
) -> dict[str, float]:
    """Every shipped feature of `symbol` at `minute` (since 1970)."""
    own = {name: frame.filter(pl.col("symbol") == symbol) for name, frame in tables.items()}
    own["tob_1m_agg"] = own["tob_1m_agg"].filter(pl.col("leg") == "perp")

    def get(name: str) -> Floats:
        table, _, column = name.partition(".")
        values: Sequence[float] = _known_at(own[table], column, minute, ages[table])
        return np.array(values, dtype=np.float64)

    families = (_micro(get), _funding(get, minute), _prices_apart(get), _volatility(get))
    return {k: v for family in (*families, _bars(get, minute)) for k, v in family.items()}
