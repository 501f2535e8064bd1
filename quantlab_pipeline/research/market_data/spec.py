"""What may be asked of market data: a market's sources and datasets, and gate D0's thresholds.

Belongs here: the documents under `specs/markets/` and the `d0` section of `specs/gates.yaml`. Which
days and symbols a study selects from a market is `research.study`'s matter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.core.spec import Spec

SourceKind = Literal["binance", "binance_archive", "capture", "freqtrade", "lean", "world"]
Dataset = Literal[
    "bars_1m_perp", "bars_1m_spot", "funding", "mark_index", "open_interest", "tob_snapshots"
]
Need = Literal["required", "optional"]

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class SourceSpec(Spec):
    """Where a market's bytes come from: a folder of a known layout, or a scenario to generate.

    `path` may name environment variables as `${NAME}`, or `${NAME:-what stands without it}`; a
    relative one is relative to the project. Of `binance` it is a mirror of the official archive,
    and the venue's own interface gives the days that the archive does not have yet.
    `scenario` is a name under `specs/scenarios/`, and `seed` replaces the scenario's own.
    """

    kind: SourceKind
    path: str | None = None
    scenario: str | None = None
    seed: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.kind == "world" and (self.scenario is None or self.path is not None):
            raise ValueError("a world needs `scenario` and has no `path`")
        if self.kind != "world" and (self.path is None or self.scenario or self.seed is not None):
            raise ValueError(f"a {self.kind} source needs `path` and has no `scenario` or `seed`")
        return self

    def folder(self, root: Path, environment: Mapping[str, str]) -> Path:
        """`path` as a real place, below `root` if relative. SpecError for an unset variable."""
        path = self.path or ""
        unset = [v for v, other in _VARIABLE.findall(path) if not (environment.get(v) or other)]
        if unset:
            raise SpecError(
                f"The source's path {path} needs the environment variable {unset[0]}.",
                f"Set it: export {unset[0]}=/path/to/your/data.",
                variable=unset[0],
                path=path,
            )
        return root / _VARIABLE.sub(lambda m: environment.get(m.group(1)) or m.group(2), path)


class MarketSpec(Spec):
    """One venue's instruments over a span of days, and which datasets they must have.

    `last_day` is the declared end, inclusive; null for a market that still grows. A dataset absent
    from `datasets` is not read at all. `tob_grid_s` is the sampling grid of the book in seconds and
    `oi_delay_s` the declared seconds from the end of an open-interest bucket to its publication.
    `trial_budget` is the number of candidates that this data may ever be asked about. A market is
    `synthetic` whose data was generated, by its source or before: nothing of it is admissible.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    venue: str
    synthetic: bool
    enabled: bool
    source: SourceSpec
    symbols: tuple[str, ...] = Field(min_length=1)
    first_day: date
    last_day: date | None
    datasets: Mapping[Dataset, Need]
    tob_grid_s: int = Field(default=1, ge=1, le=60)
    oi_delay_s: int = Field(default=60, ge=0)
    trial_budget: int = Field(default=10_000, ge=1)

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.last_day is not None and self.last_day < self.first_day:
            raise ValueError(f"`last_day` {self.last_day} is before `first_day` {self.first_day}")
        if len(set(self.symbols)) < len(self.symbols):
            raise ValueError("`symbols` names one symbol twice")
        if self.datasets.get("bars_1m_perp") != "required":
            raise ValueError("`datasets` must say `bars_1m_perp: required`")
        if self.source.kind == "world" and not self.synthetic:
            raise ValueError("a source of kind `world` is `synthetic: true`")
        return self

    def required(self) -> list[str]:
        """Datasets without which a symbol's day is refused, sorted."""
        return sorted(d for d, need in self.datasets.items() if need == "required")

    def optional(self) -> list[str]:
        """Datasets whose absence only makes what needs them not evaluable, sorted."""
        return sorted(d for d, need in self.datasets.items() if need == "optional")

    def spec_hash(self) -> str:
        """Tagged digest of the content without where the bytes lie and whether it is enabled."""
        body = self.model_dump(mode="python", exclude={"enabled": True, "source": {"path"}})
        return digest(body)


class D0Thresholds(Spec):
    """Gate D0: how the faults are looked for, and how much of each a (symbol, day) may have.

    `outlier_mad_k` and `outlier_min_bps`: a close is an outlier where it stands further than both
    from the median of the three closes before and of the three after, k times the deviation of the
    day's minute returns (1.4826 MAD) and the basis points, and the next bar does not open there.
    `unit_shift_min_factor`: a price is in another unit where it stands this factor from its peers.
    `time_shift_min_corr`: two series are shifted in time where their minute returns correlate more
    than this at a distance of some minutes or half hours, and not without it. A price is apart
    where no other series of its symbol stands nearer than `price_apart_min_bps`.
    `zero_volume_run_min`, `frozen_run_min`: minutes without a trade, or with trades at one unmoved
    price, count where so many are in one row. `formula_min_bps`: a settled rate is off the venue's
    formula where both this and half of the formula's own rate lie between. Fractions are of the
    day's minutes, buckets or grid seconds; the other maxima are counts a day.
    """

    outlier_mad_k: float = Field(gt=0)
    outlier_min_bps: float = Field(gt=0)
    unit_shift_min_factor: float = Field(gt=1)
    time_shift_min_corr: float = Field(gt=0, lt=1)
    price_apart_min_bps: float = Field(gt=0)
    zero_volume_run_min: int = Field(ge=2)
    frozen_run_min: int = Field(ge=2)
    tob_mismatch_min_bps: float = Field(gt=0)
    max_abs_funding_rate: float = Field(gt=0)
    formula_min_bps: float = Field(gt=0)
    max_missing_minutes_frac: float = Field(ge=0, le=1)
    max_zero_volume_frac: float = Field(ge=0, le=1)
    max_frozen_frac: float = Field(ge=0, le=1)
    max_faulty_rows: int = Field(ge=0)
    max_outlier_minutes: int = Field(ge=0)
    max_unit_shift_minutes: int = Field(ge=0)
    max_time_shift_minutes: int = Field(ge=0)
    max_price_apart_minutes: int = Field(ge=0)
    max_totals_mismatches: int = Field(ge=0)
    max_missing_settlements: int = Field(ge=0)
    max_interval_mismatches: int = Field(ge=0)
    max_formula_mismatches: int = Field(ge=0)
    max_oi_holes_frac: float = Field(ge=0, le=1)
    max_oi_disorder_rows: int = Field(ge=0)
    max_crossed_frac: float = Field(ge=0, le=1)
    max_locked_frac: float = Field(ge=0, le=1)
    max_stale_frac: float = Field(ge=0, le=1)
    max_silent_minutes: int = Field(ge=0)
    max_invalid_frac: float = Field(ge=0, le=1)
    max_tob_mismatch_minutes: int = Field(ge=0)
    max_garbage_lines: int = Field(ge=0)
    max_omitted_ends: int = Field(ge=0)
