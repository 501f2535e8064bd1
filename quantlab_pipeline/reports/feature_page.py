"""The feature page: every column of `features_pt`, what it is, and how its values behave.

Drawing only; what it says comes as a `FeaturePage`. No script, no network: it opens from a file.
Long spans are drawn in blocks of days, so that a chart never has many more points than pixels.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.reports.charts import BandPoint, band_chart, day_ticks, histogram_chart
from quantlab_pipeline.reports.charts_heat import VOID, Cell, cell_rows, square_map, strip_rows
from quantlab_pipeline.reports.distribution import PERCENTILES
from quantlab_pipeline.reports.feature_data import FeaturePage, FeatureStory, Week
from quantlab_pipeline.reports.pages import format_number, format_percent, render
from quantlab_pipeline.research.features.spec import FeatureSpec

TEMPLATE = "feature_page.html.j2"
MOST_POINTS = 120
"""Most columns of a strip and points of a line; beyond it neighbouring days are averaged."""
MOST_PAIRS = 24
WHOLE, NEARLY, HALF = 0.9995, 0.95, 0.5
COVERAGE_WORDS = ("nothing", "up to half", "up to 95 %", "up to 99.95 %", "whole")
DISTANCES = (0.1, 0.2, 0.4)
"""From which distance on a week's cell is darker."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Card:
    """One feature as it is drawn; `facts` and `figures` are pairs of words."""

    story: FeatureStory
    outcome: str
    facts: tuple[tuple[str, str], ...]
    figures: tuple[tuple[str, str], ...]
    coverage: Markup
    histogram: Markup
    drift: Markup
    weeks: Markup


def render_feature_page(page: FeaturePage, made_from: str = "") -> str:
    """The page as text; the same page gives the same bytes. `made_from` names its inputs."""
    blocks = _blocks(len(page.summary.days))
    found = page.correlations
    return render(
        TEMPLATE,
        made_from=made_from,
        page=page,
        facts=page.facts,
        summary=page.summary,
        sentence=sentence(page),
        cards=[_card(story, page, blocks) for story in page.valued],
        empty=[(s, outcome_word(s), spec_facts(s.spec)) for s in page.empty],
        correlations=square_map(
            found.names, found.values.tolist(), "Rank correlation of every pair of features"
        )
        if found.names
        else "",
        pairs=found.strongest(MOST_PAIRS),
        unit_words=unit_words,
        is_flag=is_flag,
        block_days=max((b.stop - b.start for b in blocks), default=1),
        coverage_legend=[(_key(level), words) for level, words in _coverage_legend()],
        distance_legend=[
            (_key(1), f"below {DISTANCES[0]}"),
            *((_key(i + 2), f"from {limit}") for i, limit in enumerate(DISTANCES)),
        ],
        void_key=_key(VOID),
    )


def sentence(page: FeaturePage) -> str:
    """Features, days, symbols, and what PIT-1 says of them, in one sentence."""
    outcomes = [s.verdict.outcome for s in (*page.valued, *page.empty) if s.verdict is not None]
    n, days = len(page.summary.names), page.summary.days
    span = f"{days[0]} .. {days[-1]}" if days else "none"
    unjudged = n - len(outcomes)
    passed = sum(o in {Outcome.PASS, Outcome.WAIVED} for o in outcomes)
    return (
        f"{n} features of {', '.join(page.summary.symbols)} on {len(days):,} days before the "
        f"holdout ({span}), {page.summary.n_rows:,} rows: PIT-1 admits {passed}, refuses "
        f"{outcomes.count(Outcome.FAIL)} and cannot judge "
        f"{outcomes.count(Outcome.NOT_EVALUABLE)}{f'; not judged: {unjudged}' if unjudged else ''}."
    )


def outcome_word(story: FeatureStory) -> str:
    """PIT-1's outcome, or that there is none."""
    return story.verdict.outcome.value.lower() if story.verdict is not None else "not judged"


def spec_facts(spec: FeatureSpec) -> tuple[tuple[str, str], ...]:
    """How a feature is made, as pairs of words."""
    params = ", ".join(f"{k} {format_number(v)}" for k, v in sorted(spec.params.items()))
    return (
        ("unit", unit_words(spec)),
        ("made by", f"{spec.verb}{f' ({params})' if params else ''} of {', '.join(spec.inputs)}"),
        ("lookback", f"{spec.lookback_min:,} min"),
        ("warm-up", f"{spec.warmup_min:,} min, at least {spec.min_valid:,} valid"),
        ("needs", ", ".join(spec.needs)),
    )


