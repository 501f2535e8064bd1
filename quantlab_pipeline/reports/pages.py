"""What every page shares: where templates lie, how they are filled, and how numbers are written.

A page is one self-contained file: no script, no network, themed by its own style. What a page says
is its own module's matter.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


def render(template: str, **values: Any) -> str:
    """The page `templates/<template>` filled with `values`; the same values give the same bytes."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("quantlab_pipeline.reports"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    environment.filters["percent"] = format_percent
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    return environment


def template_text(*templates: str) -> str:
    """The source of templates, one after the other: what a page's looks were made from."""
    loader = _environment().loader
    assert loader is not None
    return "".join(loader.get_source(_environment(), name)[0] for name in templates)


def format_percent(share: float | None) -> str:
    """A share of one in percent, a dash for none."""
    return "–" if share is None or math.isnan(share) else f"{format_number(100 * share)} %"


def format_number(value: Any) -> str:
    """A number as people read it: three significant digits, M for millions, a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.0f}M" if abs(value) >= 1e8 else f"{value / 1e6:.3g}M"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 1):
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if 0 < abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:.3g}"
