"""The PIT-1 page: which features know the future, shown row by row, as one self-contained page.

Drawing only; what it says comes as a `PitPage`. No script, no network: it opens from a file.
"""

from __future__ import annotations

from collections.abc import Mapping

from quantlab_pipeline.reports.pages import render
from quantlab_pipeline.reports.pit_data import Cell, PitPage
from quantlab_pipeline.reports.pit_story import HOW
from quantlab_pipeline.reports.pit_timeline import timeline
from quantlab_pipeline.research.features.leaks import ATTACKS, KINDS, Attack, Kind

TEMPLATE = "pit_page.html.j2"
MOST_NAMED = 4

TITLES: Mapping[Attack, str] = {
    "prefix": "prefix",
    "poison": "poison",
    "lookback": "lookback",
    "warmup": "warm-up",
}
SIGNS = {Cell.GREEN: "✓", Cell.RED: "×", Cell.GREY: "–"}
WORDS = {Cell.GREEN: "held", Cell.RED: "changed", Cell.GREY: "nothing to compare"}
KIND_TEXTS: Mapping[Kind, str] = {
    "day_start": "at an edge of the day",
    "settlement": "just before a funding settlement was out",
    "oi_bucket": "inside an open-interest bucket",
    "gap_end": "at the end of a gap",
    "any_minute": "at a minute drawn at random",
}


def render_pit_page(page: PitPage, made_from: str = "") -> str:
    """The page as text; the same page gives the same bytes. `made_from` names its inputs."""
    kinds = [(KIND_TEXTS[k], page.kinds.get(k, 0)) for k in KINDS] if page.kinds else []
    rebuilds = [(TITLES[a], page.rebuilds.get(a, 0)) for a in ATTACKS] if page.rebuilds else []
    return render(
        TEMPLATE,
        made_from=made_from,
        page=page,
        facts=page.facts,
        sentence=verdict_sentence(page),
        how=[(TITLES[attack], HOW[attack]) for attack in ATTACKS],
        leaks=[(told, TITLES[told.leak.attack], timeline(told)) for told in page.leaks],
        kind_texts=KIND_TEXTS,
        anchors={(told.leak.feature, told.leak.attack): told.anchor for told in page.leaks},
        attacks=ATTACKS,
        titles=TITLES,
        kinds=kinds,
        rebuilds=rebuilds,
        signs=SIGNS,
        words=WORDS,
    )


def verdict_sentence(page: PitPage) -> str:
    """How much was attacked and what came of it, in one sentence."""
    facts, judged = page.facts, page.judged
    n_days = len(page.days)
    left = len(page.unjudged)
    rest = f"; {left:,} could not be judged" if left else ""
    if not judged:
        return f"No feature could be attacked on {_n(n_days, 'day')}{rest}."
    return (
        f"{_n(len(judged), 'feature')} over {_n(n_days, 'day')} and "
        f"{_n(len(facts.symbols), 'symbol')} attacked at {_n(page.n_instants, 'instant')} with "
        f"{_n(page.n_values, 'value')} compared bit for bit: {_verdict(page)}{rest}."
    )


def _verdict(page: PitPage) -> str:
    red = [f.feature for f in page.red]
    if not red:
        return "all green"
    more = f" and {len(red) - MOST_NAMED} more" if len(red) > MOST_NAMED else ""
    return (
        f"{len(red):,} {'is' if len(red) == 1 else 'are'} red ({', '.join(red[:MOST_NAMED])}{more})"
    )


def _n(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
