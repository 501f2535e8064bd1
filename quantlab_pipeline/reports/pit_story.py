"""What PIT-1 found, in words: how far a feature saw, through what, and what its author should do.

Pure: from a `Leak` or a reason code to text. Which leaks are told, and how they are shown, is the
page's or a command's matter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from quantlab_pipeline.core.clocks import day_end
from quantlab_pipeline.core.verdicts import UPSTREAM_EMPTY
from quantlab_pipeline.research.features.gate import (
    DATASET_ABSENT,
    NOT_BUILT,
    NOT_REPRODUCED,
    REASONS,
)
from quantlab_pipeline.research.features.leaks import ATTACKS, Attack, Leak
from quantlab_pipeline.research.features.spec import FeatureSpecs

HOW: Mapping[Attack, str] = {
    "prefix": "Everything that was not known at the instant is gone, in every table.",
    "poison": "It is there, but changed, deleted, doubled and revised.",
    "lookback": "Everything older than the feature declares to read is changed.",
    "warmup": "Recursions begin twice as far back. Here alone a value may move a little: "
    "max_warmup_change in gates.yaml.",
}
"""What each attack does. After each, every row that could not know of it must stay as it was."""

FAR_S = 7_200.0
"""A look to the very end of the day from further away is no window that happens to end there."""

_JOIN = "the as-of join of core.point_in_time"
_BARS = (
    "A bar is known at its close, not on its open stamp: join it on available_at, shift backwards "
    "only, and end every window at its row."
)
_BY_TABLE = {
    "bars_1m_perp": _BARS,
    "bars_1m_spot": _BARS,
    "open_interest": f"Join open_interest on available_at ({_JOIN}), not on its bucket's stamp: a "
    "bucket is known some time after it has ended.",
    "funding": f"Join funding on available_at ({_JOIN}): a rate is known from its raw stamp on. "
    "What was expected before stands in funding_state.",
}
_WHOLE = (
    "It sees to the end of what was built: take means, ranks, edges, scales and fills from the "
    "past alone, by a window that ends at the row."
)
_REVISED = (
    "A later revision of a row that was already known reached it: of a row's versions take the "
    f"newest with available_at at or before the decision ({_JOIN})."
)
_ROWS = (
    "It depends on which rows are there: take no count, length, total or last row of everything."
)
_UNEXPLAINED = "No table alone explains it: look for a count or a statistic of all that is loaded."


@dataclass(frozen=True, slots=True)
class Declared:
    """What a feature's spec promises: how old the oldest row may be that a value depends on.

    `recursive`: it has a recursion, or is a custom one that may, so that its warm-up is attacked.
    """

    lookback_min: int
    recursive: bool = False


def declared_of(specs: FeatureSpecs) -> dict[str, Declared]:
    """What every feature of `specs` declares."""
    recursive = specs.with_twice_the_warmup()[1]
    return {
        name: Declared(spec.lookback_min, name in recursive)
        for name, spec in specs.features.items()
    }


def leak_of(evidence: Mapping[str, Any]) -> Leak:
    """The leak that a verdict's evidence holds. KeyError if it is none.

    Evidence has the fields of `Leak` as JSON values, instants in ISO form.
    """
    facts = {f.name: evidence[f.name] for f in fields(Leak)}
    instants = {name: datetime.fromisoformat(facts[name]) for name in ("tau", "ts")}
    return Leak(**{**facts, **instants})


def span_text(seconds: float) -> str:
    """`310 ms`, `6 min`, `1 h 30 min`, `3 d`: at most two units, the smaller one rounded down."""
    if 0 < seconds < 1:
        return f"{max(1, round(1000 * seconds))} ms"
    left = int(seconds)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        n, left = divmod(left, size)
        parts.append((n, unit))
    first = next((i for i, (n, _) in enumerate(parts) if n), 3)
    shown = [f"{n} {unit}" for n, unit in parts[first : first + 2] if n]
    return " ".join(shown) or "0 s"


def saw_text(leak: Leak, declared: Declared | None) -> str:
    """How far the row saw: `6 min ahead`, `12 h older than the declared 1 h`."""
    least = "at least " if leak.open_ended else ""
    if leak.attack == "warmup":
        return "further back than it declares"
    if leak.reach_s is None:
        return "ahead, unmeasured" if leak.attack != "lookback" else "too far back"
    if leak.attack != "lookback":
        return f"{least}{span_text(leak.reach_s)} ahead"
    if declared is None:
        return f"{least}{span_text(leak.reach_s)} back, more than it declares"
    beyond = leak.reach_s - 60 * declared.lookback_min
    return f"{least}{span_text(beyond)} older than the declared {_declared_span(declared)}"


def _declared_span(declared: Declared) -> str:
    return span_text(60 * declared.lookback_min)


def source_text(leak: Leak) -> str:
    """The leaked input; in words where there is none that alone explains it."""
    return leak.source or ("its own beginning" if leak.attack == "warmup" else "no table alone")


def remedy(leak: Leak, red: Collection[Attack]) -> str:
    """What the feature's author should do; `red` are all attacks that changed the feature."""
    if leak.attack == "lookback":
        return (
            "State the reach that it has as lookback_min, or shorten its window: a day built alone "
            "is given no more than what is declared."
        )
    if leak.attack == "warmup":
        return (
            "Let its recursion begin further back (its verb's warm-up) or take a window that ends: "
            "the value still remembers where it began."
        )
    if leak.source is None:
        return _UNEXPLAINED
    if leak.open_ended or _sees_the_whole_day(leak):
        return _WHOLE
    if leak.attack == "poison" and "prefix" not in red:
        return _REVISED
    table, _, column = leak.source.partition(".")
    advice = _BY_TABLE.get(table, f"Join {table} on available_at ({_JOIN}).")
    return advice if column else f"{_ROWS} {advice}"


