"""Oracle of the labels: one decision and one horizon at a time, from the document alone.

`row` gives every column of `labels_fwd` that the document names, from plain lists of prices by the
minute. The twin of `kernels.label_windows.forward_windows` and of all that is built around it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Prices = Sequence[float | None]
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Minutes:
    """One symbol, a price a minute or None: closes, mids, marks; and the minutes of last bars."""

    closes: Prices
    mids: Prices
    marks: Prices
    last_bars: Sequence[int] = ()

    def reference(self) -> list[float | None]:
        """The mid, else the close."""
        return [c if m is None else m for m, c in zip(self.mids, self.closes, strict=True)]


def row(document: Document, minutes: Minutes, t: int) -> dict[str, Any] | None:
    """The columns of a decision at minute `t`; None where the table has no row: `t` counts from
    the first minute of a day, and a day without a price has none.
    """
    prices = minutes.reference()
    day = t // 1440 * 1440
    if all(price is None for price in prices[day : day + 1440]):
        return None
    entry = t + document["entry_delay_min"]
    told = entry if entry < len(prices) and prices[entry] is not None else t
    source = "close" if minutes.mids[told] is None else "mid"
    found: dict[str, Any] = {"price_source": None if prices[told] is None else source}
    for horizon in document["horizons"]:
        values = _labels(document, prices, minutes, t, horizon["length_min"])
        for label in document["labels"]:
            found[label["name"].replace("{H}", horizon["name"])] = values[label["name"]]
    longest = max(h["length_min"] for h in document["horizons"])
    found["known_after_min"] = document["entry_delay_min"] + longest
    return found


def _labels(
    document: Document, prices: Prices, minutes: Minutes, t: int, horizon: int
) -> dict[str, float | None]:
    ret, mfe, mae = label(document, prices, t, horizon) or (None, None, None)
    _, mark_mfe, mark_mae = label(document, minutes.marks, t, horizon) or (None, None, None)
    settled = ret
    if ret is None:
        settled = _to_the_final_price(document, prices, minutes.last_bars, t, horizon)
    return {
        "fwd_ret_{H}": ret,
        "fwd_ret_{H}_exec": settled,
        "mfe_{H}": mfe,
        "mae_{H}": mae,
        "mfe_{H}_mark": mark_mfe,
        "mae_{H}_mark": mark_mae,
    }


def label(
    document: Document, prices: Prices, t: int, horizon: int
) -> tuple[float, float, float] | None:
    """(log return, MFE, MAE) of a long decided at index `t`, or None. None in `prices` is a gap."""
    entry = t + document["entry_delay_min"]
    leave = entry + horizon
    start = price_in_gap(prices, entry, document["max_entry_gap_min"])
    end = price_in_gap(prices, leave, document["max_exit_gap_min"])
    if start is None or end is None or _too_much_missing(document, prices, entry, leave):
        return None
    path = [*(p for p in prices[entry + 1 : leave + 1] if p is not None), end]
    best, worst = math.log(max(path) / start), math.log(min(path) / start)
    return math.log(end / start), max(0.0, best), min(0.0, worst)


def _to_the_final_price(
    document: Document, prices: Prices, last_bars: Sequence[int], t: int, horizon: int
) -> float | None:
    entry = t + document["entry_delay_min"]
    leave = entry + horizon
    start = price_in_gap(prices, entry, document["max_entry_gap_min"])
    inside = [b for b in last_bars if entry <= b < min(leave, len(prices)) and prices[b]]
    if start is None or not inside:
        return None
    final = min(leave, len(prices) - 1)
    while prices[final] is None:
        final -= 1
    if _too_much_missing(document, prices, entry, final):
        return None
    return math.log((prices[final] or math.nan) / start)


def _too_much_missing(document: Document, prices: Prices, entry: int, leave: int) -> bool:
    missing = list(prices[entry + 1 : leave + 1]).count(None)
    return missing > math.floor(document["max_missing_frac"] * (leave - entry) + 1e-9)


def price_in_gap(prices: Prices, at: int, longest: int) -> float | None:
    """The price carried to index `at`, if its gap is closed on both sides and not too long."""
    if at >= len(prices):
        return None
    before = at
    while before >= 0 and prices[before] is None:
        before -= 1
    after = at
    while after < len(prices) and prices[after] is None:
        after += 1
    if before < 0 or after == len(prices):
        return None
    if before != at and after - before - 1 > longest:
        return None
    return prices[before]
