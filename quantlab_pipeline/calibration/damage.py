"""Planted damage against the QA report: was each found, with its count and its places, and no more.

Belongs here: which check a kind of damage must be reported under, what else follows from it, and
the comparison, as a pure function of the truth and the report. Who generates, parses and examines
is whoever calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import MINUTE_US, TS, day_of, to_us
from quantlab_pipeline.worlds.damage.spec import STEP_S
from quantlab_pipeline.worlds.truth import Damage

SECOND_US = 1_000_000
HOUR_US = 60 * MINUTE_US
STALE_GRIDS = 3
"""A quote is stale once it is older than so many grid steps."""

FOUND: dict[str, Any] = {
    "kind": pl.String,
    "dataset": pl.String,
    "symbol": pl.String,
    "day": pl.Date,
    "check": pl.String,
    "consequence": pl.Boolean,
    "planted": pl.Int64,
    "found": pl.Int64,
    "places_equal": pl.Boolean,
}
UNEXPLAINED: dict[str, Any] = {
    "dataset": pl.String,
    "symbol": pl.String,
    "day": pl.Date,
    "check": pl.String,
    "count": pl.Int64,
    "first_ts": TS,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check should say: how often, and at which instants (microseconds)."""

    count: int
    places: frozenset[int]


Look = Callable[[Damage, int], Seen]
"""What is to be seen of a damage in a report on a book grid of so many seconds."""


def _seen(instants: Iterable[int]) -> Seen:
    every = list(instants)
    return Seen(len(every), frozenset(every))


