"""Which triggering minutes are occurrences: cooldown and merging, on arrays.

Belongs here: the local rules `onset` and `refractory` of `spec.EventType`. Whether a minute is an
occurrence never depends on what lies further back than the spec's own reach.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.research.events.spec import EventType, Refractory

Ints = npt.NDArray[np.int64]


def occurrence_rows(at: Ints, event_type: EventType) -> Ints:
    """Positions in `at` of the occurrences, ascending.

    `at` are the triggering minutes, ascending, each symbol's on its own stretch of the axis, far
    more than a day from the next. Two occurrences always have at least `cooldown_min` minutes
    between them.
    """
    since_last = np.diff(at, prepend=at[:1] - event_type.cooldown_min - 1)
    first = np.flatnonzero(since_last > event_type.cooldown_min)
    match event_type.merge:
        case Refractory(max_episode_min=longest):
            return _again(at, first, event_type.cooldown_min, longest)
        case _:
            return first


def _again(at: Ints, first: Ints, cooldown_min: int, longest_min: int) -> Ints:
    """Each episode's onset, and in it the first trigger after each cooldown."""
    after = np.append(first[1:], len(at))
    ends = np.minimum(np.searchsorted(at, at[first] + longest_min, side="right"), after)
    # Of every minute, the next one that a cooldown allows.
    following = np.searchsorted(at, at + cooldown_min, side="right")
    rows = []
    for start, end in zip(first.tolist(), ends.tolist(), strict=True):
        row = start
        while row < end:
            rows.append(row)
            row = int(following[row])
    return np.array(rows, np.int64)
