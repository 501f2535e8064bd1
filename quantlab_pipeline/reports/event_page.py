"""The event page: every event type of a study, what E-1 says of it, and what prices did around it.

Drawing only; what it says comes as an `EventPage`. No script, no network: it opens from a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.reports.charts import (
    BandPoint,
    band_chart,
    column_chart,
    day_ticks,
    histogram_chart,
)
from quantlab_pipeline.reports.charts_heat import (
    VOID,
    Cell,
    cell_rows,
    doubling_level,
    square_map,
)
from quantlab_pipeline.reports.event_data import (
    HOURS,
    REGIME_COLUMNS,
    EventPage,
    EventStory,
)
from quantlab_pipeline.reports.pages import format_number, render

TEMPLATE = "event_page.html.j2"
MOST_DAYS = 120
"""Up to here a calendar's cell is a day, beyond it a week."""
NUMBERED_DAYS = 70
"""Up to here cells are large and hold their number."""
TOLD_MINUTES = (-60, -5, 5, 15, 60, 240)
LEVELS = ("none", "1", "2 to 3", "4 to 7", "8 or more")

Blocks = Sequence[Sequence[date]]


@dataclass(frozen=True, slots=True)
class Card:
    """One event type as it is drawn. `told` are (minute, mean, low, high) of the path."""

    story: EventStory
    outcome: str
    path: Markup
    calendar: Markup
    severity: Markup
    hours: Markup
    regimes: tuple[tuple[str, tuple[tuple[str, float], ...]], ...]
    told: tuple[tuple[int, float, float, float], ...]


def render_event_page(page: EventPage, made_from: str = "") -> str:
    """The page as text; the same page gives the same bytes. `made_from` names its inputs."""
    blocks = _blocks(page.facts.days)
    cards = [_card(story, page, blocks) for story in page.stories]
    names = [s.event_type.name for s in page.stories]
    overlap = square_map(
        names, page.overlap.tolist(), "Overlap of every pair of event types", 20, numbers=True
    )
    return render(
        TEMPLATE,
        made_from=made_from,
        page=page,
        facts=page.facts,
        sentence=sentence(page),
        cards=cards,
        overlap=overlap if names else "",
        block_days=len(blocks[0]) if blocks else 1,
        legend=[(_key(level), words) for level, words in enumerate(LEVELS)],
        void_key=_key(VOID),
        outcome_of=outcome_word,
    )


def sentence(page: EventPage) -> str:
    """Types, days, symbols, and what E-1 says of them, in one sentence."""
    facts, outcomes = page.facts, page.outcomes
    n = len(page.stories)
    unjudged = n - outcomes.total()
    days = f"{facts.days[0]} .. {facts.days[-1]}" if facts.days else "none"
    return (
        f"{n} event type{'' if n == 1 else 's'} on {', '.join(facts.symbols)}, "
        f"{len(facts.days):,} days before the holdout ({days}): E-1 admits {page.admitted}, "
        f"refuses {outcomes[Outcome.FAIL]} and cannot judge "
        f"{outcomes[Outcome.NOT_EVALUABLE] + outcomes[Outcome.UNDERPOWERED]}"
        f"{f'; not judged: {unjudged}' if unjudged else ''}."
    )


def outcome_word(story: EventStory) -> str:
    """E-1's outcome, or that there is none."""
    return story.verdict.outcome.value if story.verdict is not None else "not judged"


def _card(story: EventStory, page: EventPage, blocks: Blocks) -> Card:
    name = story.event_type.name
    points = {p.minute: p for p in story.path}
    ticks = [(m, f"{m:+d}" if m else "t0") for m in range(-60, 241, 60) if m in points]
    return Card(
        story,
        outcome_word(story).lower(),
        band_chart(
            [BandPoint(p.minute, p.low, p.mean, p.high) for p in story.path],
            f"Mean price around {name}, in basis points of the price at t0",
            ("minutes from t0", "bps"),
            x_ticks=ticks,
            zero=True,
        ),
        _calendar(story, page.members, page.facts.symbols, blocks),
        histogram_chart(story.severity, f"Severity of {name}", ("severity", "% of events")),
        column_chart(
            story.hours,
            f"Events of {name} by hour of the day",
            ("hour, UTC", "events"),
            [(h, f"{h:02d}") for h in range(0, HOURS, 4)],
        ),
        tuple((c, _shares(story.regimes[c])) for c in REGIME_COLUMNS if story.regimes.get(c)),
        tuple(
            (m, points[m].mean, points[m].low, points[m].high) for m in TOLD_MINUTES if m in points
        ),
    )


def _shares(counts: Mapping[str, int]) -> tuple[tuple[str, float], ...]:
    """Regimes that occur with their shares; nothing without events."""
    total = sum(counts.values())
    return tuple((regime, n / total) for regime, n in counts.items() if n)


def _blocks(days: Sequence[date]) -> list[list[date]]:
    """The days of each column of a calendar."""
    size = 1 if len(days) <= MOST_DAYS else 7
    return [list(days[i : i + size]) for i in range(0, len(days), size)]


def _calendar(
    story: EventStory,
    members: Mapping[date, frozenset[str]],
    symbols: Sequence[str],
    blocks: Blocks,
) -> Markup:
    numbered = len(blocks) <= NUMBERED_DAYS
    rows = [
        (symbol, [_day_cell(story, members, symbol, block, numbered=numbered) for block in blocks])
        for symbol in symbols
    ]
    ticks = day_ticks([block[0] for block in blocks], 8)
    return cell_rows(
        rows, f"Events of {story.event_type.name} by symbol and day", 15 if numbered else 9, ticks
    )


def _day_cell(
    story: EventStory,
    members: Mapping[date, frozenset[str]],
    symbol: str,
    block: Sequence[date],
    *,
    numbered: bool,
) -> Cell:
    n = sum(story.counts.get((symbol, day), 0) for day in block)
    when = f"{block[0]}" if len(block) == 1 else f"{block[0]} .. {block[-1]}"
    if not n and not any(symbol in members.get(day, ()) for day in block):
        return Cell(VOID, f"{when} {symbol}: not in the universe")
    level = doubling_level(n)
    return Cell(level, f"{when} {symbol}: {format_number(n)}", str(n) if numbered and n else "")


def _key(level: int) -> Markup:
    """A cell of the legend."""
    return cell_rows([("", [Cell(level)])], "", 14)
