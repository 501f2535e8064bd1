"""The scenario language: what a generated market is made of. No numbers are drawn here.

A scenario names its price family, symbols, books, derivatives, planted episodes and damage. The
same document and seed give the same bytes. Every quantity has its unit in its key.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from quantlab_pipeline.core.clocks import DAY_MINUTES, day_start, days_between
from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.worlds.damage.spec import DamageSpec, Leg

MAX_PACKING = 0.65
"""Largest share of a lane's time that minimum spacings may fill; random packing jams at 0.7476
(Rényi 1958)."""

BUCKET_MIN = 5
"""Length of an open-interest bucket."""

EpisodeKind = Literal[
    "spread_burst",
    "depth_drop",
    "oi_jump",
    "vol_burst",
    "wick",
    "funding_extreme",
    "basis_dislocation",
    "mark_dislocation",
    "volume_spike",
]

FACTOR_KINDS = ("spread_burst", "depth_drop", "vol_burst", "volume_spike")
"""Kinds whose size is a factor and which have no direction; of the others it is in bps."""


class Trend(Spec):
    """Geometric Brownian motion with a drift of the expected simple return."""

    family: Literal["trend"]
    drift_bps_per_day: float = Field(ge=-2000, le=2000)


class MeanRevert(Spec):
    """Ornstein-Uhlenbeck log price around its start."""

    family: Literal["mean_revert"]
    half_life_min: float = Field(ge=5, le=100_000)


class VolCluster(Spec):
    """GARCH(1,1) variance (Bollerslev 1986) around the symbol's own; no drift."""

    family: Literal["vol_cluster"]
    alpha: float = Field(ge=0, lt=1)
    beta: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _stationary(self) -> VolCluster:
        if self.alpha + self.beta >= 1:
            raise ValueError("alpha + beta must be below 1, or the variance has no mean")
        return self


class ShockMix(Spec):
    """Diffusion with symmetric Poisson jumps (Merton 1976), in units of the minute's deviation."""

    family: Literal["shock_mix"]
    jumps_per_day: float = Field(gt=0, le=200)
    jump_sigmas: float = Field(gt=0, le=15)
    market_wide_share: float = Field(default=0.5, ge=0, le=1)


class RegimeSwitch(Spec):
    """A market-wide two-state Markov chain of volatility; the mean variance is the symbol's own."""

    family: Literal["regime_switch"]
    calm_dwell_min: float = Field(ge=2, le=100_000)
    turbulent_dwell_min: float = Field(ge=2, le=100_000)
    turbulent_over_calm: float = Field(gt=1, le=10)


Dynamics = Annotated[
    Trend | MeanRevert | VolCluster | ShockMix | RegimeSwitch, Field(discriminator="family")
]


class EndSpec(Spec):
    """A symbol's end: its last instant is `minute` minutes into `day`; later it has no rows.

    Over the `over_min` minutes before, its expected simple return is `return_bps`, spread evenly.
    """

    day: date
    minute: int = Field(default=DAY_MINUTES, ge=1, le=DAY_MINUTES)
    return_bps: float = Field(default=0.0, ge=-9900, le=0)
    over_min: int = Field(default=240, ge=1, le=DAY_MINUTES)


class SymbolSpec(Spec):
    """One symbol: where it starts, its grid, its calm sizes, and its end if it has one."""

    symbol: str = Field(pattern=r"^[A-Z0-9]{4,20}$")
    start_price: float = Field(gt=0)
    tick_size: Decimal = Field(gt=0)
    lot_size: Decimal = Field(gt=0)
    sigma_bps: float = Field(default=4.0, gt=0, le=100)
    volume_usd_per_min: float = Field(default=200_000, gt=0)
    depth_usd: float = Field(default=50_000, gt=0)
    oi_usd: float = Field(default=50_000_000, gt=0)
    ends: EndSpec | None = None

    @model_validator(mode="after")
    def _grid_is_fine_enough(self) -> SymbolSpec:
        if self.start_price < 100 * float(self.tick_size):
            raise ValueError("start_price must be at least 100 ticks")
        if self.depth_usd < 5 * self.start_price * float(self.lot_size):
            raise ValueError("depth_usd must be at least 5 lots")
        return self


