"""Why a symbol was in the universe, or was not, from when to when: for a person, over some days.

Belongs here: the reading of universe rows and D0's verdicts side by side. Nothing is decided here,
and no stage reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import polars as pl

from quantlab_pipeline.core.clocks import day_end, day_start
from quantlab_pipeline.core.verdicts import ADMITTED, ItemVerdict
from quantlab_pipeline.research.market_data.schema import MEMBERSHIP
from quantlab_pipeline.research.market_data.tally import dated
from quantlab_pipeline.research.market_data.universe import DELISTED

NO_ROW = "NOT_BUILT"
"""D0 admits the symbol's day, and the universe has no row of it."""


@dataclass(frozen=True, slots=True)
class _Spell:
    symbol: str
    last_day: date
    valid_from: datetime
    valid_to: datetime | None
    is_member: bool
    reason: str


def membership(
    universe: pl.DataFrame, d0_verdicts: Mapping[date, Sequence[ItemVerdict]]
) -> pl.DataFrame:
    """One row (schema MEMBERSHIP) per spell of a symbol inside or outside the universe.

    `universe` (schema UNIVERSE) and `d0_verdicts` (per day, one per symbol) are of the same days.
    Inside, the reason is that of the first day, and DELISTED where the spell ended so; outside, it
    is D0's reasons, or NOT_BUILT. A spell on the last of the days has no `valid_to` unless the
    symbol ended. A day without a verdict and a row is in no spell.
    """
    spells = [*_inside(universe), *_outside(universe, d0_verdicts)]
    final = max((s.last_day for s in spells), default=date.min)
    joined = list(_joined(sorted(spells, key=lambda s: (s.symbol, s.last_day))))
    rows = [
        (s.symbol, s.valid_from, s.valid_to or _close(s.last_day, final), s.is_member, s.reason)
        for s in joined
    ]
    return MEMBERSHIP.conform(
        pl.DataFrame(rows, schema={c.name: c.dtype for c in MEMBERSHIP.columns}, orient="row")
    )


def _close(last_day: date, final: date) -> datetime | None:
    return None if last_day == final else day_end(last_day)


def _inside(universe: pl.DataFrame) -> Iterator[_Spell]:
    columns = ("symbol", "day", "valid_from", "valid_to", "reason")
    for symbol, day, valid_from, valid_to, reason in dated(universe).select(columns).iter_rows():
        yield _Spell(symbol, day, valid_from, valid_to, True, reason)


def _outside(
    universe: pl.DataFrame, d0_verdicts: Mapping[date, Sequence[ItemVerdict]]
) -> Iterator[_Spell]:
    members = set(dated(universe).select("symbol", "day").iter_rows())
    for day, verdicts in d0_verdicts.items():
        for verdict in verdicts:
            if (verdict.item, day) in members:
                continue
            reason = ", ".join(verdict.reasons) or verdict.outcome.value
            reason = NO_ROW if verdict.outcome in ADMITTED else reason
            yield _Spell(verdict.item, day, day_start(day), None, False, reason)


def _joined(days: Iterable[_Spell]) -> Iterator[_Spell]:
    """Spells of one day each, in order, as spells of unbroken days that do not overlap."""
    open_spell: _Spell | None = None
    for day in days:
        if open_spell is not None and _goes_on(open_spell, day):
            open_spell = replace(
                open_spell,
                last_day=day.last_day,
                valid_to=day.valid_to,
                reason=_reasons(open_spell, day),
            )
            continue
        later = day
        if open_spell is not None:
            yield open_spell
            if open_spell.symbol == day.symbol:
                opened = max(day.valid_from, day_start(day.last_day))
                later = replace(day, valid_from=opened)
        open_spell = later
    if open_spell is not None:
        yield open_spell


def _goes_on(spell: _Spell, day: _Spell) -> bool:
    unbroken = day.last_day - spell.last_day == timedelta(days=1) and spell.valid_to is None
    same = spell.symbol == day.symbol and spell.is_member == day.is_member
    return unbroken and same and (day.is_member or day.reason == spell.reason)


def _reasons(spell: _Spell, day: _Spell) -> str:
    return f"{spell.reason}, {DELISTED}" if day.reason == DELISTED else spell.reason
