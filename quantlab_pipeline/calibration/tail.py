"""How often V1's rule rejects a true null far out in its tail, where a family's best is judged.

Belongs here: many small null markets on arrays, and the p-values of the estimator alone, without
the stages around it. A family at the budget of 10,000 rejects at p below 1e-5, which takes millions
of tests to see. Every market has Student-t(4) moves, a common factor, slow and fast volatility and
a daily season; in `crash` markets falls come as jumps and raise the volatility after them, the
worst case known for longs. All triggers but one are made by the path itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.core.seeds import generator

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Kind = Literal["heavy", "crash"]
Progress = Callable[[str, int, int], None]

HORIZONS_MIN = (5, 15, 60, 240, 1440)
LEVELS = (0.05, 1e-2, 1e-3, 2.2e-4, 1e-4, 3e-5, 1e-5)
N_SYMBOLS, N_DAYS, COOLDOWN_MIN, WARMUP_MIN = 5, 60, 30, DAY_MINUTES
MIN_EVENTS, MIN_DAYS = 30, 20
COMMON_SHARE, SIGMA, CRASH_MEAN, CRASHES_PER_DAY = 0.6, 6e-4, 0.03, 0.1
TRIGGERS = (
    "shared_shock", "fall_15m", "rise_15m", "fall_1h", "rise_1h", "deep_fall_1h", "burst", "quiet",
    "jump_reversed",
)  # fmt: skip
_BATCH = 50


def tail_sizes(
    seed: int,
    n_worlds: int,
    kind: Kind,
    workers: int = 1,
    progress: Progress = lambda *_: None,
) -> pl.DataFrame:
    """How many one-sided tests reject at each of `LEVELS`, over both sides, triggers and horizons.

    Columns: rule (`raw`: HC0 alone; `v1`: larger variance, larger p of raw and contrast), level,
    n_tests, n_rejected, ratio (size over level), ratio_se (worlds as units: tests in a world are
    dependent). Candidates with fewer than `MIN_EVENTS` events or `MIN_DAYS` days are no tests.
    """
    batches = [range(k, min(k + _BATCH, n_worlds)) for k in range(0, n_worlds, _BATCH)]
    one = partial(_batch, seed, kind)
    found: list[FloatArray] = []
    if workers == 1:
        for counts in map(one, batches):
            found.append(counts)
            progress(kind, len(found), len(batches))
    else:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            for counts in pool.map(one, batches):
                found.append(counts)
                progress(kind, len(found), len(batches))
    return _table(np.concatenate(found))


def _batch(seed: int, kind: Kind, worlds: Sequence[int]) -> FloatArray:
    return np.stack([_rejections(seed, kind, k) for k in worlds])


def _rejections(seed: int, kind: Kind, k: int) -> FloatArray:
    """[rules, 1 + levels] of one world: tests, then rejections at each level."""
    prices = null_prices(generator(seed, "tail", kind, k), kind)
    p = p_values(prices, triggers(prices, generator(seed, "tail", kind, k, "shocks")))
    hits = (p[:, :, None] < np.array(LEVELS)).sum(axis=1)
    return np.column_stack([np.full(2, p.shape[1]), hits]).astype(np.float64)


def _table(counts: FloatArray) -> pl.DataFrame:
    """From [worlds, rules, 1 + levels] to one row per rule and level."""
    rows = []
    n = counts[:, 0, 0]
    for r, rule in enumerate(("raw", "v1")):
        for at, level in enumerate(LEVELS):
            hits = counts[:, r, at + 1]
            rate = hits.sum() / n.sum()
            se = math.sqrt(float(np.sum((hits - rate * n) ** 2))) / n.sum()
            rows.append((rule, level, int(n.sum()), int(hits.sum()), rate / level, se / level))
    columns = ["rule", "level", "n_tests", "n_rejected", "ratio", "ratio_se"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def null_prices(rng: np.random.Generator, kind: Kind) -> FloatArray:
    """Prices [I, T] whose expected simple return is zero in every minute."""
    from scipy.signal import lfilter

    n = N_DAYS * DAY_MINUTES
    common = _student(rng, (1, n))
    crash = np.zeros(n)
    if kind == "crash":
        rate = CRASHES_PER_DAY / DAY_MINUTES
        crash = -CRASH_MEAN * rng.standard_exponential(n) * (rng.random(n) < rate)
        # What falls add on average is taken out again: the null stays a martingale.
        crash += rate * CRASH_MEAN
    news = rng.standard_normal(n)
    if kind == "crash":
        news = 0.8 * news - 0.6 * common[0] - 20.0 * crash / CRASH_MEAN * (crash < 0)
    log_vol = 0.03 * lfilter([1.0], [1.0, -0.999], news)
    log_vol += 0.004 * lfilter([1.0], [1.0, -0.99995], rng.standard_normal(n))
    season = 1.0 + 0.5 * np.cos(2.0 * np.pi * (np.arange(n) % DAY_MINUTES - 900) / DAY_MINUTES)
    # The volatility of a minute is known before it.
    sigma = SIGMA * season * np.exp(np.concatenate([[0.0], log_vol[:-1]]) - 0.1)
    own = _student(rng, (N_SYMBOLS, n))
    moves = sigma * (math.sqrt(COMMON_SHARE) * common + math.sqrt(1.0 - COMMON_SHARE) * own)
    return np.asarray(100.0 * np.cumprod(1.0 + np.clip(moves + crash, -0.5, 0.5), axis=1))


def _student(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Student t with 4 degrees of freedom, unit variance."""
    return rng.standard_normal(shape) / np.sqrt(rng.standard_gamma(2.0, shape))