class VolumeSpec(Spec):
    """Log-normal volume: `log_sigma` its noise, `move_elasticity` its answer to a minute's move."""

    model: Literal["lognormal"] = "lognormal"
    log_sigma: float = Field(default=0.5, ge=0, le=2)
    move_elasticity: float = Field(default=0.5, ge=0, le=2)
    trade_usd: float = Field(default=2_000, gt=0)


class BasisSpec(Spec):
    """Perp over spot: the sum of a fast and a slow Ornstein-Uhlenbeck process."""

    mean_bps: float = Field(default=1.0, ge=-100, le=100)
    sigma_bps: float = Field(default=1.5, ge=0, le=100)
    half_life_min: float = Field(default=30, gt=0)
    slow_sigma_bps: float = Field(default=2.0, ge=0, le=100)
    slow_half_life_h: float = Field(default=24, gt=0)


IntervalH = Literal[1, 2, 4, 8]


class IntervalChange(Spec):
    """From the midnight that opens `day`, `symbol` (all, where none is named) settles otherwise."""

    day: date
    interval_h: IntervalH
    symbol: str | None = None


class FundingSpec(Spec):
    """Settlement every `interval_h`; the rate is the mean premium pulled towards the interest."""

    interval_h: IntervalH = 8
    interval_changes: tuple[IntervalChange, ...] = ()
    interest_bps: float = Field(default=1.0, ge=-10, le=10)
    clamp_bps: float = Field(default=0.5, ge=0, le=10)
    cap_bps: float = Field(default=200, gt=0)
    jitter_ms: int = Field(default=50, ge=0, le=50)


class OpenInterestSpec(Spec):
    """Log open interest reverts to the symbol's own; `sigma_bps` is its noise per bucket."""

    sigma_bps: float = Field(default=8, ge=0, le=500)
    half_life_h: float = Field(default=6, gt=0)
    delay_s: int = Field(default=60, ge=0, le=600)


class MarkSpec(Spec):
    """Mark = index plus the premium's moving average; `noise_bps` is the index's own noise."""

    noise_bps: float = Field(default=0.1, ge=0, le=10)
    premium_half_life_min: float = Field(default=10, gt=0)


class BookSpec(Spec):
    """Top of book, written on change: round(60 / change_mean_s) quotes a minute, at least one.

    Days are inclusive and default to the whole world, `symbols` to all. The calm spread is
    `calm_spread_ticks`.
    """

    legs: tuple[Leg, ...] = ("perp",)
    symbols: tuple[str, ...] | None = None
    change_mean_s: float = Field(gt=0.05, le=60)
    first_day: date | None = None
    last_day: date | None = None
    calm_spread_ticks: float = Field(default=1.0, ge=1, le=100)
    spread_log_sigma: float = Field(default=0.2, ge=0, le=2)
    depth_log_sigma: float = Field(default=0.3, ge=0, le=2)
    half_life_min: float = Field(default=45, gt=0)

    @property
    def quotes_per_minute(self) -> int:
        """Quotes in every minute of the window."""
        return max(1, round(60 / self.change_mean_s))


class DriftSpec(Spec):
    """What follows an episode: `bps` of simple return, spread evenly over `over_min` minutes.

    It starts one minute after the episode could be known. `along` and `against` are relative to
    the episode's own direction; bursts, drops and spikes have none and count as up. With `only_in`
    it follows only where the market is in that regime when it starts.
    """

    bps: float = Field(ge=0, le=1000)
    over_min: int = Field(ge=1, le=1440)
    sign: Literal["up", "down", "along", "against"]
    only_in: Literal["calm", "turbulent"] | None = None