def _sees_the_whole_day(leak: Leak) -> bool:
    """Whether the row saw to the end of its day, from far: a day is built alone, and ends there."""
    day = (leak.ts - timedelta(microseconds=1)).date()
    reach_s = leak.reach_s or 0.0
    return reach_s >= FAR_S and leak.ts + timedelta(seconds=reach_s) == day_end(day)


def reason_text(code: str) -> str:
    """A reason code of PIT-1 as a sentence without its end; the code itself if it is unknown."""
    if code in _REASON_TEXTS:
        return _REASON_TEXTS[code]
    if code.startswith(f"{DATASET_ABSENT}:"):
        what = code.partition(":")[2]
        lacks = "values" if "." in what else "rows"
        return f"{what} has no {lacks} on these days"
    return code


_REASON_TEXTS = {
    REASONS["prefix"]: "it changes when everything that was not known yet is gone",
    REASONS["poison"]: "it changes when what was not known yet is changed, deleted, doubled or "
    "revised",
    REASONS["lookback"]: "it changes when what is older than its declared lookback is changed",
    REASONS["warmup"]: "it changes when its recursion begins twice as far back",
    NOT_REPRODUCED: "a day built alone differs from what is stored: it depends on the range it was "
    "built in, or on something beside the tables",
    NOT_BUILT: "the stored table has no such column; build its days again",
    UPSTREAM_EMPTY: "there is no row to attack",
}


def values_text(honest: float | None, harmed: float | None) -> tuple[str, str]:
    """Two values with as few digits as tell them apart, at least six; words for none."""
    if honest is None or harmed is None:
        return _figure(honest), _figure(harmed)
    for digits in range(6, 17):
        pair = _figure(honest, digits), _figure(harmed, digits)
        if pair[0] != pair[1]:
            return pair
    return _figure(honest, 17), _figure(harmed, 17)


def _figure(value: float | None, digits: int = 6) -> str:
    return "no value" if value is None else f"{value:.{digits}g}"


def attack_of(code: str) -> Attack | None:
    """The attack behind a reason code, None if the reason is no leak."""
    return next((attack for attack in ATTACKS if REASONS[attack] == code), None)
