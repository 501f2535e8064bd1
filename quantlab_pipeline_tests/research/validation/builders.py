"""Tiny markets for validation's tests: heavy tails, one common factor, clustered events.

Belongs here: a numpy world with its planted truth, and its tables as validation takes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, minute_grid
from quantlab_pipeline.research.events.schema import EVENTS
from quantlab_pipeline.research.market_data.schema import FUNDING, TOB_1M_AGG
from quantlab_pipeline.research.validation.inputs import ValidationInputs
from quantlab_pipeline.research.validation.spec import Bucket, CandidateFamily, Template
from quantlab_pipeline.simulation.costs import CostModel, CostProfile, SpreadTier
from quantlab_pipeline.simulation.fees import FeeSchedule, FeeTier

FIRST_DAY = date(2025, 1, 1)
BUFFER = 1500
TYPES = ("calm_drop", "wide_spread")


@dataclass(frozen=True)
class World:
    """Prices [I, T], regimes per minute, and event minutes per type as (symbol, minute) pairs."""

    returns: np.ndarray
    prices: np.ndarray
    high_vol: np.ndarray
    events: dict[str, np.ndarray]

    @property
    def n_days(self) -> int:
        return self.prices.shape[1] // DAY_MINUTES


def world(seed, n_symbols=4, n_days=30, drift_bps_day=0.0, vol_bps=6.0, shocks_per_day=1.5):
    """A null world unless `drift_bps_day` or `plant` adds something."""
    rng = np.random.default_rng(seed)
    n = n_days * DAY_MINUTES
    slow = np.repeat(rng.standard_normal(n_days * 6 + 1), DAY_MINUTES // 6)[:n]
    vol = vol_bps * 1e-4 * np.exp(0.4 * slow - 0.08)
    tails = rng.standard_t(4, (n_symbols + 1, n)) / np.sqrt(2.0)
    returns = vol * (np.sqrt(0.6) * tails[0] + np.sqrt(0.4) * tails[1:])
    returns = np.clip(returns, -0.1, 0.1) + drift_bps_day * 1e-4 / DAY_MINUTES
    types = {name: _clustered(rng, n_symbols, n, shocks_per_day) for name in TYPES}
    return World(returns, _prices(returns), slow > 0, types)


def _prices(returns):
    return 100.0 * np.cumprod(1.0 + returns, axis=1)


def _clustered(rng, n_symbols, n, shocks_per_day, cooldown=30):
    """Market-wide shocks with after-shocks within an hour, each hitting most symbols at once."""
    hits = np.zeros((n_symbols, n), dtype=bool)
    n_shocks = rng.poisson(shocks_per_day * n / DAY_MINUTES)
    for start in rng.uniform(DAY_MINUTES, n - BUFFER, n_shocks):
        later = start + np.concatenate([[0.0], rng.exponential(60.0, rng.poisson(2.0))])
        minutes = (later[None, :] + 5 * rng.random((n_symbols, later.size))).astype(int)
        chosen = (rng.random(minutes.shape) < 0.7) & (minutes < n - BUFFER)
        hits[np.nonzero(chosen)[0], minutes[chosen]] = True
    rows = []
    for i in range(n_symbols):
        last = -cooldown
        for k in np.flatnonzero(hits[i]):
            if k - last >= cooldown:
                rows.append((i, k))
                last = k
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def clustered(seed, n_symbols, n_days, shocks_per_day):
    """Event minutes as (symbol, minute) pairs: one type of a world of that size."""
    rng = np.random.default_rng(seed)
    return _clustered(rng, n_symbols, n_days * DAY_MINUTES, shocks_per_day)


def plant(made, event_type, edge_bps, horizon, *, only_high_vol=False, delta=1):
    """`made` with a drift over the `horizon` minutes after each entry; each event gains `edge_bps`.

    Where events of one symbol overlap the drift is that of one event, so that the gain is exact.
    """
    drift = np.zeros_like(made.returns)
    for i, k in made.events[event_type]:
        if not only_high_vol or made.high_vol[k]:
            drift[i, k + delta + 1 : k + delta + horizon + 1] = edge_bps * 1e-4 / horizon
    returns = made.returns + drift
    return replace(made, returns=returns, prices=_prices(returns))


def symbols_of(made):
    return tuple(f"S{i:02d}USDT" for i in range(made.prices.shape[0]))


def days_of(made):
    return [FIRST_DAY + timedelta(days=d) for d in range(made.n_days)]


def inputs_of(made, **changes) -> ValidationInputs:
    """The world as tables: bars, features, events; no book, no funding unless given."""
    grid = minute_grid(days_of(made))
    names = symbols_of(made)
    types = tuple(made.events)
    base = ValidationInputs(
        events=_events(made, grid, names),
        features=_features(made, grid, names),
        bars_perp=_bars(made, grid, names),
        tob_1m_agg=TOB_1M_AGG.empty(),
        funding=FUNDING.empty(),
        days=days_of(made),
        symbols=names,
        event_specs={name: {"type": name, "version": 1} for name in types},
        admitted=types,
        synthetic=True,
    )
    return replace(base, **changes)


def _long(grid, names, **columns):
    """One row per (symbol, minute) from matrices [I, T]."""
    return pl.concat(
        pl.DataFrame(
            {
                "symbol": pl.Series([name] * len(grid), dtype=pl.String),
                "ts": grid,
                "available_at": grid,
                **{key: value[i] for key, value in columns.items()},
            }
        )
        for i, name in enumerate(names)
    )


def _bars(made, grid, names):
    volume = np.full_like(made.prices, 1e9 / DAY_MINUTES)
    return _long(
        grid, names, close=made.prices, volume_base=volume / made.prices, volume_quote=volume
    )


def _features(made, grid, names):
    log = np.log(made.prices)
    hour = np.full_like(log, np.nan)
    hour[:, 60:] = 1e4 * (log[:, 60:] - log[:, :-60])
    position = np.tile((np.arange(log.shape[1]) % 97) / 96.0, (log.shape[0], 1))
    carry = np.tile(np.where(np.arange(log.shape[1]) // 480 % 2 == 0, 1.0, -0.5), (log.shape[0], 1))
    frame = _long(grid, names, ret_1h_bps=hour, funding_last_bps=carry, range_pos_1d=position)
    return frame.with_columns(pl.col("ret_1h_bps").fill_nan(None))


def _events(made, grid, names):
    frames = []
    for event_type, rows in made.events.items():
        if not len(rows):
            continue
        at = grid.gather(rows[:, 1])
        frames.append(
            pl.DataFrame(
                {
                    "symbol": [names[i] for i in rows[:, 0]],
                    "ts": at,
                    "available_at": at,
                    "event_id": [f"{event_type}-{i}-{k}" for i, k in rows],
                    "event_type": [event_type] * len(rows),
                    "version": [1] * len(rows),
                    "severity": [1.0] * len(rows),
                    "vol_regime": np.where(made.high_vol[rows[:, 1]], "high", "low"),
                    "liq_regime": np.where(rows[:, 1] // 60 % 3 == 0, "high", "mid"),
                }
            )
        )
    # Columns that validation does not read are left out: the events' own tests have them.
    return pl.concat(frames) if frames else EVENTS.empty()


def cost_model(fee_bps=1.0, half_spread_bps=0.5, impact_y=0.7) -> CostModel:
    """One spread tier, no stress."""
    tier = FeeTier(volume_from_usd=0.0, maker_bps=0.0, taker_bps=fee_bps)
    profile = CostProfile(
        impact_y=impact_y,
        stress_spread_multiplier=1.0,
        spread_tiers=(SpreadTier(volume_from_usd=0.0, half_spread_bps=half_spread_bps),),
    )
    return CostModel(
        venue="here",
        fees={"here": FeeSchedule(tiers=(tier,))},
        profiles={"base": profile, "conservative": profile},
    )


def free() -> CostModel:
    """Nothing costs anything: for size, where the null is an effect of 0."""
    return cost_model(0.0, 0.0, 0.0)


ALL = Bucket(name="all")
DIRECTIONAL = Template(name="directional", rule="constant")


def family(horizons=("1h",), buckets=(ALL,), templates=(DIRECTIONAL,), **changes):
    return CandidateFamily(
        family_id="test",
        version=1,
        buckets=buckets,
        horizons=horizons,
        templates=templates,
        **changes,
    )


def shipped_family() -> CandidateFamily:
    """The family in `specs/`."""
    from pathlib import Path

    import yaml

    path = Path(__file__).parents[3] / "specs" / "candidate_family.yaml"
    return CandidateFamily.model_validate(yaml.safe_load(path.read_text()))
