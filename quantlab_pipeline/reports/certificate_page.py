"""The certificate's page: what V1 does on markets whose truth is known, as one self-contained page.

Drawing only; what it says comes from `certificate_data`. No script, no network: it opens from a
file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from quantlab_pipeline.reports.certificate_data import (
    EXPERIMENTS,
    band_lines,
    main_lines,
    mutant_lines,
    verdict_words,
)
from quantlab_pipeline.reports.charts import BandPoint, band_chart
from quantlab_pipeline.reports.pages import format_number, render

TEMPLATE = "certificate.html.j2"
SE = 1.96


def render_certificate(document: Mapping[str, Any]) -> str:
    """The page as text. The same document gives the same bytes."""
    horizons = list(dict.fromkeys(size["horizon"] for size in document["size"]))
    return render(
        TEMPLATE,
        document=document,
        sentence=verdict_words(document),
        main=main_lines(document),
        experiments=EXPERIMENTS,
        bands=band_lines(document),
        mutants=mutant_lines(document),
        horizons=horizons,
        charts=[(name, _chart(document, name)) for name in horizons],
        levels=_table(document, horizons),
    )


def _table(document: Mapping[str, Any], horizons: list[str]) -> list[tuple[str, list[str], str]]:
    """A row a level: its name, the size at each horizon, and what the raw statistic does alone."""
    by = {(s["horizon"], s["level"]): s for s in document["size"]}
    levels = sorted({level for _, level in by}, reverse=True)
    rows = []
    for level in levels:
        cells = [_plus_minus(by[name, level], "size", "se") for name in horizons]
        rows.append((format_number(level), cells, _plus_minus(by["all", level], "raw", "raw_se")))
    return rows


def _plus_minus(size: Mapping[str, Any], value: str, se: str) -> str:
    return f"{format_number(size[value])} ± {format_number(size[se])}"


def _chart(document: Mapping[str, Any], horizon: str) -> Markup:
    """Size over nominal at every level with its 95 % band; a level without a rejection has none."""
    sizes = [s for s in document["size"] if s["horizon"] == horizon]
    points = [_point(s) for s in sorted(sizes, key=lambda s: -s["level"])]
    ticks = [(p.x, f"{10**-p.x:.0e}".replace("e-0", "e-")) for p in points]
    label = f"Size over nominal, {horizon}"
    return band_chart(points, label, ("nominal level", "size over nominal"), x_ticks=ticks)


def _point(size: Mapping[str, Any]) -> BandPoint:
    level, value, se = size["level"], size["size"], size["se"]
    x = -math.log10(level)
    if value is None or not value:
        return BandPoint(x, math.nan, math.nan, math.nan)
    half = math.nan if se is None else SE * se
    return BandPoint(x, max(0.0, value - half) / level, value / level, (value + half) / level)