def unit_words(spec: FeatureSpec) -> str:
    """The unit as an axis says it."""
    return "no unit" if spec.unit == "1" else spec.unit


def _card(story: FeatureStory, page: FeaturePage, blocks: Sequence[slice]) -> Card:
    levels = [(f"p{p}", v) for p, v in zip(PERCENTILES, story.levels, strict=True)]
    return Card(
        story,
        outcome_word(story),
        spec_facts(story.spec),
        (
            ("smallest", format_number(story.lowest)),
            *((name, format_number(value)) for name, value in levels),
            ("largest", format_number(story.highest)),
            ("zeros", format_percent(story.zero_share)),
        ),
        _coverage(story, page.summary.symbols, blocks),
        histogram_chart(
            story.histogram,
            f"Distribution of {story.name}",
            (unit_words(story.spec), "% of values"),
            levels,
        ),
        _drift(story, page.summary.days, blocks),
        _weeks(story.name, story.weeks),
    )


def _coverage(story: FeatureStory, symbols: Sequence[str], blocks: Sequence[slice]) -> Markup:
    shares = _averaged(story.coverage, blocks)
    rows = [
        (symbol, [coverage_level(v) for v in row])
        for symbol, row in zip(symbols, shares.tolist(), strict=True)
    ]
    return strip_rows(rows, f"Share of known values of {story.name} by symbol and day", 340)


def coverage_level(share: float) -> int:
    """0 nothing, 1 up to half, 2 up to 95 %, 3 nearly whole, 4 whole; `VOID` where no row is."""
    if math.isnan(share):
        return VOID
    return 0 if share == 0 else 1 + sum(share >= limit for limit in (HALF, NEARLY, WHOLE))


def distance_level(distance: float | None) -> int:
    """1 for a week like the first, up to 4; `VOID` where nothing can be compared."""
    return VOID if distance is None else 1 + sum(distance >= limit for limit in DISTANCES)


def _drift(story: FeatureStory, days: Sequence[date], blocks: Sequence[slice]) -> Markup:
    """The days' median in its band; of a flag, whose percentiles say little, its share."""
    low, middle, high, mean = _averaged(story.daily, blocks).tolist()
    ticks = day_ticks([days[block.start] for block in blocks], 4)
    if is_flag(story.spec):
        points = [BandPoint(float(i), math.nan, 100 * m, math.nan) for i, m in enumerate(mean)]
        label = f"{story.name} day by day: share of minutes on which it is set"
        return band_chart(points, label, ("day", "% of minutes"), height=150, x_ticks=ticks)
    points = [
        BandPoint(float(i), *levels) for i, levels in enumerate(zip(low, middle, high, strict=True))
    ]
    label = f"{story.name} day by day: median, 5th and 95th percentile"
    return band_chart(points, label, ("day", unit_words(story.spec)), height=150, x_ticks=ticks)


def is_flag(spec: FeatureSpec) -> bool:
    """Whether a feature says no more than yes or no."""
    return spec.normalisation == "flag"


def _weeks(name: str, weeks: Sequence[Week]) -> Markup:
    if not weeks:
        return Markup("")
    cells = [
        Cell(
            distance_level(w.distance),
            f"{w.first_day} .. {w.last_day}: "
            + ("too few values" if w.distance is None else f"{w.distance:.3f}"),
        )
        for w in weeks
    ]
    size = 18 if len(weeks) <= 16 else max(5, 300 // len(weeks))
    return cell_rows([("", cells)], f"Distance of each week of {name} from the first", size)


def _blocks(n_days: int) -> list[slice]:
    """The days behind each point of a line and each column of a strip."""
    size = max(1, -(-n_days // MOST_POINTS))
    return [slice(i, min(i + size, n_days)) for i in range(0, n_days, size)]


def _averaged(values: FloatArray, blocks: Sequence[slice]) -> FloatArray:
    """Means over blocks of the last axis, of what is not NaN; NaN where all is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        parts = [np.nanmean(values[..., block], axis=-1) for block in blocks]
    return np.stack(parts, axis=-1) if parts else values


def _coverage_legend() -> list[tuple[int, str]]:
    return list(enumerate(COVERAGE_WORDS))


def _key(level: int) -> Markup:
    """A cell of a legend."""
    return strip_rows([("", [level])], "", 20, 12)