class EpisodeSpec(Spec):
    """A kind of episode. `size` is a factor for `FACTOR_KINDS`, bps for the other kinds.

    `per_symbol_day` is its rate; `market_wide_share` the share that hits all symbols at once.
    Episodes of one `lane` keep the scenario's minimum spacing from each other in each symbol; those
    of one kind in different lanes do not overlap.
    """

    kind: EpisodeKind
    per_symbol_day: float = Field(gt=0, le=24)
    size: float = Field(gt=0)
    duration_min: int = Field(default=10, ge=1, le=480)
    direction: Literal["up", "down", "both"] = "both"
    market_wide_share: float = Field(default=0.0, ge=0, le=1)
    lane: str = "all"
    drift: DriftSpec | None = None

    @model_validator(mode="after")
    def _size_fits_kind(self) -> EpisodeSpec:
        if self.kind in FACTOR_KINDS and not 1 < self.size <= 50:
            raise ValueError(f"size of {self.kind} is a factor in (1, 50]")
        if self.kind not in FACTOR_KINDS and self.size > 2000:
            raise ValueError(f"size of {self.kind} is in bps, at most 2000")
        return self


class Scenario(Spec):
    """A generated market, complete. `duration_min` minutes from midnight that opens `first_day`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    timeframe: Literal["1m"] = "1m"
    first_day: date
    duration_min: int = Field(ge=100, le=3 * 366 * DAY_MINUTES)
    seed: int = Field(ge=0)
    symbols: tuple[SymbolSpec, ...] = Field(min_length=1)
    dynamics: Dynamics
    common_share: float = Field(default=0.3, ge=0, le=0.95)
    tail_dof: float = Field(default=4.0, gt=2, le=200)
    season_amplitude: float = Field(default=0.3, ge=0, le=0.9)
    season_peak_hour_utc: float = Field(default=15, ge=0, lt=24)
    volume: VolumeSpec = VolumeSpec()
    basis: BasisSpec = BasisSpec()
    funding: FundingSpec = FundingSpec()
    open_interest: OpenInterestSpec = OpenInterestSpec()
    mark: MarkSpec = MarkSpec()
    book: BookSpec | None = None
    min_spacing_min: int = Field(default=95, ge=0, le=DAY_MINUTES)
    episodes: tuple[EpisodeSpec, ...] = ()
    damage: tuple[DamageSpec, ...] = ()

    @property
    def start(self) -> datetime:
        """Midnight that opens the first day."""
        return day_start(self.first_day)

    @property
    def last_day(self) -> date:
        """The day that owns the last minute."""
        return (self.start + timedelta(minutes=self.duration_min - 1)).date()

    @property
    def days(self) -> list[date]:
        """Every day of the world, the last one perhaps in part."""
        return days_between(self.first_day, self.last_day)

    def funding_interval_h(self, symbol: str, day: date) -> int:
        """The funding interval of `symbol` on `day`; of two changes on one day, its own counts."""
        made = [
            (c.day, c.symbol is not None, c.interval_h)
            for c in self.funding.interval_changes
            if c.day <= day and c.symbol in {None, symbol}
        ]
        return max(made, key=lambda m: m[:2])[2] if made else self.funding.interval_h

    def span_min(self, kind: EpisodeKind) -> int:
        """How long an episode of `kind` lasts at most; a jump of open interest fills its bucket."""
        longest = max((e.duration_min for e in self.episodes if e.kind == kind), default=0)
        return max(longest, BUCKET_MIN) if kind == "oi_jump" else longest

    def without_drift(self, name: str | None = None) -> Scenario:
        """The null twin: the same episodes, every planted drift 0."""
        episodes = tuple(
            e
            if e.drift is None
            else e.model_copy(update={"drift": e.drift.model_copy(update={"bps": 0.0})})
            for e in self.episodes
        )
        return self.model_copy(update={"episodes": episodes, "name": name or self.name})

    def without_damage(self, name: str | None = None) -> Scenario:
        """The clean twin: the same world before any damage."""
        return self.model_copy(update={"damage": (), "name": name or self.name})

    @model_validator(mode="after")
    def _symbols_differ(self) -> Scenario:
        names = [s.symbol for s in self.symbols]
        if len(set(names)) < len(names):
            raise ValueError("a symbol stands twice")
        return self

    @model_validator(mode="after")
    def _regimes_exist(self) -> Scenario:
        for episode in self.episodes:
            only_in = episode.drift.only_in if episode.drift else None
            if only_in and self.dynamics.family != "regime_switch":
                raise ValueError(f"a drift only in {only_in} needs the family regime_switch")
        return self

    @model_validator(mode="after")
    def _lanes_have_room(self) -> Scenario:
        for lane, kind in sorted({(e.lane, e.kind) for e in self.episodes}):
            own = sum(e.per_symbol_day for e in self.episodes if e.lane == lane)
            others = [e for e in self.episodes if e.kind == kind and e.lane != lane]
            blocked = own * (self.min_spacing_min + 1)
            # Elsewhere placed ones share no room: each blocks minutes on both its sides.
            blocked += sum(e.per_symbol_day for e in others) * 2 * self.span_min(kind)
            if blocked > MAX_PACKING * DAY_MINUTES:
                raise ValueError(
                    f"lane {lane} would be {blocked / DAY_MINUTES:.0%} full at "
                    f"{self.min_spacing_min} minutes between episodes; at most {MAX_PACKING:.0%}"
                )
        return self

    @model_validator(mode="after")
    def _book_is_inside(self) -> Scenario:
        if self.book is None:
            return self
        first = self.book.first_day or self.first_day
        last = self.book.last_day or self.last_day
        if not self.first_day <= first <= last <= self.last_day:
            raise ValueError("the book's days must lie inside the world")
        strangers = set(self.book.symbols or ()) - {s.symbol for s in self.symbols}
        if strangers:
            raise ValueError(f"the book names {min(strangers)}, which is no symbol of the world")
        return self

    @model_validator(mode="after")
    def _ends_are_inside(self) -> Scenario:
        for symbol in self.symbols:
            if symbol.ends is None:
                continue
            last = (symbol.ends.day - self.first_day).days * DAY_MINUTES + symbol.ends.minute
            if not symbol.ends.over_min <= last <= self.duration_min:
                raise ValueError(f"{symbol.symbol} must fall and end inside the world")
            if any(e.market_wide_share for e in self.episodes):
                raise ValueError("an episode of the whole market needs symbols that do not end")
        return self

    @model_validator(mode="after")
    def _interval_changes_fit(self) -> Scenario:
        symbols = {s.symbol for s in self.symbols}
        changes = [(c.symbol, c.day) for c in self.funding.interval_changes]
        if len(set(changes)) < len(changes):
            raise ValueError("two changes of the funding interval share a symbol and day")
        for symbol, day in changes:
            if symbol not in {None, *symbols} or day not in self.days:
                raise ValueError("a change of the funding interval is outside the world")
        return self

    @model_validator(mode="after")
    def _damage_is_separate(self) -> Scenario:
        symbols = {s.symbol for s in self.symbols}
        places = [(d.dataset, getattr(d, "leg", ""), d.symbol, d.day) for d in self.damage]
        if len(set(places)) < len(places):
            raise ValueError("two damages share a dataset, symbol and day: no count would be exact")
        for item in self.damage:
            if item.symbol not in symbols or item.day not in self.days:
                raise ValueError(f"damage {item.kind} names a symbol or day outside the world")
            if item.dataset == "book" and (self.book is None or item.leg not in self.book.legs):
                raise ValueError(f"damage {item.kind} needs a book with leg {item.leg}")
        return self
