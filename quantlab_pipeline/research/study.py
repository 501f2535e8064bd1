"""What a study is: symbols, days, a holdout, event types and a candidate family of one market.

Belongs here: the documents under `specs/studies/`. The tables a study reads hold all that the
registries define; a study only selects from them.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.research.market_data.spec import MarketSpec


class StudySpec(Spec):
    """One question put to a market. Days are inclusive, UTC.

    `holdout_from` is the first day that only out-of-sample folds may read; null means the start of
    the last quarter of the days. `family` names a document under `specs/` (without `.yaml`);
    `event_types` is `all` or a list of names from the event registry.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    market: str
    symbols: tuple[str, ...] = Field(min_length=1)
    first_day: date
    last_day: date
    holdout_from: date | None = None
    event_types: Literal["all"] | tuple[str, ...] = "all"
    family: str = "candidate_family"
    seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.last_day < self.first_day:
            raise ValueError(f"`last_day` {self.last_day} is before `first_day` {self.first_day}")
        if self.holdout_from and not self.first_day < self.holdout_from <= self.last_day:
            raise ValueError("`holdout_from` must lie after `first_day` and not after `last_day`")
        if len(set(self.symbols)) < len(self.symbols):
            raise ValueError("`symbols` names one symbol twice")
        return self

    @property
    def days(self) -> list[date]:
        """Every day of the study, in order."""
        return days_between(self.first_day, self.last_day)

    @property
    def holdout_start(self) -> date:
        """First day of the holdout, declared or the start of the last quarter of the days."""
        if self.holdout_from is not None:
            return self.holdout_from
        return self.first_day + timedelta(days=3 * len(self.days) // 4)

    @property
    def evaluation_days(self) -> list[date]:
        """The days before the holdout: what V1 and B may read."""
        return [day for day in self.days if day < self.holdout_start]

    @property
    def holdout_days(self) -> list[date]:
        """The holdout's days: what only S's out-of-sample folds may read."""
        return [day for day in self.days if day >= self.holdout_start]

    def require_within(self, market: MarketSpec) -> None:
        """Raise SpecError if this study asks `market` for symbols or days that it does not have."""
        unknown = sorted(set(self.symbols) - set(market.symbols))
        if unknown:
            raise SpecError(
                f"Study {self.name} asks market {market.name} for {', '.join(unknown)}.",
                f"The market has {', '.join(market.symbols)}; add the symbol to its `symbols`.",
                study=self.name,
                symbols=unknown,
            )
        end = market.last_day or date.max
        if self.first_day < market.first_day or self.last_day > end:
            raise SpecError(
                f"Study {self.name} spans {self.first_day} .. {self.last_day}, but market "
                f"{market.name} has {market.first_day} .. {market.last_day or 'now'}.",
                "Move the study's `first_day` and `last_day` inside the market's.",
                study=self.name,
                market=market.name,
            )
