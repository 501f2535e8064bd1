"""Timing two ways of the same work in turn: a machine that drifts cannot choose a winner."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratio:
    """Median seconds of ours and of the other, over rounds in turn."""

    ours_s: float
    other_s: float

    @property
    def value(self) -> float:
        """Ours over the other: below 1 we are faster."""
        return self.ours_s / self.other_s


def compare(
    name: str, units: int, ours: Callable[[], object], other: Callable[[], object], rounds: int = 5
) -> Ratio:
    """Time both after one warm-up each, print nanoseconds a unit, and return the medians."""
    times: tuple[list[float], list[float]] = ([], [])
    ours(), other()
    for _ in range(rounds):
        for call, kept in ((ours, times[0]), (other, times[1])):
            start = time.perf_counter()
            call()
            kept.append(time.perf_counter() - start)
    ratio = Ratio(median(times[0]), median(times[1]))
    each = [1e9 * s / units for s in (ratio.ours_s, ratio.other_s)]
    print(f"\n{name}: ours {each[0]:.2f} ns, other {each[1]:.2f} ns, ratio {ratio.value:.2f}")
    return ratio
