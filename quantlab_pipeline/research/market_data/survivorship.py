"""Symbols chosen with hindsight: who traded then, and is missing because it did not last.

Belongs here: the comparison of a list of symbols with those that it could have held. A mean over
the survivors leaves out the losses of the others (Brown, Goetzmann, Ibbotson and Ross 1992).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from math import comb

import polars as pl

from quantlab_pipeline.core.clocks import day_end
from quantlab_pipeline.core.findings import Finding, finding_at
from quantlab_pipeline.research.market_data.parsed import within
from quantlab_pipeline.research.market_data.tally import GROUP, dated
from quantlab_pipeline.research.market_data.universe import top_liquid

SURVIVORSHIP = "SURVIVORSHIP"
CHECK = "survivorship"


@dataclass(frozen=True, slots=True)
class Omitted:
    """A symbol that belonged among the chosen on `member_days` of the days, and is not there.

    It belonged from `first_day` on; `last_day` is its last with a bar; `ended` whether that lies
    before the last of the days.
    """

    symbol: str
    first_day: date
    last_day: date
    member_days: int
    ended: bool


@dataclass(frozen=True, slots=True)
class Survivorship:
    """What a choice of symbols leaves out. `omitted` by symbol; counts are of (symbol, day).

    `blind_odds`: the chance that as many symbols, drawn blindly from those that belonged, would
    hold no more ended ones than the choice does (hypergeometric); 1 where it holds all or none
    ended.
    """

    omitted: tuple[Omitted, ...]
    member_days: int
    blind_odds: float

    @property
    def omitted_share(self) -> float:
        """Share of all member-days that belong to omitted symbols; 0 without any."""
        return sum(o.member_days for o in self.omitted) / max(1, self.member_days)

    @property
    def ended(self) -> tuple[Omitted, ...]:
        """The omitted symbols that ended: what makes it hindsight."""
        return tuple(o for o in self.omitted if o.ended)

    @property
    def reasons(self) -> tuple[str, ...]:
        """SURVIVORSHIP where a symbol that ended was omitted; else none."""
        return (SURVIVORSHIP,) if self.ended else ()

    def findings(self) -> list[Finding]:
        """One finding per omitted symbol that ended, on its last day."""
        return [
            finding_at(
                "bars_1m_perp",
                CHECK,
                o.symbol,
                o.last_day,
                [day_end(o.last_day)],
                f"ended; belonged on {o.member_days} days and was not chosen",
            )
            for o in self.ended
        ]


def look_for_survivorship(
    chosen: Collection[str],
    listed: pl.DataFrame,
    days: Sequence[date],
    universe: pl.DataFrame | None = None,
    top_n: int | None = None,
) -> Survivorship:
    """Hold `chosen` against all symbols that the source had bars for.

    `listed` (columns LISTING) has one row per symbol. With the `universe` of all of them (schema
    UNIVERSE), a symbol belongs on the days on which it was among the `top_n` most liquid by the
    rank known then (default: as many as were chosen). Without, a symbol belongs that traded on
    the first of `days`, on all its days from then on. `days` are in order.
    """
    spans = listed.filter(pl.col("first_day") <= days[-1], pl.col("last_day") >= days[0])
    if universe is None:
        belonging = _there_at_first(spans, days)
    else:
        best = top_liquid(within(universe, days), top_n or max(1, len(chosen)))
        belonging = dated(best).select(GROUP)
    counted = (
        belonging.group_by("symbol")
        .agg(pl.col("day").min().alias("first"), pl.len().alias("n"))
        .join(spans, on="symbol", how="inner")
        .sort("symbol")
        .with_columns((pl.col("last_day") < days[-1]).alias("ended"))
    )
    omitted = tuple(
        Omitted(*row)
        for row in counted.filter(~pl.col("symbol").is_in(list(chosen)))
        .select("symbol", "first", "last_day", "n", "ended")
        .iter_rows()
    )
    kept = counted.filter(pl.col("symbol").is_in(list(chosen)))
    odds = _blind_odds(
        counted.height, counted.filter("ended").height, kept.height, kept.filter("ended").height
    )
    return Survivorship(omitted, int(counted["n"].sum()), odds)


def _there_at_first(spans: pl.DataFrame, days: Sequence[date]) -> pl.DataFrame:
    each = pl.DataFrame({"day": pl.Series(list(days), dtype=pl.Date)})
    return (
        spans.filter(pl.col("first_day") <= days[0])
        .join(each, how="cross")
        .filter(pl.col("day") <= pl.col("last_day"))
        .select(GROUP)
    )


def _blind_odds(belonging: int, ended: int, drawn: int, drawn_ended: int) -> float:
    """P(X <= `drawn_ended`) of a draw without replacement; exact."""
    ways = sum(comb(ended, k) * comb(belonging - ended, drawn - k) for k in range(drawn_ended + 1))
    return ways / comb(belonging, drawn)
