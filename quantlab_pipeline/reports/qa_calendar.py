"""Calendar heat maps as plain HTML: weeks across, weekdays down, one link a day.

Belongs here: where a day stands, and its one element. A state is told by colour, by a sign and in
words. What a day's state is comes from `qa_data`; colours and signs stand in the page's style.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

from markupsafe import Markup, escape

from quantlab_pipeline.reports.pages import format_number
from quantlab_pipeline.reports.qa_data import MEANING, Calendar
from quantlab_pipeline.reports.qa_findings import Weighed

MOST_WEEKS = 54
"""A year touches so many; a longer span is drawn a row a year."""
NUMBERED_DAYS = 70
"""Up to here cells are large and hold the day of the month."""
_NAMED = 3

Target = Callable[[date], str]
"""The id of the element that a day's cell leads to."""


@dataclass(frozen=True, slots=True)
class Strip:
    """One row of weeks: the column of each month's name, and the cells."""

    label: str
    months: tuple[tuple[int, str], ...]
    cells: Markup


def strips(calendar: Calendar, target: Target) -> list[Strip]:
    """The calendar's days in order, cut by year where one row could not hold them."""
    days = sorted(calendar.states)
    long = len(days) > 366
    parts = [list(g) for _, g in groupby(days, key=lambda d: d.year)] if long else [days]
    numbered = len(days) <= NUMBERED_DAYS
    return [
        Strip(
            str(part[0].year) if long else "",
            _months(part, columns_each=1 if numbered else 2),
            _cells(calendar, part, target, numbered=numbered),
        )
        for part in parts
        if part
    ]


def _months(days: Sequence[date], columns_each: int) -> tuple[tuple[int, str], ...]:
    """(column from 1, name) of each month's first week, but for names that have too little room."""
    monday = days[0] - timedelta(days=days[0].weekday())
    firsts = [days[0], *(d for d in days[1:] if d.day == 1)]
    columns = [(d - monday).days // 7 + 1 for d in firsts]
    room = [after - before for before, after in zip(columns, [*columns[1:], 99], strict=True)]
    return tuple(
        (column, f"{day:%b}")
        for column, day, free in zip(columns, firsts, room, strict=True)
        if free >= columns_each
    )


def _cells(calendar: Calendar, days: Sequence[date], target: Target, *, numbered: bool) -> Markup:
    cells = []
    for i, day in enumerate(days):
        state = calendar.states[day]
        place = f' style="grid-row:{day.weekday() + 1}"' if i == 0 else ""
        words = escape(f"{day} {day:%a}: {_words(calendar, day)}")
        text = day.day if numbered else ""
        cells.append(
            f'<a class="{state.value}" href="#{target(day)}" title="{words}"{place}>{text}</a>'
        )
    # Dates, states and ids are ours, and the words are escaped.
    return Markup("".join(cells))  # noqa: S704


def _words(calendar: Calendar, day: date) -> str:
    """The day's state, and the checks behind it; under D0 as a whole also their datasets."""
    found = calendar.found.get(day, ())
    told = [MEANING[calendar.states[day]]]
    for each in found[:_NAMED]:
        where = f" in {each.finding.dataset}" if calendar.dataset is None else ""
        told.append(f"{_weighed_words(each)}{where}")
    if len(found) > _NAMED:
        told.append(f"{len(found) - _NAMED} more")
    return "; ".join(told)


def _weighed_words(weighed: Weighed) -> str:
    """`gaps 45 (0.0312 > 0.02)`: a finding with its measure beside its limit."""
    f = weighed.finding
    if weighed.limit is None:
        return f"{f.check} {f.count:,}"
    sign = ">" if weighed.stops else "≤"
    measured, limit = format_number(weighed.measured), format_number(weighed.limit)
    return f"{f.check} {f.count:,} ({measured} {sign} {limit})"