def _up(instant_us: int, step_us: int) -> int:
    """The end of the step that owns an instant; an instant on the grid owns itself."""
    return -(-instant_us // step_us) * step_us


def rows(damage: Damage, _grid_s: int) -> Seen:
    """Every row, at its own stamp."""
    return _seen(damage.places_us)


def holes(damage: Damage, _grid_s: int) -> Seen:
    """Where the rows should have been: the grid stamps before theirs."""
    step = STEP_S[damage.dataset] * SECOND_US
    return _seen(p // step * step for p in damage.places_us)


def openings(damage: Damage, _grid_s: int) -> Seen:
    """Every row, at the stamp that it has in its file: its opening."""
    return _seen(p - STEP_S[damage.dataset] * SECOND_US for p in damage.places_us)


def hours(damage: Damage, _grid_s: int) -> Seen:
    """Each hour of the clock whose minutes were touched, once, at its end."""
    return _seen({_up(p // MINUTE_US * MINUTE_US, HOUR_US) for p in damage.places_us})


def messages(damage: Damage, _grid_s: int) -> Seen:
    """Every message of a book, at the end of its minute."""
    return _seen(_up(p, MINUTE_US) for p in damage.places_us)


def minutes(damage: Damage, _grid_s: int) -> Seen:
    """Each minute that was touched, once."""
    return _seen({_up(p, MINUTE_US) for p in damage.places_us})


def standing(damage: Damage, grid_s: int) -> Seen:
    """Grid instants at which a damaged quote stood, at the ends of their minutes."""
    grid = grid_s * SECOND_US
    instants = (t for a, b in damage.spans_us for t in range(_up(a, grid), b, grid))
    return _seen(_up(t, MINUTE_US) for t in instants)


def ageing(damage: Damage, grid_s: int) -> Seen:
    """Grid instants at which the quote before a silence was stale, at the ends of their minutes."""
    grid = grid_s * SECOND_US
    old = (
        t
        for last, first in damage.spans_us
        for t in range(_up(last, grid), first, grid)
        if t - last > STALE_GRIDS * grid
    )
    return _seen(_up(t, MINUTE_US) for t in old)


def mute(damage: Damage, _grid_s: int) -> Seen:
    """Whole minutes inside a silence."""
    return _seen(
        end
        for last, first in damage.spans_us
        for end in range(_up(last, MINUTE_US) + MINUTE_US, first, MINUTE_US)
    )


@dataclass(frozen=True, slots=True)
class Sign:
    """One finding of a damage: the check that makes it, and what it must see.

    `beside`: not in the damaged table but in the book of its leg. `sure`: count and places follow
    from the damage alone; otherwise the market decides whether and how often, within the places.
    """

    check: str
    look: Look = rows
    beside: bool = False
    sure: bool = True


_TOTALS = Sign("totals_mismatch", hours)
_UNCOVERED = Sign("totals_uncovered", hours)
_BOOK = Sign("tob_mismatch", minutes, beside=True)
_BOOK_PERHAPS = Sign("tob_mismatch", minutes, beside=True, sure=False)
_APART_PERHAPS = Sign("price_apart", sure=False)
_MARKS_PERHAPS = (_APART_PERHAPS, Sign("index_price_apart", sure=False))
_GAPS = Sign("gaps", holes)
_MARK_GAPS = Sign("mark_index_gap", holes)
_LEVEL_PERHAPS = (_BOOK_PERHAPS, _APART_PERHAPS)

SIGNS: dict[str, tuple[Sign, ...]] = {
    "gap": (_GAPS, _UNCOVERED),
    "late_listing": (_GAPS, _UNCOVERED),
    "early_end": (_GAPS, _UNCOVERED),
    "duplicate_rows": (Sign("duplicates"),),
    "non_monotone": (Sign("non_monotone"),),
    "off_grid": (Sign("misaligned"), _GAPS, _UNCOVERED),
    "foreign_rows": (Sign("outside_file", openings),),
    "missing_value": (Sign("non_positive_price"), _GAPS, _UNCOVERED),
    "broken_extremes": (Sign("ohlc_inconsistent"), _GAPS, _UNCOVERED),
    "negative_volume": (Sign("negative_volume"), _GAPS, _UNCOVERED),
    "unit_error": (Sign("unit_shift"), _BOOK, _TOTALS),
    "volume_unit": (Sign("totals_mismatch", hours),),
    "time_shift": (Sign("timezone_shift"), _TOTALS, *_LEVEL_PERHAPS),
    "late_clock": (Sign("minute_shift"), _TOTALS, *_LEVEL_PERHAPS),
    "price_outlier": (Sign("outliers"), _BOOK, _TOTALS),
    "zero_volume_run": (Sign("zero_volume_run"), _TOTALS, *_LEVEL_PERHAPS),
    "frozen_price": (
        Sign("frozen_price"),
        Sign("totals_mismatch", hours, sure=False),
        *_LEVEL_PERHAPS,
    ),
    "perp_apart": (Sign("price_apart"), _BOOK, _TOTALS),
    "spot_apart": (Sign("price_apart"), _BOOK, _TOTALS),
    "mark_apart": (Sign("price_apart"),),
    "index_apart": (Sign("index_price_apart"),),
    "index_gap": (Sign("index_gap"),),
    "oi_hole": (Sign("oi_holes"),),
    "oi_unit": (Sign("unit_shift"),),
    "missing_funding": (Sign("missing_settlement"),),
    "wrong_funding_rate": (Sign("formula_mismatch"), Sign("funding_out_of_range", sure=False)),
    "wrong_interval": (Sign("interval_mismatch"), Sign("formula_mismatch", sure=False)),
    "crossed_quotes": (Sign("crossed_quotes", messages), Sign("crossed", standing)),
    "locked_quotes": (Sign("locked_quotes", messages), Sign("locked", standing)),
    "invalid_quotes": (Sign("invalid_quotes", messages), Sign("invalid", standing)),
    "late_quotes": (Sign("non_monotone", messages), Sign("stale", ageing), Sign("silent", mute)),
    "stale_burst": (Sign("stale", ageing), Sign("silent", mute)),
    "book_apart": (Sign("tob_mismatch", minutes),),
}
"""What D0 must say of each kind of damage: first the check it is for, then what follows from it.

A row that is set aside is also missing, and its hour has no total to be held against; a minute that
is wrong is also wrong beside its book, and in the total of its hour; a late quote never stands.
"""

SIGNS_IN: dict[tuple[str, str], tuple[Sign, ...]] = {
    ("gap", "mark_index"): (_MARK_GAPS,),
    ("late_listing", "mark_index"): (_MARK_GAPS,),
    ("early_end", "mark_index"): (_MARK_GAPS,),
    ("duplicate_rows", "mark_index"): (Sign("duplicates"), Sign("index_duplicates")),
    ("non_monotone", "mark_index"): (Sign("non_monotone"), Sign("index_non_monotone")),
    ("off_grid", "mark_index"): (Sign("misaligned"), Sign("index_misaligned"), _MARK_GAPS),
    ("off_grid", "open_interest"): (Sign("misaligned"), Sign("oi_holes", holes)),
    ("off_grid", "funding"): (Sign("misaligned"), Sign("missing_settlement", holes)),
    ("missing_value", "open_interest"): (Sign("non_positive_oi"), Sign("oi_holes")),
    ("missing_value", "funding"): (Sign("funding_out_of_range"), Sign("missing_settlement")),
    ("unit_error", "mark_index"): (Sign("unit_shift"),),
    ("time_shift", "mark_index"): (Sign("timezone_shift"), *_MARKS_PERHAPS),
    ("late_clock", "mark_index"): (Sign("minute_shift"), *_MARKS_PERHAPS),
    ("frozen_price", "mark_index"): (Sign("frozen_price"), _APART_PERHAPS),
}  # fmt: skip
"""The same where a table has names, or consequences, of its own."""


@dataclass(frozen=True, slots=True)
class DamageGrade:
    """`found`: one row (FOUND) per sure sign of each damage; `unexplained`: findings beside them.

    `planted` and `found` are counted as the check counts: rows, messages, minutes, grid instants.
    """

    found: pl.DataFrame
    unexplained: pl.DataFrame

    @property
    def missed(self) -> pl.DataFrame:
        """The rows of `found` whose count or places are not those that were planted."""
        exact = (pl.col("planted") == pl.col("found")) & pl.col("places_equal")
        return self.found.filter(~exact)


def grade_damage(damage: Sequence[Damage], qa_report: pl.DataFrame, grid_s: int = 1) -> DamageGrade:
    """`damage`, as the truth holds it, against the market's QA report (schema QA_REPORT).

    `grid_s` is the grid on which the report's book was sampled. A finding is explained where it has
    the dataset, symbol, day and check of a sign, and, unless the sign is a sure one, which stands
    in `found`, only places that the damage reaches.
    """
    findings = _findings(qa_report)
    explained: set[_Key] = set()
    graded = []
    for item in damage:
        for i, sign in enumerate(signs_of(item)):
            key = _key(item, sign)
            wanted, got = sign.look(item, grid_s), findings.get(key, _seen(()))
            if sign.sure:
                explained.add(key)
                same = wanted.places == got.places
                if i == 0 or wanted.count or got.count:
                    graded.append((item.kind, *key, i > 0, wanted.count, got.count, same))
            elif got.places <= wanted.places:
                explained.add(key)
    left = [(*key, seen.count, min(seen.places, default=None)) for key, seen in findings.items()
            if key not in explained]  # fmt: skip
    return DamageGrade(
        pl.DataFrame(graded, schema=FOUND, orient="row"),
        pl.DataFrame(left, schema=UNEXPLAINED, orient="row"),
    )


def signs_of(damage: Damage) -> tuple[Sign, ...]:
    """What D0 must say of `damage`, the check it is for first."""
    return SIGNS_IN.get((damage.kind, damage.dataset), SIGNS[damage.kind])


_Key = tuple[str, str, date, str]
_LEGS = {"bars_1m_perp": "perp", "bars_1m_spot": "spot"}


def _key(damage: Damage, sign: Sign) -> _Key:
    dataset = damage.dataset
    if damage.dataset == "book":
        dataset = f"tob_{damage.leg}"
    elif sign.beside:
        dataset = f"tob_{_LEGS[damage.dataset]}"
    return dataset, damage.symbol, date.fromisoformat(damage.day), sign.check


def _findings(qa_report: pl.DataFrame) -> dict[_Key, Seen]:
    """Every finding of the report by dataset, symbol, day and check."""
    faults = qa_report.filter(pl.col("count") > 0).with_columns(day_of().alias("day"))
    columns = ["dataset", "symbol", "day", "check", "count", "places"]
    out: dict[Any, Seen] = {}
    for *key, count, places in faults.select(columns).iter_rows():
        out[tuple(key)] = Seen(count, frozenset(map(to_us, places)))
    return out