def triggers(prices: FloatArray, rng: np.random.Generator) -> list[tuple[IntArray, FloatArray]]:
    """(rows of (symbol, minute), signs) of each of `TRIGGERS`, sorted by symbol and minute."""
    from scipy.signal import lfilter

    moves = np.diff(prices, axis=1, prepend=prices[:, :1]) / prices
    slow = lfilter([1.0 / 1440.0], [1.0, -1.0 + 1.0 / 1440.0], moves**2, axis=1)
    fast = lfilter([1.0 / 20.0], [1.0, -1.0 + 1.0 / 20.0], moves**2, axis=1)
    before = np.concatenate([np.full((N_SYMBOLS, 1), np.inf), slow[:, :-1]], axis=1)
    deviation = np.sqrt(before) + 1e-12
    z15, z60 = (_trailing(moves, w) / (deviation * math.sqrt(w)) for w in (15, 60))
    hits = (
        _shared(rng, moves.shape),
        z15 < -3.5,
        z15 > 3.5,
        z60 < -3.5,
        z60 > 3.5,
        z60 < -5.5,
        fast > 6.0 * before,
        fast < 0.2 * before,
        np.abs(moves) > 6.0 * deviation,
    )
    signs = np.where(moves > 0, -1.0, 1.0)
    out = []
    for name, hit in zip(TRIGGERS, hits, strict=True):
        rows = _cooled(hit)
        sign = signs[rows[:, 0], rows[:, 1]] if name == "jump_reversed" else np.ones(len(rows))
        out.append((rows, sign))
    return out


def _trailing(moves: FloatArray, window: int) -> FloatArray:
    total = np.cumsum(moves, axis=1)
    out = total.copy()
    out[:, window:] -= total[:, :-window]
    return out


def _shared(rng: np.random.Generator, shape: tuple[int, ...]) -> BoolArray:
    """Shocks that hit most symbols within minutes, with after-shocks; they know no price."""
    hit = np.zeros(shape, dtype=np.bool_)
    for start in rng.uniform(0, shape[1], rng.poisson(1.5 * N_DAYS)):
        later = start + np.concatenate([[0.0], rng.exponential(60.0, rng.poisson(2.0))])
        minute = (later[None, :] + 5.0 * rng.random((shape[0], later.size))).astype(np.int64)
        struck = (rng.random(minute.shape) < 0.7) & (minute < shape[1])
        hit[np.nonzero(struck)[0], minute[struck]] = True
    return hit


def _cooled(hit: BoolArray) -> IntArray:
    """Hits after warm-up, with room for the longest horizon, `COOLDOWN_MIN` apart in a symbol."""
    last_minute = hit.shape[1] - HORIZONS_MIN[-1] - 3
    rows = []
    for i in range(hit.shape[0]):
        last = -COOLDOWN_MIN
        for t in np.flatnonzero(hit[i, :last_minute]).tolist():
            if t >= WARMUP_MIN and t - last >= COOLDOWN_MIN:
                rows.append((i, t))
                last = t
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def p_values(prices: FloatArray, events: Sequence[tuple[IntArray, FloatArray]]) -> FloatArray:
    """[2, tests]: p by HC0 alone and by V1's rule, of every trigger, horizon and side."""
    from scipy.special import ndtr

    from quantlab_pipeline.kernels.calendar_time import Events, calendar_sums, market

    world = market(prices, np.zeros_like(prices))
    y, contrast = np.empty(prices.shape[1]), np.empty(prices.shape[1])
    z = []
    for rows, sign in events:
        if len(rows) < MIN_EVENTS or np.unique(rows[:, 1] // DAY_MINUTES).size < MIN_DAYS:
            continue
        held = Events(np.ascontiguousarray(rows[:, 0]), rows[:, 1] + 1, sign)
        for horizon in HORIZONS_MIN:
            sums = calendar_sums(held, horizon, world, y, contrast)
            plain = sums.total / math.sqrt(float(y @ y))
            raw = sums.total / math.sqrt(sums.variance)
            against = sums.contrast_total / math.sqrt(sums.contrast_variance)
            z += [(plain, min(raw, against)), (-plain, min(-raw, -against))]
    return np.asarray(ndtr(-np.array(z, dtype=np.float64).reshape(-1, 2).T))
