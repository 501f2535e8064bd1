"""How far the recorder's clock is from the venue's, minute by minute.

Belongs here: the histogram of (local stamp - venue's event time) in whole milliseconds, and its
median. The difference holds the way of the message too: a good clock reads some milliseconds ahead.
Memory is one counter for each millisecond that occurs in a minute.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.core.clocks import MINUTE_US

Instants = npt.NDArray[np.int64]

_MS = 1000
_SPAN_MS = 1 << 32


@dataclass(frozen=True, slots=True)
class MinuteOffset:
    """A minute of the local clock: the lower median of `n` differences, in ms (local - venue)."""

    minute_us: int
    median_ms: int
    n: int


class Offsets:
    """Counts differences by the minute of the local stamp. The order of calls changes nothing."""

    def __init__(self) -> None:
        self._counts: defaultdict[int, Counter[int]] = defaultdict(Counter)

    def take(self, local_us: Instants, event_us: Instants) -> None:
        """Count messages, one of each array a message, both in microseconds since 1970."""
        minute = local_us // MINUTE_US
        behind_ms = np.clip((local_us - event_us) // _MS, -(_SPAN_MS // 2), _SPAN_MS // 2 - 1)
        keys, counts = np.unique(minute * _SPAN_MS + behind_ms + _SPAN_MS // 2, return_counts=True)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            at, ms = divmod(key, _SPAN_MS)
            self._counts[at][ms - _SPAN_MS // 2] += count

    def medians(self) -> list[MinuteOffset]:
        """Every minute so far, in order."""
        return [_median(at, self._counts[at]) for at in sorted(self._counts)]

    def finish_before(self, instant_us: int) -> list[MinuteOffset]:
        """The minutes that ended by `instant_us`, in order; they are forgotten."""
        ended = sorted(at for at in self._counts if (at + 1) * MINUTE_US <= instant_us)
        return [_median(at, self._counts.pop(at)) for at in ended]


def _median(minute: int, counts: Counter[int]) -> MinuteOffset:
    total = counts.total()
    seen = 0
    median = 0
    for value in sorted(counts):
        seen += counts[value]
        if 2 * seen >= total:
            median = value
            break
    return MinuteOffset(minute * MINUTE_US, median, total)


def as_us(values: Any) -> Instants:
    """A series or list of integer microseconds as the array that `take` wants."""
    return np.asarray(values, np.int64)
